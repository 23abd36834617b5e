"""Steps that are run slab by slab: all of them on a part of their leading axes, which stays in the cache meanwhile.

A convolution's windows and their product, distances and their least, scores and their softmax: what lies between two steps is
often larger than all caches, though each row of it is needed for one row only. Such steps become one launch whose tasks are
slabs. What no other step reads is never in memory: a slab of it lies in the task's scratch. The kernels are the same, with fewer
rows, so results are the same bits. What is summed over all rows, points to their centres, ends such a chain: each slab leaves
partial sums (`walks`), or, where slabs are done in order, adds to the sums of those before it. `chains` finds such steps.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import gcd, lcm, prod

from tracejit._records import dataclass
from tracejit.compiler.launches import note_of
from tracejit.compiler.walks import Walk
from tracejit.ir.cluster import Owner, Step
from tracejit.ir.graph import Node
from tracejit.passes.homes import nbytes

LEAST_BYTES = 1 << 20
"""Of what lies between the steps, from where it is worth it: what a core's own cache does not hold."""
LEAST_BYTES_IN_TURN = 1 << 24
"""Where one slab after another is shared among threads: what the last cache hardly holds."""
SLAB_BYTES = 3 << 17
"""Of all that has slabs; the rest of the cache is for what every slab needs."""
CACHE_BYTES = 1 << 22
"""Of a larger slab only so many stay in a cache: a thread's part of the last one."""
LAST_CACHE_BYTES = 1 << 24
"""And of one that all threads share."""
LEAST_SLABS = 8
"""So that all threads have work."""
LEAST_ROWS = 192
"""Rows of a product whose right operand is packed anew for each slab."""


@dataclass(frozen=True, slots=True)
class Way:
    """Along how many axes steps are walked. In order: slabs along the last one are done one after another, for sums go on."""

    depth: int
    in_order: bool = False

    @property
    def folds(self) -> bool:
        """Whether the last axis may be folded: partial results lie one after another along a single axis."""
        return self.in_order or self.depth == 1


@dataclass(frozen=True, slots=True, eq=False)
class Slabs:
    """Steps that are done together, slab by slab.

    units    parts that the last axes of all walks can be cut into
    each     how many of these are a slab; the last one has what is left
    private  what lies in scratch
    again    the walks whose steps make what others have made before
    """

    walks: tuple[Walk, ...]
    in_order: bool
    units: int
    each: int
    private: frozenset[Node]
    again: frozenset[Walk] = frozenset()

    @property
    def launches(self) -> int:
        """How many there are, about."""
        return self.rounds * prod(self.outer) * len(self.walks) if self.in_turn else 1

    @property
    def lost(self) -> float:
        """How much of its own values stays in no cache."""
        return 1 - kept_share(self.walks, self.each, self.private, self.in_turn)

    def note(self, walk: Walk) -> str:
        """What a walk computes: `again matmul  model.py:12`."""
        note = note_of(walk.nodes)
        return f"again {note}" if walk in self.again else note

    @property
    def outer(self) -> tuple[int, ...]:
        """The extents of the axes before the one that is cut."""
        return self.walks[0].extents[:-1]

    @property
    def rounds(self) -> int:
        """Slabs along the axis that is cut."""
        return -(-self.units // self.each)

    @property
    def in_turn(self) -> bool:
        """Whether each slab is shared among threads, by launches of its own: there are too few that do not wait for others."""
        return self.in_order and has_few_tasks(self.walks)

    def rows(self, walk: Walk, units: int) -> int:
        """Of a walk, in so many units."""
        return walk.extent // self.units * units


def steps_of(part: Step | Slabs) -> list[Step]:
    """The steps that are done together."""
    return [walk.step for walk in part.walks] if isinstance(part, Slabs) else [part]


def is_large(root: Owner) -> bool:
    """Whether a value is worth looking at."""
    return nbytes(root) >= LEAST_BYTES // 4


def has_few_tasks(walks: Sequence[Walk]) -> bool:
    """Whether slabs that are done in order are too few tasks."""
    return prod(walks[0].extents[:-1]) < LEAST_SLABS


def units_of(walks: Sequence[Walk]) -> int:
    return gcd(*(walk.extent for walk in walks))


def each_of(walks: Sequence[Walk], in_order: bool) -> int:
    """The units of slabs of about SLAB_BYTES; 0 if no number fits."""
    units = units_of(walks)
    fitting = int(SLAB_BYTES / _unit_bytes(walks))
    rows = min((walk.extent * walk.rows for walk in walks if walk.rows), default=LEAST_ROWS * units)
    least = -(-LEAST_ROWS * units // rows)
    shares = [walk.share // gcd(walk.share, walk.extent // units) for walk in walks if walk.share]
    share = lcm(*shares)
    if in_order:
        each = max(fitting, least, share) // share * share
        return each if least <= each < units else 0
    each = min(units, units * prod(walks[0].extents[:-1]) // LEAST_SLABS, max(fitting, least))
    if shares:  # more than one result for each slab is not worth slabs that do not fit
        each = min(each, fitting) // share * share
    return each if each >= least else 0


def kept_share(walks: Sequence[Walk], each: int, private: Collection[Node], in_turn: bool) -> float:
    """How much of a slab of so many units stays in a cache."""
    units = units_of(walks) * prod(walks[0].extents[:-1])
    most = max(_live_bytes(walks, private), 1) / units * each
    return min(1.0, (LAST_CACHE_BYTES if in_turn else CACHE_BYTES) / most)


def _live_bytes(walks: Sequence[Walk], private: Collection[Node]) -> int:
    """Of the values that are needed at once."""
    last = {root: number for number, walk in enumerate(walks) for root in walk.read}
    live: set[Node] = set()
    most = 0
    for number, walk in enumerate(walks):
        live |= walk.written.intersection(private)
        most = max(most, sum(map(nbytes, live)))
        live = {root for root in live if last[root] > number}
    return most


def _unit_bytes(walks: Sequence[Walk]) -> float:
    """Of all that has rows, in one unit."""
    roots = frozenset[Node]().union(*(walk.in_rows for walk in walks))
    return max(sum(map(nbytes, roots)), 1) / (units_of(walks) * prod(walks[0].extents[:-1]))
