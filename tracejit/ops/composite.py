"""Functions made of ops: softmax, losses, normalisation, activations. They have no records and no gradient rules.

float16 and bfloat16 arguments are computed in float32, and the result is rounded once.
"""

from __future__ import annotations

from math import pi
from math import sqrt as root
from typing import Any, Literal

from tracejit import dtypes
from tracejit._errors import DTypeError, ShapeError, at_user_line
from tracejit.dtypes import DType
from tracejit.ops.arguments import cast, normal_axes, normal_axis, refuse, value
from tracejit.ops.elementwise import abs as absolute
from tracejit.ops.elementwise import (
    add,
    constant_like,
    divide,
    equal,
    greater_equal,
    isfinite,
    multiply,
    negative,
    reciprocal,
    sqrt,
    square,
    subtract,
    where,
)
from tracejit.ops.families import view
from tracejit.ops.functions import exp, log, pow, sigmoid, tanh
from tracejit.ops.index import one_hot
from tracejit.ops.op import Op
from tracejit.ops.random import uniform
from tracejit.ops.reduce import Axes, max, mean, sum
from tracejit.ops.shape import expand_dims, moveaxis, squeeze
from tracejit.ops.special import erf

Mean = Literal["mean", "sum", "none"]

_stop: Op = view(
    "stop_gradient",
    infer=lambda x: x.shape,
    eval=lambda x: x,
    layout=lambda layout: layout,
    vjp=None,
    doc="x, as a constant to differentiation.",
)


def stop_gradient(x: Any) -> Any:
    """`x`, as a constant to differentiation."""
    return _stop(value(x))


def computed(x: Any) -> tuple[Any, DType]:
    """`x` in the dtype to compute in, and the dtype of the result."""
    x = value(x)
    dtype = x.aval.dtype if x.aval.dtype.is_float else dtypes.float64
    return cast(x, dtypes.float32 if dtype in dtypes.HALF else dtype), dtype


# exponentials that do not overflow


def _shifted(x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    """x - m and m, the maximum over `axes` (0 where it is infinite), of which the results do not depend on m."""
    shape = x.aval.shape
    if 0 in [shape[axis] for axis in axes]:
        kept = tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))
        return x, constant_like(x, 0, shape=kept)
    most = stop_gradient(max(x, axis=axes, keepdims=True))
    most = where(isfinite(most), most, 0.0)
    return subtract(x, most), most


def softmax(x: Any, *, axis: Axes = -1) -> Any:
    """exp(x) divided by its sum over `axis`.

    >>> import tracejit as tj
    >>> tj.softmax(tj.tensor([0.0, 0.0]))
    tensor([0.5, 0.5])
    """
    x, dtype = computed(x)
    axes = normal_axes(axis, x.aval.ndim, "softmax")
    grown = exp(_shifted(x, axes)[0])
    return cast(divide(grown, sum(grown, axis=axes, keepdims=True)), dtype)


def log_softmax(x: Any, *, axis: Axes = -1) -> Any:
    """log(softmax(x)), exact where softmax underflows.

    >>> import tracejit as tj
    >>> tj.log_softmax(tj.tensor([1000.0, 0.0]))
    tensor([    0., -1000.])
    """
    x, dtype = computed(x)
    axes = normal_axes(axis, x.aval.ndim, "log_softmax")
    apart, _ = _shifted(x, axes)
    return cast(subtract(apart, log(sum(exp(apart), axis=axes, keepdims=True))), dtype)


