"""Steps that are run slab by slab: one task does them all on a part of the leading axis, which stays in the cache meanwhile.

A convolution's windows and their product, distances and their least, scores and their softmax: what lies between two steps is
often larger than all caches, though each row of it is needed for one row only. Such steps become one launch whose tasks are
slabs. What no other step reads is never in memory: a slab of it lies in the task's scratch. The kernels are the same, with fewer
rows, so results are the same bits. What is summed over all rows, points to their centres, ends such a chain: each slab leaves
partial sums (`walks`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from functools import cache, cached_property, partial
from math import gcd, lcm
from typing import assert_never

from tracejit._records import dataclass
from tracejit.codegen.kernel.access import Accesses
from tracejit.compiler.walks import Walk, walk_down_product, walk_of_loops, walk_of_product
from tracejit.ir.cluster import Fused, Host, Owner, Product, Scan, Scatter, Step
from tracejit.ir.graph import Node
from tracejit.ops.op import Layout
from tracejit.passes.homes import nbytes
from tracejit.passes.layouts import Layouts, relabel

LEAST_BYTES = 1 << 20
"""Of what lies between the steps, from where it is worth it: what a core's own cache does not hold."""
SLAB_BYTES = 3 << 17
"""Of all that has slabs; the rest of the cache is for what every slab needs."""
LEAST_SLABS = 8
"""So that all threads have work."""
LEAST_ROWS = 192
"""Rows of a product whose right operand is packed anew for each slab."""
FARTHEST = 25
"""Steps from the first to the last that are looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class Slabs:
    """Steps that one launch does, slab by slab.

    units    parts that the axes of all walks can be cut into
    each     how many of these are a slab; the last one has what is left
    private  what lies in scratch
    """

    walks: tuple[Walk, ...]
    units: int
    each: int
    private: frozenset[Node]

    def rows(self, walk: Walk, units: int) -> int:
        """Of a walk, in so many units."""
        return walk.extent // self.units * units


class _Known:
    """What each step touches, found out once."""

    def __init__(self, steps: Sequence[Step], layouts: Layouts, whole: Container[Step]) -> None:
        self.layouts = layouts
        self.walks: dict[Step, tuple[Walk, ...]] = {}
        self.reads: dict[Step, set[Node]] = {}
        self.writes: dict[Step, set[Node]] = {}
        self.users: Counter[Node] = Counter()
        for step in steps:
            self._look(step, step in whole)
            self.users.update(self.reads[step] | self.writes[step])

    def _look(self, step: Step, stays: bool) -> None:
        walks: tuple[Walk | None, ...] = ()
        match step:
            case Fused():
                accesses = Accesses(step, self._place, relabel)
                self.reads[step] = {access.root for access in accesses.every_read()}
                self.writes[step] = {each.target for each in step.stores}
                walks = () if stays else (walk_of_loops(step, accesses),)
            case Product(node=node) | Scatter(node=node) | Scan(node=node) | Host(node=node):
                self.reads[step] = {self.layouts.root(source) for source in node.inputs}
                self.writes[step] = {node}
                if isinstance(step, Product):
                    walks = (
                        walk_of_product(step, self.layouts),
                        walk_down_product(step, self.layouts),
                    )
            case _:
                assert_never(step)
        self.walks[step] = tuple(walk for walk in walks if walk)

    def first(self, step: Step) -> Walk | None:
        """The walk that a chain may begin with: nothing follows folds alone."""
        return next((walk for walk in self.walks[step] if not walk.share), None)

    def _place(self, node: Node) -> tuple[Node, Layout]:
        return self.layouts.root(node), self.layouts.layout(node)


class _Chain:
    """Steps that go together so far, and those in between: what needs nothing of them goes first, the others come after.

    taken   how many steps there are up to the last that goes along
    """

    def __init__(self, first: Walk) -> None:
        self.walks: list[Walk] = []
        self.before: list[Step] = []
        self.after: list[Step] = []
        self.taken = 0
        self.written: set[Node] = set()
        self.touched: set[Node] = set()
        self.between: set[Node] = set()
        """What one of the steps writes and a later one reads."""
        self.add(first, (), (), 1)

    def add(self, walk: Walk, before: Iterable[Step], after: Iterable[Step], taken: int) -> None:
        self.between |= walk.read & self.written
        self.written |= walk.written
        self.touched |= walk.read | walk.written
        self.walks.append(walk)
        self.before, self.after, self.taken = [*before], [*after], taken

    @cached_property
    def gain(self) -> int:
        """The bytes that need not come from memory, once no more steps come."""
        return sum(map(nbytes, self.between))


def slabbed(
    steps: Sequence[Step], layouts: Layouts, kept: Container[Owner], whole: Container[Step]
) -> list[Step | Slabs]:
    """The steps, in an order that gives the same results, those that gain by it in slabs.

    kept    what is needed after the last step
    whole   steps that had better stay as they are
    """
    if not any(nbytes(root) >= LEAST_BYTES // 4 for step in steps for root in _made(step)):
        return [*steps]
    known = _Known(steps, layouts, whole)
    grown = cache(partial(_grown, known))

    def placed(steps: Sequence[Step]) -> list[Step | Slabs]:
        """With the chain that gains most, and what is left on all sides of it."""
        chains = [
            (place, grown(*steps[place : place + FARTHEST]))
            for place, step in enumerate(steps)
            if known.first(step)
        ]
        place, chain = max(chains, key=lambda pair: pair[1].gain, default=(0, None))
        if chain is None or chain.gain < LEAST_BYTES:
            return [*steps]
        private = _private(chain, kept, known.users)
        return [
            *placed(steps[:place]),
            *placed(chain.before),
            Slabs(tuple(chain.walks), units_of(chain.walks), each_of(chain.walks), private),
            *placed(chain.after),
            *placed(steps[place + chain.taken :]),
        ]

    return placed(steps)


def _made(step: Step) -> Iterable[Node]:
    return (each.target for each in step.stores) if isinstance(step, Fused) else (step.node,)


def _grown(known: _Known, first: Step, *following: Step) -> _Chain:
    """The longest chain of these steps that begins with the first."""
    beginning = known.first(first)
    assert beginning is not None
    chain = _Chain(beginning)
    before: list[Step] = []
    after: list[Step] = []
    late_reads: set[Node] = set()
    late_writes: set[Node] = set()
    for taken, step in enumerate(following, 2):
        reads, writes = known.reads[step] | known.writes[step], known.writes[step]
        waits = not (reads.isdisjoint(late_writes) and writes.isdisjoint(late_reads))
        needs = not reads.isdisjoint(chain.written)
        walks = known.walks[step] if needs and not waits else ()
        walk = next((each for each in walks if _go_together([*chain.walks, each])), None)
        if walk:
            chain.add(walk, before, after, taken)
            late_writes |= writes - walk.written  # results of folds: there once all slabs are done
        elif not needs and not waits and writes.isdisjoint(chain.touched):
            before.append(step)
        else:
            after.append(step)
            late_reads |= reads
            late_writes |= writes
    return chain


def _go_together(walks: list[Walk]) -> bool:
    written: set[Node] = set().union(*(walk.written for walk in walks))
    in_rows = all(
        touch.is_in_rows(walk.extent)
        for walk in walks
        for touch in walk.touches
        if touch.root in written
    )
    return in_rows and each_of(walks) > 0


def units_of(walks: Sequence[Walk]) -> int:
    return gcd(*(walk.extent for walk in walks))


def each_of(walks: Sequence[Walk]) -> int:
    """The units of slabs of about SLAB_BYTES; 0 if no number fits."""
    units = units_of(walks)
    roots = {t.root for walk in walks for t in walk.touches if t.is_in_rows(walk.extent)}
    fitting = SLAB_BYTES * units // sum(map(nbytes, roots))
    rows = min((walk.extent * walk.rows for walk in walks if walk.rows), default=LEAST_ROWS * units)
    least = -(-LEAST_ROWS * units // rows)
    each = min(units // LEAST_SLABS, max(fitting, least))
    shares = [walk.share // gcd(walk.share, walk.extent // units) for walk in walks if walk.share]
    if shares:  # more than one result for each slab is not worth slabs that do not fit
        each = min(each, fitting)
        each -= each % lcm(*shares)
    return each if each >= least else 0


def _private(chain: _Chain, kept: Container[Owner], users: Counter[Node]) -> frozenset[Node]:
    """What no step outside of the chain has to do with."""
    own: Counter[Node] = Counter()
    for walk in chain.walks:
        own.update(walk.read | walk.written)
    return frozenset(
        root for root in chain.written if root not in kept and own[root] == users[root]
    )
