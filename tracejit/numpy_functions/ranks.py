"""What stands at a place of the sorted elements: medians, quantiles and percentiles, by NumPy's own formulas."""

from __future__ import annotations

from math import floor
from operator import index
from typing import Any

import numpy as np

from tracejit import dtypes, ops
from tracejit.numpy_functions.arguments import array, axis_of, flag, is_number, require
from tracejit.ops.arguments import cast
from tracejit.ops.slicing import slice_axis


class _Ranked:
    """The elements along one axis, or all of them, sorted: NaN is last."""

    def __init__(self, a: Any, axis: Any, keepdims: Any) -> None:
        self.ndim = a.aval.ndim
        self.axis = None if axis is None else axis_of(a, axis)
        self.keepdims = flag(keepdims)
        require(self.ndim or not self.keepdims)
        self.place = self.axis or 0
        flat = a if self.axis is not None else ops.flatten(a)
        self.extent = flat.aval.shape[self.place]
        require(self.extent)
        self._sorted = ops.sort(flat, axis=self.place, stable=False)

    def at(self, place: int) -> Any:
        """The elements at one place, as floats."""
        part = slice_axis(self._sorted, self.place, place, place + 1)
        part = ops.squeeze(part, axis=self.place)
        return part if part.aval.dtype.is_float else cast(part, dtypes.float64)

    def finished(self, result: Any) -> Any:
        """`result`, or NaN where one is among the elements, in the shape that is asked for."""
        last = self.at(self.extent - 1)
        result = ops.where(ops.isnan(last), last, result)
        if not self.keepdims:
            return result
        kept = range(self.ndim) if self.axis is None else (self.axis,)
        return ops.expand_dims(result, tuple(kept))


def _ranked(a: Any, axis: Any, keepdims: Any) -> _Ranked:
    a = array(a)
    require(a.aval.dtype is not dtypes.bool_ and a.aval.dtype is not dtypes.float16)
    return _Ranked(a, axis, keepdims)


def median(a: Any, axis: Any = None, *, overwrite_input: Any = False, keepdims: Any = False) -> Any:
    require(not flag(overwrite_input))
    ranked = _ranked(a, axis, keepdims)
    middle = ranked.extent // 2
    upper = ranked.at(middle)
    if ranked.extent % 2:
        return ranked.finished(upper)
    return ranked.finished(ops.divide(ops.add(ranked.at(middle - 1), upper), 2))


def quantile(
    a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: Any = False
) -> Any:
    """Between two elements, reckoned from the one that is nearer."""
    return _quantiles(a, _parts(q), axis, method, keepdims)


def percentile(
    a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: Any = False
) -> Any:
    parts = _parts(q)
    shares = [each / 100 for each in parts] if isinstance(parts, list) else parts / 100
    return _quantiles(a, shares, axis, method, keepdims)


def _parts(q: Any) -> Any:
    """A number, or a list of some."""
    if is_number(q):
        return q
    q = np.asarray(q) if isinstance(q, list | tuple) else q
    require(type(q) is np.ndarray and q.ndim == 1 and q.dtype in (np.float64, np.int64) and q.size)
    return q.tolist()


def _quantiles(a: Any, q: Any, axis: Any, method: str, keepdims: Any) -> Any:
    dtype = array(a).aval.dtype
    parts = q if isinstance(q, list) else [q]
    # Of float32 the place is a float32, too; of integers, and a whole number, the result is an integer.
    require(method == "linear" and dtype is not dtypes.float32)
    require(all(0 <= part <= 1 for part in parts))
    require(dtype.is_float or all(type(part) is float for part in parts))
    ranked = _ranked(a, axis, keepdims)
    found = [_quantile(ranked, part) for part in parts]
    return ops.stack(found) if isinstance(q, list) else found[0]


def _quantile(ranked: _Ranked, q: float) -> Any:
    last = index(ranked.extent) - 1
    place = q * last
    before = min(floor(place), last)
    low, high = ranked.at(before), ranked.at(min(before + 1, last))
    part, gap = place - before, ops.subtract(high, low)
    if part >= 0.5:
        return ranked.finished(ops.subtract(high, ops.multiply(gap, 1 - part)))
    return ranked.finished(ops.add(low, ops.multiply(gap, part)))


__all__ = ["median", "percentile", "quantile"]
