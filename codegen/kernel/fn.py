"""The closed set of scalar functions. Every back end has a table with a row for each, and a test says so."""

from __future__ import annotations

from enum import Enum


class Fn(Enum):
    """A pure function of scalars. The value is (name, number of arguments).

    Unless said otherwise all arguments have one dtype, which is the result's. Floating-point functions follow IEEE 754 and
    C's Annex F; integers wrap.
    """

    # arithmetic
    ADD = ("add", 2)
    SUB = ("sub", 2)
    MUL = ("mul", 2)
    DIV = ("div", 2)  # floating point only
    FMA = ("fma", 3)  # a * b + c rounded once; made by fastmath and by math expansions alone
    NEG = ("neg", 1)
    ABS = ("abs", 1)
    FLOORDIV = ("floordiv", 2)  # integers: rounds to minus infinity; x // 0 is 0
    FLOORMOD = ("floormod", 2)  # the sign of the divisor, as Python's; integers: x % 0 is 0
    FMOD = ("fmod", 2)  # floating point: C's fmod
    MIN = ("min", 2)  # NaN if either is NaN, as np.minimum
    MAX = ("max", 2)
    # rounding and bits of floats
    FLOOR = ("floor", 1)
    CEIL = ("ceil", 1)
    TRUNC = ("trunc", 1)
    ROUND = ("round", 1)  # half to even
    SQRT = ("sqrt", 1)
    COPYSIGN = ("copysign", 2)
    NEXTAFTER = ("nextafter", 2)
    SIGNBIT = ("signbit", 1)  # -> bool
    # exponentials and logarithms
    EXP = ("exp", 1)
    EXPM1 = ("expm1", 1)
    LOG = ("log", 1)
    LOG1P = ("log1p", 1)
    LOG2 = ("log2", 1)
    LOG10 = ("log10", 1)
    POW = ("pow", 2)  # integers wrap; a negative exponent gives 0 unless |x| == 1
    # trigonometry
    SIN = ("sin", 1)
    COS = ("cos", 1)
    TAN = ("tan", 1)
    ASIN = ("asin", 1)
    ACOS = ("acos", 1)
    ATAN = ("atan", 1)
    ATAN2 = ("atan2", 2)
    SINH = ("sinh", 1)
    COSH = ("cosh", 1)
    TANH = ("tanh", 1)
    ASINH = ("asinh", 1)
    ACOSH = ("acosh", 1)
    ATANH = ("atanh", 1)
    HYPOT = ("hypot", 2)
    ERF = ("erf", 1)
    ERFC = ("erfc", 1)  # 1 - erf, accurate where that cancels
    ERFINV = ("erfinv", 1)
    LGAMMA = ("lgamma", 1)  # log |gamma(x)|; infinite at the poles, 0 and the negative integers
    DIGAMMA = (
        "digamma",
        1,
    )  # (log gamma)'; NaN at the negative poles, infinite at zeros against their sign
    TRIGAMMA = ("trigamma", 1)  # (log gamma)''; infinite at the poles
    # (s, x, scale, low) -> 2^(scale + low) sum of (x + k)^-s over k >= 0; s is 2 or more, an integer where x < 0
    ZETA = ("zeta", 4)
    # comparison -> bool; false where either is NaN, but NE, which is true
    EQ = ("eq", 2)
    NE = ("ne", 2)
    LT = ("lt", 2)
    LE = ("le", 2)
    # bits: integers, and bool for AND, OR, XOR, NOT
    AND = ("and_", 2)
    OR = ("or_", 2)
    XOR = ("xor", 2)
    NOT = ("not_", 1)
    SHL = ("shl", 2)  # a shift by the width or more gives 0 (SHR of a negative number: -1)
    SHR = ("shr", 2)  # arithmetic for signed integers
    # the rest
    SELECT = ("select", 3)  # (bool, x, y) -> x or y
    CAST = ("cast", 1)  # as NumPy's astype; floats to integers saturate, NaN gives 0

    @property
    def arity(self) -> int:
        return self.value[1]

    @property
    def method(self) -> str:
        """The name of the scalar builder's method."""
        return self.value[0]


COMPARISONS = frozenset({Fn.EQ, Fn.NE, Fn.LT, Fn.LE, Fn.SIGNBIT})
"""Those whose result is bool."""
