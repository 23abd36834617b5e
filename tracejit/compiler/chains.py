"""Which steps are run slab by slab (`slabs`): chains of those that need rows of each other's results, what gains most first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from functools import cache
from operator import itemgetter
from typing import assert_never

from tracejit.codegen.kernel.access import Accesses
from tracejit.compiler import slabs
from tracejit.compiler.members import accesses_of
from tracejit.compiler.slabs import Slabs, Way, each_of, is_large, kept_share, units_of
from tracejit.compiler.walks import Walk, walk_down_product, walk_of_loops, walk_of_product
from tracejit.compiler.work import reading, room
from tracejit.ir.cluster import Fused, Host, Owner, Product, Scan, Scatter, Step
from tracejit.ir.graph import Node
from tracejit.passes.homes import nbytes
from tracejit.passes.layouts import Layouts

FARTHEST = 25
"""Steps from the first to the last that are looked at."""
WAYS = tuple(Way(depth, in_order) for depth in (1, 2, 3) for in_order in (False, True))
"""From rows of a matrix to those of several heads of several examples."""


class Known:
    """What each step touches, found out once.

    whole   steps that had better stay as they are
    again   steps that make values which have been made before, and make them for those that come after
    users   how many steps have to do with a value, each time that it is made
    """

    def __init__(
        self,
        steps: Sequence[Step],
        layouts: Layouts,
        whole: Container[Step] = (),
        again: Container[Step] = (),
    ) -> None:
        self.layouts = layouts
        self.whole, self.again = whole, again
        self.reads: dict[Step, set[Node]] = {}
        self.writes: dict[Step, set[Node]] = {}
        self.users: Counter[tuple[Node, int]] = Counter()
        self._times: dict[Step, dict[Node, int]] = {}
        self._accesses: dict[Step, Accesses] = {}
        self._walks: dict[tuple[Step, int], tuple[Walk, ...]] = {}
        times: Counter[Node] = Counter()
        for step in steps:
            self._look(step)
            times.update(self.writes[step] if step in again else ())
            self._times[step] = {root: times[root] for root in self.touched(step)}
            self.users.update(self._times[step].items())

    def times(self, step: Step) -> dict[Node, int]:
        """Of what the step touches: how often it has been made again by then."""
        return self._times[step]

    def touched(self, step: Step) -> set[Node]:
        return self.reads[step] | self.writes[step]

    def _look(self, step: Step) -> None:
        match step:
            case Fused():
                accesses = self._accesses[step] = accesses_of(step, self.layouts)
                self.reads[step] = {access.root for access in accesses.every_read()}
                self.writes[step] = {each.target for each in step.stores}
            case Product(node=node) | Scatter(node=node) | Scan(node=node) | Host(node=node):
                self.reads[step] = {self.layouts.root(source) for source in node.inputs}
                self.writes[step] = {node}
            case _:
                assert_never(step)

    def walks(self, step: Step, depth: int) -> tuple[Walk, ...]:
        """The ways along so many axes, what keeps the last one first."""
        if (step, depth) not in self._walks:
            found: tuple[Walk | None, ...] = ()
            if isinstance(step, Fused) and step not in self.whole:
                found = (walk_of_loops(step, self._accesses[step], depth),)
            if isinstance(step, Product):
                found = (
                    walk_of_product(step, self.layouts, depth),
                    walk_down_product(step, self.layouts, depth),
                )
            self._walks[step, depth] = tuple(walk for walk in found if walk)
        return self._walks[step, depth]

    def read_by(self, steps: Iterable[Step]) -> set[Node]:
        return {root for step in steps for root in self.reads[step]}

    def written_by(self, steps: Iterable[Step]) -> set[Node]:
        return {root for step in steps for root in self.writes[step]}

    def kept(self, step: Step, depth: int) -> Walk | None:
        """The walk that a chain may begin with: nothing follows folds alone."""
        return next((walk for walk in self.walks(step, depth) if not walk.share), None)


class _Chain:
    """Steps that go together so far, and those in between: what needs nothing of them goes first, the others come after.

    taken   how many steps there are up to the last that goes along
    """

    def __init__(self, way: Way, first: Walk) -> None:
        self.way = way
        self.walks: list[Walk] = []
        self.before: list[Step] = []
        self.after: list[Step] = []
        self.taken = 0
        self.written: set[Node] = set()
        self.touched: set[Node] = set()
        self.between: set[Node] = set()
        """What one of the steps writes and a later one reads."""
        self.add((first,), (), (), 1)

    def add(
        self, walks: Iterable[Walk], before: Iterable[Step], after: Iterable[Step], taken: int
    ) -> None:
        for walk in walks:
            self.between |= walk.read & self.written
            self.written |= walk.written
            self.touched |= walk.read | walk.written
            self.walks.append(walk)
        self.before, self.after, self.taken = [*before], [*after], taken

    def gain(self, private: frozenset[Node], may_turn: bool) -> float:
        """Nanoseconds for what is neither written to memory nor read there, once no more steps come; 0 where it is little."""
        in_order, walks = self.way.in_order, self.walks
        if in_order and not any(w.share and isinstance(w.step, Product) for w in walks):
            return 0.0
        each = each_of(walks, in_order)
        if not each or not self.between:
            return 0.0
        read = [root for walk in walks for root in walk.read & self.between]
        in_turn = in_order and slabs.has_few_tasks(walks)
        if in_turn and not may_turn:
            return 0.0
        kept = kept_share(walks, each, private, in_turn)
        least = slabs.LEAST_BYTES_IN_TURN if in_turn else slabs.LEAST_BYTES
        if sum(map(nbytes, (*private, *read))) * kept < 2 * least:
            return 0.0
        return sum(map(room, private)) + kept * sum(map(reading, (*private, *read)))

    def slabs(self, private: frozenset[Node], again: Container[Step]) -> Slabs:
        in_order, walks = self.way.in_order, tuple(self.walks)
        anew = frozenset(walk for walk in walks if walk.step in again)
        return Slabs(walks, in_order, units_of(walks), each_of(walks, in_order), private, anew)


def slabbed(
    steps: Sequence[Step], known: Known, kept: Container[Owner], may_turn: bool
) -> list[Step | Slabs]:
    """The steps, in an order that gives the same results, those that gain by it in slabs.

    kept       what is needed after the last
    may_turn   whether slabs may be shared among threads, one after another
    """

    @cache
    def grown(way: Way, *steps: Step) -> tuple[float, _Chain]:
        chain = _grown(known, way, *steps)
        return chain.gain(_private(chain, kept, known), may_turn), chain

    def chains(steps: Sequence[Step]) -> Iterator[tuple[float, _Chain, int]]:
        for place, step in enumerate(steps):
            for way in WAYS:
                if known.kept(step, way.depth):
                    yield *grown(way, *steps[place : place + FARTHEST]), place

    def placed(steps: Sequence[Step]) -> list[Step | Slabs]:
        """With the chain that gains most, and what is left on all sides of it."""
        gain, chain, place = max(chains(steps), key=itemgetter(0), default=(0.0, None, 0))
        if chain is None or not gain:
            return [*steps]
        return [
            *placed(steps[:place]),
            *placed(chain.before),
            chain.slabs(_private(chain, kept, known), known.again),
            *placed(chain.after),
            *placed(steps[place + chain.taken :]),
        ]

    return placed(steps)


def _grown(known: Known, way: Way, first: Step, *following: Step) -> _Chain:
    """The longest chain of these steps that begins with the first."""
    beginning = known.kept(first, way.depth)
    assert beginning is not None
    chain = _Chain(way, beginning)
    before: list[Step] = []
    after: list[Step] = []
    late_reads: set[Node] = set()
    late_writes: set[Node] = set()
    for taken, step in enumerate(following, 2):
        reads, writes = known.touched(step), known.writes[step]
        waits = not (reads.isdisjoint(late_writes) and writes.isdisjoint(late_reads))
        needs = not reads.isdisjoint(chain.written)
        another = step in known.again and not writes.isdisjoint(chain.touched)
        joins = needs and not waits and not another
        more = _joining(known, chain, step, before) if joins else ()
        if more:
            joined = {walk.step for walk in more}
            before = [each for each in before if each not in joined]
            chain.add(more, before, after, taken)
            # Results of folds are there once all slabs are done.
            late_writes |= writes - more[-1].written
        elif not needs and not waits and writes.isdisjoint(chain.touched):
            before.append(step)
        else:
            after.append(step)
            late_reads |= reads
            late_writes |= writes
    return chain


def _joining(known: Known, chain: _Chain, step: Step, before: Sequence[Step]) -> tuple[Walk, ...]:
    """The walks that the chain goes on with: the step's, and those of steps before it that feed it; none if it cannot."""
    feeders = _feeders(known, chain, before, known.reads[step])
    for walk in known.walks(step, chain.way.depth):
        for more in ((*feeders, walk), (walk,)):
            if _go_together([*chain.walks, *more], chain.way):
                return more
    return ()


