"""Parts of arrays and arrays from parts: slice, update, pad, concat, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from operator import index as as_index
from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit._errors import DTypeError, ShapeError, at_user_line
from tracejit.ir.aval import Aval, Shape, aval
from tracejit.ir.dim import Dim
from tracejit.ops.arguments import (
    as_extent,
    as_list,
    broadcast_shapes,
    cast,
    copied,
    distinct,
    normal_axes,
    normal_axis,
    one_device,
    refuse,
    value,
    value_or_number,
    weak_dtype,
)
from tracejit.ops.elementwise import constant_like, zeros_like
from tracejit.ops.families import add_up, record, reshape_to, unbroadcast, view
from tracejit.ops.op import Concat, Layout, Op, Pad, Params, Update
from tracejit.ops.shape import broadcast_to, expand_dims, ravel, reshape

Starts = tuple[int, ...]


# slice: per axis the elements range(start, stop, step)


def slice_shape(x: Aval, *, start: Starts, stop: Starts, step: Starts) -> Shape:
    """The extents of a slice: along each axis it holds the elements range(start, stop, step), all of which exist."""
    counts = tuple(length_of(*each) for each in zip(start, stop, step))
    inside = all(map(_is_inside, start, step, counts, x.sizes))
    if not len(start) == len(stop) == len(step) == x.ndim or not inside:
        refuse(ShapeError, "slice", (x,), f"bounds {start}, {stop}, {step} are outside")
    return counts


def _is_inside(begin: int, by: int, count: int, extent: int) -> bool:
    """Whether an axis has so many elements from one on; open sizes are asked no more than that takes."""
    last = begin + (count - 1) * by
    low, high = (begin, last) if by > 0 else (last, begin)
    return (0 <= low and high < extent) or not count


def length_of(start: int, stop: int, step: int) -> int:
    """How many elements range(start, stop, step) has; of open sizes as well."""
    if type(step) is int and step == 1:
        return stop - start if start <= stop else 0
    if step < 0:
        start, stop, step = -start, -stop, -step
    return (stop - start + step - 1) // step if start <= stop else 0


def indices_of(item: slice, extent: int) -> tuple[int, int, int]:
    """`item.indices(extent)`, of open sizes as well."""
    if Dim not in (type(extent), type(item.start), type(item.stop), type(item.step)):
        return item.indices(extent)
    step = 1 if item.step is None else as_index(item.step)
    if step == 0:
        raise ValueError("slice step cannot be zero")
    first, last = (0, extent) if step > 0 else (-1, extent - 1)

    def place(given: Any, default: int) -> int:
        if given is None:
            return default
        at = as_extent(given)
        at = at + extent if at < 0 else at
        return first if at < first else last if at > last else at

    begin, end = (first, last) if step > 0 else (last, first)
    return place(item.start, begin), place(item.stop, end), step


def slice_layout(layout: Layout, *, start: Starts, stop: Starts, step: Starts) -> Layout:
    """Where a slice's elements lie."""
    shape = tuple(length_of(*bounds) for bounds in zip(start, stop, step))
    strides = tuple(stride * by for stride, by in zip(layout.strides, step))
    first: Any = sum(begin * stride for begin, stride in zip(start, layout.strides))
    is_at_start = type(first) is not Dim and first == 0
    offset = layout.offset if is_at_start or not prod(shape) else layout.offset + first
    return Layout(shape, strides, offset)


def as_slices(start: Starts, stop: Starts, step: Starts) -> tuple[slice, ...]:
    """The same bounds as Python slices (a stop of -1 is before the first element)."""
    return tuple(slice(b, None if e < 0 else e, by) for b, e, by in zip(start, stop, step))


def _slice_vjp(ct: Any, out: Any, x: Any, start: Starts, stop: Starts, step: Starts) -> Any:
    if all(by == 1 for by in step):
        widths = tuple((b, n - b - m) for b, n, m in zip(start, x.aval.shape, ct.aval.shape))
        # The zero is part of the program, so that it can be seen to be one where padded parts are added up.
        zero = constant_like(x, 0, shape=())
        return _pad(ct, zero, widths=widths) if ct.aval.size else zeros_like(x)
    return update_slice(zeros_like(x), ct, start=start, stop=stop, step=step)


