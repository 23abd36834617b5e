"""The derivatives of log gamma: digamma and trigamma, in the pieces that math_gamma.py has."""

from __future__ import annotations

from typing import Final

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.cold import computed_where
from tracejit.codegen.llvm.math_core import (
    INFINITY,
    NAN,
    at_least,
    fast_two_sum,
    horner,
    parts,
    two_sum,
)
from tracejit.codegen.llvm.math_gamma import Shifted, product_with_polynomial, shift
from tracejit.codegen.llvm.math_log import log_as_sum

DIGAMMA_CENTRE: Final = {
    "float": (0.78530753743831483,),
    "double": (0.7853075386041053, -2.399827574774463e-17),
}
DIGAMMA_TAIL: Final = {
    # (digamma(2 + s) / (ROOT_FROM_TWO + s) - DIGAMMA_CENTRE) / s on [-0.7, 0.3], relative error 2^-28, 2^-59
    "float": (
        -0.26073890959781817234, 0.1090001981775975936, -0.049554327077521957957,
        0.023433487272575594583, -0.011284927677200259919, 5.7992485913190866161e-3,
        -2.8396550425822636476e-3, -4.0022118809009947931e-5, -2.3846651872009540313e-3,
    ),
    "double": (
        -0.26073895468300142533, 0.10899991701762766241, -0.04955103291766123593,
        0.023447309597705706578, -0.011338432554388933825, 5.5522541651506321004e-3,
        -2.7395728475369858486e-3, 1.3581425440622115204e-3, -6.7531367078382521265e-4,
        3.3642415838396071488e-4, -1.6782421654477925849e-4, 8.386896498608301528e-5,
        -4.1611516897938568452e-5, 2.0581332023838678782e-5, -1.2369045529916865337e-5,
        3.5796504668837990941e-6, 1.5252833096733686428e-6, 1.2544503396640765682e-5,
        1.0200124831915699211e-5, 4.5873556700155601347e-6,
    ),
}  # fmt: skip

DIGAMMA_SERIES: Final = {
    # (log x - 1 / (2 x) - digamma(x)) / z, z = 1 / x^2, x from 2.3 on, relative error of digamma 2^-29.6, 2^-60
    "float": (
        0.083332970105628176373, -8.3162116126878891751e-3, 3.6929130724112360273e-3,
        -2.1587820089527969891e-3,
    ),
    "double": (
        0.083333333333328818218, -8.3333333310321717512e-3, 3.9682535379903623738e-3,
        -4.1666244980001091192e-3, 7.5732175644182950794e-3, -0.020989582407101046785,
        0.080315843076948315524, -0.37637114346500895864, 1.8693913586094692885,
        -8.6077088429117139399, 33.13135847537095754, -98.126091438616522652,
        205.27316766942966025, -267.03993786851373693, 161.46205813778071285,
    ),
}  # fmt: skip

TRIGAMMA_CENTRE: Final = {
    "float": (0.64493406982493545,),
    "double": (0.6449340668482264, 2.7952974237338734e-17),
}
TRIGAMMA_TAIL: Final = {
    # (trigamma(2 + s) - TRIGAMMA_CENTRE) / s on [-0.7, 0.3], relative error 2^-27.7, 2^-57.7
    "float": (
        -0.4041137911722603249, 0.2469688371595506717, -0.14771292869523289917,
        0.086753500223091044621, -0.050004181928766126292, 0.028028436003004690241,
        -0.017700019525042231008, 0.010265345785722869368, 4.1501987886459196307e-3,
        0.012257056236566430073,
    ),
    "double": (
        -0.40411380631918862301, 0.24696970113341741895, -0.14771102057345811955,
        0.086715309921722639386, -0.050095664294543893561, 0.02854149342070705996,
        -0.016067142406524072412, 8.9511751013214992457e-3, -4.941893330195428786e-3,
        2.7069643366946288433e-3, -1.472415811339465856e-3, 7.9628257288666186267e-4,
        -4.2971712043638264826e-4, 2.2637466358874551946e-4, -1.1650716396741647331e-4,
        8.9923468543411237424e-5, -1.805858236704668004e-5, -3.883120095472139746e-5,
        -1.4432102935292132363e-4, -1.1616853675832426626e-4, -4.7198576610787940507e-5,
    ),
}  # fmt: skip

