"""Remainders of division, which are exact, and the next float."""

from __future__ import annotations

from typing import Final

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.cold import libm_where
from tracejit.codegen.llvm.math_core import INFINITY, NAN

EXACT_QUOTIENT: Final = {"float": 2.0**22, "double": 2.0**51}
"""Below this a quotient is off by one at most, and one fma gives the remainder exactly."""


def fmod(b: Builder, x: Value, y: Value) -> Value:
    """x - trunc(x / y) y, with the sign of x."""
    quotient = x / y
    whole = b.intrinsic("trunc", quotient)
    rest = b.fma(-whole, y, x)
    # The division may have rounded up to the next integer.
    overshot = (rest < 0.0) ^ (x < 0.0)
    step = b.copysign(y, x)
    rest = b.select(overshot & rest.ne(0.0), rest + step, rest)
    rest = b.copysign(rest, x)
    is_long = (b.abs(quotient) >= EXACT_QUOTIENT[x.type.element]) & y.ne(0.0)
    return libm_where(b, is_long | b.abs(y).eq(INFINITY), "fmod", rest, x, y)


def floormod(b: Builder, x: Value, y: Value) -> Value:
    """`fmod` moved to the sign of y: Python's and NumPy's."""
    rest = fmod(b, x, y)
    differs = (rest < 0.0) ^ (y < 0.0)
    moved = b.select(differs, rest + y, rest)
    return b.select(rest.eq(0.0), b.copysign(rest, y), moved)


def nextafter(b: Builder, x: Value, y: Value) -> Value:
    """The neighbour of x on the way to y."""
    bits = b.bits(x)
    away = b.select((y > x) ^ (bits < 0), b.constant(bits.type, 1), -1)
    from_zero = b.copysign(b.from_bits(b.constant(bits.type, 1)), y)
    stepped = b.select(x.eq(0.0), from_zero, b.from_bits(bits + away))
    moved = b.select(x.eq(y), y, stepped)
    return b.select(b.compare("uno", x, y), NAN, moved)
