"""What the modules compute, as functions with PyTorch's names and arguments."""

from __future__ import annotations

from tracejit._errors import ShapeError, at_user_line
from tracejit.indexing import check_labels
from tracejit.nn.sliding import adaptive_avg_pool2d as adaptive_avg_pool2d
from tracejit.nn.sliding import avg_pool1d as avg_pool1d
from tracejit.nn.sliding import avg_pool2d as avg_pool2d
from tracejit.nn.sliding import conv1d as conv1d
from tracejit.nn.sliding import conv2d as conv2d
from tracejit.nn.sliding import max_pool1d as max_pool1d
from tracejit.nn.sliding import max_pool2d as max_pool2d
from tracejit.ops import composite
from tracejit.ops.arguments import value
from tracejit.ops.composite import Mean
from tracejit.ops.composite import gelu as gelu
from tracejit.ops.composite import silu as silu
from tracejit.ops.contract import matmul
from tracejit.ops.functions import relu as relu
from tracejit.ops.functions import sigmoid as sigmoid
from tracejit.ops.functions import softplus as softplus
from tracejit.ops.functions import tanh as tanh
from tracejit.ops.index import index_value, take
from tracejit.ops.index import one_hot as one_hot
from tracejit.ops.shape import matrix_transpose
from tracejit.random import Generator, default_generator
from tracejit.tensor import Tensor


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias, of a weight with shape (out_features, in_features)."""
    x = value(x)
    if x.ndim < 1 or weight.ndim != 2 or x.shape[-1] != weight.shape[1]:
        message = f"linear: {x.aval}, weight {weight.aval}: the last sizes differ"
        raise ShapeError(at_user_line(message))
    product = matmul(x, matrix_transpose(weight))
    return product if bias is None else product + bias


def embedding(x: Tensor, weight: Tensor) -> Tensor:
    """Row `x` of `weight`, for integers x of any shape; IndexError for a row that is not there."""
    x = index_value(x)
    check_labels("embedding", x, len(weight))
    return take(weight, x, axis=0)


def softmax(x: Tensor, dim: int = -1) -> Tensor:
    """exp(x) divided by its sum along `dim`."""
    return composite.softmax(x, axis=dim)


def log_softmax(x: Tensor, dim: int = -1) -> Tensor:
    """log(softmax(x)), without overflow."""
    return composite.log_softmax(x, axis=dim)


def layer_norm(
    x: Tensor,
    normalized_shape: tuple[int, ...],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dimensions, whose shape is `normalized_shape`."""
    x, shape = value(x), tuple(normalized_shape)
    if not shape or x.shape[-len(shape) :] != shape:
        message = f"layer_norm: {x.aval}: the last dimensions are not {shape}"
        raise ShapeError(at_user_line(message))
    axes = tuple(range(-len(shape), 0))
    return composite.layer_norm(x, weight, bias, axis=axes, eps=eps)


def batch_norm(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, the others being vectors along dimension 1 of x."""
    return composite.batch_norm(x, mean, var, weight, bias, eps=eps)


def dropout(
    x: Tensor, p: float = 0.5, training: bool = True, *, generator: Generator | None = None
) -> Tensor:
    """In training, x / (1 - p) with each element set to 0 with probability p; otherwise x."""
    check_probability(p)
    x = value(x)
    if not training or p == 0:
        return x
    if p == 1:
        return x * 0
    keep = (generator or default_generator).on(x.device).bernoulli(1 - p, x.shape, device=x.device)
    return x * keep * (1 / (1 - p))


def cross_entropy(logits: Tensor, target: Tensor, *, reduction: Mean = "mean") -> Tensor:
    """-log(softmax(logits)) at the target, over dimension 1 (0 of a vector).

    `target` holds class numbers, of the logits' shape without that dimension, or probabilities, of their shape.

    >>> import tracejit as tj
    >>> cross_entropy(tj.zeros((2, 4)), tj.tensor([1, 3])).item()
    1.386294...
    """
    logits, target = value(logits), value(target)
    if logits.ndim and target.aval.dtype.is_integer:
        check_labels("cross_entropy", target, logits.shape[min(logits.ndim - 1, 1)])
    return composite.cross_entropy(logits, target, reduction=reduction)


def mse_loss(x: Tensor, target: Tensor, *, reduction: Mean = "mean") -> Tensor:
    """The squared difference."""
    return composite.mse_loss(x, target, reduction=reduction)


def check_probability(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(at_user_line(f"dropout: a probability is between 0 and 1, got {p}"))