slice_: Op = view(
    "slice",
    infer=slice_shape,
    eval=lambda x, *, start, stop, step: x[as_slices(start, stop, step)],
    layout=slice_layout,
    vjp=_slice_vjp,
    doc="Per axis the elements range(start, stop, step).",
)


def slice_axis(x: Any, axis: int, start: int, stop: int, step: int = 1) -> Any:
    """The elements range(start, stop, step) along one axis, all of the others."""
    shape = x.aval.shape
    bounds = [(0, extent, 1) for extent in shape]
    bounds[axis] = (start, stop, step)
    if bounds[axis] == (0, shape[axis], 1):
        return x
    begin, end, by = zip(*bounds)
    return slice_(x, start=begin, stop=end, step=by)


def flip(x: Any, axis: int | Sequence[int] | None = None) -> Any:
    """`x` in reverse order along `axis`, by default along all.

    >>> import tracejit as tj
    >>> tj.flip(tj.arange(3))
    tensor([2, 1, 0])
    """
    x = value(x)
    axes = normal_axes(axis, x.aval.ndim, "flip")
    if not axes:
        return x
    bounds = [(n - 1, -1, -1) if at in axes else (0, n, 1) for at, n in enumerate(x.aval.shape)]
    start, stop, step = zip(*bounds)
    return slice_(x, start=start, stop=stop, step=step)


# update: a part replaced


def _update_infer(base: Aval, part: Aval, *, start: Starts, stop: Starts, step: Starts) -> Aval:
    shape = slice_shape(base, start=start, stop=stop, step=step)
    if base.dtype is not part.dtype:
        refuse(DTypeError, "update", (base, part), "the dtypes differ")
    if broadcast_shapes("update", (base, part), shape, part.shape) != shape:
        refuse(ShapeError, "update", (base, part), f"the new values do not broadcast to {shape}")
    return base


def _update_eval(base: Any, part: Any, *, start: Starts, stop: Starts, step: Starts) -> Any:
    out = base.copy()
    out[as_slices(start, stop, step)] = part
    return out


def _update_coerce(base: Any, part: Any, **params: Any) -> tuple[tuple[Any, ...], Params]:
    base = value(base)
    return (base, cast(value_or_number(part), base.aval.dtype)), params


update_slice: Op = record(
    "update",
    infer=_update_infer,
    eval=_update_eval,
    recipe=Update(slice_layout),
    coerce=_update_coerce,
    vjp=(
        lambda ct, out, base, part, **bounds: update_slice(ct, 0, **bounds),
        lambda ct, out, base, part, **bounds: unbroadcast(slice_(ct, **bounds), part.aval),
    ),
    doc="`base` with the part that `slice` of the same bounds gives replaced by `part`, which broadcasts to it.",
)


# pad and concat


def _pad_infer(x: Aval, fill: Aval, *, widths: tuple[tuple[int, int], ...]) -> Aval:
    if len(widths) != x.ndim or min((w for pair in widths for w in pair), default=0) < 0:
        refuse(
            ShapeError,
            "pad",
            (x,),
            f"needs a pair of widths of 0 or more for each axis, got {widths}",
        )
    if fill.shape or fill.dtype is not x.dtype:
        refuse(
            DTypeError, "pad", (x, fill), "needs a fill value of no dimensions and the same dtype"
        )
    return aval(
        x.dtype, tuple(before + n + after for n, (before, after) in zip(x.sizes, widths)), x.device
    )


def _inside(ct: Any, widths: tuple[tuple[int, int], ...]) -> Any:
    bounds = [(before, n - after, 1) for n, (before, after) in zip(ct.aval.shape, widths)]
    start, stop, step = zip(*bounds)
    return slice_(ct, start=start, stop=stop, step=step)


def _pad_coerce(x: Any, fill: Any, **params: Any) -> tuple[tuple[Any, ...], Params]:
    x = value(x)
    return (x, cast(value_or_number(fill), x.aval.dtype)), params


_pad: Op = record(
    "pad",
    infer=_pad_infer,
    eval=lambda x, fill, *, widths: np.pad(x, widths, constant_values=fill) if widths else x,
    recipe=Pad(),
    coerce=_pad_coerce,
    vjp=(
        lambda ct, out, x, fill, widths: _inside(ct, widths) if widths else ct,
        lambda ct, out, x, fill, widths: add_up(
            update_slice(ct, 0, **_bounds_of(x.aval, widths)), tuple(range(ct.aval.ndim))
        ),
    ),
    doc="x surrounded by `fill`: widths[k] elements before and after along axis k.",
)


