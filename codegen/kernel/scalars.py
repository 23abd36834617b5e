"""What each scalar function means, on NumPy scalars: the oracle that the back ends are tested against."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from tracejit.codegen.kernel.fn import Fn
from tracejit.dtypes import DType, bool_
from tracejit.ops.gamma import (
    digamma_in_numpy,
    lgamma_in_numpy,
    trigamma_in_numpy,
    zeta_in_numpy,
)
from tracejit.ops.special import erf_in_numpy, erfc_in_numpy, erfinv_in_numpy

Scalar = Any
"""A NumPy scalar of the operand's dtype."""


def evaluate(fn: Fn, dtype: DType, args: tuple[Scalar, ...]) -> Scalar:
    """`fn(*args)` as a NumPy scalar of `dtype`."""
    if fn is Fn.SELECT:
        return args[1] if args[0] else args[2]
    if fn is Fn.CAST:
        return cast(args[0], dtype)
    kind = np.asarray(args[0]).dtype.kind
    with np.errstate(all="ignore"):
        if kind == "b":
            return np.bool_(BOOL[fn](*map(bool, args)))
        if kind in "iu":
            bits = 8 * args[0].dtype.itemsize
            signed = INTEGER[fn](bits, *map(int, args))
            return np.bool_(signed) if dtype is bool_ else wrap(signed, dtype)
        return dtype.numpy.type(FLOAT[fn](*args))


def cast(x: Scalar, dtype: DType) -> Scalar:
    """NumPy's astype; from float to integer truncated, saturated, and 0 for NaN."""
    source = np.asarray(x)
    with np.errstate(all="ignore"):
        if dtype.is_integer and source.dtype.kind not in "biu":
            return saturate(float(x), dtype)
        return source.astype(dtype.numpy)[()]


def saturate(x: float, dtype: DType) -> Scalar:
    if math.isnan(x):
        return dtype.numpy.type(0)
    info = np.iinfo(dtype.numpy)
    if math.isinf(x):
        return dtype.numpy.type(info.max if x > 0 else info.min)
    return dtype.numpy.type(min(max(math.trunc(x), info.min), info.max))


def wrap(value: int, dtype: DType) -> Scalar:
    """The integer modulo 2 ** bits."""
    unsigned = value % (1 << 8 * dtype.itemsize)
    return np.array(unsigned, np.uint64).astype(dtype.numpy)[()]


def minimum(a: Scalar, b: Scalar) -> Scalar:
    """NaN if either is; the second of equals, as np.minimum."""
    return a if a != a or a < b else b


def maximum(a: Scalar, b: Scalar) -> Scalar:
    return a if a != a or a > b else b


def fused_multiply_add(a: Scalar, b: Scalar, c: Scalar) -> Scalar:
    """a * b + c rounded once."""
    rounded = a * b + c
    if not all(map(np.isfinite, (a, b, c))):
        return rounded
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    if exact == 0:
        return rounded
    kind = type(a)
    near = kind(_nearest_double(exact))
    candidates = [near, np.nextafter(near, kind(-np.inf)), np.nextafter(near, kind(np.inf))]
    finite = [candidate for candidate in candidates if np.isfinite(candidate)]
    if len(finite) < 3:
        return near
    return min(finite, key=lambda value: (abs(Fraction(float(value)) - exact), _is_odd(value)))


def _nearest_double(exact: Fraction) -> float:
    try:
        return exact.numerator / exact.denominator
    except OverflowError:
        return math.copysign(math.inf, exact)


def _is_odd(value: Scalar) -> bool:
    return bool(value.view(np.uint32 if value.itemsize == 4 else np.uint64) & 1)


def _floor_divide(bits: int, x: int, y: int) -> int:
    return 0 if y == 0 else x // y


def _floor_modulo(bits: int, x: int, y: int) -> int:
    return 0 if y == 0 else x % y


def _integer_power(bits: int, x: int, y: int) -> int:
    if y >= 0:
        return pow(x, y, 1 << bits)
    return x ** (y % 2) if abs(x) == 1 else 0


def _shift_left(bits: int, x: int, y: int) -> int:
    return x << y if 0 <= y < bits else 0


def _shift_right(bits: int, x: int, y: int) -> int:
    return x >> (y if 0 <= y < bits else bits)


COMPARISON: dict[Fn, Callable[..., Any]] = {
    Fn.EQ: lambda x, y: x == y,
    Fn.NE: lambda x, y: x != y,
    Fn.LT: lambda x, y: x < y,
    Fn.LE: lambda x, y: x <= y,
}

