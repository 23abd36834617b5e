"""Steps that are run slab by slab: all of them on a part of their leading axes, which stays in the cache meanwhile.

A convolution's windows and their product, distances and their least, scores and their softmax: what lies between two steps is
often larger than all caches, though each row of it is needed for one row only. Such steps become one launch whose tasks are
slabs. What no other step reads is never in memory: a slab of it lies in the task's scratch. The kernels are the same, with fewer
rows, so results are the same bits. What is summed over all rows, points to their centres, ends such a chain: each slab leaves
partial sums (`walks`), or, where slabs are done in order, adds to the sums of those before it. `chains` finds such steps.

Where slabs are done in turn each is shared among all threads, by launches of its own: on a CPU if too few slabs can be done at
once, on a GPU, whose kernels call no others, always. What is private then lies in the memory of one slab.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import gcd, lcm, prod

from tracejit._records import dataclass
from tracejit.compiler.finished import Finished
from tracejit.compiler.launches import note_of
from tracejit.compiler.machine import Machine
from tracejit.compiler.walks import Walk
from tracejit.ir.cluster import Owner, Step
from tracejit.ir.graph import Node
from tracejit.passes.homes import nbytes


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

    in_turn  whether each slab is shared among threads, by launches of its own
    units    parts that the last axes of all walks can be cut into
    each     how many of these are a slab; the last one has what is left
    private  what lies in scratch
    lost     how much of its own values stays in no cache
    again    the walks whose steps make what others have made before
    """

    walks: tuple[Walk, ...]
    in_order: bool
    in_turn: bool
    units: int
    each: int
    private: frozenset[Node]
    lost: float
    again: frozenset[Walk] = frozenset()

    @property
    def launches(self) -> int:
        """How many there are, about."""
        return launches_of(self.walks, self.each) if self.in_turn else 1

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

    def rows(self, walk: Walk, units: int) -> int:
        """Of a walk, in so many units."""
        return walk.extent // self.units * units


def steps_of(part: Step | Slabs | Finished) -> list[Step]:
    """The steps that are done together."""
    match part:
        case Slabs():
            return [walk.step for walk in part.walks]
        case Finished():
            return [part.product, part.step]
        case _:
            return [part]


def is_large(root: Owner, machine: Machine) -> bool:
    """Whether a value is worth looking at."""
    return nbytes(root) >= machine.least_bytes // 4


def has_few_tasks(walks: Sequence[Walk], machine: Machine) -> bool:
    """Whether slabs that are done in order are too few tasks."""
    return prod(walks[0].extents[:-1]) < machine.least_slabs


def is_in_turn(walks: Sequence[Walk], in_order: bool, machine: Machine) -> bool:
    """Whether each slab is to be shared among threads."""
    return not machine.calls_kernels or (in_order and has_few_tasks(walks, machine))


def launches_of(walks: Sequence[Walk], each: int) -> int:
    """Of slabs of so many units, done in turn."""
    return -(-units_of(walks) // each) * prod(walks[0].extents[:-1]) * len(walks)


def units_of(walks: Sequence[Walk]) -> int:
    return gcd(*(walk.extent for walk in walks))


def each_of(walks: Sequence[Walk], in_order: bool, machine: Machine) -> int:
    """The units of slabs of about `slab_bytes`; 0 if no number fits, or if one slab would be all."""
    units, least_rows = units_of(walks), machine.least_rows
    fitting = int(machine.slab_bytes / _unit_bytes(walks))
    rows = min((walk.extent * walk.rows for walk in walks if walk.rows), default=least_rows * units)
    least = -(-least_rows * units // rows)
    shares = [walk.share // gcd(walk.share, walk.extent // units) for walk in walks if walk.share]
    share = lcm(*shares)
    outer = prod(walks[0].extents[:-1])
    if is_in_turn(walks, in_order, machine):
        even = -(-units // -(-units // max(fitting, least)))
        each = min(-(-even // share) * share, units)
        return each if each < (units if in_order else units * outer) else 0
    if in_order:
        each = max(fitting, least, share) // share * share
        return each if least <= each < units else 0
    each = min(units, units * outer // machine.least_slabs, max(fitting, least))
    if shares:  # more than one result for each slab is not worth slabs that do not fit
        each = min(each, fitting) // share * share
    return each if each >= least else 0


def kept_share(
    walks: Sequence[Walk],
    each: int,
    private: Collection[Node],
    in_turn: bool,
    machine: Machine,
) -> float:
    """How much of a slab of so many units stays in a cache."""
    units = units_of(walks) * prod(walks[0].extents[:-1])
    most = max(_live_bytes(walks, private), 1) / units * each
    return min(1.0, (machine.last_cache_bytes if in_turn else machine.cache_bytes) / most)


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
