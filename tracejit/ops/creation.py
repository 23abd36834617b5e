"""Arrays from numbers. The numbers are arguments, so that another number needs no other program."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from operator import index as as_index
from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit._config import config
from tracejit._errors import DTypeError, ShapeError, at_user_line
from tracejit.dispatch import Scalar
from tracejit.dtypes import DType
from tracejit.ir.aval import Aval, aval
from tracejit.ir.dim import Dim
from tracejit.ops.arguments import (
    NUMBERS,
    cast,
    copied,
    moved,
    new_shape,
    on,
    python_number,
    refuse,
    value,
    value_or_number,
)
from tracejit.ops.elementwise import constant, zeros_like
from tracejit.ops.families import in_single, record
from tracejit.ops.op import Op, Pointwise
from tracejit.ops.shape import broadcast_to
from tracejit.ops.slicing import length_of

Size = int | Sequence[int]


def _chosen(dtype: Any, *numbers: bool | int | float) -> DType:
    """`dtype`, or where it is None that of Python numbers: bool, int64, or the default float."""
    if dtype is not None:
        return dtypes.as_dtype(dtype)
    found = (
        dtypes.result_type(*(python_number(number) for number in numbers))
        if numbers
        else dtypes.float64
    )
    return config.default_dtype if found.is_float else found


# constants


def zeros(shape: Size, *, dtype: Any = None, device: str = "cpu") -> Any:
    """Zeros of `shape`, by default of the default float dtype."""
    return constant(shape=new_shape(shape), dtype=_chosen(dtype), value=0, **on(device))


def ones(shape: Size, *, dtype: Any = None, device: str = "cpu") -> Any:
    """Ones of `shape`, by default of the default float dtype."""
    return constant(shape=new_shape(shape), dtype=_chosen(dtype), value=1, **on(device))


def ones_like(x: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    """Ones of `x`'s shape and, by default, dtype and device."""
    x = value(x)
    chosen = x.aval.dtype if dtype is None else dtype
    return ones(x.aval.shape, dtype=chosen, device=device or x.aval.device)


_fill: Op = record(
    "fill",
    infer=lambda number, *, shape, device="cpu": aval(number.dtype, shape, device),
    eval=lambda number, *, shape, device="cpu": np.full(shape, number, number.dtype),
    recipe=Pointwise(lambda s, number, *, shape, device="cpu": number),
    vjp=(lambda ct, out, number, shape, device="cpu": ct,),
    doc="A number of no dimensions in every place of `shape`.",
)