BOOL: dict[Fn, Callable[..., Any]] = COMPARISON | {
    Fn.AND: lambda x, y: x and y,
    Fn.OR: lambda x, y: x or y,
    Fn.XOR: lambda x, y: x != y,
    Fn.NOT: lambda x: not x,
    Fn.ADD: lambda x, y: x or y,
    Fn.MUL: lambda x, y: x and y,
    Fn.MIN: lambda x, y: x and y,
    Fn.MAX: lambda x, y: x or y,
}
"""Arithmetic on bool is NumPy's."""

INTEGER: dict[Fn, Callable[..., Any]] = {
    fn: (lambda bits, *args, _function=function: _function(*args)) for fn, function in COMPARISON.items()
} | {
    Fn.ADD: lambda bits, x, y: x + y,
    Fn.SUB: lambda bits, x, y: x - y,
    Fn.MUL: lambda bits, x, y: x * y,
    Fn.NEG: lambda bits, x: -x,
    Fn.ABS: lambda bits, x: abs(x),
    Fn.FLOORDIV: _floor_divide,
    Fn.FLOORMOD: _floor_modulo,
    Fn.MIN: lambda bits, x, y: min(x, y),
    Fn.MAX: lambda bits, x, y: max(x, y),
    Fn.POW: _integer_power,
    Fn.AND: lambda bits, x, y: x & y,
    Fn.OR: lambda bits, x, y: x | y,
    Fn.XOR: lambda bits, x, y: x ^ y,
    Fn.NOT: lambda bits, x: ~x,
    Fn.SHL: _shift_left,
    Fn.SHR: _shift_right,
}  # fmt: skip
"""`function(bits, *args)` on Python integers; the caller wraps the outcome."""

FLOAT: dict[Fn, Callable[..., Any]] = COMPARISON | {
    Fn.ADD: np.add,
    Fn.SUB: np.subtract,
    Fn.MUL: np.multiply,
    Fn.DIV: np.divide,
    Fn.FMA: fused_multiply_add,
    Fn.NEG: np.negative,
    Fn.ABS: np.fabs,
    Fn.FLOORMOD: np.remainder,
    Fn.FMOD: np.fmod,
    Fn.MIN: minimum,
    Fn.MAX: maximum,
    Fn.FLOOR: np.floor,
    Fn.CEIL: np.ceil,
    Fn.TRUNC: np.trunc,
    Fn.ROUND: np.rint,
    Fn.SQRT: np.sqrt,
    Fn.COPYSIGN: np.copysign,
    Fn.NEXTAFTER: np.nextafter,
    Fn.SIGNBIT: np.signbit,
    Fn.EXP: np.exp,
    Fn.EXPM1: np.expm1,
    Fn.LOG: np.log,
    Fn.LOG1P: np.log1p,
    Fn.LOG2: np.log2,
    Fn.LOG10: np.log10,
    Fn.POW: np.power,
    Fn.SIN: np.sin,
    Fn.COS: np.cos,
    Fn.TAN: np.tan,
    Fn.ASIN: np.arcsin,
    Fn.ACOS: np.arccos,
    Fn.ATAN: np.arctan,
    Fn.ATAN2: np.arctan2,
    Fn.SINH: np.sinh,
    Fn.COSH: np.cosh,
    Fn.TANH: np.tanh,
    Fn.ASINH: np.arcsinh,
    Fn.ACOSH: np.arccosh,
    Fn.ATANH: np.arctanh,
    Fn.HYPOT: np.hypot,
    Fn.ERF: erf_in_numpy,
    Fn.ERFC: erfc_in_numpy,
    Fn.ERFINV: erfinv_in_numpy,
    Fn.LGAMMA: lgamma_in_numpy,
    Fn.DIGAMMA: digamma_in_numpy,
    Fn.TRIGAMMA: trigamma_in_numpy,
    Fn.ZETA: zeta_in_numpy,
}

ANY_DTYPE = frozenset({Fn.SELECT, Fn.CAST})
TABLES = {"b": BOOL, "i": INTEGER, "u": INTEGER, "f": FLOAT}


def takes(fn: Fn, dtype: DType) -> bool:
    """Whether `fn` is defined on arguments of `dtype`. Half precision is memory's: it is only loaded, stored and cast."""
    if fn in ANY_DTYPE:
        return True
    return fn in TABLES[dtype.kind] and not (dtype.is_float and dtype.itemsize < 4)