TRIGAMMA_SERIES: Final = {
    # x (trigamma(x) - 1 / x - z / 2) / z, z = 1 / x^2, x from 2.3 on, relative error of trigamma 2^-30, 2^-59
    "float": (
        0.16666642150023117867, -0.033312753771998420885, 0.02323552461386272284,
        -0.025843783741722253618, 0.022253598961816174423,
    ),
    "double": (
        0.16666666666666326491, -0.033333333330721223876, 0.023809523103083574745,
        -0.033333235458307980528, 0.075749356083844793813, -0.25265187155999152791,
        1.1481232293563074472, -6.5310669082465979052, 41.558155878328498968,
        -262.37412227202452348, 1.4889247988824489992e+3, -7.0663922991133719934e+3,
        2.6517479398663558378e+4, -7.4504234419256371678e+4, 1.4607022588525203397e+5,
        -1.7733868703878808918e+5, 1.0005124578715334433e+5,
    ),
}  # fmt: skip

COTANGENT_TAIL: Final = {
    # (1 / r - pi cot(pi r)) / r, z = r^2 on [0, 1/4], absolute error times r 2^-62
    "double": (
        3.2898681336964526245, 2.1646464674223905091, 2.0346861239504828014, 2.0081547139045671266,
        2.0019890764955452334, 2.000494527986108519, 2.0000706013597051036, 2.0008483364933784286,
        1.990589455803688009, 2.0801847332722558423, 1.4943521730031955306, 4.3428113160680542346,
        -5.8061439492031415046, 19.919625314603647073, -23.991978108044164417,
        21.243005642225672409,
    ),
}  # fmt: skip

COSECANT_TAIL: Final = {
    # (pi / sin(pi r))^2 - 1 / z, z = r^2 on [0, 1/4], relative error of the square 2^-61
    "double": (
        3.2898681336964534049, 6.4939394022665432026, 10.173430619898318583, 14.057082981634260955,
        18.017902644862207863, 22.005403007569727952, 26.001873463908387567, 29.995250196572408114,
        34.071201822399311035, 37.275535802257710082, 47.552122743874170014, 14.068636949785276946,
        186.31284293126462709, -367.74808717156615237, 961.87809567705483484,
        -1.1646503179038047049e+3, 910.60292443955346884,
    ),
}  # fmt: skip

ROOT_FROM_TWO: Final = (0.5383678550316376, 1.5522348162858677e-17)
"""2 less the positive zero of digamma."""

INVERSE_SUFFICES: Final = {"float": 2.0**-30, "double": 2.0**-60}
"""Below this digamma(x) is -1 / x."""

SQUARE_OVERFLOWS: Final = {"float": 2.0**-66, "double": 2.0**-520}
"""Up to here 1 / x^2 is infinite."""


def digamma(b: Builder, x: Value) -> Value:
    is_negative = x < 0.0
    y = _digamma_of_positive(b, b.select(is_negative, 1.0 - x, x))
    return computed_where(b, is_negative, "reflected.digamma", y, _digamma_reflected, x)


def _inverse(b: Builder, x: Value, low: Value | float) -> tuple[Value, Value]:
    """1 / (x + low) as an unevaluated sum."""
    inverse = 1.0 / x
    rest = b.fma(-inverse, x, 1.0) - inverse * low
    return inverse, rest * inverse


def _digamma_of_positive(b: Builder, x: Value) -> Value:
    at = shift(b, x)
    inverse, low = _inverse(b, at.divisor, at.low)
    small = _digamma_about_two(b, x, at, inverse, low)
    y = b.select(at.is_small, small, _digamma_by_series(b, x, inverse, low))
    # The divisor has lost the sign of zero.
    return b.select(x < INVERSE_SUFFICES[x.type.element], b.copysign(inverse, -x), y)


def _digamma_about_two(b: Builder, x: Value, at: Shifted, inverse: Value, low: Value) -> Value:
    """digamma(t), less 1 / x for t = x + 1, and 1 / x + 1 / (x + 1) = (1 + 2 x) / (x (x + 1)) for t = x + 2."""
    element = x.type.element
    root, root_low = parts(ROOT_FROM_TWO, element)
    w, w_low = two_sum(at.s, b.constant(x.type, root))
    product, product_low = product_with_polynomial(
        b, w, w_low + root_low, at.s, DIGAMMA_CENTRE[element], DIGAMMA_TAIL[element]
    )
    twice = b.select(at.by_two, x + x, 0.0)
    step = b.select(at.stays, 0.0, b.fma(twice, inverse, inverse))
    step_low = b.select(at.stays, 0.0, b.fma(twice, low, low))
    total, lost = two_sum(product, -step)
    return total + (lost + (product_low - step_low))


