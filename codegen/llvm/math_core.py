"""What the math functions share: constants in parts, polynomials, powers of two, unevaluated sums.

Everything here works on scalars and vectors of `float` and `double` alike, and is exact or rounds as its docstring says, so
that a function has the same bits on every vector width.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Final

import numpy as np

from tracejit.codegen.llvm.builder import Builder, Value

Digits = tuple[float, ...]
"""A constant to more than double precision: doubles that add up to it."""

LN2: Final = (0.6931471805599453, 2.3190468138462996e-17, 5.707708438416212e-34)
LOG2_E: Final = (1.4426950408889634, 2.0355273740931033e-17)
LOG10_E: Final = (0.4342944819032518, 1.098319650216765e-17)
LOG10_2: Final = (0.3010299956639812, -2.8037281277851704e-18)
PI: Final = (3.141592653589793, 1.2246467991473532e-16, -2.9947698097183397e-33)

MANTISSA_BITS: Final = {"float": 23, "double": 52}
BIAS: Final = {"float": 127, "double": 1023}
SMALLEST_NORMAL: Final = {"float": 2.0**-126, "double": 2.0**-1022}
INFINITY: Final = float("inf")
NAN: Final = float("nan")


@cache
def parts(digits: Digits, element: str, count: int = 2) -> Digits:
    """`count` floats of the format that add up to the constant, each the rounding of what is left."""
    rest = sum(map(Fraction, digits), Fraction(0))
    rounded = []
    for _ in range(count):
        nearest = float(np.float32(float(rest))) if element == "float" else float(rest)
        rounded.append(nearest)
        rest -= Fraction(nearest)
    return tuple(rounded)


def times(digits: Digits, factor: float) -> Digits:
    """A constant times a power of two."""
    return tuple(digit * factor for digit in digits)


def horner(b: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    """c[0] + c[1] x + c[2] x^2 + ..."""
    result = b.constant(x.type, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = b.fma(result, x, coefficient)
    return result


def at_most(b: Builder, x: Value, limit: float) -> Value:
    """min(x, limit); NaN stays."""
    bound = b.constant(x.type, limit)
    return b.select(bound < x, bound, x)


def at_least(b: Builder, x: Value, limit: float) -> Value:
    """max(x, limit); NaN stays."""
    bound = b.constant(x.type, limit)
    return b.select(bound > x, bound, x)


def two_sum(a: Value, c: Value) -> tuple[Value, Value]:
    """(s, e) with s = a + c rounded and s + e = a + c exactly (Knuth)."""
    s = a + c
    virtual = s - a
    return s, (a - (s - virtual)) + (c - virtual)


def fast_two_sum(a: Value, c: Value) -> tuple[Value, Value]:
    """`two_sum` where |a| >= |c| (Dekker)."""
    s = a + c
    return s, c - (s - a)


def two_product(b: Builder, a: Value, c: Value) -> tuple[Value, Value]:
    """(p, e) with p = a * c rounded and p + e = a * c exactly, unless it underflows."""
    p = a * c
    return p, b.fma(a, c, -p)


def nearest(b: Builder, x: Value, factor: float = 1.0, shift: float = 0.0) -> tuple[Value, Value]:
    """x * factor + shift rounded to an integer: as a float, and as an integer of as many bits.

    |x * factor| must be below 2^21 (float) or 2^50 (double). Adding 1.5 * 2^23 (2^52) leaves the integer in the low bits, which
    is quicker than a conversion, and exists for every width.
    """
    magic = 1.5 * 2.0 ** MANTISSA_BITS[x.type.element]
    shifted = b.fma(x, factor, magic) if not shift else b.fma(x, factor, shift) + magic
    low_bits = b.bits(shifted) - bits_of(magic, x.type.element)
    return shifted - magic, low_bits


def to_float(b: Builder, integer: Value) -> Value:
    """The float nearest to an integer, which must be at least 0 and below 2^22 (32 bits) or 2^51 (64 bits)."""
    element = {32: "float", 64: "double"}[integer.type.bits]
    magic = 2.0 ** MANTISSA_BITS[element]
    return b.from_bits(integer | bits_of(magic, element)) - magic


def power_of_two(b: Builder, n: Value) -> Value:
    """2^n of an integer n for which it is normal."""
    element = {32: "float", 64: "double"}[n.type.bits]
    return b.from_bits((n + BIAS[element]) << MANTISSA_BITS[element])


def times_power_of_two(b: Builder, x: Value, n: Value, integer: Value) -> Value:
    """x * 2^n rounded once, for |x| in [1/2, 2] and n, also given as integer, of at most twice the exponent range."""
    type = x.type
    if b.target.has_scalef and type.width * type.bits == 512:
        suffix = {32: "ps", 64: "pd"}[type.bits]
        zero, all_lanes = b.constant(type, 0.0), f"i{type.width} -1"
        symbol = f"llvm.x86.avx512.mask.scalef.{suffix}.512"
        b.module.declare(f"{type} @{symbol}({type}, {type}, {type}, i{type.width}, i32)")
        return b.emit(f"call {type} @{symbol}({x}, {n}, {zero}, {all_lanes}, i32 4)", type)
    half = b.shift_right(integer, 1, signed=True)
    # The first product is exact, so the result is rounded once, as the instruction's is.
    return x * power_of_two(b, half) * power_of_two(b, integer - half)


def bits_of(value: float, element: str) -> int:
    """The bits of a float of the format, as a signed integer."""
    if element == "float":
        return int(np.float32(value).view(np.int32))
    return int(np.float64(value).view(np.int64))
