"""Whether arrays are equal, or nearly so. Where the answer is one Python bool, a recording takes it as a decision."""

from __future__ import annotations

import math
from typing import Any

from tracejit import dtypes, ops
from tracejit.numpy_functions.arguments import array, flag, is_number, require
from tracejit.ops.arguments import cast


def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: Any = False) -> Any:
    """|a - b| <= atol + rtol * |b|, or equal"""
    require(is_number(rtol) and is_number(atol) and math.isfinite(rtol) and math.isfinite(atol))
    x: Any
    y: Any
    x, y = (float(n) if is_number(n) else array(n) for n in (a, b))
    if is_number(y):
        bound, is_finite = atol + rtol * abs(y), math.isfinite(y)
    else:
        y = cast(y, dtypes.promote_all(y.aval.dtype, float))
        bound, is_finite = ops.add(atol, ops.multiply(rtol, ops.abs(y))), ops.isfinite(y)
    is_near = ops.less_equal(ops.abs(ops.subtract(x, y)), bound)
    close = ops.logical_or(ops.logical_and(is_near, is_finite), ops.equal(x, y))
    return ops.logical_or(close, _are_nan(x, y)) if flag(equal_nan) else close


def _are_nan(x: Any, y: Any) -> Any:
    return ops.logical_and(ops.not_equal(x, x), ops.not_equal(y, y))


def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: Any = False) -> bool:
    return bool(ops.all(isclose(a, b, rtol, atol, equal_nan)))


def array_equal(a1: Any, a2: Any, equal_nan: Any = False) -> bool:
    x, y = array(a1), array(a2)
    if x.aval.shape != y.aval.shape:
        return False
    same = ops.equal(x, y)
    return bool(ops.all(ops.logical_or(same, _are_nan(x, y)) if flag(equal_nan) else same))


__all__ = ["allclose", "array_equal", "isclose"]
