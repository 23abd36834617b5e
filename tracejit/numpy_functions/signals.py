"""Samples of functions: slopes, areas, values in between, and sums of products of neighbours."""

from __future__ import annotations

from functools import reduce
from typing import Any

from tracejit import dtypes, ops
from tracejit.numpy_functions.arguments import array, axis_of, inexact, is_number, require
from tracejit.ops.arguments import cast, normal_axes
from tracejit.ops.slicing import slice_axis

MOST_TAPS = 32
"""So many products of a convolution are added one by one."""


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y = array(y)
    place = axis_of(y, axis)
    if x is None:
        width = _step(dx)
    else:
        width = ops.diff(array(x), axis=-1 if array(x).aval.ndim == 1 else place)
        if width.aval.ndim == 1:
            width = ops.expand_dims(width, tuple(range(1, y.aval.ndim - place)))
    extent = y.aval.shape[place]
    pairs = ops.add(slice_axis(y, place, 1, extent), slice_axis(y, place, 0, extent - 1))
    return ops.sum(ops.divide(ops.multiply(width, pairs), 2.0), axis=place)


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """As `tj.diff`, but that a number that is put before or after counts as an array of its own dtype."""
    before, after = (None if each is None else array(each) for each in (prepend, append))
    return ops.diff(array(a), axis=axis, n=n, prepend=before, append=after)


def _step(step: Any) -> Any:
    """The distance of samples that lie equally far apart."""
    if is_number(step):
        return step
    require(not array(step).aval.shape)
    return array(step)


def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Central differences, and those of two neighbours at the ends, over equal steps."""
    require(edge_order == 1 and array(f).aval.dtype is not dtypes.bool_)
    f = inexact(f)
    axes = normal_axes(axis, f.aval.ndim, "gradient")
    axes = axes if not isinstance(axis, tuple) else tuple(axis_of(f, each) for each in axis)
    steps = varargs or (1.0,)
    steps = steps * len(axes) if len(steps) == 1 else steps
    require(axes and len(steps) == len(axes))
    slopes = tuple(_slope(f, place, _step(step)) for place, step in zip(axes, steps))
    return slopes[0] if len(slopes) == 1 else slopes


def _slope(f: Any, axis: int, step: Any) -> Any:
    extent = f.aval.shape[axis]
    require(extent >= 2)

    def change(start: int, stop: int, apart: int) -> Any:
        ahead = slice_axis(f, axis, start + apart, stop + apart)
        return ops.subtract(ahead, slice_axis(f, axis, start, stop))

    inside = ops.divide(change(0, extent - 2, 2), ops.multiply(2.0, step))
    ends = (ops.divide(change(at, at + 1, 1), step) for at in (0, extent - 2))
    first, last = (cast(end, f.aval.dtype) for end in ends)
    return ops.concat([first, cast(inside, f.aval.dtype), last], axis=axis)


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Any:
    """On the line between the samples on either side, and at the ends where there is none."""
    at, places, values = (cast(array(each), dtypes.float64) for each in (x, xp, fp))
    require(places.aval.ndim == values.aval.ndim == 1 and places.aval.shape == values.aval.shape)
    count = places.aval.shape[0]
    require(count >= 2 and left is None and right is None)
    before = ops.clip(ops.subtract(ops.searchsorted(places, at, side="right"), 1), 0, count - 2)
    (x0, y0), (x1, y1) = (
        (ops.take(places, index), ops.take(values, index)) for index in (before, ops.add(before, 1))
    )
    slope = ops.divide(ops.subtract(y1, y0), ops.subtract(x1, x0))
    inside = ops.add(ops.multiply(slope, ops.subtract(at, x0)), y0)
    from_right = ops.add(ops.multiply(slope, ops.subtract(at, x1)), y1)
    inside = ops.where(ops.isnan(inside), from_right, inside)
    inside = ops.where(ops.logical_and(ops.isnan(inside), ops.equal(y0, y1)), y0, inside)
    inside = ops.where(ops.equal(at, x0), y0, inside)
    after = ops.greater_equal(at, ops.take(places, count - 1))
    ended = ops.where(after, ops.take(values, count - 1), inside)
    ended = ops.where(ops.less(at, ops.take(places, 0)), ops.take(values, 0), ended)
    return ops.where(ops.isnan(at), at, ended)


def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    x, y = array(a), array(v)
    require(x.aval.ndim <= 1 and y.aval.ndim <= 1 and mode in ("full", "same", "valid"))
    x, y = (ops.reshape(each, (-1,)) for each in (x, y))
    dtype = dtypes.promote(x.aval.dtype, y.aval.dtype)
    x, y = (x, y) if x.aval.shape[0] >= y.aval.shape[0] else (y, x)
    length, taps = x.aval.shape[0], y.aval.shape[0]
    require(1 <= taps <= MOST_TAPS and dtype is not dtypes.bool_)
    start, stop = {
        "full": (0, length + taps - 1),
        "same": ((taps - 1) // 2, (taps - 1) // 2 + length),
        "valid": (taps - 1, length),
    }[mode]
    x, y = cast(x, dtype), cast(y, dtype)
    # What is beside x is added as 0, and not multiplied, which would make NaN of an infinite factor.
    terms = (
        ops.pad(ops.multiply(x, factor), (at, taps - 1 - at))
        for at, factor in enumerate(ops.unstack(y))
    )
    return slice_axis(reduce(ops.add, terms), 0, start, stop)


def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    x, y = array(a), array(v)
    require(x.aval.ndim == y.aval.ndim == 1 and x.aval.shape[0] >= y.aval.shape[0])
    return convolve(x, ops.flip(y), mode)


__all__ = ["convolve", "correlate", "diff", "gradient", "interp", "trapezoid"]
