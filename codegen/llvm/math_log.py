"""Logarithms, and the inverse hyperbolic functions, which are logarithms of unevaluated sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.math_core import (
    BIAS,
    INFINITY,
    LN2,
    LOG2_E,
    LOG10_2,
    LOG10_E,
    MANTISSA_BITS,
    NAN,
    SMALLEST_NORMAL,
    Digits,
    bits_of,
    fast_two_sum,
    horner,
    parts,
    to_float,
    two_product,
    two_sum,
)

LOG1P_TAIL: Final = (
    # float: (log(1 + f) - f + f^2 / 2) / f^3 on [sqrt(1/2) - 1, sqrt(2) - 1]
    0.33333910837922208877, -0.2500133547240524010, 0.19963059028768653696,
    -0.1657763336887273851, 0.14914877040243252922, -0.1426714430099093970,
    0.08699668930103089827,
)  # fmt: skip

LONG_LOG1P_TAIL: Final = (
    # the same with an error of log(1 + f) of 2^-29.5
    0.33333328228615459307, -0.25001057983898319429, 0.20001611388423196814,
    -0.1661656127747368542, 0.14190144777253590023, -0.13207729931314311581,
    0.12853975361108191983, -0.076303869798342418634,
)  # fmt: skip

ATANH_TAIL: Final = (
    # double: (log((1 + q) / (1 - q)) / q - 2) / z, z = q^2 on [0, 0.0295]
    0.66666666666667137477, 0.39999999999519167609, 0.28571428723204014295,
    0.22222200271338919669, 0.18183486065809011282, 0.15315859601150954609,
    0.14779374577727247183,
)  # fmt: skip


class Reduced(NamedTuple):
    """x = 2^e (1 + f), 1 + f in [sqrt(1/2), sqrt(2)], and log(1 + f) = f + tail."""

    e: Value
    f: Value
    tail: Value


def reduce(b: Builder, x: Value) -> Reduced:
    """Of x positive and finite; of anything else, anything."""
    e, m = split_exponent(b, x)
    f = m - 1.0
    is_float = x.type.element == "float"
    return Reduced(e, f, _float_tail(b, f, LOG1P_TAIL) if is_float else _double_tail(b, f))


def split_exponent(b: Builder, x: Value) -> tuple[Value, Value]:
    """x = 2^e m with m in [sqrt(1/2), sqrt(2)]"""
    element = x.type.element
    mantissa_bits, bias = MANTISSA_BITS[element], BIAS[element]
    is_subnormal = x < SMALLEST_NORMAL[element]
    normal = b.select(is_subnormal, x * 2.0**mantissa_bits, x)
    origin = bits_of(math.sqrt(0.5), element)
    offset = b.bits(normal) - (origin - (bias << mantissa_bits))
    biased = to_float(b, b.shift_right(offset, mantissa_bits, signed=False))
    excess = b.select(is_subnormal, b.constant(x.type, float(bias + mantissa_bits)), float(bias))
    m = b.from_bits((offset & ((1 << mantissa_bits) - 1)) + origin)
    return biased - excess, m


def _float_tail(b: Builder, f: Value, coefficients: Sequence[float]) -> Value:
    """-f^2 / 2 + f^3 P(f)"""
    square = f * f
    return b.fma(square, horner(b, f, coefficients) * f, square * -0.5)


def _double_tail(b: Builder, f: Value) -> Value:
    """-f^2 / 2 + q (f^2 / 2 + z R(z)) with q = f / (2 + f), z = q^2 (fdlibm)."""
    q = f / (f + 2.0)
    z = q * q
    half_square = f * 0.5 * f
    return b.fma(q, b.fma(z, horner(b, z, ATANH_TAIL), half_square), -half_square)


def _natural(b: Builder, reduced: Reduced, correction: Value | None = None) -> Value:
    """e ln 2 + f + (tail + correction)"""
    e, f, tail = reduced
    high, low = parts(LN2, f.type.element)
    small = b.fma(e, low, tail if correction is None else tail + correction)
    return b.fma(e, high, f + small)


def _with_edges(b: Builder, x: Value, result: Value, pole: float = 0.0) -> Value:
    """-inf at the pole, NaN below it, infinity and NaN as they are."""
    finite = b.select(x < INFINITY, result, x + x)
    above = b.select(x < pole, NAN, finite)
    return b.select(x.eq(pole), -INFINITY, above)


def log(b: Builder, x: Value) -> Value:
    return _with_edges(b, x, _natural(b, reduce(b, x)))


def log2(b: Builder, x: Value) -> Value:
    e, f, tail = reduce(b, x)
    return _with_edges(b, x, e + _scaled(b, f, tail, LOG2_E))


def log10(b: Builder, x: Value) -> Value:
    e, f, tail = reduce(b, x)
    high, low = parts(LOG10_2, x.type.element)
    return _with_edges(b, x, b.fma(e, high, b.fma(e, low, _scaled(b, f, tail, LOG10_E))))


def _scaled(b: Builder, f: Value, tail: Value, factor: Digits) -> Value:
    """(f + tail) * factor"""
    high, low = parts(factor, f.type.element)
    return b.fma(f, high, b.fma(f, low, tail * high))


def log_of_sum(b: Builder, high: Value, low: Value, doublings: Value | None = None) -> Value:
    """log((high + low) * 2^doublings) where |low| is at most an ulp of `high`, positive and finite."""
    reduced = reduce(b, high)
    if doublings is not None:
        reduced = reduced._replace(e=reduced.e + doublings)
    return _natural(b, reduced, low / high)


def log_as_sum(b: Builder, x: Value) -> tuple[Value, Value]:
    """log x of x positive and finite as an unevaluated sum, which is good to some 4 bits more than a float."""
    e, m = split_exponent(b, x)
    f = m - 1.0
    is_float = x.type.element == "float"
    tail = _float_tail(b, f, LONG_LOG1P_TAIL) if is_float else _double_tail(b, f)
    ln2, ln2_low = parts(LN2, x.type.element)
    product, product_low = two_product(b, e, b.constant(x.type, ln2))
    total, lost = fast_two_sum(product, f)
    return fast_two_sum(total, lost + (b.fma(e, ln2_low, product_low) + tail))


def log1p(b: Builder, x: Value) -> Value:
    high, low = two_sum(x, b.constant(x.type, 1.0))
    result = _with_edges(b, x, log_of_sum(b, high, low), pole=-1.0)
    return b.select(b.abs(x) < _negligible(x), x, result)


def asinh(b: Builder, x: Value) -> Value:
    """log(a + sqrt(a^2 + 1)), a = |x|, with the sign of x; a - a^3 / 6 where that is enough."""
    a = b.abs(x)
    is_large = a > _square_absorbs_one(x)
    modest = b.select(is_large, b.constant(x.type, 1.0), a)
    root, root_low = _sqrt_of_square_plus(b, modest, 1.0)
    high, low = two_sum(modest, root)
    high, low = b.select(is_large, a, high), b.select(is_large, 0.0, low + root_low)
    doublings = b.select(is_large, b.constant(x.type, 1.0), 0.0)
    y = log_of_sum(b, high, low, doublings)
    y = b.select(a < INFINITY, y, a)
    cubic = b.fma(a * a * a, -1 / 6, a)
    return b.copysign(b.select(a < _cubic_suffices(x), cubic, y), x)


def acosh(b: Builder, x: Value) -> Value:
    """log(x + sqrt(x^2 - 1))"""
    is_large = x > _square_absorbs_one(x)
    modest = b.select(is_large, b.constant(x.type, 2.0), x)
    root, root_low = _sqrt_of_square_plus(b, modest, -1.0)
    high, low = fast_two_sum(modest, root)
    high, low = b.select(is_large, x, high), b.select(is_large, 0.0, low + root_low)
    doublings = b.select(is_large, b.constant(x.type, 1.0), 0.0)
    y = log_of_sum(b, high, low, doublings)
    y = b.select(x < INFINITY, y, x)
    return b.select(x < 1.0, NAN, y)


def atanh(b: Builder, x: Value) -> Value:
    """log((1 + a) / (1 - a)) / 2, a = |x|, with the sign of x; a + a^3 / 3 where that is enough."""
    a = b.abs(x)
    one = b.constant(x.type, 1.0)
    numerator, numerator_low = fast_two_sum(one, a)
    denominator, denominator_low = fast_two_sum(one, -a)
    high = numerator / denominator
    rest = b.fma(-high, denominator, numerator) + b.fma(-high, denominator_low, numerator_low)
    y = log_of_sum(b, high, rest / denominator) * 0.5
    y = b.select(a < 1.0, y, b.select(a.eq(1.0), INFINITY, b.constant(x.type, NAN)))
    cubic = b.fma(a * a * a, 1 / 3, a)
    return b.copysign(b.select(a < _cubic_suffices(x), cubic, y), x)


def _sqrt_of_square_plus(b: Builder, a: Value, c: float) -> tuple[Value, Value]:
    """sqrt(a^2 + c) as an unevaluated sum."""
    square, square_low = two_product(b, a, a)
    total, total_low = two_sum(square, b.constant(a.type, c))
    root = b.sqrt(total)
    rest = b.fma(-root, root, total) + (total_low + square_low)
    return root, b.select(root > 0.0, rest / (root + root), 0.0)


def _negligible(x: Value) -> float:
    """Below this, log(1 + x) rounds to x."""
    return 2.0 ** -(MANTISSA_BITS[x.type.element] + 2)


def _cubic_suffices(x: Value) -> float:
    return {"float": 2.0**-8, "double": 2.0**-14}[x.type.element]


def _square_absorbs_one(x: Value) -> float:
    return 2.0 ** (MANTISSA_BITS[x.type.element] // 2 + 3)
