"""The launch of steps that are run slab by slab (`tracejit.compiler.slabs`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from itertools import chain, starmap
from math import prod

from tracejit._records import dataclass
from tracejit.codegen.kernel.grain import Grain
from tracejit.codegen.kernel.ir import Combine
from tracejit.codegen.kernel.lower import joined_parts, lower, lower_parts, parts_of
from tracejit.codegen.kernel.nest import Lowered
from tracejit.codegen.kernel.parts import join_parts
from tracejit.compiler.launches import Launch, Task, note_of
from tracejit.compiler.products import part_segments, product_segments
from tracejit.compiler.slabs import Slabs
from tracejit.compiler.target import Target
from tracejit.compiler.walks import Walk, cut, cut_product
from tracejit.compiler.work import nanoseconds
from tracejit.ir.cluster import Owner, Product, Temporary
from tracejit.ir.graph import Apply, Node
from tracejit.ops.op import Layout
from tracejit.passes.homes import Unit, nbytes
from tracejit.passes.layouts import Layouts, relabel
from tracejit.runtime.slabs import KERNEL, SCRATCH, Part, Pointer, dims_of, pointer_bytes
from tracejit.runtime.workspace import aligned

Pairs = frozenset[tuple[Owner, Owner]]


@dataclass(frozen=True, slots=True, eq=False)
class Inner:
    """What one kernel does to a slab of a walk: arguments with their offsets and, from slab to slab, their advance, in elements.

    `aligned` pairs (read, written) that may be one memory, as far as this kernel is concerned.
    """

    walk: Walk
    kernel: str
    arguments: tuple[tuple[Owner, int, int], ...]
    dims: tuple[int, ...]
    tasks: int
    scratch_bytes: int
    aligned: Pairs = frozenset()


@dataclass(slots=True)
class SlabLaunch:
    """The launch of all the steps, and those that join the partial results of folds."""

    slabs: Slabs
    layouts: Layouts
    target: Target
    sums: dict[Apply, Temporary] = field(default_factory=dict)
    """Of each fold the results of all parts."""

    def __post_init__(self) -> None:
        for walk in self.slabs.walks:
            self.sums |= self._sums_of(walk) if walk.share else {}

    def task(self) -> Task:
        """All slabs of one size, and the rest."""
        slabs = self.slabs
        whole, rest = divmod(slabs.units, slabs.each)
        every = [(self._inner(slabs.each), whole, 0)]
        if rest:
            every.append((self._inner(rest), 1, whole))
        inner = [each for some, _, _ in every for each in some]
        kernels = tuple(dict.fromkeys(each.kernel for each in inner))
        touched = dict.fromkeys(owner for each in inner for owner, _, _ in each.arguments)
        outside = [owner for owner in touched if owner not in slabs.private]
        at = pointer_bytes(max(len(each.arguments) for each in inner))
        places: dict[Owner, int] = {}
        for owner in touched:
            if owner in slabs.private:
                places[owner] = at
                at += aligned(nbytes(owner) // slabs.units * slabs.each)
        segments = []
        for some, count, first in every:
            parts = [_part(each, kernels, outside, places, first) for each in some]
            segments.append((tuple((owner, 0) for owner in outside), dims_of(parts, at), count))
        launch = Launch(
            kernel=KERNEL,
            segments=tuple(segments),
            grain=1,
            scratch_bytes=at + max(each.scratch_bytes for each in inner),
            note="; ".join(note_of(walk.nodes) for walk in slabs.walks),
            calls=kernels,
            nodes=tuple(chain.from_iterable(walk.nodes for walk in slabs.walks)),
        )
        return Task(launch, _unit(slabs, outside, [*self.sums.values()], inner))

    def joins(self) -> Iterator[tuple[Walk, Lowered]]:
        """Of each fold the launches after this one: all parts joined, in their order."""
        for walk in self.slabs.walks:
            if not walk.share:
                continue
            own = {node: self.sums[node] for node in walk.nodes if node in self.sums}
            if isinstance(walk.step, Product):
                ((node, sums),) = own.items()
                size = node.aval.size
                count = sums.elements // size
                yield walk, join_parts(Combine.SUM, sums, node, size, count, self.target.grain)
            else:
                yield from ((walk, each) for each in joined_parts(walk.step, own, self._grain))

    @property
    def _grain(self) -> Grain:
        """Parts are blocks: slabs have no whole superblocks."""
        return replace(self.target.grain, by_blocks=True)

    def _sums_of(self, walk: Walk) -> dict[Apply, Temporary]:
        if isinstance(walk.step, Product):
            node = walk.step.node
            parts = -(-walk.extent // walk.share)
            return {node: Temporary(node.aval.dtype, parts * node.aval.size)}
        return lower_parts(walk.step, self._place, relabel, self._grain)[1]

    def _place(self, node: Node) -> tuple[Node, Layout]:
        return self.layouts.root(node), self.layouts.layout(node)

    # one slab

    def _inner(self, units: int) -> list[Inner]:
        """What is done to slabs of so many units; the sizes of all but the last are `each`."""
        found: list[Inner] = []
        for walk in self.slabs.walks:
            rows, step = self.slabs.rows(walk, units), self.slabs.rows(walk, self.slabs.each)
            if isinstance(walk.step, Product):
                found += self._inner_product(walk, rows, step)
            else:
                found += self._inner_loops(walk, rows, step)
        return found

    def _inner_loops(self, walk: Walk, rows: int, step: int) -> Iterator[Inner]:
        loops = cut(walk, rows)
        sums: dict[Owner, Owner] = {}
        part = 0  # results of a slab, in elements
        if walk.share:
            lowered, own = lower_parts(loops, self._place, relabel, self._grain)
            every = [lowered]
            sums = {own[node]: self.sums[node] for node in own}
            part = prod(parts_of(cut(walk, step), self._grain))
        else:
            every = lower(loops, self._place, relabel, self.target.grain)

        def argument(owner: Owner, offset: int) -> tuple[Owner, int, int]:
            if owner in sums:
                return sums[owner], offset, part
            return owner, offset, step * walk.stride(owner, offset)

        for lowered in every:
            yield Inner(
                walk,
                self.target.kernel(lowered.kernel),
                tuple(starmap(argument, lowered.arguments)),
                lowered.dims,
                lowered.tasks,
                lowered.scratch_bytes,
                lowered.aligned,
            )

    def _inner_product(self, walk: Walk, rows: int, step: int) -> Iterator[Inner]:
        assert isinstance(walk.step, Product)
        node = walk.step.node
        left, right = (self.layouts.layout(source) for source in node.inputs)
        owners = (*(self.layouts.root(source) for source in node.inputs), self.sums.get(node, node))
        advances = [touch.stride * step for touch in walk.touches]
        if walk.share:
            advances.append(step // walk.share * node.aval.size)
        kernel = self.target.product(node.aval.dtype.name, node.aval.sizes, **node.kwargs)
        segments = part_segments if walk.share else product_segments
        sizes = cut_product(walk, left, right, rows)
        for offsets, dims, tasks, _ in segments(*sizes, kernel.segment):
            firsts = (left.offset + offsets[0], right.offset + offsets[1], offsets[2])
            yield Inner(
                walk,
                kernel.name,
                tuple(zip(owners, firsts, advances, strict=True)),
                dims,
                tasks,
                kernel.scratch_bytes,
            )


def _part(
    inner: Inner,
    kernels: tuple[str, ...],
    outside: list[Owner],
    places: Mapping[Owner, int],
    first: int,
) -> Part:
    """For slabs from that number on."""
    pointers = []
    for owner, offset, advance in inner.arguments:
        size = (owner.dtype if isinstance(owner, Temporary) else owner.aval.dtype).itemsize
        if owner in places:
            pointers.append(Pointer(SCRATCH, places[owner] + offset * size))
        else:
            at = (offset + first * advance) * size
            pointers.append(Pointer(outside.index(owner), at, advance * size))
    return Part(kernels.index(inner.kernel), tuple(pointers), inner.dims, inner.tasks)


def _unit(slabs: Slabs, outside: list[Owner], sums: list[Temporary], inner: list[Inner]) -> Unit:
    written: set[Owner] = {root for walk in slabs.walks for root in walk.written}
    written.update(sums)
    read = {root for walk in slabs.walks for root in walk.read}
    return Unit(
        tuple(owner for owner in outside if owner in read),
        tuple(owner for owner in outside if owner in written),
        frozenset(
            pair
            for each in inner
            for pair in each.aligned
            if _stays_aligned(pair, each.walk, slabs)
        ),
        work=sum(nanoseconds(walk.step, 0) for walk in slabs.walks),
    )


def _stays_aligned(pair: tuple[Owner, Owner], walk: Walk, slabs: Slabs) -> bool:
    """Whether a walk's pair may be one memory beside the others: none reads the first, none has used the second before, and slabs
    of both lie apart."""
    read, written = pair
    before = slabs.walks[: slabs.walks.index(walk)]
    others = [each for each in slabs.walks if each is not walk]
    return (
        all(touch.root is not read for each in others for touch in each.touches)
        and all(touch.root is not written for each in before for touch in each.touches)
        and all(
            touch.is_in_rows(walk.extent) for touch in walk.touches if touch.root in (read, written)
        )
    )
