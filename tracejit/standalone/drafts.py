"""Bodies of a call before all of them are known: what of their programs is needed, others say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

import numpy as np

from tracejit._records import dataclass
from tracejit.ir.graph import Graph
from tracejit.standalone import records as r


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """`r.Run`, whose program has no number yet; `outside` are slots of memory from outside that it writes."""

    graph: Graph
    inputs: tuple[tuple[int, int], ...]
    scalars: tuple[r.Operand, ...]
    outputs: tuple[int, ...]
    outside: frozenset[int]


@dataclass(frozen=True, slots=True, eq=False)
class Fresh:
    """`r.Constant`, which has no name yet."""

    slot: int
    content: np.ndarray


Step = Program | Fresh | r.Compute | r.Require | r.Element | r.Check
RISKY = r.Compute | r.Require | r.Check
"""What may fail."""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """`r.Decide`."""

    slot: int
    true: Draft
    false: Draft
    where: str


@dataclass(slots=True, eq=False)
class Rounds:
    """`r.Loop`: `carried` are (slot, whose content it has in the first round)."""

    carried: tuple[tuple[int, int], ...]
    body: Draft | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """`r.Again`: the next round of these, with the content of other slots."""

    rounds: Rounds
    carried: tuple[int, ...]


End = r.Finish | r.Raise | Choice | Rounds | Round


@dataclass(slots=True, eq=False)
class Draft:
    steps: list[Step]
    end: End

    @property
    def inside(self) -> list[Draft]:
        match self.end:
            case Choice(true=true, false=false):
                return [true, false]
            case Rounds(body=body):
                return [] if body is None else [body]
            case r.Finish() | r.Raise() | Round():
                return []
            case _:
                assert_never(self.end)

    def below(self) -> Iterator[Draft]:
        """It, and all within."""
        yield self
        for each in self.inside:
            yield from each.below()

    @property
    def rounds(self) -> set[Rounds]:
        """Those that may go on from here with another round."""
        return {each.end.rounds for each in self.below() if isinstance(each.end, Round)}
