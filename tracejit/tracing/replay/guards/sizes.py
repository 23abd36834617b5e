"""The guard of open sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tracejit.ir.dim import ATOMS, Dim, Sizes
from tracejit.tracing.replay.code import Writer
from tracejit.tracing.replay.guards.guard import Guard


@dataclass(frozen=True, slots=True, eq=False)
class SizesFit(Guard):
    """What the call has asked of open sizes has the same answers for those of now; both grow while the call is recorded.

    slots   of the variables, in their order
    """

    sizes: Sizes
    slots: list[int]

    def conditions(self, writer: Writer) -> Iterator[str]:
        slots = iter(self.slots)
        names: list[str] = []
        for made in self.sizes.made:
            if made is None:
                names.append(f"E[{next(slots)}]")
            else:
                by, a, b = made
                names.append(
                    writer.variable(f"({_text(a, names)}) {ATOMS[by]} ({_text(b, names)})")
                )
        for (size, relation), outcome in self.sizes.facts.items():
            sign = ("==" if outcome else "!=") if relation == "eq" else ("<" if outcome else ">=")
            yield f"{_text(size, names)} {sign} 0"

    def __str__(self) -> str:
        facts = [
            f"{size.name} {('==' if outcome else '!=') if relation == 'eq' else ('<' if outcome else '>=')} 0"
            for (size, relation), outcome in self.sizes.facts.items()
        ]
        values = ", ".join(f"n{at} was {self.sizes.values[at]}" for at in self.sizes.variables)
        return f"any sizes ({values}) for which {' and '.join(facts) or 'all is well'}"


def _text(value: Any, names: list[str]) -> str:
    if type(value) is not Dim:
        return str(value)
    return " + ".join(
        "*".join([str(by), *(names[atom] for atom in monomial)]) for monomial, by in value.terms
    )
