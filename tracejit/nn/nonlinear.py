"""Activations that have no op of their own, with PyTorch's names and arguments."""

from __future__ import annotations

from typing import Any

from tracejit._errors import ShapeError, at_user_line
from tracejit.ops.arguments import cast, normal_axis, value
from tracejit.ops.composite import computed
from tracejit.ops.elementwise import add, clip, greater, minimum, multiply, negative, where
from tracejit.ops.functions import expm1, sigmoid, softplus, tanh
from tracejit.ops.slicing import slice_axis
from tracejit.tensor import Tensor

SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where it is above 0, `negative_slope` x elsewhere.

    >>> import tracejit as tj
    >>> leaky_relu(tj.tensor([-2.0, 2.0]), 0.5)
    tensor([-1.,  2.])
    """
    x = value(x)
    return where(greater(x, 0), x, multiply(x, negative_slope))


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where it is above 0, alpha (exp(x) - 1) elsewhere (Clevert, Unterthiner and Hochreiter, 2016).

    >>> import tracejit as tj
    >>> elu(tj.tensor([-1000.0, 2.0]))
    tensor([-1.,  2.])
    """
    x, dtype = computed(x)
    # Below 0 only: the exponential of a large x overflows, and has no finite gradient.
    return cast(where(greater(x, 0), x, multiply(expm1(minimum(x, 0.0)), alpha)), dtype)


def selu(x: Tensor) -> Tensor:
    """The ELU that keeps mean 0 and variance 1 (Klambauer et al., 2017).

    >>> import tracejit as tj
    >>> selu(tj.tensor([0.0, 1.0]))
    tensor([0.      , 1.050701])
    """
    x, dtype = computed(x)
    return cast(multiply(elu(x, SELU_ALPHA), SELU_SCALE), dtype)


def mish(x: Tensor) -> Tensor:
    """x tanh(softplus(x)) (Misra, 2019).

    >>> import tracejit as tj
    >>> mish(tj.tensor([0.0, 100.0]))
    tensor([  0., 100.])
    """
    x, dtype = computed(x)
    return cast(multiply(x, tanh(softplus(x))), dtype)


def logsigmoid(x: Tensor) -> Tensor:
    """log(sigmoid(x)), without overflow.

    >>> import tracejit as tj
    >>> logsigmoid(tj.tensor([-1000.0, 1000.0]))
    tensor([-1000.,    -0.])
    """
    return negative(softplus(negative(value(x))))


def relu6(x: Tensor) -> Tensor:
    """x, at least 0 and at most 6.

    >>> import tracejit as tj
    >>> relu6(tj.tensor([-1.0, 8.0]))
    tensor([0., 6.])
    """
    return hardtanh(x, 0.0, 6.0)


def hardtanh(x: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x, at least `min_val` and at most `max_val`.

    >>> import tracejit as tj
    >>> hardtanh(tj.tensor([-3.0, 0.5]))
    tensor([-1. ,  0.5])
    """
    return clip(x, min_val, max_val)


def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """x where it is above 0, `weight` x elsewhere: one weight, or one for each channel (dimension 1) (He et al., 2015).

    >>> import tracejit as tj
    >>> prelu(tj.tensor([[-2.0, -2.0]]), tj.tensor([0.5, 1.0]))
    tensor([[-1., -2.]])
    """
    x, slope = value(x), value(weight)
    channels = x.shape[1] if x.ndim > 1 else 1
    if slope.ndim > 1 or slope.size not in (1, channels):
        message = f"prelu: {x.aval}, weight {slope.aval}: one weight, or one for each channel"
        raise ShapeError(at_user_line(message))
    shape = (slope.size, *(1,) * (x.ndim - 2)) if x.ndim > 1 else (1,) * x.ndim
    return where(greater(x, 0), x, multiply(x, slope.reshape(shape)))


def glu(x: Tensor, dim: int = -1) -> Tensor:
    """a sigmoid(b) of the halves a and b of x along `dim` (Dauphin et al., 2017).

    >>> import tracejit as tj
    >>> glu(tj.tensor([3.0, 0.0]))
    tensor([1.5])
    """
    first, second = _halves(value(x), dim)
    return multiply(first, sigmoid(second))


def _halves(x: Any, dim: int) -> tuple[Any, Any]:
    axis = normal_axis(dim, x.ndim, "glu")
    extent = x.shape[axis]
    if extent % 2:
        message = f"glu: {x.aval}: the size of dimension {dim} is not even"
        raise ShapeError(at_user_line(message))
    middle = extent // 2
    return slice_axis(x, axis, 0, middle), slice_axis(x, axis, middle, extent)


def hardsigmoid(x: Tensor) -> Tensor:
    """x / 6 + 1 / 2, at least 0 and at most 1.

    >>> import tracejit as tj
    >>> hardsigmoid(tj.tensor([-4.0, 0.0]))
    tensor([0. , 0.5])
    """
    return multiply(relu6(add(value(x), 3.0)), 1 / 6)


def hardswish(x: Tensor) -> Tensor:
    """x hardsigmoid(x) (Howard et al., 2019).

    >>> import tracejit as tj
    >>> hardswish(tj.tensor([-4.0, 6.0]))
    tensor([-0.,  6.])
    """
    x = value(x)
    return multiply(x, hardsigmoid(x))
