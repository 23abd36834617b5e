"""Steps that are run slab by slab: one task does them all on a part of the leading axis, which stays in the cache meanwhile.

A convolution's windows and their product, distances and their least, scores and their softmax: what lies between two steps is
often larger than all caches, though each row of it is needed for one row only. Such steps become one launch whose tasks are
slabs. What no other step reads is never in memory: a slab of it lies in the task's scratch. The kernels are the same, with fewer
rows, so results are the same bits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from functools import cache, cached_property, partial
from math import gcd, isqrt, prod
from typing import assert_never

from tracejit._records import dataclass
from tracejit.codegen.kernel.access import Accesses
from tracejit.codegen.kernel.cost import profile
from tracejit.ir.cluster import Fused, Host, Owner, Product, Scan, Scatter, Step
from tracejit.ir.graph import Apply, Node
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


@dataclass(frozen=True, slots=True)
class Touch:
    """Memory that a step reads or writes while it goes along its leading axis: each row begins `stride` elements further and
    reaches `reach` elements from there."""

    root: Node
    offset: int
    stride: int
    reach: int
    written: bool = False

    def is_in_rows(self, extent: int) -> bool:
        """Whether each row lies in a part of the memory of its own, and all of these are the memory."""
        whole = self.stride * extent == self.root.aval.size
        return whole and 0 <= self.offset and self.offset + self.reach < self.stride


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """A step along its leading axis: the first one of several rows.

    rows   of a product in each row of the axis, if all need the same right operand
    """

    step: Fused | Product
    axis: int
    extent: int
    touches: tuple[Touch, ...]
    rows: int | None = None

    @property
    def written(self) -> set[Node]:
        return {touch.root for touch in self.touches if touch.written}

    @property
    def read(self) -> set[Node]:
        return {touch.root for touch in self.touches if not touch.written}

    @property
    def nodes(self) -> tuple[Apply, ...]:
        """What the step computes."""
        return self.step.members if isinstance(self.step, Fused) else (self.step.node,)

    def advance(self, root: Owner, offset: int, slabs: int) -> int:
        """How far, in elements, the slabs of an argument lie apart."""
        (stride,) = {t.stride for t in self.touches if t.root is root and t.offset == offset}
        return stride * (self.extent // slabs)


@dataclass(frozen=True, slots=True, eq=False)
class Slabs:
    """Steps that one launch does, in `count` slabs; `private` is what lies in scratch."""

    walks: tuple[Walk, ...]
    count: int
    private: frozenset[Node]


def _walk_of_loops(step: Fused, accesses: Accesses) -> Walk | None:
    """None for loops that cannot be cut along their leading axis."""
    axis = next((axis for axis, extent in enumerate(step.space) if extent > 1), None)
    if axis is None or 0 in step.space or step.split or axis in step.axes:
        return None
    if any(not isinstance(each.target, Apply) for each in step.stores):
        return None  # what is the caller's stays where it is in the order
    for member in step.members:
        labels = step.labels[member]
        if any(labels[index] == axis for index in profile(member).indices):
            return None
    every = [(access, False) for access in accesses.every_read()]
    every += [(access, True) for access in accesses.writes.values()]
    touches = []
    for access, written in every:
        steps = [
            (n - 1) * stride
            for d, (n, stride) in enumerate(zip(step.space, access.strides, strict=True))
            if d != axis
        ]
        stride = access.strides[axis]
        touches.append(
            Touch(
                access.root,
                access.offset,
                stride,
                _reach(steps, access.gather, access.root),
                written,
            )
        )
    return _consistent(Walk(step, axis, step.space[axis], tuple(touches)))


def _reach(steps: Iterable[int], gather: int, root: Node) -> int:
    """Of a row; all of the memory where it is read backwards or anywhere."""
    steps = list(steps)
    return root.aval.size if gather or any(step < 0 for step in steps) else sum(steps)


def _walk_of_product(step: Product, layouts: Layouts) -> Walk | None:
    """None for a product of one row."""
    shape = step.node.aval.sizes
    axis = next((axis for axis, extent in enumerate(shape[:-1]) if extent > 1), None)
    if axis is None or 0 in shape:
        return None
    touches = []
    shared = False
    for place, source in enumerate(step.node.inputs):
        layout = layouts.layout(source)
        at = axis - len(shape) + len(layout.shape)
        follows = at >= 0 and layout.shape[at] > 1 and not (place and axis == len(shape) - 2)
        stride = layout.strides[at] if follows else 0
        shared |= bool(place) and not follows
        steps = [
            (n - 1) * s
            for d, (n, s) in enumerate(zip(layout.shape, layout.strides, strict=True))
            if not (follows and d == at)
        ]
        root = layouts.root(source)
        touches.append(Touch(root, layout.offset, stride, _reach(steps, 0, root)))
    row = prod(shape[axis + 1 :])
    touches.append(Touch(step.node, 0, row, row - 1, written=True))
    rows = prod(shape[axis + 1 : -1]) if shared else None
    return _consistent(Walk(step, axis, shape[axis], tuple(touches), rows))


def _consistent(walk: Walk) -> Walk | None:
    """None where one argument would have to move on by different steps."""
    strides: dict[tuple[Node, int], int] = {}
    for touch in walk.touches:
        if strides.setdefault((touch.root, touch.offset), touch.stride) != touch.stride:
            return None
    return walk


def cut(walk: Walk, slabs: int) -> Fused:
    """The loops of one slab."""
    assert isinstance(walk.step, Fused)
    space = list(walk.step.space)
    space[walk.axis] //= slabs
    return replace(walk.step, space=tuple(space))


def cut_product(
    walk: Walk, left: Layout, right: Layout, slabs: int
) -> tuple[Layout, Layout, tuple[int, ...]]:
    """The operands and the shape of one slab's product."""
    assert isinstance(walk.step, Product)
    shape = list(walk.step.node.aval.sizes)
    shape[walk.axis] //= slabs
    seen = []
    for layout, touch in zip((left, right), walk.touches, strict=False):
        sizes = list(layout.shape)
        if touch.stride:
            sizes[walk.axis - len(shape) + len(sizes)] //= slabs
        seen.append(Layout(tuple(sizes), layout.strides, layout.offset))
    return seen[0], seen[1], tuple(shape)


