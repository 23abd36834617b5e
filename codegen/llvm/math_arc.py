"""The inverse trigonometric functions."""

from __future__ import annotations

from typing import Final

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.math_core import INFINITY, PI, horner, parts, times

ASIN_TAIL: Final = {
    # (asin r / r - 1) / z, z = r^2 on [0, 1/4], relative error of asin r 2^-27.5, 2^-59.7
    "float": (
        0.1666675079433848877, 0.074953380034251924386, 0.045467170365924016022,
        0.024189545256178834636, 0.042156231823690995685,
    ),
    "double": (
        0.16666666666666739634, 0.074999999999749796911, 0.044642857171443121033,
        0.030381942833878128953, 0.022372211958824888227, 0.017351659294668874911,
        0.013980321010100285316, 0.011402553158173089165, 0.010761921521116442233,
        0.003769019547048544941, 0.021568968519867887053, -0.020820172005120450276,
        0.032526161132358709826,
    ),
}  # fmt: skip

ATAN_TAIL: Final = {
    # (atan t / t - 1) / z, z = t^2 on [0, tan(pi / 8)^2], relative error of atan t 2^-30, 2^-59
    "float": (
        -0.3333331629974785008, 0.19998524190411451243, -0.14244347126527091681,
        0.10598885724600528898, -0.060892581348335361618,
    ),
    "double": (
        -0.33333333333333231144, 0.19999999999961039665, -0.14285714280810095149,
        0.11111110809499727486, -0.090908984089921041491, 0.076920704604192020655,
        -0.066632082967513246626, 0.058485744501877932655, -0.050421127935605504099,
        0.038129819387015434154, -0.017972872983253686366,
    ),
}  # fmt: skip

TAN_EIGHTH: Final = 0.41421356237309503  # tan(pi / 8)
COT_EIGHTH: Final = 2.414213562373095


def asin(b: Builder, x: Value) -> Value:
    """pi / 2 - 2 asin(sqrt((1 - |x|) / 2)) from 1/2 on, with the sign of x."""
    a = b.abs(x)
    is_large = a >= 0.5
    root, root_low, tail = _asin_reduced(b, a, is_large)
    half_pi, half_pi_low = parts(times(PI, 0.5), x.type.element)
    # 2 root is subtracted first: it is nearly exact, and everything else is small.
    rest = half_pi_low - (root_low + tail) * 2.0
    large = (half_pi - root * 2.0) + rest
    return b.copysign(b.select(is_large, large, root + tail), x)


def acos(b: Builder, x: Value) -> Value:
    """2 asin(sqrt((1 - x) / 2)) from 1/2 on, pi / 2 - asin x about 0, pi - acos(-x) below -1/2."""
    a = b.abs(x)
    is_large, is_negative = a >= 0.5, x < 0.0
    root, root_low, tail = _asin_reduced(b, a, is_large)
    pi, pi_low = parts(PI, x.type.element)
    positive = (root + (root_low + tail)) * 2.0
    negative = (pi - root * 2.0) + (pi_low - (root_low + tail) * 2.0)
    signed_root, signed_tail = b.copysign(root, x), b.copysign(tail, x)
    middle = (pi / 2 - signed_root) + (pi_low / 2 - signed_tail)
    return b.select(is_large, b.select(is_negative, negative, positive), middle)


def _asin_reduced(b: Builder, a: Value, is_large: Value) -> tuple[Value, Value, Value]:
    """(r, low, tail): asin(r + low) = r + low + tail, r + low = sqrt((1 - a) / 2) where `is_large`, else a."""
    z = b.select(is_large, (1.0 - a) * 0.5, a * a)
    root = b.select(is_large, b.sqrt(z), a)
    rest = b.fma(-root, root, z)
    low = b.select(is_large & (root > 0.0), rest / (root + root), 0.0)
    return root, low, root * z * horner(b, z, ASIN_TAIL[a.type.element])


def atan(b: Builder, x: Value) -> Value:
    return b.copysign(_first_quadrant(b, b.abs(x), b.constant(x.type, 1.0))[0], x)


def atan2(b: Builder, y: Value, x: Value) -> Value:
    a, c = b.abs(y), b.abs(x)
    both_infinite = a.eq(INFINITY) & c.eq(INFINITY)
    a, c = b.select(both_infinite, 1.0, a), b.select(both_infinite, 1.0, c)
    # Sums of the two must not overflow.
    is_huge = (a > HUGE[x.type.element]) | (c > HUGE[x.type.element])
    a, c = b.select(is_huge, a * 0.25, a), b.select(is_huge, c * 0.25, c)
    both_zero = a.eq(0.0) & c.eq(0.0)
    angle, low = _first_quadrant(b, a, b.select(both_zero, 1.0, c))
    pi, pi_low = parts(PI, x.type.element)
    is_left = b.bits(x) < 0
    turned = (pi - angle) + (pi_low - low)
    return b.copysign(b.select(is_left, turned, angle), y)


HUGE: Final = {"float": 2.0**125, "double": 2.0**1021}


def _first_quadrant(b: Builder, a: Value, c: Value) -> tuple[Value, Value]:
    """atan(a / c), a and c not negative, and what the rounding of its last sum lost."""
    element = a.type.element
    is_steep, is_middle = a > c * COT_EIGHTH, a > c * TAN_EIGHTH
    is_middle = is_middle & ~is_steep
    numerator = b.select(is_steep, -c, b.select(is_middle, a - c, a))
    denominator = b.select(is_steep, a, b.select(is_middle, a + c, c))
    t = numerator / denominator
    (half_pi, half_pi_low), (quarter_pi, quarter_pi_low) = (
        parts(times(PI, factor), element) for factor in (0.5, 0.25)
    )
    base = b.select(is_steep, half_pi, b.select(is_middle, b.constant(t.type, quarter_pi), 0.0))
    base_low = b.select(
        is_steep, half_pi_low, b.select(is_middle, b.constant(t.type, quarter_pi_low), 0.0)
    )
    z = t * t
    tail = b.fma(t * z, horner(b, z, ATAN_TAIL[element]), base_low)
    high = base + t
    low = (t - (high - base)) + tail
    angle = high + low
    return angle, low - (angle - high)
