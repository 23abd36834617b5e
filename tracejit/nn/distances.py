"""Lengths, angles and distances of vectors, and the losses that are made of them, with PyTorch's names and arguments."""

from __future__ import annotations

from tracejit.ops.arguments import cast, value
from tracejit.ops.composite import Mean, computed, reduced, vector_norm
from tracejit.ops.elementwise import (
    add,
    divide,
    equal,
    maximum,
    minimum,
    multiply,
    negative,
    subtract,
    where,
)
from tracejit.ops.functions import relu
from tracejit.ops.reduce import sum
from tracejit.tensor import Tensor


def normalize(x: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """x divided by its p-norm along `dim`, or by `eps` where that is larger.

    >>> import tracejit as tj
    >>> normalize(tj.tensor([3.0, 4.0]), dim=0)
    tensor([0.6, 0.8])
    """
    x, dtype = computed(x)
    return cast(divide(x, maximum(vector_norm(x, p, axis=dim, keepdims=True), eps)), dtype)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between x1 and x2 along `dim`; lengths below `eps` count as `eps`.

    >>> import tracejit as tj
    >>> cosine_similarity(tj.tensor([3.0, 4.0]), tj.tensor([4.0, 3.0]), dim=0).item()
    0.96...
    """
    (x1, dtype), (x2, _) = computed(x1), computed(x2)
    x1, x2 = (divide(x, maximum(vector_norm(x, 2, axis=dim, keepdims=True), eps)) for x in (x1, x2))
    return cast(sum(multiply(x1, x2), axis=dim), dtype)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dimension.

    >>> import tracejit as tj
    >>> pairwise_distance(tj.tensor([[3.0, 4.0]]), tj.tensor([[0.0, 0.0]]), eps=0.0)
    tensor([5.])
    """
    apart = add(subtract(value(x1), value(x2)), eps)
    return vector_norm(apart, p, axis=-1, keepdims=keepdim)


def cosine_embedding_loss(
    x1: Tensor, x2: Tensor, target: Tensor, margin: float = 0.0, *, reduction: Mean = "mean"
) -> Tensor:
    """1 - cos where the target is 1, and what cos exceeds `margin` by where it is -1.

    >>> import tracejit as tj
    >>> x = tj.tensor([[3.0, 4.0]])
    >>> cosine_embedding_loss(x, x, tj.tensor([-1]), margin=0.5).item()
    0.5
    """
    cos = cosine_similarity(x1, x2, dim=-1)
    return reduced(
        where(equal(target, 1), subtract(1.0, cos), relu(subtract(cos, margin))), reduction
    )


def margin_ranking_loss(
    x1: Tensor, x2: Tensor, target: Tensor, margin: float = 0.0, *, reduction: Mean = "mean"
) -> Tensor:
    """max(0, margin - target (x1 - x2)): a target of 1 wants x1 above x2, one of -1 below.

    >>> import tracejit as tj
    >>> margin_ranking_loss(tj.tensor([1.0]), tj.tensor([3.0]), tj.tensor([1.0]), margin=0.5)
    tensor(2.5)
    """
    return reduced(relu(add(multiply(negative(target), subtract(x1, x2)), margin)), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: Mean = "mean",
) -> Tensor:
    """max(0, margin + the distance to the positive - that to the negative), or, with `swap`, the positive's if that is less.

    >>> import tracejit as tj
    >>> triplet_margin_loss(tj.zeros((1, 2)), tj.zeros((1, 2)), tj.tensor([[3.0, 4.0]])).item()
    0.0
    """
    near, far = (pairwise_distance(anchor, other, p, eps) for other in (positive, negative))
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced(relu(add(subtract(near, far), margin)), reduction)
