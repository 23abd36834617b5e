"""Large values that one launch over slabs leaves for a later one, computed anew there: attention that is trained keeps no scores.

A value that the later launch computes slab by slab is in memory in neither of them. It is the same steps again, what they make
going to the same places, so results are the same bits whether or not they end up in slabs. It takes arithmetic, products
included, in place of bytes; which values are kept is chosen by what both are reckoned to cost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence, Set
from itertools import chain, combinations
from math import prod

from tracejit._records import dataclass
from tracejit.compiler.known import Known
from tracejit.compiler.members import only
from tracejit.compiler.slabs import Slabs, steps_of
from tracejit.ir.cluster import Fused, Owner, Product, Step
from tracejit.ir.graph import Node
from tracejit.passes.homes import nbytes
from tracejit.passes.layouts import row_major

MOST_LEFT = 4
"""Values of one launch of which any may be kept; of more, all or none."""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Steps that make some values of a launch again, and what that saves: nanoseconds."""

    part: Slabs
    steps: tuple[Fused | Product, ...]
    makes: frozenset[Node]
    saves: float


class _Launch:
    """A launch over slabs, as far as values that it leaves are concerned."""

    def __init__(
        self, part: Slabs, known: Known, kept: Container[Owner], shared: Set[Node]
    ) -> None:
        self.part, self.known, self.kept = part, known, kept
        self.made = {root for walk in part.walks if not walk.share for root in walk.written}
        self.stored = {root for walk in part.walks for root in _stored(walk.step)} - shared

    def left(self, read_later: Container[Node]) -> list[Node]:
        """The large values that somebody else reads later, and that slabs could make."""
        made = self.made & self.stored - self.part.private
        return sorted(
            (
                root
                for root in made
                if nbytes(root) >= self.known.machine.least_bytes
                and root in read_later
                and root not in self.kept
            ),
            key=self.known.layouts.position.__getitem__,
        )

    def choice(self, left: Sequence[Node]) -> Choice | None:
        """What had best be computed anew of these values; None if nothing."""
        counts = range(1, len(left) + 1) if len(left) <= MOST_LEFT else (len(left),)
        every = chain.from_iterable(combinations(left, count) for count in counts)
        found = [choice for makes in every if (choice := self._choice(makes)) is not None]
        best = max(found, key=lambda choice: choice.saves, default=None)
        return best if best and best.saves > 0 else None

    def outside(self, choice: Choice) -> set[Node]:
        """What is read for a choice, and is not made by it."""
        return set[Node]().union(*map(self.known.reads, choice.steps)) - choice.makes

    def _choice(self, makes: Iterable[Node]) -> Choice | None:
        wanted, machine = {*makes}, self.known.machine
        saved = sum(machine.reading(root) + machine.writing(root) for root in wanted)
        given = self.stored - self.part.private - wanted
        steps: list[Fused | Product] = []
        spent = 0.0
        for walk in reversed(self.part.walks):
            if wanted.isdisjoint(walk.written):
                continue
            if walk.share:
                return None
            step = self._again(walk.step, wanted, given)
            steps.append(step)
            reads = self.known.reads(step)
            spent += machine.step(step, 0)
            spent += sum(machine.reading(root) for root in reads if root not in self.made)
            wanted |= reads & self.made - given
        if not wanted <= self.made & self.stored:
            return None
        return Choice(self.part, tuple(reversed(steps)), frozenset(wanted), saved - spent)

    def _again(
        self, step: Fused | Product, wanted: Container[Node], given: Container[Node]
    ) -> Fused | Product:
        if isinstance(step, Product):
            return Product(step.node)
        return only(step, wanted, self.known.layouts, given)


def _stored(step: Fused | Product) -> Iterator[Node]:
    """What the step makes as a whole; others of its launch may write parts of it."""
    if isinstance(step, Product):
        yield step.node
        return
    for store in step.stores:
        if (
            store.layout == row_major(store.layout.shape)
            and prod(store.layout.shape) == store.target.aval.size
        ):
            yield store.target


def choices_of(
    parts: Sequence[Step | Slabs], known: Known, kept: Container[Owner], replaced: Container[Node]
) -> list[Choice]:
    """What is made again of each launch's values, none of it from what another one has made again.

    replaced   memory that is written over once nobody reads it: nobody else is to read it
    """
    found: list[Choice] = []
    writers = Counter(root for part in parts for root in known.written_by(steps_of(part)))
    shared = {root for root, count in writers.items() if count > 1}  # parts of it are elsewhere
    read_later: set[Node] = set()
    made: set[Node] = set()
    for part in reversed(parts):
        if isinstance(part, Slabs):
            launch = _Launch(part, known, kept, shared)
            choice = launch.choice(launch.left(read_later))
            if choice and not any(r in replaced or r in made for r in launch.outside(choice)):
                made |= choice.makes
                found.append(choice)
        read_later |= known.read_by(steps_of(part))
    return found


def with_again(
    parts: Sequence[Step | Slabs], choices: Sequence[Choice], known: Known
) -> list[Step]:
    """All steps in the order of the parts; those that are done again come before the part that first reads what they make."""
    found: list[Step] = []
    of = {choice.part: choice for choice in choices}
    waiting: list[Choice] = []
    for part in parts:
        for choice in [*waiting]:
            if not choice.makes.isdisjoint(known.read_by(steps_of(part))):
                found += choice.steps
                waiting.remove(choice)
        if isinstance(part, Slabs) and part in of:
            found += _first_time(part, of[part].makes, known)
            waiting.append(of[part])
        else:
            found += steps_of(part)
    return found


def _first_time(part: Slabs, again: frozenset[Node], known: Known) -> list[Step]:
    """The steps of a launch without what only later ones read, who have it made again."""
    found: list[Step] = []
    unread = {*again}
    for step in reversed(steps_of(part)):
        wanted = known.writes(step) - unread
        if wanted and wanted != known.writes(step) and isinstance(step, Fused):
            step = only(step, wanted, known.layouts)
        if wanted:
            found.append(step)
            unread -= known.reads(step)
    return found[::-1]
