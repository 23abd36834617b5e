"""Which steps are run slab by slab (`slabs`): chains of those that need rows of each other's results, what gains most first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from functools import cache
from math import prod
from operator import itemgetter

from tracejit.compiler.known import Known, Uses
from tracejit.compiler.machine import Machine
from tracejit.compiler.slabs import (
    Slabs,
    Way,
    each_of,
    is_in_turn,
    is_large,
    kept_share,
    launches_of,
    units_of,
)
from tracejit.compiler.walks import Walk
from tracejit.ir.cluster import Owner, Product, Step
from tracejit.ir.graph import Node
from tracejit.passes.homes import nbytes

FARTHEST = 25
"""Steps from the first to the last that are looked at."""
DEPTHS = (1, 2, 3)
"""From rows of a matrix to those of several heads of several examples."""


class _Chain:
    """Steps that go together so far, and those in between: what needs nothing of them goes first, the others come after.

    taken   how many steps there are up to the last that goes along
    """

    def __init__(self, way: Way, first: Walk, machine: Machine) -> None:
        self.way, self.machine = way, machine
        self.walks: list[Walk] = []
        self.before: list[Step] = []
        self.after: list[Step] = []
        self.taken = 0
        self.written: set[Node] = set()
        self.read: set[Node] = set()
        self.loose: set[Node] = set()
        self.writers: Counter[Node] = Counter()
        """How many of the steps write a value."""
        self.between: set[Node] = set()
        """What one of the steps writes and a later one reads."""
        self.add((first,), (), (), 1)

    def add(
        self, walks: Iterable[Walk], before: Iterable[Step], after: Iterable[Step], taken: int
    ) -> None:
        for walk in walks:
            self.between |= walk.read & self.written
            self.written |= walk.written
            self.read |= walk.read
            self.loose |= walk.loose
            self.writers.update(walk.written)
            self.walks.append(walk)
        self.before, self.after, self.taken = [*before], [*after], taken

    @property
    def each(self) -> int:
        """The units of a slab."""
        return each_of(self.walks, self.way.in_order, self.machine)

    @property
    def in_turn(self) -> bool:
        return is_in_turn(self.walks, self.way.in_order, self.machine)

    def gain(self, private: frozenset[Node], may_turn: bool) -> float:
        """Nanoseconds for what is neither written to memory nor read there, once no more steps come; 0 where it is little."""
        machine, walks = self.machine, self.walks
        if self.way.in_order and not any(w.share and isinstance(w.step, Product) for w in walks):
            return 0.0
        if not self.each or not self.between or (self.in_turn and not may_turn):
            return 0.0
        read = [root for walk in walks for root in walk.read & self.between]
        kept = self._kept(private)
        least = machine.least_bytes_in_turn if self.in_turn else machine.least_bytes
        if sum(map(nbytes, (*private, *read))) * kept < 2 * least:
            return 0.0
        spared = kept * sum(map(machine.reading, (*private, *read)))
        room = (1 - self._held) * sum(map(machine.room, private))
        return room + spared - self._further_launches - self._partial_sums

    def slabs(self, private: frozenset[Node], again: Container[Step]) -> Slabs:
        walks = tuple(self.walks)
        return Slabs(
            walks,
            self.way.in_order,
            self.in_turn,
            units_of(walks),
            self.each,
            private,
            1 - self._kept(private),
            frozenset(walk for walk in walks if walk.step in again),
        )

    def _kept(self, private: frozenset[Node]) -> float:
        return kept_share(self.walks, self.each, private, self.in_turn, self.machine)

    @property
    def _held(self) -> float:
        """How much of what is private is in memory at once."""
        every = units_of(self.walks) * prod(self.walks[0].extents[:-1])
        return self.each / every if self.in_turn else 0.0

    @property
    def _partial_sums(self) -> float:
        """What those of products cost that all slabs leave, if none adds to those before."""
        if self.way.in_order:
            return 0.0
        nbytes_left = sum(
            nbytes(walk.step.node) * -(-walk.extent // walk.share)
            for walk in self.walks
            if walk.share and isinstance(walk.step, Product)
        )
        return 2 * self.machine.byte * nbytes_left

    @property
    def _further_launches(self) -> float:
        """What it costs that each slab has its own."""
        if not self.in_turn:
            return 0.0
        return (launches_of(self.walks, self.each) - len(self.walks)) * self.machine.launch


def slabbed(
    steps: Sequence[Step], known: Known, uses: Uses, kept: Container[Owner], may_turn: bool
) -> list[Step | Slabs]:
    """The steps, in an order that gives the same results, those that gain by it in slabs.

    kept       what is needed after the last
    may_turn   whether slabs may be shared among threads, one after another
    """

    @cache
    def grown(way: Way, *steps: Step) -> tuple[float, _Chain]:
        chain = _grown(known, uses, way, *steps)
        return chain.gain(_private(chain, kept, uses), may_turn), chain

    def chains(steps: Sequence[Step]) -> Iterator[tuple[float, _Chain, int]]:
        for place in range(len(steps)):
            window = steps[place : place + FARTHEST]
            for way in _ways(window, known, may_turn):
                yield *grown(way, *window), place

    def placed(steps: Sequence[Step]) -> list[Step | Slabs]:
        """With the chain that gains most, and what is left on all sides of it."""
        gain, chain, place = max(chains(steps), key=itemgetter(0), default=(0.0, None, 0))
        if chain is None or gain <= 0:
            return [*steps]
        return [
            *placed(steps[:place]),
            *placed(chain.before),
            chain.slabs(_private(chain, kept, uses), uses.again),
            *placed(chain.after),
            *placed(steps[place + chain.taken :]),
        ]

    return placed(steps)


def _ways(steps: Sequence[Step], known: Known, may_turn: bool) -> Iterator[Way]:
    """In which a chain of some of these steps may begin with the first."""
    products = [step for step in steps if isinstance(step, Product)]
    for depth in DEPTHS:
        walks = [walk for product in products for walk in known.walks(product, depth)]
        if known.kept(steps[0], depth) and (walks or depth == 1):
            yield Way(depth)
            if any(walk.share for walk in walks) and (may_turn or depth > 1):
                yield Way(depth, in_order=True)


def _grown(known: Known, uses: Uses, way: Way, first: Step, *following: Step) -> _Chain:
    """The longest chain of these steps that begins with the first."""
    beginning = known.kept(first, way.depth)
    assert beginning is not None
    chain = _Chain(way, beginning, known.machine)
    before: list[Step] = []
    after: list[Step] = []
    late_reads: set[Node] = set()
    late_writes: set[Node] = set()
    for taken, step in enumerate(following, 2):
        writes = known.writes(step)
        reads = known.reads(step) | writes
        waits = not (reads.isdisjoint(late_writes) and writes.isdisjoint(late_reads))
        needs = not reads.isdisjoint(chain.written)
        another = any(uses.is_another(step, each.step) for each in chain.walks)
        joins = needs and not waits and not another
        more = _joining(known, chain, step, before) if joins else ()
        if more:
            joined = {walk.step for walk in more}
            before = [each for each in before if each not in joined]
            chain.add(more, before, after, taken)
            # Results of folds are there once all slabs are done.
            late_writes |= writes - more[-1].written
        elif not needs and not waits and writes.isdisjoint(chain.read | chain.written):
            before.append(step)
        else:
            after.append(step)
            late_reads |= reads
            late_writes |= writes
    return chain


def _joining(known: Known, chain: _Chain, step: Step, before: Sequence[Step]) -> tuple[Walk, ...]:
    """The walks that the chain goes on with: the step's, and those of steps before it that feed it; none if it cannot."""
    # What it writes a part of had to be there before.
    feeders = _feeders(known, chain, before, known.reads(step) | known.writes(step))
    for walk in known.walks(step, chain.way.depth):
        if walk.share and not chain.way.folds:
            continue
        for fed in (feeders, ()) if feeders else ((),):
            if _go_together(chain, (*fed, walk)):
                return (*fed, walk)
    return ()


