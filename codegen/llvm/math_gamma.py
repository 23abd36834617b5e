"""The gamma function's logarithm.

The positive numbers are in four pieces. From 2.3 on, Stirling's series; about 2, polynomials; below 1.3, the recurrence to there.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.cold import computed_where
from tracejit.codegen.llvm.math_core import (
    INFINITY,
    Digits,
    fast_two_sum,
    horner,
    parts,
    two_product,
    two_sum,
)
from tracejit.codegen.llvm.math_log import log_as_sum

LGAMMA_CENTRE: Final = {
    "float": (0.42278433391555885,),
    "double": (0.42278433509846713, 5.154597242513047e-18),
}
LGAMMA_TAIL: Final = {
    # (log gamma(2 + s) / (s + s^2) - LGAMMA_CENTRE) / s on [-0.7, 0.3], relative error 2^-27.7, 2^-59.7
    "float": (
        -0.10031733030226115684, 0.032965218848272356449, -0.012382237713419745412,
        4.9941568423642867815e-3, -2.1460469011876548211e-3, 9.1048844932458303169e-4,
        -1.853651481648453309e-4, 5.107109507057649025e-4,
    ),
    "double": (
        -0.10031730167435390421, 0.032965000621155629738, -0.012384192193376761395,
        4.9986411647220814629e-3, -2.108130833419602298e-3, 9.153769214705980354e-4,
        -4.05707421151053528e-4, 1.8255262828555950914e-4, -8.3094601622018425989e-5,
        3.816988871860146803e-5, -1.7667210688013871731e-5, 8.2027855195081445937e-6,
        -3.8327930728417879463e-6, 1.9574687678950005694e-6, -6.8079250728578368815e-7,
        1.1522258881710482074e-7, -1.1594603402169261453e-6, -9.3251415325349892825e-7,
        -4.781593560619632798e-7,
    ),
}  # fmt: skip

LGAMMA_SERIES: Final = {
    # x (log gamma(x) - (x - 1/2) log x + x - log(2 pi) / 2), z = 1 / x^2, x from 2.3 on, relative error of
    # log gamma 2^-31, 2^-60
    "float": (
        0.083333265213841667753, -2.7750311874032913222e-3, 7.5454660270199837578e-4,
        -3.400652349294610472e-4,
    ),
    "double": (
        0.0833333333333316522, -2.777777777108168473e-3, 7.9365069375604783486e-4,
        -5.952301865735537853e-4, 8.4136310813209868806e-4, -1.9046457282599827633e-3,
        6.1015471516298572338e-3, -0.023926460729152621641, 0.097349657247431054136,
        -0.35499770658420464006, 1.0343534749369038665, -2.1697779038419155052,
        2.856971380994156141, -1.7558963890624321288,
    ),
}  # fmt: skip

SINE_TAIL: Final = {
    # (sin(pi r) / (pi r) - 1) / z, z = r^2 on [0, 1/4], relative error of the sine 2^-61
    "double": (
        -1.6449340668482263282, 0.81174242528334010589, -0.19075182412150155899,
        0.026147847805465833554, -2.3460808938206726153e-3, 1.484278306750854503e-4,
        -6.972067894478896768e-6, 2.4499364206621147455e-7,
    ),
}  # fmt: skip

HALF_LOG_2_PI_LESS_HALF: Final = (0.4189385332046727, 1.6728209650585413e-17)


class Shifted(NamedTuple):
    """A positive x below 2.3 and t = 2 + s = x, x + 1 or x + 2, which is in [1.3, 2.3].

    gamma(t) = gamma(x) (divisor + low), where the divisor is x or x (x + 1); from 1.3 on it is x as well, for what follows.
    """

    s: Value
    divisor: Value
    low: Value
    by_two: Value  # t = x + 2
    stays: Value  # t = x
    is_small: Value  # x < 2.3


def shift(b: Builder, x: Value) -> Shifted:
    by_two, moves, is_small = x < 0.3, x < 1.3, x < 2.3
    product = b.fma(x, x, x)
    s = b.select(by_two, x, x - b.select(moves, b.constant(x.type, 1.0), 2.0))
    low = b.select(by_two, b.fma(x, x, x - product), 0.0)
    return Shifted(s, b.select(by_two, product, x), low, by_two, is_small & ~moves, is_small)


def lgamma(b: Builder, x: Value) -> Value:
    """log |gamma(x)|: of negative numbers by the reflection, log |sin(pi x) / pi| taken from that of -x or 1 - x."""
    a = b.abs(x)
    is_negative = x < 0.0
    y = _of_positive(b, b.select(is_negative & (a < 1.0), a + 1.0, a))
    y = b.select(x.eq(0.0), INFINITY, y)
    return computed_where(b, is_negative, "reflected.lgamma", y, _reflected, x)


def _of_positive(b: Builder, x: Value) -> Value:
    at = shift(b, x)
    log, log_low = log_as_sum(b, b.select(at.stays, 1.0, at.divisor))
    return b.select(at.is_small, _about_two(b, at.s, log, log_low), _stirling(b, x, log, log_low))


def _about_two(b: Builder, s: Value, log: Value, log_low: Value) -> Value:
    """log gamma(2 + s) - log; the zeros at 1 and 2 are those of w = s + s^2."""
    after_one, after_one_low = fast_two_sum(b.constant(s.type, 1.0), s)
    w, w_low = two_product(b, s, after_one)
    w_low = b.fma(s, after_one_low, w_low)
    product, product_low = product_with_polynomial(
        b, w, w_low, s, LGAMMA_CENTRE[s.type.element], LGAMMA_TAIL[s.type.element]
    )
    total, lost = two_sum(product, -log)
    return total + (lost + (product_low - log_low))


def product_with_polynomial(
    b: Builder, w: Value, w_low: Value, s: Value, centre: Digits, tail: Digits
) -> tuple[Value, Value]:
    """(w + w_low) (centre + s tail(s)) as an unevaluated sum; the tail's part is the smaller one."""
    high, low = parts(centre, s.type.element)
    rest = horner(b, s, (low, *tail))
    product, product_low = two_product(b, w, b.constant(s.type, high))
    return product, b.fma(w_low, rest + high, b.fma(w, rest, product_low))


