"""Hurwitz' zeta function times a power of two, of which the higher derivatives of log gamma are made.

The first terms are added up, the rest is Euler and Maclaurin's series at x + TERMS. Seven terms and twelve of the series are good
to 2^-58 for every x and s: where s is so large that the series is no use, the terms have vanished before it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.cold import called, computed_where
from tracejit.codegen.llvm.math_core import (
    INFINITY,
    LOG2_E,
    at_least,
    at_most,
    fast_two_sum,
    nearest,
    power_of_two,
    times_power_of_two,
    two_product,
    two_sum,
)
from tracejit.codegen.llvm.math_log import split_exponent
from tracejit.codegen.llvm.math_power import double_log2, exp2_less_one

TERMS: Final = 7
EULER_MACLAURIN: Final = tuple(
    # B(2 j) / (2 j)!
    float(Fraction(numerator, denominator))
    for numerator, denominator in (
        (1, 12), (-1, 720), (1, 30240), (-1, 1209600), (1, 47900160), (-691, 1307674368000), (1, 74724249600),
        (-3617, 10670622842880000), (43867, 5109094217170944000), (-174611, 802857662698291200000),
        (77683, 14101100039391805440000), (-236364091, 1693824136731743669452800000),
    )
)  # fmt: skip

LARGEST_RATIO: Final = 256.0
"""Where s is more than so many times x + TERMS, what follows the terms is nothing beside them."""

HEADROOM: Final = 512
"""Bits by which what may cancel is kept from overflowing: what remains of more is infinite."""

VANISHES: Final = -1000.0
"""2 to this power is nothing beside 1."""


def zeta(b: Builder, s: Value, x: Value, scale: Value, low: Value) -> Value:
    """2^(scale + low) sum of (x + k)^-s over k >= 0, for s > 1, an integer where x < 0; infinite at the poles.

    Floats are computed in double.
    """
    if x.type.element == "float":
        wide = (b.convert("fpext", value, "double") for value in (s, x, scale, low))
        return b.convert("fptrunc", zeta(b, *wide), "float")
    is_negative = x < 0.0
    moved, moved_low = two_sum(-x, b.constant(x.type, 1.0))
    x_low = b.select(is_negative, moved_low, 0.0)
    y = _of_positive(b, s, b.select(is_negative, moved, x), x_low, scale, low)
    return computed_where(b, is_negative, "reflected.zeta", y, _reflected, s, x, scale, low)


def _of_positive(b: Builder, *args: Value) -> Value:
    """Of s, x + x_low, and the scale as it is."""
    return called(b, "positive.zeta", _terms_and_series, *args)


def _terms_and_series(
    b: Builder, s: Value, x: Value, x_low: Value, scale: Value, low: Value
) -> Value:
    """All at the scale of 2^whole, which is about that of the result."""
    e, _ = split_exponent(b, x + float(TERMS))
    e_divisor, _ = split_exponent(b, s - 1.0)
    log2, _ = double_log2(b, x)
    whole = b.intrinsic("roundeven", scale - s * log2) + at_least(b, e - e_divisor, 0.0)
    scale, lost = two_sum(scale, -whole)
    low = low + lost
    total, total_low = _term(b, s, x, x_low, scale, low), b.constant(x.type, 0.0)
    for k in range(1, TERMS):
        place, place_low = two_sum(x, b.constant(x.type, float(k)))
        total, lost = two_sum(total, _term(b, s, place, place_low + x_low, scale, low))
        total_low = total_low + lost
    place, place_low = two_sum(x, b.constant(x.type, float(TERMS)))
    for part in _rest_of_series(b, s, place, place_low + x_low, scale, low):
        total, lost = two_sum(total, part)
        total_low = total_low + lost
    n, integer = nearest(b, at_least(b, at_most(b, whole, 1100.0), -2000.0))
    y = times_power_of_two(b, total + total_low, n, integer)
    return b.select(x.eq(0.0), INFINITY, b.select(x.eq(INFINITY), 0.0, y))


def _term(b: Builder, *args: Value) -> Value:
    """2^(scale + low) (x + x_low)^-s, where that is at most about 1."""
    return called(b, "term.zeta", _power, *args)


def _power(b: Builder, s: Value, x: Value, x_low: Value, scale: Value, low: Value) -> Value:
    log2, log2_low = double_log2(b, x)
    log2_low = b.fma(x_low / x, LOG2_E[0], log2_low)
    product = s * log2
    product_low = b.fma(s, log2_low, b.fma(s, log2, -product))
    exponent, lost = two_sum(scale, -product)
    bounded = at_least(b, exponent, VANISHES)
    n, integer = nearest(b, bounded)
    r, rest = fast_two_sum(bounded - n, lost + (low - product_low))
    return (1.0 + exp2_less_one(b, r, rest)) * power_of_two(b, integer)


def _rest_of_series(
    b: Builder, s: Value, x: Value, x_low: Value, scale: Value, low: Value
) -> tuple[Value, Value, Value]:
    """2^scale x^-s (x / (s - 1) + 1 / 2 + s / (12 x) - ...), the quotient's part in two.

    As the quotient may be as large as x it is taken of mantissas, and its exponent goes into the power.
    """
    (e, m), (e_divisor, divisor) = split_exponent(b, x), split_exponent(b, s - 1.0)
    e = e - e_divisor
    raised, lost = two_sum(scale, e)
    integral = _term(b, s, x, x_low, raised, low + lost)
    quotient = m / divisor
    quotient_low = b.fma(quotient, x_low / x, b.fma(-quotient, divisor, m) / divisor)
    power = _term(b, s, x, x_low, scale, low)
    inverse = 1.0 / x
    largest = x * LARGEST_RATIO
    s = b.select(s < largest, s, largest)
    z = inverse * inverse
    series = b.constant(x.type, EULER_MACLAURIN[-1])
    for j in reversed(range(1, len(EULER_MACLAURIN))):
        ratio = (s + float(2 * j - 1)) * (s + float(2 * j)) * z
        series = b.fma(series, ratio, EULER_MACLAURIN[j - 1])
    series = b.fma(s * inverse, series, 0.5)
    product, product_low = two_product(b, integral, quotient)
    return product, b.fma(integral, quotient_low, product_low), power * series


def _reflected(b: Builder, beyond: Value, s: Value, x: Value, scale: Value, low: Value) -> Value:
    """The terms below and above 0, each sum the whole function of the distance to an integer, less `beyond`, that of 1 - x.

    For odd s the two cancel about the middle between poles, also where each is too large for a double.
    """
    below = -x - b.intrinsic("floor", -x)
    above, above_low = two_sum(-below, b.constant(x.type, 1.0))
    reduced, lost = two_sum(scale, b.constant(x.type, -float(HEADROOM)))
    low = low + lost
    lower = _of_positive(b, s, below, b.constant(x.type, 0.0), reduced, low)
    upper = _of_positive(b, s, above, above_low, reduced, low)
    half = s * 0.5
    is_odd = b.intrinsic("trunc", half).ne(half)
    lower, beyond = (b.select(is_odd, -value, value) for value in (lower, beyond))
    total, lost = two_sum(upper, lower)
    y = b.fma(total, 2.0**HEADROOM, b.fma(lost, 2.0**HEADROOM, -beyond))
    nearer = b.select(below < 0.5, lower, upper)
    y = b.select(b.abs(nearer).eq(INFINITY), nearer, y)
    y = b.select(below.eq(0.5) & is_odd, -beyond, y)
    return b.select(below.eq(0.0), INFINITY, y)
