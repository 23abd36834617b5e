"""The table of functions that take more than one instruction, for `float` and `double`, scalars and vectors.

Each is accurate to 2.2 units in the last place over the full range (docs/ulp.md has the measured bounds), with NaN, infinities,
subnormals and the sign of zero as C's Annex F has them, and to the same bits on every vector width. Polynomials are minimax, by
Remez exchange at 40 digits; the comment beside the coefficients says of what, where, and how well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.llvm.builder import Value
from tracejit.codegen.llvm.math_arc import acos, asin, atan, atan2
from tracejit.codegen.llvm.math_erf import erf, erfc
from tracejit.codegen.llvm.math_erfinv import erfinv
from tracejit.codegen.llvm.math_exp import cosh, exp, expm1, sinh, tanh
from tracejit.codegen.llvm.math_gamma import lgamma
from tracejit.codegen.llvm.math_log import acosh, asinh, atanh, log, log1p, log2, log10
from tracejit.codegen.llvm.math_polygamma import digamma, trigamma
from tracejit.codegen.llvm.math_power import hypot, pow_
from tracejit.codegen.llvm.math_remainder import floormod, fmod, nextafter
from tracejit.codegen.llvm.math_trig import cos, sin, tan
from tracejit.codegen.llvm.math_zeta import zeta

MATH: Final[dict[Fn, Callable[..., Value]]] = {
    Fn.EXP: exp,
    Fn.EXPM1: expm1,
    Fn.LOG: log,
    Fn.LOG1P: log1p,
    Fn.LOG2: log2,
    Fn.LOG10: log10,
    Fn.POW: pow_,
    Fn.SIN: sin,
    Fn.COS: cos,
    Fn.TAN: tan,
    Fn.ASIN: asin,
    Fn.ACOS: acos,
    Fn.ATAN: atan,
    Fn.ATAN2: atan2,
    Fn.SINH: sinh,
    Fn.COSH: cosh,
    Fn.TANH: tanh,
    Fn.ASINH: asinh,
    Fn.ACOSH: acosh,
    Fn.ATANH: atanh,
    Fn.HYPOT: hypot,
    Fn.ERF: erf,
    Fn.ERFC: erfc,
    Fn.ERFINV: erfinv,
    Fn.LGAMMA: lgamma,
    Fn.DIGAMMA: digamma,
    Fn.TRIGAMMA: trigamma,
    Fn.ZETA: zeta,
    Fn.FMOD: fmod,
    Fn.FLOORMOD: floormod,
    Fn.NEXTAFTER: nextafter,
}
"""`MATH[fn](builder, *values)` writes the function at the builder's place and gives its result. Of floats only."""
