"""The error function and its complement."""

from __future__ import annotations

from typing import Final

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.math_core import (
    Digits,
    at_most,
    fast_two_sum,
    horner,
    parts,
    times_power_of_two,
    two_product,
    two_sum,
)
from tracejit.codegen.llvm.math_exp import exp_of_moderate, expm1_reduced, reduce

ERF_TAIL: Final = {
    # erf x / x - 1, z = x^2 on [0, 1]
    "float": (
        0.12837916591443395481, -0.3761262713833716829, 0.11283600182412246483,
        -0.0268544444947214174, 0.00518953485529888296, -0.0008020835784624746,
        0.00007889099349376089,
    ),
    "double": (
        0.12837916709551257377, -0.3761263890318374817, 0.11283791670954884457,
        -0.0268661706450778713, 0.00522397762482839499, -0.0008548326981423788,
        0.00012055331132903608, -0.0000149255957711729, 0.00000164610084647511,
        -0.0000001635039610864, 0.00000001466032806433, -0.0000000011374953447,
        0.00000000005960681677,
    ),
}  # fmt: skip

LOG_ERFC: Final = {
    # -log(erfc(t + centre)) up to a + centre = 4 and 6, minimax for the error of erfc, 2^-59 in double
    "float": (
        0.00017321023659396437, 1.12802916933529815369, 0.63598268478605465364,
        0.10576689424320821031, -0.0237303755738958123, 0.00372633040997900099,
        -0.0003580671769199211, 0.00001565809247167485,
    ),
    "double": (
        5.3649412646166374866, 4.4181608059944180378, 0.92375084182380461161,
        0.016465118136839340017, -0.0035707563461873466885, 0.00073239938597913673335,
        -0.00013530933434899428002, 0.000020706431700684862302, -1.9521953236951990477e-6,
        -2.0364092491881789049e-7, 1.7320769705017962897e-7, -5.7799025366643626909e-8,
        1.3947984077842318134e-8, -2.5376649184939174053e-9, 2.7553918595952020611e-10,
        4.2333007185266224307e-11, -3.7542366781686774615e-11, 1.0288853085512670513e-11,
        -1.0679126960122197668e-12,
    ),
}  # fmt: skip

ERFCX_MIDDLE: Final = 4.0
ERFCX_CENTRE: Final[dict[str, Digits]] = {
    "float": (1.2329951189198535551,),
    "double": (1.2329951186255526, -4.515819575268542e-17),
}
ERFCX_TAIL: Final = {
    # ((1 + 2 a) e^(a^2) erfc a - ERFCX_CENTRE) / t, t = (a - 4) / (a + 4), a from 0 on to where erfc vanishes, relative error
    # of erfc 2^-30.3, 2^-59.5
    "float": (
        -0.13962113233715194716, 0.015379600200924912854, 0.068097878105869554195,
        -0.10103705509275833061, 0.093721655783320687421, -0.066360621611541579478,
        0.037212389007379154501, -0.01601476436103158271, 0.0050784744857223018033,
        -0.0011059845340076039065, -0.00063297079809605907237,
    ),
    "double": (
        -0.13962111684056253531, 0.015379652102619622373, 0.068097054254695323487,
        -0.10103906603629773427, 0.093732834998256298906, -0.06633036581235987671,
        0.037167515538976978172, -0.016197734056210096333, 0.0050319699648878164573,
        -0.00075777329923025814575, -0.00019925662553469536801, 0.000150621723431828532,
        -0.000024399442232014033701, -0.000011222182923400949617, 5.7101968157960370675e-6,
        2.941616926342256831e-7, -8.2596656588130925836e-7, 7.4105417286653044854e-8,
        1.1033300400446087189e-7, -1.746967986932084513e-8, -1.4070593171969922383e-8,
        1.6772701850994527509e-9, 1.1981349129424012296e-9,
    ),
}  # fmt: skip

ERFC_VANISHES: Final = {"float": 10.5, "double": 28.0}
"""From well below on, erfc(x) is less than half the smallest subnormal."""

CENTRE: Final = {"float": 0.0, "double": 2.0}
ONE_FROM: Final = {"float": 4.0, "double": 6.0}


def erf(b: Builder, x: Value) -> Value:
    """x + x P(x^2) below 1, then 1 - e^-Q(|x|)."""
    element = x.type.element
    a = b.abs(x)
    small = b.fma(x, horner(b, x * x, ERF_TAIL[element]), x)
    t = at_most(b, a, ONE_FROM[element])
    if CENTRE[element]:
        t = t - CENTRE[element]
    large = 1.0 - exp_of_moderate(b, -horner(b, t, LOG_ERFC[element]))
    return b.copysign(b.select(a < 1.0, small, large), x)


def erfc(b: Builder, x: Value) -> Value:
    """1 - x - x P(x^2) about 0; then e^(-a^2) (centre + t Q(t)) / (1 + 2 a) with a = |x|, and 2 less that of negative numbers.

    A rounding of a^2 would be hundreds of units of the result far out: what it loses comes along.
    """
    element = x.type.element
    one = b.constant(x.type, 1.0)
    less, lost = fast_two_sum(one, -x)
    about_zero = less + b.fma(-x, horner(b, x * x, ERF_TAIL[element]), lost)
    a = at_most(b, b.abs(x), ERFC_VANISHES[element])
    t = (a - ERFCX_MIDDLE) / (a + ERFCX_MIDDLE)
    high, low = parts(ERFCX_CENTRE[element], element)
    rest = b.fma(t, horner(b, t, ERFCX_TAIL[element]), low)
    factor, factor_low = fast_two_sum(b.constant(x.type, high), rest)
    square, square_low = two_product(b, a, a)
    n, integer, r = reduce(b, -square)
    power, power_low = fast_two_sum(one, expm1_reduced(b, r - square_low))
    product, product_low = two_product(b, power, factor)
    product_low = product_low + b.fma(power, factor_low, power_low * factor)
    divisor, divisor_low = two_sum(a + a, one)
    inverse = 1.0 / divisor
    y = product * inverse
    rest = b.fma(-y, divisor, product) + b.fma(-y, divisor_low, product_low)
    y = times_power_of_two(b, b.fma(rest, inverse, y), n, integer)
    return b.select(a < 0.75, about_zero, b.select(x < 0.0, 2.0 - y, y))
