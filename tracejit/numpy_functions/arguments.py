"""What NumPy takes as arguments, as values that ops take."""

from __future__ import annotations

import inspect
import operator
from functools import cache
from typing import Any, NoReturn

import numpy as np

from tracejit import dtypes, ops
from tracejit.dispatch import lift
from tracejit.dtypes import FLOATING, DType
from tracejit.ops.arguments import NUMBERS, cast, in_range, normal_axes
from tracejit.ops.families import computing_dtype
from tracejit.ops.shape import broadcast_to

signature = cache(inspect.signature)


class LeftToNumPy(Exception):
    """Arguments that NumPy itself is to judge."""


def leave() -> NoReturn:
    raise LeftToNumPy


def require(condition: Any) -> None:
    """Leaves the call to NumPy where the condition does not hold."""
    if not condition:
        leave()


def array(x: Any, dtype: DType | None = None) -> Any:
    """What `np.asarray` makes of it, where a Python number counts as any other of its dtype."""
    if hasattr(x, "aval"):
        x = lift(x)
        return x if dtype is None else cast(x, dtype)
    if isinstance(x, list | tuple) and holds_value(x):
        return ops.stack([array(part, dtype) for part in x])
    return lift(np.asarray(x, None if dtype is None else dtype.numpy))


def holds_value(x: Any) -> bool:
    """Whether a tensor is in the list, or in a list in it."""
    return any(map(holds_value, x)) if isinstance(x, list | tuple) else hasattr(x, "aval")


def has_memory(x: Any) -> bool:
    """Whether it is a tensor, unlike the abstract values of function transforms."""
    return hasattr(x, "storage")


def arrays(parts: Any) -> list[Any]:
    """The arrays of a list of some."""
    require(isinstance(parts, list | tuple) and parts)
    return [array(part) for part in parts]


def is_number(x: Any) -> bool:
    """Whether it is a Python number, which goes with arrays of any dtype; NumPy's own numbers have one."""
    return type(x) in NUMBERS


def is_ours(dtype: np.dtype[Any]) -> bool:
    """Whether tracejit computes with it: numbers that are not complex, in the order of bytes of the machine."""
    return dtype.kind in "biuf" and dtype.itemsize <= 8 and dtype.isnative


def as_dtype(dtype: Any) -> DType:
    found = np.dtype(dtype)
    require(is_ours(found))
    return dtypes.from_numpy(found)


def floating(x: Any) -> Any:
    """`x` in the dtype that NumPy's functions of floats compute in."""
    x = array(x)
    return cast(x, computing_dtype(FLOATING, x.aval.dtype) or leave())


def inexact(x: Any) -> Any:
    """`x`, or what is no float in float64."""
    x = array(x)
    return x if x.aval.dtype.is_float else cast(x, dtypes.float64)


def axis_of(x: Any, axis: Any) -> int:
    """The number of one axis, from the front."""
    (place,) = normal_axes(operator.index(axis), x.aval.ndim, "axis")
    return place


def flag(value: Any) -> bool:
    require(type(value) is bool)
    return bool(value)


def mask(where: Any, shape: Any) -> Any:
    """`where=`, in the shape of what it chooses from."""
    where = array(where)
    require(where.aval.dtype is dtypes.bool_)
    return broadcast_to(where, shape)


def fitting(number: Any, dtype: DType) -> Any:
    """A number that arrays of the dtype can hold."""
    require(isinstance(number, int | float) and not isinstance(number, bool))
    whole = isinstance(number, int)
    require(dtype.is_float or (dtype.is_integer and whole and in_range(number, dtype)))
    return int(number) if whole else float(number)
