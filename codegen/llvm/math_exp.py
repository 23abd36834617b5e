"""exp, expm1 and the hyperbolic functions."""

from __future__ import annotations

from typing import Final, NamedTuple

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.math_core import (
    LN2,
    LOG2_E,
    at_least,
    at_most,
    horner,
    nearest,
    parts,
    power_of_two,
    times_power_of_two,
)

EXPM1_TAIL: Final = {
    # (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2, relative error of e^r - 1 2^-28.5, 2^-60
    "float": (
        0.50000000461894319, 0.166666668122256753, 0.0416663552351417985,
        0.00833327418734396893, 0.0013940978871595904, 0.000199135607465296443,
    ),
    "double": (
        0.49999999999999999985, 0.16666666666666676637, 0.04166666666666670191,
        0.00833333333332157880, 0.00138888888888666227, 0.00019841269886265798,
        0.00002480158736092783, 0.00000275572440617386, 0.00000027557242465605,
        0.00000002510909065813, 0.00000000209245299281,
    ),
}  # fmt: skip

SINH_TAIL: Final = {
    # (sinh a / a - 1) / z, z = a^2 on [0, 1]; relative error of sinh a 2^-34, 2^-63
    "float": (
        0.16666666488337577024, 0.0083333506481829021992, 0.00019836053902403619687,
        2.8175210296472271663e-6,
    ),
    "double": (
        0.16666666666666667424, 0.0083333333333331389316, 0.00019841269841437998259,
        2.7557319155149407331e-6, 2.5052123438620924617e-8, 1.6057236596345255643e-10,
        7.7594412806679486466e-13,
    ),
}  # fmt: skip

OVERFLOW: Final = {"float": 88.8, "double": 709.9}
"""From a little below on, e^x is infinite."""

UNDERFLOW: Final = {"float": -110.0, "double": -760.0}
"""From well above on, e^x is less than half the smallest subnormal."""


class Reduced(NamedTuple):
    """x = n ln 2 + r, |r| <= ln 2 / 2; `integer` is n."""

    n: Value
    integer: Value
    r: Value


def reduce(b: Builder, x: Value) -> Reduced:
    (log2_e, _), (high, low) = parts(LOG2_E, x.type.element), parts(LN2, x.type.element)
    n, integer = nearest(b, x, log2_e)
    r = b.fma(n, -low, b.fma(n, -high, x))
    return Reduced(n, integer, r)


def expm1_reduced(b: Builder, r: Value) -> Value:
    """e^r - 1"""
    return b.fma(r * r, horner(b, r, EXPM1_TAIL[r.type.element]), r)


def exp(b: Builder, x: Value) -> Value:
    return exp_times_power_of_two(b, x, 0)


def exp_of_moderate(b: Builder, x: Value) -> Value:
    """e^x where it and x are far from the ends of their range: the bits of `exp`."""
    _, integer, r = reduce(b, x)
    tail = horner(b, r, EXPM1_TAIL[x.type.element])
    return b.fma(b.fma(tail, r, 1.0), r, 1.0) * power_of_two(b, integer)


def exp_times_power_of_two(b: Builder, x: Value, power: int) -> Value:
    """e^x * 2^power, finite where that is."""
    element = x.type.element
    bounded = at_least(b, at_most(b, x, OVERFLOW[element] - power), UNDERFLOW[element])
    n, integer, r = reduce(b, bounded)
    tail = horner(b, r, EXPM1_TAIL[element])
    e_r = b.fma(b.fma(tail, r, 1.0), r, 1.0)
    if power:
        n, integer = n + float(power), integer + power
    return times_power_of_two(b, e_r, n, integer)


def expm1(b: Builder, x: Value) -> Value:
    """2^n (e^r - 1) + (2^n - 1), at half scale: 2^128 would be infinite before the result is."""
    element = x.type.element
    precision = {"float": 24, "double": 53}[element]
    clamped = at_least(b, at_most(b, x, OVERFLOW[element]), -0.75 * precision)
    _, integer, r = reduce(b, clamped)
    half_scale = power_of_two(b, integer - 1)
    half = b.fma(half_scale, expm1_reduced(b, r), half_scale - 0.5)
    # Halving would round a subnormal, and lose the sign of zero.
    return b.select(b.abs(x) < 2.0**-precision, x, half + half)


def tanh(b: Builder, x: Value) -> Value:
    """(1 - w) / (1 + w) with w = e^(-2|x|), and the sign of x; each side is rounded once from e^r - 1."""
    saturated = {"float": 10.0, "double": 20.0}[x.type.element]
    a = at_most(b, b.abs(x), saturated)
    _, integer, r = reduce(b, a * -2.0)
    expm1_r, scale = expm1_reduced(b, r), power_of_two(b, integer)
    less, more = scale - 1.0, scale + 1.0
    numerator, divisor = b.fma(scale, expm1_r, less), b.fma(scale, expm1_r, more)
    if x.type.element == "float":  # within 1.95 ULP
        return b.copysign(numerator / divisor, x)
    inverse = 1.0 / divisor
    y = numerator * inverse
    # What the quotient lacks: what rounding lost of the numerator, less y times what it lost of the divisor.
    lost = b.fma(-y, b.fma(scale, expm1_r, more - divisor), b.fma(scale, expm1_r, less - numerator))
    return b.copysign(b.fma(b.fma(-y, divisor, numerator) + lost, inverse, y), x)


def sinh(b: Builder, x: Value) -> Value:
    """A polynomial below 1, then h - 1 / (4 h) with h = e^|x| / 2."""
    a = b.abs(x)
    z = x * x
    small = b.fma(x * z, horner(b, z, SINH_TAIL[x.type.element]), x)
    half = exp_times_power_of_two(b, a, -1)
    large = b.copysign(half - 0.25 / half, x)
    return b.select(a < 1.0, b.copysign(small, x), large)


def cosh(b: Builder, x: Value) -> Value:
    """h + 1 / (4 h) with h = e^|x| / 2."""
    half = exp_times_power_of_two(b, b.abs(x), -1)
    return half + 0.25 / half
