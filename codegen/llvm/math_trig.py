"""sin, cos and tan: a Cody and Waite reduction by multiples of pi, and libm beyond its reach."""

from __future__ import annotations

from typing import Final

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.cold import libm_where
from tracejit.codegen.llvm.math_core import (
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

SIN_QUARTER_TAIL: Final = {
    # the same on [0, (pi / 4)^2], relative error of sin r 2^-28, 2^-58
    "float": (-0.16666654936508090905, 0.0083321762582484106117, -0.00019516946565068609108),
    "double": (
        -0.16666666666666632488, 0.0083333333333224723491, -0.00019841269829826789084,
        2.7557313691858884463e-6, -2.5050757342206829514e-8, 1.5896716481359844034e-10,
    ),
}  # fmt: skip

COS_QUARTER_TAIL: Final = {
    # (cos r - 1 + z / 2) / z^2, z = r^2 on [0, (pi / 4)^2], error of cos r 2^-33, 2^-64
    "float": (0.041666647044425272978, -0.0013887373536587687312, 0.000024438926866912028104),
    "double": (
        0.041666666666666612602, -0.0013888888888876011361, 0.00002480158729049452086,
        -2.755731460932123212e-7, 2.0875754478469843396e-9, -1.1361109027758493592e-11,
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
    return libm_where(b, b.abs(x) > REACH[x.type.element], "sin", y, x)


def cos(b: Builder, x: Value) -> Value:
    """cos x = -sin(x - (k + 1/2) pi) for even k"""
    k, integer = nearest(b, x, 1 / PI[0], shift=-0.5)
    r = _subtract_multiple(b, x, k + 0.5, PI)
    y = _sin_of_half_turn(b, r, integer + 1)
    return libm_where(b, b.abs(x) > REACH[x.type.element], "cos", y, x)


def tan(b: Builder, x: Value) -> Value:
    """sin r / cos r in even quarter turns, -cos r / sin r in odd ones."""
    n, integer = nearest(b, x, 2 / PI[0])
    sine, cosine = _sin_cos_of_quarter(b, *_subtract_quarters(b, x, n))
    is_odd = (integer & 1).ne(0)
    y = b.select(is_odd, -cosine, sine) / b.select(is_odd, sine, cosine)
    y = b.select(b.abs(x) < 2.0**-30, x, y)
    return libm_where(b, b.abs(x) > REACH[x.type.element], "tan", y, x)


def _sin_cos_of_quarter(b: Builder, r: Value, low: Value) -> tuple[Value, Value]:
    """sin and cos of r + low, |r| <= pi / 4, each within 0.8 ulp, so that their quotient is good."""
    element = r.type.element
    z = r * r
    sine = b.fma(r * z, horner(b, z, SIN_QUARTER_TAIL[element]), low) + r
    head = b.fma(z, -0.5, 1.0)
    lost = b.fma(r, -low, b.fma(z, -0.5, 1.0 - head))
    cosine = head + b.fma(z * z, horner(b, z, COS_QUARTER_TAIL[element]), lost)
    return sine, cosine


def _subtract_quarters(b: Builder, x: Value, n: Value) -> tuple[Value, Value]:
    """x - n pi / 2 as an unevaluated sum."""
    first, second, third = parts(times(PI, 0.5), x.type.element, 3)
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
