"""Order: sorting, and searching in what is sorted. NaN comes after every number."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from tracejit import dtypes
from tracejit._errors import ShapeError, at_user_line
from tracejit.ir.aval import Aval, aval
from tracejit.ops.arguments import (
    cast,
    moved,
    normal_axis,
    one_device,
    refuse,
    value,
    value_or_number,
    weak_dtype,
)
from tracejit.ops.elementwise import (
    constant_like,
    equal,
    less,
    logical_and,
    logical_not,
    minimum,
    subtract,
)
from tracejit.ops.families import extern, in_single
from tracejit.ops.index import gather, take_along_axis
from tracejit.ops.op import Op
from tracejit.ops.shape import ravel
from tracejit.ops.slicing import flip


def _kind(stable: bool) -> Literal["stable", "quicksort"]:
    return "stable" if stable else "quicksort"


def _sort_vjp(ct: Any, out: Any, x: Any, axis: int, stable: bool) -> Any:
    """Each element's cotangent is at the place that it was sorted to."""
    order = _argsort(x, axis=axis, stable=stable)
    return take_along_axis(ct, _argsort(order, axis=axis, stable=False), axis=axis)


_sort: Op = extern(
    "sort",
    infer=lambda x, *, axis, stable: x,
    eval=in_single(lambda x, *, axis, stable: np.sort(x, axis=axis, kind=_kind(stable))),
    vjp=(_sort_vjp,),
    doc="The elements along `axis` in ascending order; zeros keep theirs, whatever their signs, if `stable`.",
)
_argsort: Op = extern(
    "argsort",
    infer=lambda x, *, axis, stable: aval(dtypes.int64, x.shape, x.device),
    eval=in_single(lambda x, *, axis, stable: np.argsort(x, axis=axis, kind=_kind(stable))),
    doc="The indices that sort x along `axis`; equal elements keep their order if `stable`.",
)


def sort(x: Any, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The elements along `axis` in ascending, or `descending`, order. The gradient of each goes where it came from.

    >>> import tracejit as tj
    >>> tj.sort(tj.tensor([2, 3, 1]), descending=True)
    tensor([3, 2, 1])
    """
    x = value(x)
    place = normal_axis(axis, x.aval.ndim, "sort")
    keeps = (
        stable and x.aval.dtype.is_float
    )  # equal integers are the same; NumPy's faster sort will do
    if not descending:
        return _sort(x, axis=place, stable=keeps)
    return flip(_sort(flip(x, place), axis=place, stable=keeps), place)


def argsort(x: Any, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The indices (int64) that sort `x` along `axis`; equal elements keep their order, also where it is `descending`.

    Unless it must be `stable` the order is the one that NumPy's default gives.

    >>> import tracejit as tj
    >>> tj.argsort(tj.tensor([2, 3, 1, 3]), descending=True)
    tensor([1, 3, 0, 2])
    """
    x = value(x)
    place = normal_axis(axis, x.aval.ndim, "argsort")
    if not descending:
        return _argsort(x, axis=place, stable=stable)
    order = flip(_argsort(flip(x, place), axis=place, stable=stable), place)
    return subtract(x.aval.shape[place] - 1, order)


def _search_infer(x: Aval, values: Aval, *, side: str) -> Aval:
    if x.ndim != 1:
        refuse(ShapeError, "searchsorted", (x, values), "what is searched must have one dimension")
    return aval(dtypes.int64, values.shape, one_device("searchsorted", (x, values)))


_search: Op = extern(
    "searchsorted",
    infer=_search_infer,
    eval=in_single(lambda x, values, *, side: np.searchsorted(x, values, side=side)),
    doc="Where in the ascending x each of `values` belongs: before its equals (left), or after them (right).",
)


def searchsorted(
    x: Any, values: Any, *, side: Literal["left", "right"] = "left", sorter: Any = None
) -> Any:
    """Where in the ascending `x` each of `values` belongs (int64): before its equals ("left"), or after them ("right").

    With `sorter`, indices that sort it, `x` need not be in order.

    >>> import tracejit as tj
    >>> tj.searchsorted(tj.tensor([1, 3, 5]), tj.tensor([0, 3, 9]))
    tensor([0, 1, 3])
    """
    if side not in ("left", "right"):
        message = f"searchsorted: side must be 'left' or 'right', got {side!r}"
        raise ValueError(at_user_line(message))
    x, values = value(x), value_or_number(values)
    if sorter is not None:
        x = gather(x, sorter, axis=0)
    dtype = dtypes.promote_all(x.aval.dtype, weak_dtype(values))
    return _search(cast(x, dtype), cast(values, dtype), side=side)


def isin(x: Any, values: Any, *, invert: bool = False) -> Any:
    """Whether each element of `x` is equal to one of `values`; with `invert`, whether to none. A NaN is equal to nothing.

    >>> import tracejit as tj
    >>> tj.isin(tj.tensor([1, 2, 3]), [3, 1])
    tensor([ True, False,  True])
    """
    x, values = value(x), value_or_number(values)
    values = cast(values, dtypes.promote_all(x.aval.dtype, weak_dtype(values)))
    values = moved(ravel(value(values)), x.aval.device)
    dtype = dtypes.promote_all(x.aval.dtype, values.aval.dtype)
    x, count = cast(x, dtype), values.aval.size
    if not count:
        return constant_like(x, invert, dtype=dtypes.bool_)
    ordered = sort(cast(values, dtype))
    place = searchsorted(ordered, x)
    beside = gather(ordered, minimum(place, count - 1), axis=0)
    found = logical_and(less(place, count), equal(beside, x))
    return logical_not(found) if invert else found


__all__ = ["argsort", "isin", "searchsorted", "sort"]