def _feeders(
    known: Known, chain: _Chain, before: Sequence[Step], reads: set[Node]
) -> tuple[Walk, ...]:
    """The steps that make large values of these, and can as well run after the others, and after those of the chain."""
    found: list[Walk] = []
    reads, others_read, others_written = {*reads}, {*chain.touched}, {*chain.written}
    for step in reversed(before):
        made, needed = known.writes[step], known.reads[step]
        walk = known.kept(step, chain.way.depth)
        is_wanted = any(map(is_large, made & reads))
        hinders = (made & (others_read | others_written)) | (needed & others_written)
        if walk and is_wanted and not hinders:
            found.append(walk)
            reads |= needed
        else:
            others_read |= needed
            others_written |= made
    return tuple(reversed(found))


def _go_together(walks: list[Walk], way: Way) -> bool:
    if len({walk.extents[:-1] for walk in walks}) > 1:
        return False
    writers = Counter(root for walk in walks for root in walk.written)
    read: set[Node] = set().union(*(walk.read for walk in walks))
    in_rows = all(
        touch.is_in_rows(walk.extents)
        for walk in walks
        for touch in walk.touches
        if writers[touch.root] > (touch.root not in read)
    )
    return in_rows and each_of(walks, way.in_order) > 0


def _private(chain: _Chain, kept: Container[Owner], known: Known) -> frozenset[Node]:
    """What no step outside of the chain has to do with, until it is made again."""
    own: Counter[tuple[Node, int]] = Counter()
    for walk in chain.walks:
        own.update(known.times(walk.step).items())
    return frozenset(
        root
        for (root, time), count in own.items()
        if root in chain.between and root not in kept and count == known.users[root, time]
    )
