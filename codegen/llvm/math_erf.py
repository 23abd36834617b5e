"""The error function."""

from __future__ import annotations

from typing import Final

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.cold import libm
from tracejit.codegen.llvm.math_core import at_most, horner
from tracejit.codegen.llvm.math_exp import exp

ERF_TAIL: Final = (
    # float: erf x / x - 1, z = x^2 on [0, 1]
    0.12837916591443395481, -0.3761262713833716829, 0.11283600182412246483,
    -0.0268544444947214174, 0.00518953485529888296, -0.0008020835784624746,
    0.00007889099349376089,
)  # fmt: skip

LOG_ERFC: Final = (
    # float: -log(erfc a) on [0.98, 4]
    0.00017321023659396437, 1.12802916933529815369, 0.63598268478605465364,
    0.10576689424320821031, -0.0237303755738958123, 0.00372633040997900099,
    -0.0003580671769199211, 0.00001565809247167485,
)  # fmt: skip


def erf(b: Builder, x: Value) -> Value:
    """float: x + x P(x^2) below 1, then 1 - e^-Q(|x|); double: libm's, lane by lane."""
    if x.type.element == "double":
        return libm(b, "erf", x)
    a = b.abs(x)
    small = b.fma(x, horner(b, x * x, ERF_TAIL), x)
    large = 1.0 - exp(b, -horner(b, at_most(b, a, 4.0), LOG_ERFC))
    return b.copysign(b.select(a < 1.0, small, large), x)
