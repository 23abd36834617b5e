"""How parameters start. Each function fills a tensor in place and returns it; random ones draw from the default generator."""

from __future__ import annotations

from math import prod, sqrt

from tracejit import random
from tracejit._errors import ShapeError, at_user_line
from tracejit.autograd.tape import no_grad
from tracejit.creation import empty as _empty
from tracejit.tensor import Tensor


def empty(*shape: int) -> Tensor:
    """A tensor of the default dtype, to be filled."""
    return _empty(shape)


@no_grad()
def constant_(tensor: Tensor, value: float) -> Tensor:
    return tensor.fill_(value)


def zeros_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 1)


@no_grad()
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Uniform in [a, b)."""
    return tensor.copy_(random.uniform(tensor.shape, a, b, dtype=tensor.dtype))


@no_grad()
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    return tensor.copy_(random.normal(tensor.shape, mean, std, dtype=tensor.dtype))


def kaiming_uniform_(tensor: Tensor, a: float = 0.0) -> Tensor:
    """Uniform with variance 2 / ((1 + a**2) fan_in), for a leaky ReLU of slope a (He et al., 2015)."""
    fan_in, _ = fans(tensor)
    bound = sqrt(6 / ((1 + a * a) * fan_in)) if fan_in else 0.0
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(tensor: Tensor, a: float = 0.0) -> Tensor:
    """Normal with variance 2 / ((1 + a**2) fan_in)."""
    fan_in, _ = fans(tensor)
    return normal_(tensor, 0.0, sqrt(2 / ((1 + a * a) * fan_in)) if fan_in else 0.0)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Uniform with variance gain**2 * 2 / (fan_in + fan_out) (Glorot and Bengio, 2010)."""
    bound = gain * sqrt(6 / (sum(fans(tensor)) or 1))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Normal with variance gain**2 * 2 / (fan_in + fan_out)."""
    return normal_(tensor, 0.0, gain * sqrt(2 / (sum(fans(tensor)) or 1)))


def fans(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight with shape (out, in, ...)."""
    if tensor.ndim < 2:
        message = f"fan in and fan out need two dimensions or more, got {tensor.aval}"
        raise ShapeError(at_user_line(message))
    outputs, inputs, *window = tensor.shape
    return inputs * prod(window), outputs * prod(window)