def _feeders(
    known: Known, chain: _Chain, before: Sequence[Step], wanted: Iterable[Node]
) -> tuple[Walk, ...]:
    """The steps that make large values of these, and can as well run after the others, and after those of the chain."""
    found: list[Walk] = []
    reads, others_read, others_written = {*wanted}, chain.read | chain.written, {*chain.written}
    for step in reversed(before):
        made, needed = known.writes(step), known.reads(step)
        walk = known.kept(step, chain.way.depth)
        is_wanted = any(is_large(root, known.machine) for root in made & reads)
        hinders = (made & (others_read | others_written)) | (needed & others_written)
        if walk and is_wanted and not hinders:
            found.append(walk)
            reads |= needed
        else:
            others_read |= needed
            others_written |= made
    return tuple(reversed(found))


def _go_together(chain: _Chain, more: Sequence[Walk]) -> bool:
    """Whether the chain may go on with these walks."""
    outer = chain.walks[0].extents[:-1]
    if any(walk.extents[:-1] != outer for walk in more):
        return False
    read = chain.read.union(*(walk.read for walk in more))
    loose = chain.loose.union(*(walk.loose for walk in more))
    writers = chain.writers + Counter(root for walk in more for root in walk.written)
    for root in loose & writers.keys():
        if writers[root] > 1 or root in read:
            return False
    return each_of([*chain.walks, *more], chain.way.in_order, chain.machine) > 0


def _private(chain: _Chain, kept: Container[Owner], uses: Uses) -> frozenset[Node]:
    """What no step outside of the chain has to do with, until it is made again."""
    own: Counter[tuple[Node, int]] = Counter()
    for walk in chain.walks:
        own.update(uses.times(walk.step).items())
    every = Counter(root for root, _ in own)
    return frozenset(
        root
        for (root, time), count in own.items()
        if root in chain.between and root not in kept and every[root] == 1
        if count == uses.counts[root, time]
    )
