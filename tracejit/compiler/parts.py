"""How the steps of a graph are put together as launches: what is reckoned to take the least time, of several ways."""

from __future__ import annotations

from collections.abc import Container, Sequence

from tracejit._records import dataclass
from tracejit.compiler.again import choices_of, with_again
from tracejit.compiler.chains import DEPTHS, slabbed
from tracejit.compiler.coordinates import with_coordinates_apart
from tracejit.compiler.finished import Finished
from tracejit.compiler.known import Known, Uses
from tracejit.compiler.slabs import Slabs, has_few_tasks, is_large, steps_of
from tracejit.ir.cluster import Owner, Product, Step
from tracejit.ir.graph import Node
from tracejit.passes.homes import nbytes

WORTH_TURNS = 0.875
"""Of the time that other ways take: what sharing each slab among threads costs is not all reckoned."""


@dataclass(frozen=True, slots=True, eq=False)
class _Parted:
    """Steps in launches, each with those that it does."""

    parts: list[Step | Slabs]
    known: Known

    @property
    def nanoseconds(self) -> float:
        return nanoseconds(self.parts, self.known)

    @property
    def in_memory(self) -> set[Node]:
        return {root for part in self.parts for root in _written(part, self.known)}


def nanoseconds(parts: Sequence[Step | Slabs | Finished], known: Known) -> float:
    """What they are reckoned to take, one after another."""
    return sum(_nanoseconds(part, known) for part in parts)


def _nanoseconds(part: Step | Slabs | Finished, known: Known) -> float:
    machine = known.machine
    read = known.read_by(steps_of(part)) - _private(part)
    spent = sum(map(machine.reading, read)) + sum(map(machine.writing, _written(part, known)))
    if isinstance(part, Slabs):
        spent += part.lost * sum(2 * machine.reading(root) for root in part.private)
        spent += part.launches * machine.launch
    return spent + sum(machine.step(step, 0) for step in steps_of(part))


def _written(part: Step | Slabs | Finished, known: Known) -> set[Node]:
    return known.written_by(steps_of(part)) - _private(part)


def _private(part: Step | Slabs | Finished) -> frozenset[Node]:
    """What is not in memory."""
    return part.private if isinstance(part, Slabs | Finished) else frozenset()


@dataclass(frozen=True, slots=True)
class Parting:
    """Of the steps of one graph.

    kept       what is needed after the last step
    replaced   memory that is written over once nobody reads it: nobody else is to read it
    """

    known: Known
    kept: Container[Owner]
    replaced: Container[Node]

    def of(self, steps: Sequence[Step]) -> list[Step | Slabs]:
        """The steps, in an order that gives the same results: those that gain by it in slabs, some of them twice."""
        machine = self.known.machine
        if not any(is_large(root, machine) for step in steps for root in self.known.writes(step)):
            return [*steps]
        if not machine.calls_kernels:
            return self._again(self._with_coordinates(steps, True), True).parts
        usual = self._again(self._with_coordinates(steps, False), False)
        if not self._may_gain_by_turns(steps, usual.in_memory):
            return usual.parts
        turns = self._again(self._with_coordinates(steps, True), True)
        is_worth_it = turns.nanoseconds < WORTH_TURNS * usual.nanoseconds
        return turns.parts if is_worth_it else usual.parts

    def _may_gain_by_turns(self, steps: Sequence[Step], in_memory: set[Node]) -> bool:
        """Whether products over all rows of few matrices read large values."""
        machine = self.known.machine
        large = {root for root in in_memory if nbytes(root) >= machine.least_bytes_in_turn}
        products = [step for step in steps if isinstance(step, Product)] if large else []
        return any(
            walk.share and has_few_tasks((walk,), machine) and not large.isdisjoint(walk.read)
            for product in products
            for depth in DEPTHS
            for walk in self.known.walks(product, depth)
        )

    def _parted(
        self, steps: Sequence[Step], may_turn: bool, again: Container[Step] = ()
    ) -> _Parted:
        uses = Uses(steps, self.known, again)
        return _Parted(slabbed(steps, self.known, uses, self.kept, may_turn), self.known)

    def _with_coordinates(self, steps: Sequence[Step], may_turn: bool) -> _Parted:
        """Those that can be in slabs only as they read the coordinates of their rows do so."""
        apart = with_coordinates_apart(steps)
        while True:
            tried = [each for step in steps for each in apart.get(step, (step,))]
            parted = self._parted(tried, may_turn)
            useless = [step for step, (*_, rest) in apart.items() if rest in parted.parts]
            if not useless:
                return parted
            for step in useless:
                del apart[step]

    def _again(self, parted: _Parted, may_turn: bool) -> _Parted:
        """What some launches leave for others may be made again there."""
        choices = choices_of(parted.parts, self.known, self.kept, self.replaced)
        if not choices:
            return parted
        steps = with_again(parted.parts, choices, self.known)
        again = {step for choice in choices for step in choice.steps}
        return min(parted, self._parted(steps, may_turn, again), key=lambda each: each.nanoseconds)
