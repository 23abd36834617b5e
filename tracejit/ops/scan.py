"""Running sums and products, the linear recurrence that their gradients are made of, and differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit._errors import DTypeError, ShapeError, at_user_line
from tracejit.dtypes import NUMERIC, DType
from tracejit.ir.aval import Aval, aval
from tracejit.ops.arguments import (
    NUMBERS,
    cast,
    normal_axis,
    refuse,
    value,
    value_or_number,
    weak_dtype,
)
from tracejit.ops.elementwise import constant_like, multiply, not_equal, subtract
from tracejit.ops.families import in_single, record, reshape_to
from tracejit.ops.op import Op, Recurrence
from tracejit.ops.shape import broadcast_to
from tracejit.ops.slicing import concat, flip, slice_axis


def accumulator(dtype: DType) -> DType:
    """What sums and products of `dtype` are computed and returned in: bools and small integers in 64 bits, as in NumPy."""
    if dtype.is_float:
        return dtype
    return dtypes.uint64 if dtype.kind == "u" else dtypes.int64


def _along_infer(name: str) -> Callable[..., Aval]:
    def infer(*avals: Aval, axis: int) -> Aval:
        x = avals[0]
        if x.dtype not in NUMERIC:
            refuse(DTypeError, name, avals, f"takes no {x.dtype.name}")
        if len({a.shape for a in avals}) != 1:
            refuse(ShapeError, name, avals, "the arguments differ in shape")
        return aval(x.dtype, x.shape, x.device)

    return infer


def _linear_scan_eval(x: Any, decay: Any, *, axis: int) -> Any:
    out = np.array(np.moveaxis(x, axis, 0))
    factor = np.moveaxis(decay, axis, 0)
    for place in range(1, len(out)):
        out[place] += factor[place] * out[place - 1]
    return np.moveaxis(out, 0, axis)


def _shifted(x: Any, axis: int, step: int) -> Any:
    """`x` moved by one place along `axis`, zero where nothing moved in."""
    extent = x.aval.shape[axis]
    if extent == 0:
        return x
    zeros = _edge(x, axis, 0)
    if step > 0:
        return concat((zeros, slice_axis(x, axis, 0, extent - 1)), axis=axis)
    return concat((slice_axis(x, axis, 1, extent), zeros), axis=axis)


def _scan_backwards(ct: Any, decay: Any, axis: int) -> Any:
    """s[i] = ct[i] + decay[i + 1] * s[i + 1]"""
    reverse = linear_scan(flip(ct, axis), flip(_shifted(decay, axis, -1), axis), axis=axis)
    return flip(reverse, axis)


linear_scan: Op = record(
    "linear_scan",
    infer=_along_infer("linear_scan"),
    eval=in_single(_linear_scan_eval),
    recipe=Recurrence(
        0.0,
        lambda s, before, x, decay: s.select(s.index(0) == 0, x, x + decay * before),
    ),
    vjp=(
        lambda ct, out, x, decay, axis: _scan_backwards(ct, decay, axis),
        lambda ct, out, x, decay, axis: multiply(
            _scan_backwards(ct, decay, axis), _shifted(out, axis, 1)
        ),
    ),
    doc="y[0] = x[0], y[i] = x[i] + decay[i] * y[i - 1] along `axis`.",
)
_cumulative_sum: Op = record(
    "cumulative_sum",
    infer=_along_infer("cumulative_sum"),
    eval=in_single(lambda x, *, axis: np.cumsum(x, axis=axis, dtype=x.dtype)),
    recipe=Recurrence(-0.0, lambda s, before, x: before + x, is_sum=True),
    vjp=(lambda ct, out, x, axis: flip(_cumulative_sum(flip(ct, axis), axis=axis), axis),),
    doc="Running sums along `axis`.",
)
_cumulative_prod: Op = record(
    "cumulative_prod",
    infer=_along_infer("cumulative_prod"),
    eval=in_single(lambda x, *, axis: np.cumprod(x, axis=axis, dtype=x.dtype)),
    recipe=Recurrence(1.0, lambda s, before, x: before * x),
    vjp=(lambda ct, out, x, axis: multiply(_scan_backwards(ct, x, axis), product_before(x, axis)),),
    doc="Running products along `axis`.",
)


def cumulative_sum(
    x: Any, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """Running sums along `axis` (None only for at most one dimension), in the dtype that `sum` uses.

    With `include_initial` a 0 stands before them.

    >>> import tracejit as tj
    >>> tj.cumulative_sum(tj.tensor([1, 2, 3]), include_initial=True)
    tensor([0, 1, 3, 6])
    """
    return _running(x, axis, dtype, include_initial, _cumulative_sum, 0)


def cumulative_prod(
    x: Any, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """Running products along `axis`, as `cumulative_sum`; with `include_initial` a 1 stands before them.

    >>> import tracejit as tj
    >>> tj.cumulative_prod(tj.tensor([1, 2, 3]))
    tensor([1, 2, 6])
    """
    return _running(x, axis, dtype, include_initial, _cumulative_prod, 1)


def _running(
    x: Any, axis: int | None, dtype: Any, include_initial: bool, op: Op, initial: int
) -> Any:
    x = value(x)
    if axis is None and x.aval.ndim > 1:
        refuse(ShapeError, op.name, (x.aval,), "needs an axis for more than one dimension")
    x = x if x.aval.ndim else reshape_to(x, (1,))
    place = normal_axis(0 if axis is None else axis, x.aval.ndim, op.name)
    x = cast(x, accumulator(x.aval.dtype) if dtype is None else dtypes.as_dtype(dtype))
    running = op(x, axis=place)
    return concat((_edge(x, place, initial), running), axis=place) if include_initial else running


def product_before(x: Any, axis: int) -> Any:
    """At each place the product of the elements before it."""
    if x.aval.shape[axis] == 0:
        return x
    rest = slice_axis(x, axis, 0, x.aval.shape[axis] - 1)
    return _cumulative_prod(concat((_edge(x, axis, 1), rest), axis=axis), axis=axis)


def _edge(x: Any, axis: int, fill: int) -> Any:
    """`fill`s in the shape of one place of `x` along `axis`."""
    shape = tuple(1 if at == axis else extent for at, extent in enumerate(x.aval.shape))
    return constant_like(x, fill, shape=shape)


def diff(x: Any, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Any:
    """The differences of neighbours along `axis`, taken `n` times; of bools, whether they differ.

    `prepend` and `append` are put before and after `x` first; a number stands for one place of it.

    >>> import tracejit as tj
    >>> tj.diff(tj.tensor([1, 4, 9, 16]))
    tensor([3, 5, 7])
    """
    x = value(x)
    place = normal_axis(axis, x.aval.ndim, "diff")
    if n < 0:
        raise ValueError(at_user_line(f"diff: n must not be negative, got {n}"))
    parts = [_beside(part, x, place) for part in (prepend, x, append) if part is not None]
    x = concat(parts, axis=place) if len(parts) > 1 else x
    step = not_equal if x.aval.dtype is dtypes.bool_ else subtract
    for _ in range(min(n, x.aval.shape[place])):
        last = x.aval.shape[place] - 1
        x = step(slice_axis(x, place, 1, last + 1), slice_axis(x, place, 0, last))
    return x


def _beside(part: Any, x: Any, axis: int) -> Any:
    """`part`; a number in the shape of one place of `x` along `axis`."""
    part = value_or_number(part)
    if type(part) in NUMBERS:
        part = cast(part, dtypes.promote_all(x.aval.dtype, weak_dtype(part)))
    part = value(part)
    if part.aval.ndim:
        return part
    return broadcast_to(part, tuple(1 if at == axis else n for at, n in enumerate(x.aval.shape)))