def _bounds_of(x: Aval, widths: tuple[tuple[int, int], ...]) -> Params:
    start = tuple(before for before, _ in widths)
    stop = tuple(before + n for n, (before, _) in zip(x.sizes, widths))
    return {"start": start, "stop": stop, "step": (1,) * x.ndim}


def pad(x: Any, widths: int | Sequence[Any], fill_value: Any = 0) -> Any:
    """`x` surrounded by `fill_value`. `widths` as in np.pad: n, (before, after), or one pair for each axis.

    >>> import tracejit as tj
    >>> tj.pad(tj.tensor([1, 2]), (1, 2), 9)
    tensor([9, 1, 2, 9, 9])
    """
    x = value(x)
    pairs = np.broadcast_to(np.asarray(widths, np.int64), (x.aval.ndim, 2)).tolist()
    return _pad(x, fill_value, widths=tuple(map(tuple, pairs)))


def _concat_infer(*avals: Aval, axis: int) -> Aval:
    first = avals[0]
    others = distinct((*a.shape[:axis], *a.shape[axis + 1 :]) for a in avals)
    if any(a.ndim != first.ndim for a in avals) or len(others) != 1:
        refuse(ShapeError, "concat", avals, f"the shapes differ in other places than axis {axis}")
    if any(a.dtype is not first.dtype for a in avals):
        refuse(DTypeError, "concat", avals, "the arguments differ in dtype")
    extent = sum(a.sizes[axis] for a in avals)
    shape = (*first.shape[:axis], extent, *first.shape[axis + 1 :])
    return aval(first.dtype, shape, one_device("concat", avals))


def _concat_vjp(ct: Any, out: Any, *arrays: Any, axis: int) -> tuple[Any, ...]:
    begin, cotangents = 0, []
    for x in arrays:
        end = begin + x.aval.shape[axis]
        cotangents.append(slice_axis(ct, axis, begin, end) if x.aval.dtype.is_float else None)
        begin = end
    return tuple(cotangents)


_concat: Op = record(
    "concat",
    infer=_concat_infer,
    eval=lambda *arrays, axis: np.concatenate(arrays, axis=axis),
    recipe=Concat(),
    vjp=_concat_vjp,
    doc="The arrays one after another along `axis`.",
)


def concat(arrays: Sequence[Any], *, axis: int | None = 0) -> Any:
    """The arrays one after another along `axis` (None: flattened first), promoted to one dtype.

    >>> import tracejit as tj
    >>> tj.concat([tj.arange(2), tj.tensor([7.0])])
    tensor([0., 1., 7.], dtype=float64)
    """
    values = [value(x) for x in arrays]
    if not values:
        raise ShapeError(at_user_line("concat: needs at least one array"))
    if axis is None:
        values, axis = [ravel(x) for x in values], 0
    first = values[0]
    if first.aval.ndim == 0:
        refuse(
            ShapeError,
            "concat",
            [x.aval for x in values],
            "arrays of no dimensions cannot be joined; use stack",
        )
    place = normal_axis(axis, first.aval.ndim, "concat")
    dtype = dtypes.promote_all(*(weak_dtype(x) for x in values))
    if len(values) == 1:
        return copied(first)
    return _concat(*(cast(x, dtype) for x in values), axis=place)


def stack(arrays: Sequence[Any], *, axis: int = 0) -> Any:
    """Arrays of one shape joined along a new axis at the place `axis` of the result.

    >>> import tracejit as tj
    >>> tj.stack([tj.arange(2), tj.arange(2)], axis=1)
    tensor([[0, 0],
            [1, 1]])
    """
    values = [value(x) for x in arrays]
    if len(distinct(x.aval.shape for x in values)) != 1:
        refuse(ShapeError, "stack", [x.aval for x in values], "needs arrays, all of one shape")
    place = normal_axis(axis, values[0].aval.ndim + 1, "stack")
    return concat([expand_dims(x, place) for x in values], axis=place)


def unstack(x: Any, *, axis: int = 0) -> tuple[Any, ...]:
    """The parts of `x` along `axis`, which they lose.

    >>> import tracejit as tj
    >>> tj.unstack(tj.tensor([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4]))
    """
    x = value(x)
    place = normal_axis(axis, x.aval.ndim, "unstack")
    rest = (*x.aval.shape[:place], *x.aval.shape[place + 1 :])
    return tuple(
        reshape_to(slice_axis(x, place, at, at + 1), rest) for at in range(x.aval.shape[place])
    )