def _digamma_by_series(b: Builder, x: Value, inverse: Value, low: Value) -> Value:
    """log x - 1 / (2 x) - P(1 / x^2) / x^2"""
    log, log_low = log_as_sum(b, x)
    total, lost = fast_two_sum(log, inverse * -0.5)
    z = inverse * inverse
    rest = b.fma(-z, horner(b, z, DIGAMMA_SERIES[x.type.element]), b.fma(low, -0.5, log_low))
    return b.select(x < INFINITY, total + (lost + rest), x)


def _digamma_reflected(b: Builder, of_positive: Value, x: Value) -> Value:
    """digamma(1 - x) - pi cot(pi x), NaN at the poles; floats in double, as the two cancel at the zeros."""
    if x.type.element == "float":
        return b.convert("fptrunc", digamma(b, b.convert("fpext", x, "double")), "float")
    r = x - b.intrinsic("roundeven", x)
    inverse, low = _inverse(b, r, 0.0)
    total, lost = two_sum(of_positive, -inverse)
    rest = b.fma(r, horner(b, r * r, COTANGENT_TAIL["double"]), lost - low)
    y = b.select(b.abs(r) < INVERSE_SUFFICES["double"], -inverse, total + rest)
    return b.select(r.eq(0.0), NAN, y)


def trigamma(b: Builder, x: Value) -> Value:
    is_negative = x < 0.0
    y = _trigamma_of_positive(b, b.select(is_negative, 1.0 - x, x))
    return computed_where(b, is_negative, "reflected.trigamma", y, _trigamma_reflected, x)


def _trigamma_of_positive(b: Builder, x: Value) -> Value:
    at = shift(b, at_least(b, x, SQUARE_OVERFLOWS[x.type.element]))
    inverse, low = _inverse(b, at.divisor, at.low)
    small = _trigamma_about_two(b, at, inverse, low)
    return b.select(at.is_small, small, _trigamma_by_series(b, x, inverse, low))


def _trigamma_about_two(b: Builder, at: Shifted, inverse: Value, low: Value) -> Value:
    """trigamma(t), and 1 / x^2 for t = x + 1, and with d = x (x + 1) 1 / x^2 + 1 / (x + 1)^2 = 1 / d^2 + 2 / d for x + 2."""
    element = inverse.type.element
    high, centre_low = parts(TRIGAMMA_CENTRE[element], element)
    rest = horner(b, at.s, (centre_low, *TRIGAMMA_TAIL[element]))
    step = b.select(at.stays, 0.0, inverse)
    step_low = b.select(at.stays, 0.0, low)
    doubled = b.select(at.by_two, step + step, 0.0)
    of_t = doubled + (high + b.fma(step + step, step_low, rest))
    return b.fma(step, step, of_t)


def _trigamma_by_series(b: Builder, x: Value, inverse: Value, low: Value) -> Value:
    """1 / x + 1 / (2 x^2) + P(1 / x^2) / x^3"""
    z = inverse * inverse
    series = b.fma(inverse, horner(b, z, TRIGAMMA_SERIES[x.type.element]), 0.5)
    return b.select(x < INFINITY, inverse + b.fma(z, series, low), inverse)


def _trigamma_reflected(b: Builder, of_positive: Value, x: Value) -> Value:
    """(pi / sin(pi x))^2 - trigamma(1 - x), infinite at the poles."""
    if x.type.element == "float":
        return b.convert("fptrunc", trigamma(b, b.convert("fpext", x, "double")), "float")
    r = b.abs(x - b.intrinsic("roundeven", x))
    inverse, low = _inverse(b, at_least(b, r, SQUARE_OVERFLOWS["double"]), 0.0)
    rest = horner(b, r * r, COSECANT_TAIL["double"]) - of_positive
    return b.fma(inverse, inverse, b.fma(inverse + inverse, low, rest))
