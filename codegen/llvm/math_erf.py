"""The error function."""

from __future__ import annotations

from typing import Final

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.math_core import at_most, horner
from tracejit.codegen.llvm.math_exp import exp_of_moderate

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
