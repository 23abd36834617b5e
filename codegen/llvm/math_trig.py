"""sin, cos and tan: a Cody and Waite reduction by multiples of pi, and that of `math_far` beyond its reach."""

from __future__ import annotations

from typing import Final

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.cold import computed_by_lane_where
from tracejit.codegen.llvm.math_core import (
    INFINITY,
    NAN,
    PI,
    Digits,
    at_least,
    at_most,
    fast_two_sum,
    horner,
    nearest,
    parts,
    times,
    two_product,
    two_sum,
)
from tracejit.codegen.llvm.math_far import (
    Rest,
    rest_of_half_turns,
    rest_of_quarter_turns,
    with_sign,
)

SIN_TAIL: Final = {
    # (sin r / r - 1) / z, z = r^2 on [0, (pi / 2)^2]
    "float": (
        -0.1666665952109099442, 0.00833306542912295664, -0.0001980953903163121,
        0.00000260563141671388,
    ),
    "double": (
        -0.1666666666666666622, 0.00833333333333324545, -0.0001984126984122388,
        0.00000275573192132332, -0.0000000250521070381, 0.00000000016058947031,
        -7.6431623567536506173e-13, 2.72280800355503738447e-15,
    ),
}  # fmt: skip

TAN_EIGHTH_TAIL: Final = {
    # (tan h / h - 1) / z, z = h^2 on [0, (pi / 8)^2], relative error of tan h 2^-28.9, 2^-58.7
    "float": (
        0.33333292285917343513, 0.1333589908464122726, 0.053473430638667635463,
        0.025565430959411196852,
    ),
    "double": (
        0.33333333333333503498, 0.13333333333289181346, 0.053968254007654409625,
        0.021869486815246500061, 0.0088632779496446542425, 0.0035914988002934894788,
        0.0014615492991059595414, 0.00055912637312368993339, 0.00032872168607505239201,
    ),
}  # fmt: skip

REACH: Final = {"float": 1e5, "double": 1e9}
"""Up to here n and the parts of pi leave no error that matters in x - n pi."""


def sin(b: Builder, x: Value) -> Value:
    inverse_pi = 1 / PI[0]
    n, integer = nearest(b, x, inverse_pi)
    y = _sin_of_half_turn(b, _subtract_multiple(b, x, n, PI), integer)
    # The reduction loses the sign of zero.
    y = b.select(b.abs(x) < 2.0**-30, x, y)
    return computed_by_lane_where(b, b.abs(x) > REACH[x.type.element], "far.sin", y, _far_sin, x)


def cos(b: Builder, x: Value) -> Value:
    """cos x = -sin(x - (k + 1/2) pi) for even k"""
    k, integer = nearest(b, x, 1 / PI[0], shift=-0.5)
    r = _subtract_multiple(b, x, k + 0.5, PI)
    y = _sin_of_half_turn(b, r, integer + 1)
    return computed_by_lane_where(b, b.abs(x) > REACH[x.type.element], "far.cos", y, _far_cos, x)


def tan(b: Builder, x: Value) -> Value:
    """2 t / (1 - t^2) in even quarter turns, -(1 - t^2) / (2 t) in odd ones; t is the tangent of half of what is left of x."""
    n, integer = nearest(b, x, 2 / PI[0])
    t = _tan_of_eighth(b, *_subtract_eighths(b, x * 0.5, n))
    y = _tan_of_quarters(b, t, (integer & 1).ne(0))
    y = b.select(b.abs(x) < 2.0**-30, x, y)
    return computed_by_lane_where(b, b.abs(x) > REACH[x.type.element], "far.tan", y, _far_tan, x)


def _tan_of_quarters(b: Builder, t: Value, is_odd: Value) -> Value:
    """The tangent of an angle and some quarter turns; t is that of half of the angle."""
    twice, rest_of_one = t + t, b.fma(-t, t, 1.0)
    lost = b.fma(-t, t, 1.0 - rest_of_one)
    numerator, divisor = b.select(is_odd, -rest_of_one, twice), b.select(is_odd, twice, rest_of_one)
    inverse = 1.0 / divisor
    y = numerator * inverse
    # What the quotient lacks: what roundings lost of the numerator, less y times what they lost of the divisor.
    lacks = b.fma(b.select(is_odd, 1.0, y), -lost, b.fma(-y, divisor, numerator))
    return b.fma(lacks, inverse, y)


