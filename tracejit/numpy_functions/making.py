"""New arrays made of others: copies, choices, stacks, diagonals."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from tracejit import dtypes, ops
from tracejit.inplace import write
from tracejit.numpy_functions.arguments import (
    array as as_array,
)
from tracejit.numpy_functions.arguments import (
    arrays,
    as_dtype,
    fitting,
    has_memory,
    mask,
    require,
)
from tracejit.numpy_functions.views import atleast_1d, atleast_2d
from tracejit.ops.arguments import NUMBERS, cast, copied, weak_dtype
from tracejit.storage import is_row_major

_NOTHING = object()


def where(condition: Any, x: Any = _NOTHING, y: Any = _NOTHING) -> Any:
    require(x is not _NOTHING and y is not _NOTHING)
    return ops.where(condition, x, y)


def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    conditions = arrays(condlist)
    require(isinstance(choicelist, list | tuple) and len(choicelist) == len(conditions))
    require(all(condition.aval.dtype is dtypes.bool_ for condition in conditions))
    choices = [x if type(x) in NUMBERS else as_array(x) for x in (*choicelist, default)]
    dtype = dtypes.promote_all(*map(weak_dtype, choices))
    *choices, chosen = (cast(choice, dtype) for choice in choices)
    for condition, choice in zip(reversed(conditions), reversed(choices)):
        chosen = ops.where(condition, choice, chosen)
    return chosen


def full_like(a: Any, fill_value: Any, dtype: Any = None) -> Any:
    return ops.full_like(as_array(a), fill_value, dtype=None if dtype is None else as_dtype(dtype))


def ones_like(a: Any, dtype: Any = None) -> Any:
    return full_like(a, 1, dtype)


def zeros_like(a: Any, dtype: Any = None) -> Any:
    return full_like(a, 0, dtype)


def empty_like(prototype: Any, dtype: Any = None) -> Any:
    return full_like(prototype, 0, dtype)


def copy(a: Any, order: str = "K") -> Any:
    require(order in ("K", "C"))
    return copied(as_array(a))


def array(object: Any, dtype: Any = None, *, copy: Any = True) -> Any:
    """A copy; of a list, its parts side by side."""
    require(copy is True)
    return copied(as_array(object, None if dtype is None else as_dtype(dtype)))


def ascontiguousarray(a: Any, dtype: Any = None) -> Any:
    require(has_memory(a) and a.aval.ndim)
    require(dtype is None or as_dtype(dtype) is a.aval.dtype)
    return a if is_row_major(a.layout) else copied(a)


def vstack(tup: Any) -> Any:
    return ops.concat([atleast_2d(x) for x in arrays(tup)], axis=0)


def hstack(tup: Any) -> Any:
    parts = [atleast_1d(x) for x in arrays(tup)]
    return ops.concat(parts, axis=0 if parts[0].aval.ndim == 1 else 1)


def column_stack(tup: Any) -> Any:
    columns = [x if x.aval.ndim > 1 else ops.reshape(x, (-1, 1)) for x in arrays(tup)]
    return ops.concat(columns, axis=1)


def append(arr: Any, values: Any, axis: Any = None) -> Any:
    return ops.concat([as_array(arr), as_array(values)], axis=axis)


def diag(v: Any, k: int = 0) -> Any:
    """Of a vector the matrix, of a matrix the diagonal."""
    v = as_array(v)
    require(type(k) is int and v.aval.ndim in (1, 2))
    if v.aval.ndim == 2:
        return ops.diagonal(v, offset=k)
    size, zero = v.aval.shape[0] + abs(k), ops.zeros((), dtype=v.aval.dtype)
    padded = ops.concat([v, ops.zeros((abs(k),), dtype=v.aval.dtype)])
    lines = ops.expand_dims(padded, 1 if k >= 0 else 0)
    return ops.where(ops.eye(size, k=k, dtype=dtypes.bool_), lines, zero)


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    require(has_memory(dst) and casting == "same_kind")
    wanted = dst.aval.dtype
    found = type(src) if type(src) in NUMBERS else as_array(src).aval.dtype
    source = dtypes.promote_all(wanted, found) if isinstance(found, type) else found
    require(np.can_cast(source.numpy, wanted.numpy, "same_kind"))
    values = ops.broadcast_to(
        cast(src if isinstance(found, type) else as_array(src), wanted), dst.aval.shape
    )
    write(dst, values if where is True else ops.where(mask(where, dst.aval.shape), values, dst))


def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    require(has_memory(a) and a.aval.ndim == 2 and not wrap)
    places = np.arange(min(map(index, a.aval.shape)))
    write(a, ops.set_item(a, (places, places), fitting(val, a.aval.dtype)))


def ix_(*args: Any) -> tuple[Any, ...]:
    """Vectors of indices, each along an axis of its own."""
    vectors = [as_array(arg) for arg in args]
    require(all(v.aval.ndim == 1 and v.aval.dtype.is_integer for v in vectors))
    others = range(len(vectors))
    return tuple(
        ops.expand_dims(v, tuple(place for place in others if place != axis))
        for axis, v in enumerate(vectors)
    )


def linspace(start: Any, stop: Any, num: Any = 50, endpoint: Any = True) -> Any:
    """Between numbers that have been computed, in NumPy's order of operations."""
    first, last = (cast(_number(each), dtypes.float64) for each in (start, stop))
    require(type(num) is int and num > 1 and endpoint is True)
    places, distance = ops.arange(num - 1, dtype=dtypes.float64), ops.subtract(last, first)
    step = ops.divide(distance, num - 1)
    # A step may be too small to be told from 0.
    rises = ops.multiply(ops.divide(places, num - 1), distance)
    rises = ops.where(ops.equal(step, 0), rises, ops.multiply(places, step))
    return ops.concat([ops.add(rises, first), ops.reshape(last, (1,))])


def _number(x: Any) -> Any:
    """An array of no dimensions."""
    x = as_array(x)
    require(not x.aval.shape and x.aval.dtype not in (dtypes.float16, dtypes.float32))
    return x


__all__ = [
    "append", "array", "ascontiguousarray", "column_stack", "copy", "copyto", "diag", "empty_like", "fill_diagonal",
    "full_like", "hstack", "ix_", "linspace", "ones_like", "select", "vstack", "where", "zeros_like",
]  # fmt: skip