def logsumexp(x: Any, *, axis: Axes = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) over `axis`; -inf of no elements.

    >>> import tracejit as tj
    >>> tj.logsumexp(tj.tensor([1000.0, -1000.0]))
    tensor(1000.)
    """
    x, dtype = computed(x)
    axes = normal_axes(axis, x.aval.ndim, "logsumexp")
    apart, most = _shifted(x, axes)
    total = add(log(sum(exp(apart), axis=axes, keepdims=True)), most)
    return cast(total if keepdims else squeeze(total, axes), dtype)


def vector_norm(x: Any, p: float = 2, *, axis: Axes = None, keepdims: bool = False) -> Any:
    """(sum |x|**p)**(1/p) over `axis`; its gradient where all is 0 is 0.

    >>> import tracejit as tj
    >>> tj.tensor([3.0, -4.0]).norm()
    tensor(5.)
    """
    x, dtype = computed(x)
    if p == float("inf"):
        return cast(max(absolute(x), axis=axis, keepdims=keepdims), dtype)
    if p == 1:
        return cast(sum(absolute(x), axis=axis, keepdims=keepdims), dtype)
    powers = square(x) if p == 2 else pow(absolute(x), p)
    total = sum(powers, axis=axis, keepdims=keepdims)
    is_zero = equal(total, 0)
    root = where(is_zero, 1.0, total)
    return cast(where(is_zero, 0.0, sqrt(root) if p == 2 else pow(root, 1 / p)), dtype)


# losses


def reduced(losses: Any, reduction: Any) -> Any:
    """The losses' "mean" or "sum", or, with "none", the losses."""
    match reduction:
        case "mean":
            return mean(losses)
        case "sum":
            return sum(losses)
        case "none":
            return losses
        case _:
            raise ValueError(
                at_user_line(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
            )


def cross_entropy(logits: Any, target: Any, *, reduction: Mean = "mean") -> Any:
    """-log(softmax(logits)) at the target, over axis 1 (axis 0 of a vector), as torch's cross_entropy.

    `target` holds class numbers (integers, the shape of `logits` without the class axis), or probabilities (floats, the shape
    of `logits`). A label outside the classes has the loss of no class; whoever has the labels at hand must check them.

    >>> import tracejit as tj
    >>> tj.cross_entropy(tj.tensor([[9.0, -9.0], [-9.0, 9.0]]), tj.tensor([0, 1])) < 1e-6
    tensor(True)
    """
    x, dtype = computed(logits)
    target = value(target)
    if not x.aval.shape:
        refuse(ShapeError, "cross_entropy", (x.aval,), "needs a class axis")
    axis = 1 if x.aval.ndim > 1 else 0
    x = moveaxis(x, axis, -1)
    apart, _ = _shifted(x, (x.aval.ndim - 1,))
    total = log(sum(exp(apart), axis=-1))
    if target.aval.dtype.is_float:
        losses = _of_probabilities(apart, total, cast(target, x.aval.dtype), axis)
    else:
        losses = subtract(total, at_label("cross_entropy", apart, target))
    return cast(reduced(losses, reduction), dtype)


def at_label(name: str, x: Any, labels: Any) -> Any:
    """x at the label along the last axis."""
    if not labels.aval.dtype.is_integer:
        refuse(
            DTypeError,
            name,
            (x.aval, labels.aval),
            "labels must be integers or float probabilities",
        )
    if labels.aval.shape != x.aval.shape[:-1]:
        refuse(
            ShapeError,
            name,
            (x.aval, labels.aval),
            f"labels must have shape {x.aval.shape[:-1]}",
        )
    chosen = one_hot(labels, x.aval.shape[-1], dtype=dtypes.bool_)
    return sum(where(chosen, x, 0.0), axis=-1)


def _of_probabilities(x: Any, total: Any, target: Any, axis: int) -> Any:
    fits = target.aval.ndim == x.aval.ndim
    if fits:
        target = moveaxis(target, axis, -1)
    if not fits or target.aval.shape != x.aval.shape:
        refuse(
            ShapeError,
            "cross_entropy",
            (x.aval, target.aval),
            "probabilities must have the shape of the logits",
        )
    return negative(sum(multiply(target, subtract(x, expand_dims(total, -1))), axis=-1))


def mse_loss(x: Any, y: Any, *, reduction: Mean = "mean") -> Any:
    """The squared difference.

    >>> import tracejit as tj
    >>> tj.mse_loss(tj.tensor([1.0, 2.0]), tj.tensor([1.0, 4.0]))
    tensor(2.)
    """
    return reduced(square(subtract(x, y)), reduction)


# normalisation


def moments(x: Any, *, axis: Axes = None, keepdims: bool = False) -> tuple[Any, Any]:
    """The mean and the mean squared distance from it over `axis`."""
    x, dtype = computed(x)
    axes = normal_axes(axis, x.aval.ndim, "moments")
    center = mean(x, axis=axes, keepdims=True)
    spread = mean(square(subtract(x, center)), axis=axes, keepdims=keepdims)
    return cast(center if keepdims else squeeze(center, axes), dtype), cast(spread, dtype)


def layer_norm(
    x: Any, weight: Any = None, bias: Any = None, *, axis: Axes = -1, eps: float = 1e-5
) -> Any:
    """(x - mean) / sqrt(variance + eps) over `axis`, times `weight`, plus `bias`.

    >>> import tracejit as tj
    >>> tj.layer_norm(tj.tensor([1.0, 3.0]), eps=0.0)
    tensor([-1.,  1.])
    """
    x, dtype = computed(x)
    axes = normal_axes(axis, x.aval.ndim, "layer_norm")
    apart = subtract(x, mean(x, axis=axes, keepdims=True))
    scale = reciprocal(sqrt(add(mean(square(apart), axis=axes, keepdims=True), eps)))
    return cast(_affine(multiply(apart, scale), weight, bias), dtype)


def batch_norm(
    x: Any,
    center: Any,
    spread: Any,
    weight: Any = None,
    bias: Any = None,
    *,
    axis: int = 1,
    eps: float = 1e-5,
) -> Any:
    """(x - center) / sqrt(spread + eps) * weight + bias, where all but `x` are vectors along `axis`."""
    x, dtype = computed(x)
    place = normal_axis(axis, x.aval.ndim, "batch_norm")
    others = tuple(range(1, x.aval.ndim - place))
    center, spread, weight, bias = (
        None if part is None else expand_dims(part, others) if others else part
        for part in (center, spread, weight, bias)
    )
    scale = reciprocal(sqrt(add(spread, eps)))
    return cast(_affine(multiply(subtract(x, center), scale), weight, bias), dtype)


def _affine(x: Any, weight: Any, bias: Any) -> Any:
    x = x if weight is None else multiply(x, weight)
    return x if bias is None else add(x, bias)


# activations


def gelu(x: Any, *, approximate: Literal["none", "tanh"] = "none") -> Any:
    """x times the normal distribution function of x, by erf or by the usual tanh formula.

    >>> import tracejit as tj
    >>> tj.gelu(tj.tensor([0.0, 100.0]))
    tensor([  0., 100.])
    """
    x, dtype = computed(x)
    match approximate:
        case "none":
            below = erf(multiply(x, 1 / root(2)))
        case "tanh":
            cubic = multiply(multiply(square(x), x), 0.044715)
            below = tanh(multiply(add(x, cubic), root(2 / pi)))
        case _:
            raise ValueError(
                at_user_line(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
            )
    return cast(multiply(multiply(x, 0.5), add(below, 1.0)), dtype)


def silu(x: Any) -> Any:
    """x * sigmoid(x).

    >>> import tracejit as tj
    >>> tj.silu(tj.tensor([0.0, 100.0]))
    tensor([  0., 100.])
    """
    x, dtype = computed(x)
    return cast(multiply(x, sigmoid(x)), dtype)


def dropout(x: Any, state: Any, p: float) -> Any:
    """`x` with each element 0 with probability `p` and otherwise divided by 1 - p, from the random `state` (x.size blocks)."""
    x = value(x)
    if not 0 <= p < 1:
        raise ValueError(at_user_line(f"dropout: p must be in [0, 1), got {p}"))
    keep = greater_equal(uniform(state, x.aval.shape), p)
    return where(keep, multiply(x, 1 / (1 - p)), 0.0)


__all__ = [
    "batch_norm", "cross_entropy", "dropout", "gelu", "layer_norm", "log_softmax", "logsumexp", "moments", "mse_loss", "silu",
    "softmax", "stop_gradient", "vector_norm",
]  # fmt: skip
