"""Dropout of elements and of channels."""

from __future__ import annotations

from tracejit._errors import ShapeError, at_user_line
from tracejit.ops.arguments import value
from tracejit.random import Generator, default_generator
from tracejit.tensor import Tensor


def dropout(
    x: Tensor, p: float = 0.5, training: bool = True, *, generator: Generator | None = None
) -> Tensor:
    """In training, x / (1 - p) with each element set to 0 with probability p; otherwise x."""
    x = value(x)
    return _dropped(x, x.shape, p, training, generator)


def dropout2d(
    x: Tensor, p: float = 0.5, training: bool = True, *, generator: Generator | None = None
) -> Tensor:
    """In training, x / (1 - p) with each channel of x (N, C, ...) set to 0 with probability p; otherwise x."""
    x = value(x)
    if x.ndim < 3:
        message = f"dropout2d: {x.aval}: expected a batch of channels (N, C, ...)"
        raise ShapeError(at_user_line(message))
    return _dropped(x, (*x.shape[:2], *(1,) * (x.ndim - 2)), p, training, generator)


def _dropped(
    x: Tensor, shape: tuple[int, ...], p: float, training: bool, generator: Generator | None
) -> Tensor:
    """x with what one draw of `shape` decides about set to 0 together."""
    check_probability(p)
    if not training or p == 0:
        return x
    if p == 1:
        return x * 0
    keep = (generator or default_generator).on(x.device).bernoulli(1 - p, shape, device=x.device)
    return x * keep * (1 / (1 - p))


def check_probability(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(at_user_line(f"dropout: a probability is between 0 and 1, got {p}"))
