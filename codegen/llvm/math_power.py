"""pow and hypot."""

from __future__ import annotations

import math
from typing import Final

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.cold import libm
from tracejit.codegen.llvm.math_core import (
    BIAS,
    INFINITY,
    MANTISSA_BITS,
    NAN,
    at_least,
    at_most,
    bits_of,
    horner,
    nearest,
    power_of_two,
    to_float,
)

LOG2_SERIES: Final = (
    # log2((1 + q) / (1 - q)) / q, z = q^2 on [0, 0.0295], error 2^-40
    2.88539008177784915916, 0.96179669411491312630, 0.57707794189708032537,
    0.41220930077220697369, 0.31990366648923107818, 0.28292980970444032397,
)  # fmt: skip

EXP2_SERIES: Final = (
    # 2^r on [-1/2, 1/2], relative error 2^-30
    1.00000000055362796255, 0.69314720573615725291, 0.24022646892018991999,
    0.05550328781110164930, 0.00961848890214580331, 0.00133999299494629625,
    0.00015345816682317198,
)  # fmt: skip


def pow_(b: Builder, x: Value, y: Value) -> Value:
    """float: 2^(y log2 |x|) in double; double: libm's, lane by lane."""
    if x.type.element == "double":
        return libm(b, "pow", x, y)
    wide_x, wide_y = b.convert("fpext", x, "double"), b.convert("fpext", y, "double")
    magnitude = b.abs(wide_x)
    exponent = wide_y * _log2(b, magnitude)
    # A subnormal or infinite result comes of the last rounding, to float.
    clamped = at_least(b, at_most(b, exponent, 200.0), -200.0)
    n, integer = nearest(b, clamped)
    power = horner(b, clamped - n, EXP2_SERIES) * power_of_two(b, integer)
    return b.convert("fptrunc", _with_sign_and_edges(b, wide_x, wide_y, power), "float")


def _log2(b: Builder, x: Value) -> Value:
    """To 2^-38 or so of normal doubles; of 0 and infinity, minus infinity and infinity; NaN stays."""
    mantissa_bits, bias = MANTISSA_BITS["double"], BIAS["double"]
    origin = bits_of(math.sqrt(0.5), "double")
    offset = b.bits(x) - (origin - (bias << mantissa_bits))
    e = to_float(b, b.shift_right(offset, mantissa_bits, signed=False)) - float(bias)
    f = b.from_bits((offset & ((1 << mantissa_bits) - 1)) + origin) - 1.0
    q = f / (f + 2.0)
    result = b.fma(q, horner(b, q * q, LOG2_SERIES), e)
    return b.select(x.eq(0.0), -INFINITY, b.select(x < INFINITY, result, x))


def _with_sign_and_edges(b: Builder, x: Value, y: Value, power: Value) -> Value:
    """C's Annex F: `power` is |x|^y where that is an ordinary case."""
    magnitude = b.abs(x)
    is_integer = b.intrinsic("trunc", y).eq(y)
    half = y * 0.5
    is_odd = is_integer & b.intrinsic("trunc", half).ne(half)
    is_negative = b.bits(x) < 0
    has_no_root = (x < 0.0) & (x > -INFINITY) & ~is_integer & y.eq(y)
    signed = b.select(is_negative & is_odd, -power, power)
    result = b.select(has_no_root, NAN, signed)
    minus_one_to_infinity = magnitude.eq(1.0) & b.abs(y).eq(INFINITY)
    return b.select(y.eq(0.0) | x.eq(1.0) | minus_one_to_infinity, 1.0, result)


def hypot(b: Builder, x: Value, y: Value) -> Value:
    """sqrt(x^2 + y^2) at a scale where neither square overflows, nor both underflow."""
    limit, shift = {"float": (2.0**60, 90), "double": (2.0**500, 600)}[x.type.element]
    a, c = b.abs(x), b.abs(y)
    largest = b.select(a > c, a, c)
    is_huge, is_tiny = largest > limit, largest < 1 / limit

    def scale(power: int) -> Value:
        modest = b.constant(x.type, 1.0)
        return b.select(is_huge, 2.0**-power, b.select(is_tiny, 2.0**power, modest))

    a, c = a * scale(shift), c * scale(shift)
    result = b.sqrt(b.fma(a, a, c * c)) * scale(-shift)
    return b.select(a.eq(INFINITY) | c.eq(INFINITY), INFINITY, result)