def split(x: Any, sections: int | Sequence[int], *, axis: int = 0) -> list[Any]:
    """`x` cut along `axis` into `sections` equal parts, or at the given places, as np.split.

    >>> import tracejit as tj
    >>> tj.split(tj.arange(5), [2])
    [tensor([0, 1]), tensor([2, 3, 4])]
    """
    x = value(x)
    place = normal_axis(axis, x.aval.ndim, "split")
    extent = x.aval.shape[place]
    cuts = [0, *_cuts(x.aval, sections, place), extent]
    return [slice_axis(x, place, begin, max(begin, end)) for begin, end in pairwise(cuts)]


def _cuts(x: Aval, sections: int | Sequence[int], axis: int) -> list[int]:
    extent = x.sizes[axis]
    if isinstance(sections, tuple | list):
        return [indices_of(slice(None, as_extent(cut)), extent)[1] for cut in sections]
    parts = as_index(sections)  # type: ignore[arg-type]  # an int is left
    if parts < 1 or extent % parts:
        refuse(ShapeError, "split", (x,), f"axis {axis} does not divide into {parts} equal parts")
    return [extent // parts * part for part in range(1, parts)]


# repetition


def roll(x: Any, shift: int | Sequence[int], *, axis: int | Sequence[int] | None = None) -> Any:
    """`x` moved by `shift` places along `axis`, what falls off the end coming in at the front; None: of the flat array.

    >>> import tracejit as tj
    >>> tj.roll(tj.arange(4), 1)
    tensor([3, 0, 1, 2])
    """
    x = value(x)
    if axis is None:
        return reshape_to(roll(ravel(x), shift, axis=0), x.aval.shape)
    shifts, axes = as_list(shift), as_list(axis)
    for by, at in zip(shifts * (len(axes) if len(shifts) == 1 else 1), axes, strict=True):
        x = _rolled(x, as_extent(by), normal_axis(at, x.aval.ndim, "roll"))
    return x


def _rolled(x: Any, by: int, axis: int) -> Any:
    extent = x.aval.shape[axis]
    cut = -by % extent if extent else 0
    if not cut:
        return copied(x)
    return concat((slice_axis(x, axis, cut, extent), slice_axis(x, axis, 0, cut)), axis=axis)


def tile(x: Any, repetitions: int | Sequence[int]) -> Any:
    """`x` laid side by side `repetitions` times along each axis, as np.tile.

    >>> import tracejit as tj
    >>> tj.tile(tj.arange(2), 2)
    tensor([0, 1, 0, 1])
    """
    x = value(x)
    times = tuple(as_list(repetitions))
    ndim = max(len(times), x.aval.ndim)
    times = (1,) * (ndim - len(times)) + times
    shape = (1,) * (ndim - x.aval.ndim) + x.aval.shape
    spread = broadcast_to(
        reshape(x, tuple(part for extent in shape for part in (1, extent))),
        tuple(part for pair in zip(times, shape) for part in pair),
    )
    return copied(reshape_to(spread, tuple(n * extent for n, extent in zip(times, shape))))


def meshgrid(*arrays: Any, indexing: str = "xy") -> list[Any]:
    """Coordinate arrays of a grid from one-dimensional ones, as np.meshgrid ("xy" or "ij").

    >>> import tracejit as tj
    >>> tj.meshgrid(tj.arange(2), tj.arange(2), indexing="ij")[0]
    tensor([[0, 0],
            [1, 1]])
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(at_user_line(f"meshgrid: indexing must be 'xy' or 'ij', got {indexing!r}"))
    values = [ravel(x) for x in arrays]
    places = list(range(len(values)))
    if indexing == "xy" and len(values) > 1:
        places[:2] = [1, 0]
    shape = [0] * len(values)
    for at, x in zip(places, values):
        shape[at] = x.aval.size
    return [
        copied(
            broadcast_to(
                reshape_to(x, (*(1,) * at, shape[at], *(1,) * (len(shape) - at - 1))), shape
            )
        )
        for at, x in zip(places, values)
    ]


__all__ = [
    "concat",
    "flip",
    "meshgrid",
    "pad",
    "roll",
    "split",
    "stack",
    "tile",
    "unstack",
]
