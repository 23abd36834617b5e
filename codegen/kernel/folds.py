"""How each fold joins two values, as a scalar function, and what stands in for no value."""

from __future__ import annotations

from typing import Final

import numpy as np

from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.ir import Combine, Const
from tracejit.dtypes import DType, bool_

JOINS: Final = {
    Combine.SUM: Fn.ADD,
    Combine.PROD: Fn.MUL,
    Combine.MAX: Fn.MAX,
    Combine.MIN: Fn.MIN,
    Combine.ANY: Fn.OR,
    Combine.ALL: Fn.AND,
}
"""ARGMAX and ARGMIN join pairs (value, index): the better value stays, of equals (and of NaNs) the one of least index."""

SEARCHES: Final = frozenset({Combine.ARGMAX, Combine.ARGMIN})

NO_INDEX: Final = (1 << 63) - 1
"""The index that stands in for no value: what ARGMAX and ARGMIN of nothing give."""


def identity(combine: Combine, dtype: DType) -> Const:
    """The value `e` with join(x, e) == x for every x; for ARGMAX and ARGMIN, that of its value."""
    match combine:
        case Combine.SUM:
            return Const(dtype, -0.0 if dtype.is_float else 0)
        case Combine.PROD:
            return Const(dtype, 1.0 if dtype.is_float else 1)
        case Combine.MAX | Combine.ARGMAX:
            return Const(dtype, _least(dtype))
        case Combine.MIN | Combine.ARGMIN:
            return Const(dtype, _largest(dtype))
        case Combine.ANY:
            return Const(dtype, False)
        case Combine.ALL:
            return Const(dtype, True)


def _least(dtype: DType) -> bool | int | float:
    if dtype is bool_:
        return False
    return float("-inf") if dtype.is_float else int(np.iinfo(dtype.numpy).min)


def _largest(dtype: DType) -> bool | int | float:
    if dtype is bool_:
        return True
    return float("inf") if dtype.is_float else int(np.iinfo(dtype.numpy).max)
