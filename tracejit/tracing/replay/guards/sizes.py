"""The guard of open sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tracejit._records import dataclass
from tracejit.ir.dim import ATOMS, Dim
from tracejit.tracing.replay.code import Writer
from tracejit.tracing.replay.guards.guard import Guard


@dataclass(frozen=True, slots=True, eq=False)
class SizeIs(Guard):
    """What the call has asked of an open size has the same answer: whether it is 0 ("eq"), or less ("lt").

    slots   of the variables, in their order
    """

    size: Dim
    relation: str
    outcome: bool
    slots: list[int]

    def conditions(self, writer: Writer) -> Iterator[str]:
        slots = iter(self.slots)
        names: list[str] = []
        for made in self.size.sizes.made:
            if made is None:
                names.append(f"E[{next(slots)}]")
            else:
                by, a, b = made
                names.append(f"({_text(a, names)} {ATOMS[by]} {_text(b, names)})")
        yield f"{_text(self.size, names)} {self.sign} 0"

    @property
    def sign(self) -> str:
        if self.relation == "eq":
            return "==" if self.outcome else "!="
        return "<" if self.outcome else ">="

    def __str__(self) -> str:
        """`argument x.shape[0] != 1`"""
        rest = self.size - dict(self.size.terms).get((), 0)
        positive = rest if any(by > 0 for _, by in rest.terms) else -rest
        sign = self.sign if positive is rest else _TURNED[self.sign]
        least = self.size - rest
        labels = list(map(str, self.size.sizes.labels))
        return f"{positive.text(labels)} {sign} {-least if positive is rest else least}"

    def now(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        sizes = self.size.sizes
        used = self.size.atoms
        labels = [sizes.labels[atom] for atom in sizes.variables if atom in used]
        try:
            return ", ".join(f"{label} is {label.follow(args, kwargs)}" for label in labels)
        except Exception:  # nothing stands there any more
            return "missing"


_TURNED = {"==": "==", "!=": "!=", "<": ">", ">=": "<="}


def _text(value: Any, names: list[str]) -> str:
    if type(value) is not Dim:
        return str(value)
    parts = [
        "*".join(
            [*([] if by == 1 and monomial else [str(by)]), *(names[atom] for atom in monomial)]
        )
        for monomial, by in value.terms
    ]
    return f"({' + '.join(parts)})"
