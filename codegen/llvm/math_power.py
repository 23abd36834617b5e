"""pow and hypot."""

from __future__ import annotations

from typing import Final

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.math_core import (
    INFINITY,
    LN2,
    NAN,
    at_least,
    at_most,
    fast_two_sum,
    horner,
    nearest,
    parts,
    power_of_two,
    times_power_of_two,
    two_product,
    two_sum,
)
from tracejit.codegen.llvm.math_exp import EXPM1_TAIL
from tracejit.codegen.llvm.math_log import split_exponent

LOG2_SERIES: Final = (
    # log2((1 + q) / (1 - q)) / q, z = q^2 on [0, 0.0295], error 2^-40
    2.88539008177784915916, 0.96179669411491312630, 0.57707794189708032537,
    0.41220930077220697369, 0.31990366648923107818, 0.28292980970444032397,
)  # fmt: skip

LOG2_TAIL: Final = (
    # (log2((1 + q) / (1 - q)) / q - 2 / ln 2 - 2 z / (3 ln 2)) / z^2, error of log2 2^-73
    0.57707801635558512583, 0.41219858311132621239, 0.32059889791675195137,
    0.26230819824075151784, 0.22195229518221109403, 0.1924004777702288894,
    0.16846683781520303746, 0.17270221195268792501,
)  # fmt: skip

TWO_BY_LN2: Final = (2.8853900817779268, 4.0710547481862066e-17)
TWO_BY_3_LN2: Final = (0.9617966939259756, 5.0577616648125907e-17)

EXP2_SERIES: Final = (
    # 2^r on [-1/2, 1/2], relative error 2^-30
    1.00000000055362796255, 0.69314720573615725291, 0.24022646892018991999,
    0.05550328781110164930, 0.00961848890214580331, 0.00133999299494629625,
    0.00015345816682317198,
)  # fmt: skip


def pow_(b: Builder, x: Value, y: Value) -> Value:
    """2^(y log2 |x|): in double for float, with log2 an unevaluated sum for double."""
    magnitude = b.abs(x)
    power = _float_power if x.type.element == "float" else _double_power
    return _with_sign_and_edges(b, x, y, power(b, magnitude, y))


def _float_power(b: Builder, x: Value, y: Value) -> Value:
    """x^y, in double to 2^-28; a subnormal or infinite result comes of the rounding to float."""
    e, m = split_exponent(b, x)
    e, f, y = (b.convert("fpext", value, "double") for value in (_at_ends(b, x, e), m - 1.0, y))
    q = f / (f + 2.0)
    log2 = b.fma(q, horner(b, q * q, LOG2_SERIES), e)
    exponent = at_least(b, at_most(b, y * log2, 200.0), -200.0)
    n, integer = nearest(b, exponent)
    power = horner(b, exponent - n, EXP2_SERIES) * power_of_two(b, integer)
    return b.convert("fptrunc", power, "float")


def _double_power(b: Builder, x: Value, y: Value) -> Value:
    """x^y, the exponent carried to 2^-66 of itself."""
    log2, log2_low = double_log2(b, x)
    exponent = y * log2
    lost = b.fma(y, log2, -exponent) + y * log2_low
    # Beyond this the result is 0 or infinite; what was lost may be NaN there.
    low = b.select(b.abs(exponent) < 1100.0, lost, 0.0)
    bounded = at_least(b, at_most(b, exponent, 1100.0), -1100.0)
    n, integer = nearest(b, bounded)
    r, low = fast_two_sum(bounded - n, low)
    return times_power_of_two(b, 1.0 + exp2_less_one(b, r, low), n, integer)


def exp2_less_one(b: Builder, r: Value, low: Value) -> Value:
    """2^(r + low) - 1, |r| <= 1/2"""
    ln2, ln2_low = parts(LN2, "double")
    s, s_low = two_product(b, r, b.constant(r.type, ln2))
    s_low = s_low + b.fma(low, ln2, r * ln2_low)
    return s + b.fma(s * s, horner(b, s, EXPM1_TAIL["double"]), s_low)


def double_log2(b: Builder, x: Value) -> tuple[Value, Value]:
    """log2 x as an unevaluated sum: e + q (2 / ln 2 + z (2 / (3 ln 2) + z P(z))), q = f / (2 + f), z = q^2."""
    e, m = split_exponent(b, x)
    q, q_low = _quotient(b, m - 1.0)
    z, z_low = two_product(b, q, q)
    z_low = z_low + q * (q_low + q_low)
    third, third_low = _sum_with(b, TWO_BY_3_LN2, z * horner(b, z, LOG2_TAIL))
    inner, inner_low = _product(b, z, z_low, third, third_low)
    factor, factor_low = _sum_with(b, TWO_BY_LN2, inner)
    log2_m, log2_m_low = _product(b, q, q_low, factor, factor_low + inner_low)
    high, low = two_sum(e, log2_m)
    low = low + log2_m_low
    return _at_ends(b, x, high), b.select((x > 0.0) & (x < INFINITY), low, 0.0)


def _quotient(b: Builder, f: Value) -> tuple[Value, Value]:
    """f / (2 + f) as an unevaluated sum."""
    divisor, divisor_low = fast_two_sum(b.constant(f.type, 2.0), f)
    q = f / divisor
    rest = b.fma(-q, divisor, f) - q * divisor_low
    return q, rest / divisor


def _sum_with(b: Builder, constant: tuple[float, float], x: Value) -> tuple[Value, Value]:
    """A constant in two parts, plus the smaller x."""
    high, low = fast_two_sum(b.constant(x.type, constant[0]), x)
    return high, low + constant[1]


def _product(b: Builder, a: Value, a_low: Value, c: Value, c_low: Value) -> tuple[Value, Value]:
    """The product of two unevaluated sums."""
    high, low = two_product(b, a, c)
    return high, low + b.fma(a, c_low, a_low * c)


def _at_ends(b: Builder, x: Value, log2: Value) -> Value:
    """Minus infinity of 0; infinity and NaN as they are."""
    return b.select(x.eq(0.0), -INFINITY, b.select(x < INFINITY, log2, x))


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