def full(shape: Size, fill_value: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    """`fill_value` in every place of `shape`; its dtype is by default that of the value, its device that of a tensor."""
    wanted = new_shape(shape)
    fill = value_or_number(fill_value)
    if type(fill) in NUMBERS:
        return _fill(cast(fill, _chosen(dtype, fill)), shape=wanted, **on(device or "cpu"))
    fill = cast(fill, fill.aval.dtype if dtype is None else dtypes.as_dtype(dtype))
    if isinstance(fill, Scalar):
        return _fill(fill, shape=wanted, **on(device or "cpu"))
    return copied(broadcast_to(moved(fill, device or fill.aval.device), wanted))


def full_like(x: Any, fill_value: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    """`fill_value` in every place of `x`'s shape, by default in `x`'s dtype and on its device."""
    x = value(x)
    chosen = x.aval.dtype if dtype is None else dtype
    return full(x.aval.shape, fill_value, dtype=chosen, device=device or x.aval.device)


# sequences


def _arange_eval(start: Any, step: Any, *, length: int, device: str = "cpu") -> Any:
    return start + np.arange(length).astype(start.dtype) * step


_arange: Op = record(
    "arange",
    infer=lambda start, step, *, length, device="cpu": aval(start.dtype, (length,), device),
    eval=in_single(_arange_eval),
    recipe=Pointwise(
        lambda s, start, step, *, length, device="cpu": (
            start + s.cast(s.index(0), start.dtype) * step
        )
    ),
    vjp=(None, None),
    doc="start + i * step for i in range(length).",
)


def arange(
    start: Any, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: str = "cpu"
) -> Any:
    """start, start + step, ... up to but without `stop`; of one number, from 0 up to it.

    int64 where all numbers are integers, else the default float.
    """
    if stop is None:
        start, stop = 0, start
    if step == 0:
        raise ValueError(at_user_line("arange: the step must not be 0"))
    chosen = _chosen(dtype, *(0 if type(n) is Dim else n for n in (start, stop, step)))
    if chosen is dtypes.bool_:
        raise DTypeError(at_user_line("arange: makes no bools"))
    if Dim in (type(start), type(stop)):
        length = length_of(start, stop, as_index(step))
    else:
        length = max(0, ceil((stop - start) / step))
    if not chosen.is_float:
        first, by = cast(int(start), chosen), cast(int(step), chosen)
        return _arange(first, by, length=length, **on(device))
    first = cast(float(start), chosen)
    # As in NumPy, the step is the distance between the first two elements as the dtype has them.
    second = cast(float(start + step), chosen)
    by = cast(second.value - first.value, chosen)
    return _arange(first, by, length=length, **on(device))


def _linspace_eval(
    start: Any, step: Any, stop: Any, last: Any, *, length: int, dtype: DType, device: str = "cpu"
) -> Any:
    places = np.arange(length)
    points = np.where(places == last, stop, places.astype(np.float64) * step + start)
    points = np.floor(points) if dtype.is_integer else points
    return (
        points.astype(np.float32).astype(dtype.numpy)
        if dtype is dtypes.bfloat16
        else points.astype(dtype.numpy)
    )


def _linspace_scalar(
    s: Any,
    start: Any,
    step: Any,
    stop: Any,
    last: Any,
    *,
    length: int,
    dtype: DType,
    device: str = "cpu",
) -> Any:
    place = s.index(0)
    point = s.select(place == last, stop, s.cast(place, dtypes.float64) * step + start)
    if dtype is dtypes.bfloat16:
        point = s.cast(point, dtypes.float32)
    return s.cast(s.floor(point) if dtype.is_integer else point, dtype)


_linspace: Op = record(
    "linspace",
    infer=lambda *numbers, length, dtype, device="cpu": aval(dtype, (length,), device),
    eval=_linspace_eval,
    recipe=Pointwise(_linspace_scalar),
    vjp=(None, None, None, None),
    doc="start + i * step for i in range(length), computed in float64, and exactly `stop` at the place `last`.",
)


def linspace(
    start: float,
    stop: float,
    num: int = 50,
    *,
    endpoint: bool = True,
    dtype: Any = None,
    device: str = "cpu",
) -> Any:
    """`num` evenly spaced numbers from `start` to `stop`, which is the last one unless `endpoint` is False."""
    if num < 0:
        raise ValueError(
            at_user_line(f"linspace: the number of samples must not be negative, got {num}")
        )
    parts = num - 1 if endpoint else num
    step = (float(stop) - float(start)) / parts if parts > 0 else float("nan")
    if num == 1:
        step = 0.0
    numbers = (cast(float(number), dtypes.float64) for number in (start, step, stop))
    last = num - 1 if endpoint and num > 1 else -1
    chosen = _chosen(dtype)
    return _linspace(*numbers, cast(last, dtypes.int64), length=num, dtype=chosen, **on(device))


# matrices


def _matrix(*avals: Aval, shape: tuple[int, int], dtype: DType, device: str = "cpu") -> Aval:
    return aval(dtype, shape, device)


def _eye_eval(diagonal: Any, *, shape: tuple[int, int], dtype: DType, device: str = "cpu") -> Any:
    rows, columns = np.indices(shape, sparse=True)
    return (columns - rows == diagonal).astype(dtype.numpy)


_eye: Op = record(
    "eye",
    infer=_matrix,
    eval=_eye_eval,
    recipe=Pointwise(
        lambda s, diagonal, *, shape, dtype, device="cpu": s.cast(
            s.index(1) - s.index(0) == diagonal, dtype
        )
    ),
    vjp=(None,),
    doc="A matrix of ones where column - row is `diagonal`, else zeros.",
)


def eye(n: int, m: int | None = None, *, k: int = 0, dtype: Any = None, device: str = "cpu") -> Any:
    """A matrix of `n` rows and `m` (by default `n`) columns with ones on diagonal `k`, zeros elsewhere."""
    shape = new_shape((n, n if m is None else m))
    return _eye(_diagonal(k, shape), shape=shape, dtype=_chosen(dtype), **on(device))


def _diagonal(k: int, shape: Sequence[int]) -> Scalar:
    """The number of a diagonal; of those outside the matrix the nearest stands for all."""
    *_, rows, columns = shape
    number: Scalar = cast(max(-rows, min(as_index(k), columns)), dtypes.int64)
    return number


def _matrices(x: Any, name: str) -> Sequence[int]:
    """The shape of `x`, which must hold matrices."""
    if x.aval.ndim < 2:
        refuse(ShapeError, name, (x.aval,), "needs two dimensions or more")
    return x.aval.shape


def _triangle_scalar(s: Any, x: Any, diagonal: Any, *, rows: int, lower: bool) -> Any:
    offset = s.index(rows + 1) - s.index(rows)
    inside = offset <= diagonal if lower else s.le(diagonal, offset)
    return s.select(inside, x, s.const(0, x.dtype))


_triangle: Op = record(
    "triangle",
    infer=lambda x, diagonal, *, rows, lower: x,
    eval=lambda x, diagonal, *, rows, lower: (np.tril if lower else np.triu)(x, int(diagonal)),
    recipe=Pointwise(_triangle_scalar),
    vjp=(
        lambda ct, out, x, diagonal, rows, lower: _triangle(ct, diagonal, rows=rows, lower=lower),
        None,
    ),
    doc="x on one side of a diagonal of its last two axes, the first of which is `rows`; zero on the other.",
)


def tril(x: Any, *, k: int = 0) -> Any:
    """`x` with zeros above diagonal `k` of its last two axes."""
    x = value(x)
    return _triangle(x, _diagonal(k, _matrices(x, "tril")), rows=x.aval.ndim - 2, lower=True)


def triu(x: Any, *, k: int = 0) -> Any:
    """`x` with zeros below diagonal `k` of its last two axes."""
    x = value(x)
    return _triangle(x, _diagonal(k, _matrices(x, "triu")), rows=x.aval.ndim - 2, lower=False)


__all__ = [
    "arange", "eye", "full", "full_like", "linspace", "ones", "ones_like", "tril", "triu", "zeros", "zeros_like",
]  # fmt: skip
