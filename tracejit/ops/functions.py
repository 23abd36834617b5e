"""Exponentials, logarithms, powers, trigonometry, activations and blends, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit._errors import at_user_line
from tracejit.dtypes import FLOATING, NUMERIC
from tracejit.ops.arguments import cast, value, value_or_number, weak_dtype
from tracejit.ops.elementwise import (
    add,
    constant_like,
    divide,
    equal,
    greater,
    logical_and,
    multiply,
    negative,
    positive,
    reciprocal,
    sqrt,
    square,
    subtract,
    where,
)
from tracejit.ops.families import pointwise
from tracejit.ops.op import Op

LN2 = math.log(2)
LN10 = math.log(10)


def _function(name: str, eval: Any, method: str, derivative: Any, doc: str) -> Op:
    """A function of one float; `derivative(ct, out, x)` is the cotangent."""
    return pointwise(
        name,
        dtypes=FLOATING,
        eval=eval,
        scalar=lambda s, x: getattr(s, method)(x),
        vjp=(derivative,),
        doc=doc,
    )


# exponentials and logarithms

exp: Op = _function("exp", np.exp, "exp", lambda ct, out, x: multiply(ct, out), "e to the power x.")
expm1: Op = _function(
    "expm1",
    np.expm1,
    "expm1",
    lambda ct, out, x: add(multiply(ct, out), ct),
    "exp(x) - 1, exact near 0.",
)
log: Op = _function(
    "log", np.log, "log", lambda ct, out, x: divide(ct, x), "The natural logarithm."
)
log1p: Op = _function(
    "log1p",
    np.log1p,
    "log1p",
    lambda ct, out, x: divide(ct, add(x, 1)),
    "log(1 + x), exact near 0.",
)
log2: Op = _function(
    "log2",
    np.log2,
    "log2",
    lambda ct, out, x: divide(ct, multiply(x, LN2)),
    "The logarithm to base 2.",
)
log10: Op = _function(
    "log10",
    np.log10,
    "log10",
    lambda ct, out, x: divide(ct, multiply(x, LN10)),
    "The logarithm to base 10.",
)


def _logaddexp(s: Any, x: Any, y: Any) -> Any:
    apart = s.max(x, y) + s.log1p(s.exp(-s.abs(x - y)))
    return s.select(x == y, x + LN2, apart)


logaddexp: Op = pointwise(
    "logaddexp",
    dtypes=FLOATING,
    eval=np.logaddexp,
    scalar=_logaddexp,
    vjp=(
        lambda ct, out, x, y: multiply(ct, exp(subtract(x, out))),
        lambda ct, out, x, y: multiply(ct, exp(subtract(y, out))),
    ),
    doc="log(exp(x) + exp(y)) without overflow.",
)


# trigonometry

sin: Op = _function(
    "sin", np.sin, "sin", lambda ct, out, x: multiply(ct, cos(x)), "The sine of x radians."
)
cos: Op = _function(
    "cos",
    np.cos,
    "cos",
    lambda ct, out, x: negative(multiply(ct, sin(x))),
    "The cosine of x radians.",
)
tan: Op = _function(
    "tan",
    np.tan,
    "tan",
    lambda ct, out, x: multiply(ct, add(square(out), 1)),
    "The tangent of x radians.",
)
asin: Op = _function(
    "asin",
    np.arcsin,
    "asin",
    lambda ct, out, x: divide(ct, sqrt(subtract(1, square(x)))),
    "The angle in [-pi/2, pi/2] whose sine is x.",
)
acos: Op = _function(
    "acos",
    np.arccos,
    "acos",
    lambda ct, out, x: negative(divide(ct, sqrt(subtract(1, square(x))))),
    "The angle in [0, pi] whose cosine is x.",
)
atan: Op = _function(
    "atan",
    np.arctan,
    "atan",
    lambda ct, out, x: divide(ct, add(square(x), 1)),
    "The angle in [-pi/2, pi/2] whose tangent is x.",
)
sinh: Op = _function(
    "sinh", np.sinh, "sinh", lambda ct, out, x: multiply(ct, cosh(x)), "The hyperbolic sine."
)
cosh: Op = _function(
    "cosh", np.cosh, "cosh", lambda ct, out, x: multiply(ct, sinh(x)), "The hyperbolic cosine."
)
tanh: Op = _function(
    "tanh",
    np.tanh,
    "tanh",
    lambda ct, out, x: multiply(ct, subtract(1, square(out))),
    "The hyperbolic tangent.",
)
asinh: Op = _function(
    "asinh",
    np.arcsinh,
    "asinh",
    lambda ct, out, x: divide(ct, sqrt(add(square(x), 1))),
    "The inverse of sinh.",
)
acosh: Op = _function(
    "acosh",
    np.arccosh,
    "acosh",
    lambda ct, out, x: divide(ct, sqrt(multiply(subtract(x, 1), add(x, 1)))),
    "The inverse of cosh, of x >= 1.",
)
atanh: Op = _function(
    "atanh",
    np.arctanh,
    "atanh",
    lambda ct, out, x: divide(ct, multiply(subtract(1, x), add(x, 1))),
    "The inverse of tanh, of |x| <= 1.",
)
atan2: Op = pointwise(
    "atan2",
    dtypes=FLOATING,
    eval=np.arctan2,
    scalar=lambda s, y, x: s.atan2(y, x),
    vjp=(
        lambda ct, out, y, x: divide(multiply(ct, x), add(square(x), square(y))),
        lambda ct, out, y, x: negative(divide(multiply(ct, y), add(square(x), square(y)))),
    ),
    doc="The angle of the point (x, y), given as (y, x), in [-pi, pi].",
)
hypot: Op = pointwise(
    "hypot",
    dtypes=FLOATING,
    eval=np.hypot,
    scalar=lambda s, x, y: s.hypot(x, y),
    vjp=(
        lambda ct, out, x, y: divide(multiply(ct, x), out),
        lambda ct, out, x, y: divide(multiply(ct, y), out),
    ),
    doc="sqrt(x * x + y * y) without overflow.",
)


# powers


def _power_eval(x: Any, y: Any) -> Any:
    if x.dtype.kind not in "iu":
        return np.power(x, y)
    inverse = np.where(
        np.equal(x, 1), 1, np.where(np.equal(x, -1), np.where(y & 1, -1, 1), 0)
    ).astype(x.dtype)
    return np.where(y < 0, inverse, np.power(x, np.where(y < 0, 0, y).astype(y.dtype)))


def _power_wrt_base(ct: Any, out: Any, x: Any, y: Any) -> Any:
    """y * x**(y - 1), which is 0 where y is 0."""
    return multiply(ct, where(equal(y, 0), 0.0, multiply(y, power(x, subtract(y, 1)))))


def _power_wrt_exponent(ct: Any, out: Any, x: Any, y: Any) -> Any:
    """x**y * log(x), which is 0 where x is 0 and y is positive."""
    vanishes = logical_and(equal(x, 0), greater(y, 0))
    return multiply(ct, where(vanishes, 0.0, multiply(out, log(where(vanishes, 1.0, x)))))


power: Op = pointwise(
    "power",
    dtypes=NUMERIC,
    eval=_power_eval,
    scalar=lambda s, x, y: s.pow(x, y),
    vjp=(_power_wrt_base, _power_wrt_exponent),
    doc="x ** y; of integers wrapping, and truncated where y is negative.",
)


def pow(x: Any, y: Any) -> Any:
    """`x` to the power `y`, promoted as in NumPy.

    A Python exponent of -1, 0, 0.5, 1 or 2 is computed by the exact operation (for floats: 1 / x, 1, sqrt, x, x * x).
    ValueError for integers to a negative Python power, as in NumPy; an array of negative powers truncates (0 unless |x| is 1).

    >>> import tracejit as tj
    >>> tj.pow(tj.tensor([1, 2, 3]), 2)
    tensor([1, 4, 9])
    """
    x, y = value_or_number(x), value_or_number(y)
    if not isinstance(y, int | float):
        return power(x, y)
    x = value(x)
    kind = x.aval.dtype.kind
    if kind in "iu" and isinstance(y, int) and y < 0:
        raise ValueError(at_user_line("pow: integers to negative integer powers are not allowed"))
    if kind != "b" and y == 2:
        return square(_as_base(x, y))
    if kind != "f" or y not in (-1, 0, 0.5, 1):
        return power(x, y)
    exact: dict[float, Callable[[Any], Any]] = {
        -1: reciprocal,
        0: _ones_like,
        0.5: sqrt,
        1: positive,
    }
    return exact[y](x)


def _as_base(x: Any, y: int | float) -> Any:
    return cast(x, dtypes.promote_all(x.aval.dtype, weak_dtype(y)))


def _ones_like(x: Any) -> Any:
    return constant_like(x, 1)


# activations


def _sigmoid(s: Any, x: Any) -> Any:
    small = s.exp(-s.abs(x))
    return s.select(x < 0, small, s.const(1.0, x.dtype)) / (small + 1)


def _sigmoid_eval(x: Any) -> Any:
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, np.ones_like(x)) / (small + 1)


sigmoid: Op = pointwise(
    "sigmoid",
    dtypes=FLOATING,
    eval=_sigmoid_eval,
    scalar=_sigmoid,
    vjp=(lambda ct, out, x: multiply(ct, multiply(out, subtract(1, out))),),
    doc="1 / (1 + exp(-x)), for any x without overflow.",
)
softplus: Op = pointwise(
    "softplus",
    dtypes=FLOATING,
    eval=lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    scalar=lambda s, x: s.max(x, 0) + s.log1p(s.exp(-s.abs(x))),
    vjp=(lambda ct, out, x: multiply(ct, sigmoid(x)),),
    doc="log(1 + exp(x)) without overflow.",
)
relu: Op = pointwise(
    "relu",
    dtypes=NUMERIC,
    eval=lambda x: np.maximum(x, 0).astype(x.dtype),
    scalar=lambda s, x: s.max(x, 0),
    vjp=(lambda ct, out, x: where(greater(out, 0), ct, 0.0),),
    doc="max(x, 0); its gradient at 0 is 0.",
)

# blends


def _lerp(s: Any, start: Any, end: Any, weight: Any) -> Any:
    """From the nearer end, so that a weight of 0 or 1 gives that end exactly."""
    apart = end - start
    return s.select(weight < 0.5, start + weight * apart, end - (1 - weight) * apart)


def _lerp_eval(start: Any, end: Any, weight: Any) -> Any:
    apart = end - start
    from_end = end - (np.ones_like(weight) - weight) * apart
    return np.where(weight < 0.5, start + weight * apart, from_end)


lerp = pointwise(
    "lerp",
    dtypes=FLOATING,
    eval=_lerp_eval,
    scalar=_lerp,
    vjp=(
        lambda ct, out, start, end, weight: multiply(ct, subtract(1, weight)),
        lambda ct, out, start, end, weight: multiply(ct, weight),
        lambda ct, out, start, end, weight: multiply(ct, subtract(end, start)),
    ),
    doc="start + weight * (end - start), by torch.lerp's formula.",
)
_addcdiv = pointwise(
    "addcdiv",
    dtypes=FLOATING,
    eval=lambda x, a, b, value: x + value * (a / b),
    scalar=lambda s, x, a, b, value: x + value * (a / b),
    vjp=(
        lambda ct, out, x, a, b, value: ct,
        lambda ct, out, x, a, b, value: divide(multiply(ct, value), b),
        lambda ct, out, x, a, b, value: negative(
            divide(multiply(ct, multiply(a, value)), square(b))
        ),
        lambda ct, out, x, a, b, value: divide(multiply(ct, a), b),
    ),
    doc="x + value * a / b.",
)


def addcdiv(x: Any, a: Any, b: Any, *, value: Any = 1) -> Any:
    """x + value * a / b, in one op."""
    return _addcdiv(x, a, b, value)


__all__ = [
    "acos", "acosh", "addcdiv", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "exp", "expm1", "hypot",
    "lerp", "log", "log10", "log1p", "log2", "logaddexp", "pow", "relu", "sigmoid", "sin", "sinh", "softplus", "tan",
    "tanh",
]  # fmt: skip
