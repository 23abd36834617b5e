"""Losses, with PyTorch's names and arguments. `reduction` is "mean", "sum" or "none".

float16 and bfloat16 arguments are computed in float32, and the result is rounded once.
"""

from __future__ import annotations

from typing import Any, Literal

from tracejit._errors import ShapeError, at_user_line
from tracejit.indexing import check_labels
from tracejit.ops import composite
from tracejit.ops.arguments import cast, value
from tracejit.ops.composite import Mean, at_label, computed, log_softmax, reduced
from tracejit.ops.elementwise import (
    abs,
    add,
    divide,
    greater,
    less,
    maximum,
    multiply,
    negative,
    not_equal,
    square,
    subtract,
    where,
)
from tracejit.ops.functions import exp, log, softplus
from tracejit.ops.index import take
from tracejit.ops.reduce import sum
from tracejit.ops.shape import moveaxis
from tracejit.tensor import Tensor


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int | None = None,
    reduction: Mean = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log(softmax(logits)) at the target, over dimension 1 (0 of a vector).

    `target` holds class numbers, of the logits' shape without that dimension, or probabilities, of their shape.

    weight           a factor for each class; the mean is that of the weights
    ignore_index     a class number that counts for nothing; none unless it is given (PyTorch's is -100)
    label_smoothing  the share of the target that is spread over all classes

    >>> import tracejit as tj
    >>> cross_entropy(tj.zeros((2, 4)), tj.tensor([1, 3])).item()
    1.386294...
    """
    logits, target = value(logits), value(target)
    if not 0 <= label_smoothing <= 1:
        message = f"cross_entropy: label_smoothing is between 0 and 1, got {label_smoothing}"
        raise ValueError(at_user_line(message))
    if weight is None and ignore_index is None and not label_smoothing:
        if logits.ndim and target.aval.dtype.is_integer:
            check_labels("cross_entropy", target, logits.shape[min(logits.ndim - 1, 1)])
        return composite.cross_entropy(logits, target, reduction=reduction)
    if not logits.ndim:
        raise ShapeError(at_user_line(f"cross_entropy: {logits.aval}: needs a class axis"))
    x, dtype = computed(logits)
    likely = log_softmax(x, axis=min(x.ndim - 1, 1))
    if target.aval.dtype.is_float:
        losses = _of_shares(likely, target, weight, ignore_index, label_smoothing)
        return cast(reduced(losses, reduction), dtype)
    how = weight, ignore_index, reduction, label_smoothing
    return cast(_of_labels("cross_entropy", likely, target, *how), dtype)


def nll_loss(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int | None = None,
    reduction: Mean = "mean",
) -> Tensor:
    """-x at the target's class numbers, over dimension 1 (0 of a vector): of log probabilities, their likelihood's loss.

    `weight` and `ignore_index` are those of `cross_entropy`.

    >>> import tracejit as tj
    >>> nll_loss(tj.tensor([[-1.0, -2.0], [-3.0, -4.0]]), tj.tensor([1, 0]))
    tensor(2.5)
    """
    x, dtype = computed(x)
    if not x.ndim:
        raise ShapeError(at_user_line(f"nll_loss: {x.aval}: needs a class axis"))
    return cast(_of_labels("nll_loss", x, value(target), weight, ignore_index, reduction), dtype)


def _of_labels(
    name: str,
    likely: Any,
    labels: Any,
    weight: Any,
    ignored: int | None,
    reduction: Mean,
    smoothing: float = 0.0,
) -> Any:
    """The losses of class numbers, with all that can be said of them."""
    likely = moveaxis(likely, min(likely.ndim - 1, 1), -1)
    count = likely.shape[-1]
    kept = None
    if ignored is not None:
        kept = not_equal(labels, ignored)
        labels = where(kept, labels, 0)
    if labels.aval.dtype.is_integer:
        check_labels(name, labels, count)
    losses = negative(at_label(name, likely, labels))
    share = None
    if weight is not None:
        weight = _class_weights(name, weight, count, likely)
        share = take(weight, labels, axis=0)
        losses = multiply(losses, share)
    if smoothing:
        spread = likely if weight is None else multiply(likely, weight)
        even = multiply(sum(spread, axis=-1), -smoothing / count)
        losses = add(multiply(losses, 1 - smoothing), even)
    if kept is not None:
        losses = where(kept, losses, 0.0)
        share = cast(kept, likely.aval.dtype) if share is None else where(kept, share, 0.0)
    if share is None or reduction != "mean":
        return reduced(losses, reduction)
    return divide(sum(losses), sum(share))


def _of_shares(likely: Any, target: Any, weight: Any, ignored: int | None, smoothing: float) -> Any:
    """The losses of probabilities, each one's sum over the classes."""
    if ignored is not None:
        message = (
            "cross_entropy: ignore_index goes with class numbers, the target holds probabilities"
        )
        raise ValueError(at_user_line(message))
    if target.shape != likely.shape:
        message = f"cross_entropy: {likely.aval}, target {target.aval}: probabilities must have the shape of the logits"
        raise ShapeError(at_user_line(message))
    axis = min(likely.ndim - 1, 1)
    likely, target = moveaxis(likely, axis, -1), moveaxis(cast(target, likely.aval.dtype), axis, -1)
    count = likely.shape[-1]
    if smoothing:
        target = add(multiply(target, 1 - smoothing), smoothing / count)
    if weight is not None:
        target = multiply(target, _class_weights("cross_entropy", weight, count, likely))
    return negative(sum(multiply(target, likely), axis=-1))


def _class_weights(name: str, weight: Any, count: int, x: Any) -> Any:
    weight = value(weight)
    if weight.shape != (count,):
        message = f"{name}: weight {weight.aval} is not one number for each of {count} classes"
        raise ShapeError(at_user_line(message))
    return cast(weight, x.aval.dtype)


def mse_loss(x: Tensor, target: Tensor, *, reduction: Mean = "mean") -> Tensor:
    """The squared difference."""
    return composite.mse_loss(x, target, reduction=reduction)


def l1_loss(x: Tensor, target: Tensor, *, reduction: Mean = "mean") -> Tensor:
    """The absolute difference.

    >>> import tracejit as tj
    >>> l1_loss(tj.tensor([1.0, 2.0]), tj.tensor([1.0, 4.0]))
    tensor(1.)
    """
    return reduced(abs(subtract(x, target)), reduction)


def huber_loss(
    x: Tensor, target: Tensor, *, reduction: Mean = "mean", delta: float = 1.0
) -> Tensor:
    """Half the squared difference d where |d| < delta, and delta (|d| - delta / 2) beyond (Huber, 1964).

    >>> import tracejit as tj
    >>> huber_loss(tj.tensor([0.5, 3.0]), tj.zeros(2), reduction="none")
    tensor([0.125, 2.5  ])
    """
    if not delta > 0:
        raise ValueError(at_user_line(f"huber_loss: delta is above 0, got {delta}"))
    apart = subtract(x, target)
    far = abs(apart)
    near = multiply(square(apart), 0.5)
    beyond = multiply(subtract(far, 0.5 * delta), delta)
    return reduced(where(less(far, delta), near, beyond), reduction)


def smooth_l1_loss(
    x: Tensor, target: Tensor, *, reduction: Mean = "mean", beta: float = 1.0
) -> Tensor:
    """The absolute difference |d| less beta / 2, and d**2 / (2 beta) where |d| < beta (Girshick, 2015).

    >>> import tracejit as tj
    >>> smooth_l1_loss(tj.tensor([0.5, 3.0]), tj.zeros(2), reduction="none")
    tensor([0.125, 2.5  ])
    """
    if not beta >= 0:
        raise ValueError(at_user_line(f"smooth_l1_loss: beta is not negative, got {beta}"))
    if beta == 0:
        return l1_loss(x, target, reduction=reduction)
    apart = subtract(x, target)
    far = abs(apart)
    near = multiply(square(apart), 0.5 / beta)
    return reduced(where(less(far, beta), near, subtract(far, 0.5 * beta)), reduction)


def binary_cross_entropy(
    x: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: Mean = "mean"
) -> Tensor:
    """-(target log x + (1 - target) log(1 - x)) of probabilities x; a logarithm is at least -100, and constant there.

    `binary_cross_entropy_with_logits` is exact where the probabilities are near 0 or 1.

    >>> import tracejit as tj
    >>> binary_cross_entropy(tj.tensor([0.5, 0.5]), tj.tensor([0.0, 1.0])).item()
    0.693147...
    """
    (x, dtype), (target, _) = computed(x), computed(target)
    _check_same("binary_cross_entropy", x, target)
    hit = multiply(target, _bounded_log(x))
    missed = multiply(subtract(1.0, target), _bounded_log(subtract(1.0, x)))
    losses = negative(add(hit, missed))
    losses = losses if weight is None else multiply(losses, weight)
    return cast(reduced(losses, reduction), dtype)


def _bounded_log(x: Any) -> Any:
    is_positive = greater(x, 0)
    # The logarithm of 0 is not taken: its gradient would be NaN also where it is not chosen.
    return where(is_positive, maximum(log(where(is_positive, x, 1.0)), -100.0), -100.0)


def binary_cross_entropy_with_logits(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: Mean = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """The binary cross entropy of sigmoid(x), without overflow; `pos_weight` is a factor of what is missed of the positives.

    >>> import tracejit as tj
    >>> binary_cross_entropy_with_logits(tj.tensor([0.0, 1000.0]), tj.tensor([1.0, 1.0]), reduction="sum").item()
    0.693147...
    """
    (x, dtype), (target, _) = computed(x), computed(target)
    _check_same("binary_cross_entropy_with_logits", x, target)
    missed = softplus(negative(x))
    if pos_weight is not None:
        missed = multiply(missed, add(multiply(subtract(pos_weight, 1.0), target), 1.0))
    losses = add(multiply(subtract(1.0, target), x), missed)
    losses = losses if weight is None else multiply(losses, weight)
    return cast(reduced(losses, reduction), dtype)


def _check_same(name: str, x: Any, target: Any) -> None:
    if x.shape != target.shape:
        raise ShapeError(at_user_line(f"{name}: {x.aval}, target {target.aval}: the shapes differ"))


def kl_div(
    x: Tensor,
    target: Tensor,
    *,
    reduction: Mean | Literal["batchmean"] = "mean",
    log_target: bool = False,
) -> Tensor:
    """target (log target - x), of log probabilities x; 0 where the target is. "batchmean" divides the sum by the rows.

    >>> import tracejit as tj
    >>> kl_div(tj.log(tj.tensor([[0.5, 0.5]])), tj.tensor([[1.0, 0.0]]), reduction="batchmean").item()
    0.693147...
    """
    (x, dtype), (target, _) = computed(x), computed(target)
    if log_target:
        losses = multiply(exp(target), subtract(target, x))
    else:
        is_positive = greater(target, 0)
        entropy = multiply(target, log(where(is_positive, target, 1.0)))
        losses = subtract(entropy, multiply(target, x))
    if reduction == "batchmean":
        return cast(divide(sum(losses), losses.shape[0] if losses.ndim else 1), dtype)
    return cast(reduced(losses, reduction), dtype)