def _tan_of_eighth(b: Builder, h: Value, low: Value) -> Value:
    """tan(h + low), |h| <= pi / 8"""
    z = h * h
    return b.fma(h * z, horner(b, z, TAN_EIGHTH_TAIL[h.type.element]), low) + h


def _subtract_eighths(b: Builder, x: Value, n: Value) -> tuple[Value, Value]:
    """x - n pi / 4 as an unevaluated sum."""
    first, second, third = parts(times(PI, 0.25), x.type.element, 3)
    product, product_low = two_product(b, n, b.constant(x.type, second))
    r, lost = two_sum(b.fma(n, -first, x), -product)  # the fma is exact
    return fast_two_sum(r, b.fma(n, -third, lost - product_low))


def _subtract_multiple(b: Builder, x: Value, n: Value, unit: Digits) -> Value:
    """x - n * unit"""
    for part in parts(unit, x.type.element, 3):
        x = b.fma(n, -part, x)
    return x


def _sin_of_half_turn(b: Builder, r: Value, half_turns: Value) -> Value:
    """sin(r + half_turns * pi), |r| <= pi / 2"""
    z = r * r
    first, *others = SIN_TAIL[r.type.element]
    # The first coefficient gives 8 times what the rest gives, whose rounding hardly counts.
    tail = b.fma(z, first, z * z * horner(b, z, others))
    y = b.fma(tail, r, r)
    y = at_least(b, at_most(b, y, 1.0), -1.0)
    sign = half_turns << (r.type.bits - 1)
    return b.from_bits(b.bits(y) ^ sign)


# Beyond the reach: of scalars, which are above it or infinite


def _far_sin(b: Builder, x: Value) -> Value:
    rest = rest_of_half_turns(b, _as_double(b, x))
    y = _sin_of_half_turn(b, _angle(b, rest, x.type.element), _as_wide(b, rest.is_odd, x))
    return _unless_infinite(b, x, b.from_bits(b.bits(y) ^ _sign_of(b, x)))


def _far_cos(b: Builder, x: Value) -> Value:
    rest = rest_of_half_turns(b, _as_double(b, x), shift=True)
    y = _sin_of_half_turn(b, _angle(b, rest, x.type.element), _as_wide(b, rest.is_odd, x) + 1)
    return _unless_infinite(b, x, y)


def _far_tan(b: Builder, x: Value) -> Value:
    rest = rest_of_quarter_turns(b, _as_double(b, x))
    high, low = (with_sign(b, part, rest.sign) * 0.5 for part in rest.angle)
    element = x.type.element
    half = b.convert("fptrunc", high, element) if element == "float" else high
    if element == "float":
        low = b.convert("fptrunc", (high - _as_double(b, half)) + low, element)
    y = _tan_of_quarters(b, _tan_of_eighth(b, half, low), rest.is_odd.ne(0))
    return _unless_infinite(b, x, b.from_bits(b.bits(y) ^ _sign_of(b, x)))


def _angle(b: Builder, rest: Rest, element: str) -> Value:
    high, low = rest.angle
    angle = with_sign(b, high + low, rest.sign)
    return b.convert("fptrunc", angle, element) if element == "float" else angle


def _as_double(b: Builder, x: Value) -> Value:
    return b.convert("fpext", x, "double") if x.type.element == "float" else x


def _as_wide(b: Builder, integer: Value, x: Value) -> Value:
    """An integer of as many bits as x has."""
    return b.convert("trunc", integer, "i32") if x.type.element == "float" else integer


def _sign_of(b: Builder, x: Value) -> Value:
    return b.bits(x) & (-1 << (x.type.bits - 1))


def _unless_infinite(b: Builder, x: Value, y: Value) -> Value:
    return b.select(b.abs(x).eq(INFINITY), NAN, y)