def _stirling(b: Builder, x: Value, log: Value, log_low: Value) -> Value:
    """(x - 1/2) (log x - 1) + (log(2 pi) - 1) / 2 + P(1 / x^2) / x"""
    element = x.type.element
    factor, factor_low = fast_two_sum(log, b.constant(x.type, -1.0))
    half_less = x - 0.5
    product, product_low = two_product(b, half_less, factor)
    product_low = b.fma(half_less, factor_low + log_low, product_low)
    constant, constant_low = parts(HALF_LOG_2_PI_LESS_HALF, element)
    total, lost = two_sum(product, b.constant(x.type, constant))
    inverse = 1.0 / x
    series = horner(b, inverse * inverse, LGAMMA_SERIES[element])
    y = total + (lost + b.fma(inverse, series, product_low + constant_low))
    return b.select(product < INFINITY, y, product)


def _reflected(b: Builder, of_positive: Value, x: Value) -> Value:
    """-log(|sin(pi x) / pi|) - log gamma(1 - x), or the same with x in both; infinite at the poles.

    Near the zeros that cancels; floats are computed in double, whose zeros are nowhere near a float.
    """
    if x.type.element == "float":
        return b.convert("fptrunc", lgamma(b, b.convert("fpext", x, "double")), "float")
    a = b.abs(x)
    r = b.abs(a - b.intrinsic("roundeven", a))
    z = r * r
    sine, sine_low = fast_two_sum(r, r * z * horner(b, z, SINE_TAIL["double"]))
    factor = b.select(a < 1.0, 1.0, a)
    product, product_low = two_product(b, sine, factor)
    log, log_low = log_as_sum(b, product)
    log_low = log_low + b.fma(sine_low, factor, product_low) / product
    total, lost = two_sum(log, of_positive)
    return b.select(r > 0.0, -(total + (lost + log_low)), INFINITY)
