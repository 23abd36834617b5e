"""Division of vectors by one scalar without dividing: the same bits at a fraction of the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tracejit._records import dataclass
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.flow import Values, when

_NUMERATORS: Final = {"float": (2.0**-96, 2.0**96), "double": (2.0**-900, 2.0**900)}
_DIVISORS: Final = {"float": (2.0**-24, 2.0**24), "double": (2.0**-100, 2.0**100)}
"""Within these no step of a float's division over- or underflows; zero, infinities and NaN are outside."""

_EXACT: Final = 1 << 51
"""Integers from 0 up to this, and their quotients, are exact as doubles and after adding 2 ** 52."""
_TWO_52: Final = 2.0**52
_TWO_52_BITS: Final = 0x433 << 52


@dataclass(frozen=True, slots=True)
class Divisor:
    """A scalar that vectors are divided by: itself and its reciprocal in every lane, and whether they serve."""

    value: Value
    reciprocal: Value
    serves: Value


def divisor_of(b: Builder, scalar: Value) -> Divisor:
    """Of a float, or of an int64, which is carried as a double."""
    if scalar.type.is_float:
        return Divisor(b.splat(scalar), b.splat(1.0 / scalar), _is_within(b, scalar, _DIVISORS))
    number = b.convert("sitofp", scalar, "double")
    return Divisor(b.splat(number), b.splat(1.0 / number), _is_exact(b, scalar - 1))


def divide(
    b: Builder, fn: Fn, numerators: Values, divisor: Divisor, slowly: Callable[[], Values]
) -> Values:
    """`fn` of each numerator and the divisor; `slowly` where a lane, or the divisor, is out of the ordinary."""
    if fn is Fn.DIV:
        quick = tuple(_quotient(b, numerator, divisor) for numerator in numerators)
        fits = [_is_within(b, numerator, _NUMERATORS) for numerator in numerators]
    else:
        quick = tuple(_floor_division(b, fn, numerator, divisor) for numerator in numerators)
        fits = [_is_exact(b, numerator) for numerator in numerators]
    all_fit = fits[0]
    for fit in fits[1:]:
        all_fit = all_fit & fit
    is_rare = b.any(~all_fit) | ~divisor.serves
    return when(b, is_rare, quick, slowly, unlikely=True)


def _quotient(b: Builder, numerator: Value, divisor: Divisor) -> Value:
    """The quotient rounded once.

    P. Markstein, "Computation of elementary functions on the IBM RISC System/6000 processor", 1990: from the correctly rounded
    reciprocal and a quotient within one unit in the last place, a fused step gives the correctly rounded quotient.
    """
    quotient = numerator * divisor.reciprocal
    for _ in range(2):
        rest = b.fma(-quotient, divisor.value, numerator)
        quotient = b.fma(rest, divisor.reciprocal, quotient)
    return quotient


def _floor_division(b: Builder, fn: Fn, numerator: Value, divisor: Divisor) -> Value:
    """By doubles, where all are exact but the first quotient: that is off by one at most."""
    number = b.from_bits(numerator | _TWO_52_BITS) - _TWO_52
    quotient = (number * divisor.reciprocal + _TWO_52) - _TWO_52
    rest = number - quotient * divisor.value
    is_above = rest < 0.0
    if fn is Fn.FLOORMOD:
        wanted = b.select(is_above, rest + divisor.value, rest)
    else:
        wanted = b.select(is_above, quotient - 1.0, quotient)
    return b.bits(wanted + _TWO_52) ^ _TWO_52_BITS


def _is_within(b: Builder, x: Value, ranges: dict[str, tuple[float, float]]) -> Value:
    least, most = ranges[x.type.element]
    magnitude = b.abs(x)
    return (magnitude >= least) & (magnitude <= most)


def _is_exact(b: Builder, x: Value) -> Value:
    return b.compare("ult", x, b.constant(x.type, _EXACT))
