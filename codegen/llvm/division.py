"""Division of vectors by one scalar without dividing: the same bits as a division, at a fraction of its time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.flow import Values, when

_NUMERATORS: Final = {"float": (2.0**-96, 2.0**96), "double": (2.0**-900, 2.0**900)}
_DIVISORS: Final = {"float": (2.0**-24, 2.0**24), "double": (2.0**-100, 2.0**100)}
"""Within these no step below over- or underflows; zero, infinities and NaN are outside."""


@dataclass(frozen=True, slots=True)
class Divisor:
    """A scalar that vectors are divided by: itself and its reciprocal in every lane, and whether it is neither huge nor tiny."""

    value: Value
    reciprocal: Value
    is_moderate: Value

    @staticmethod
    def of(b: Builder, scalar: Value) -> Divisor:
        reciprocal = 1.0 / scalar
        return Divisor(b.splat(scalar), b.splat(reciprocal), _is_within(b, scalar, _DIVISORS))


def quotients(b: Builder, numerators: Values, divisor: Divisor) -> Values:
    """Each numerator divided by the divisor and rounded once.

    P. Markstein, "Computation of elementary functions on the IBM RISC System/6000 processor", 1990: with the correctly rounded
    reciprocal and a quotient within one unit in the last place, one more fused step gives the correctly rounded quotient.
    """
    near = tuple(_by_reciprocal(b, numerator, divisor) for numerator in numerators)
    moderate = _is_within(b, numerators[0], _NUMERATORS)
    for numerator in numerators[1:]:
        moderate = moderate & _is_within(b, numerator, _NUMERATORS)
    is_rare = b.any(~moderate) | ~divisor.is_moderate
    return when(
        b,
        is_rare,
        near,
        lambda: tuple(numerator / divisor.value for numerator in numerators),
        unlikely=True,
    )


def _by_reciprocal(b: Builder, numerator: Value, divisor: Divisor) -> Value:
    quotient = numerator * divisor.reciprocal
    for _ in range(2):
        rest = b.fma(-quotient, divisor.value, numerator)
        quotient = b.fma(rest, divisor.reciprocal, quotient)
    return quotient


def _is_within(b: Builder, x: Value, ranges: dict[str, tuple[float, float]]) -> Value:
    least, most = ranges[x.type.element]
    magnitude = b.abs(x)
    return (magnitude >= least) & (magnitude <= most)