# Finding them


class _Known:
    """What each step touches, found out once."""

    def __init__(self, steps: Sequence[Step], layouts: Layouts, whole: Container[Step]) -> None:
        self.layouts = layouts
        self.walks: dict[Step, Walk] = {}
        self.reads: dict[Step, set[Node]] = {}
        self.writes: dict[Step, set[Node]] = {}
        self.users: Counter[Node] = Counter()
        for step in steps:
            self._look(step, step in whole)
            self.users.update(self.reads[step] | self.writes[step])

    def _look(self, step: Step, stays: bool) -> None:
        walk = None
        match step:
            case Fused():
                accesses = Accesses(step, self._place, relabel)
                self.reads[step] = {access.root for access in accesses.every_read()}
                self.writes[step] = {each.target for each in step.stores}
                walk = None if stays else _walk_of_loops(step, accesses)
            case Product(node=node) | Scatter(node=node) | Scan(node=node) | Host(node=node):
                self.reads[step] = {self.layouts.root(source) for source in node.inputs}
                self.writes[step] = {node}
                if isinstance(step, Product):
                    walk = _walk_of_product(step, self.layouts)
            case _:
                assert_never(step)
        if walk:
            self.walks[step] = walk

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
            if step in known.walks
        ]
        place, chain = max(chains, key=lambda pair: pair[1].gain, default=(0, None))
        if chain is None or chain.gain < LEAST_BYTES:
            return [*steps]
        private = _private(chain, kept, known.users)
        return [
            *placed(steps[:place]),
            *placed(chain.before),
            Slabs(tuple(chain.walks), count_of(chain.walks), private),
            *placed(chain.after),
            *placed(steps[place + chain.taken :]),
        ]

    return placed(steps)


def _made(step: Step) -> Iterable[Node]:
    return (each.target for each in step.stores) if isinstance(step, Fused) else (step.node,)


def _grown(known: _Known, first: Step, *following: Step) -> _Chain:
    """The longest chain of these steps that begins with the first."""
    chain = _Chain(known.walks[first])
    before: list[Step] = []
    after: list[Step] = []
    late_reads: set[Node] = set()
    late_writes: set[Node] = set()
    for taken, step in enumerate(following, 2):
        reads, writes = known.reads[step] | known.writes[step], known.writes[step]
        waits = not (reads.isdisjoint(late_writes) and writes.isdisjoint(late_reads))
        needs = not reads.isdisjoint(chain.written)
        walk = known.walks.get(step)
        if needs and not waits and walk and _go_together([*chain.walks, walk]):
            chain.add(walk, before, after, taken)
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
    return in_rows and count_of(walks) > 0


def count_of(walks: Sequence[Walk]) -> int:
    """Slabs of about SLAB_BYTES; 0 if no number fits."""
    roots = {t.root for walk in walks for t in walk.touches if t.is_in_rows(walk.extent)}
    whole = sum(map(nbytes, roots))
    rows = min((walk.extent * walk.rows for walk in walks if walk.rows), default=None)
    fitting = [
        count
        for count in divisors(gcd(*(walk.extent for walk in walks)))
        if count >= LEAST_SLABS and (rows is None or rows >= LEAST_ROWS * count)
    ]
    small = [count for count in fitting if whole <= SLAB_BYTES * count]
    return small[0] if small else max(fitting, default=0)


def divisors(number: int) -> list[int]:
    """In ascending order."""
    small = [n for n in range(1, isqrt(number) + 1) if number % n == 0]
    return sorted({*small, *(number // n for n in small)})


def _private(chain: _Chain, kept: Container[Owner], users: Counter[Node]) -> frozenset[Node]:
    """What no step outside of the chain has to do with."""
    own: Counter[Node] = Counter()
    for walk in chain.walks:
        own.update(walk.read | walk.written)
    return frozenset(
        root for root in chain.written if root not in kept and own[root] == users[root]
    )
