"""Images of other sizes, and with other edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracejit import ops
from tracejit._errors import ShapeError, at_user_line
from tracejit.ops.arguments import value as as_value
from tracejit.ops.index import take
from tracejit.tensor import Tensor


def interpolate(
    x: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
) -> Tensor:
    """x (N, C, ...) with its last dimensions brought to `size`, or multiplied by `scale_factor`.

    Element i of n is that at floor(i * before / n), the only `mode` that there is.

    >>> import tracejit as tj
    >>> interpolate(tj.tensor([[[1.0, 2.0]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    x = as_value(x)
    if mode != "nearest":
        message = f"interpolate: mode {mode!r} is not there: it is 'nearest'"
        raise NotImplementedError(at_user_line(message))
    if x.ndim < 3 or (size is None) == (scale_factor is None):
        message = (
            f"interpolate: {x.aval}: expected (N, C, ...), and either a size or a scale_factor"
        )
        raise ShapeError(at_user_line(message))
    spatial = x.ndim - 2
    if size is not None:
        sizes = _each(size, spatial)
    else:
        factors = _each(scale_factor, spatial)
        sizes = [int(before * factor) for before, factor in zip(x.shape[2:], factors, strict=True)]
    for axis, after in enumerate(sizes, 2):
        x = _along(x, axis, after)
    return x


def _along(x: Any, axis: int, after: int) -> Any:
    before = x.shape[axis]
    if after == before:
        return x
    if after < 1:
        raise ShapeError(at_user_line(f"interpolate: {x.aval}: a size is at least 1, got {after}"))
    if after % before:
        return take(x, ops.arange(after) * before // after, axis=axis)
    shape = (*x.shape[: axis + 1], after // before, *x.shape[axis + 1 :])
    repeated = ops.broadcast_to(ops.expand_dims(x, axis + 1), shape)
    return repeated.reshape((*x.shape[:axis], after, *x.shape[axis + 1 :]))


def _each(given: Any, count: int) -> list[Any]:
    each = list(given) if isinstance(given, Sequence) else [given] * count
    if len(each) != count:
        message = f"interpolate: {count} dimensions are brought to another size, got {given}"
        raise ShapeError(at_user_line(message))
    return each


def pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """x with `value` round it: `pad` has how many before and after along the last dimension, then along the one before it...

    >>> import tracejit as tj
    >>> import tracejit.nn.functional as F
    >>> F.pad(tj.tensor([[1.0, 2.0]]), (1, 0))
    tensor([[0., 1., 2.]])
    """
    x = as_value(x)
    if mode != "constant":
        message = f"pad: mode {mode!r} is not there: it is 'constant'"
        raise NotImplementedError(at_user_line(message))
    if len(pad) % 2 or len(pad) > 2 * x.ndim or min(pad, default=0) < 0:
        message = f"pad: {x.aval}: expected two numbers of at least 0 for each of the last dimensions, got {pad}"
        raise ShapeError(at_user_line(message))
    pairs = [(pad[place], pad[place + 1]) for place in range(0, len(pad), 2)]
    return ops.pad(x, [*[(0, 0)] * (x.ndim - len(pairs)), *reversed(pairs)], value)
