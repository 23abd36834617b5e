"""What is done to one slab: the kernels of its steps, where their arguments lie in it, and how these move on to other slabs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from math import prod

from tracejit._records import dataclass, field
from tracejit.codegen.kernel.grain import Grain
from tracejit.codegen.kernel.lower import lower, lower_parts, parts_of
from tracejit.compiler.products import Part, part_segments, product_segments
from tracejit.compiler.slabs import Slabs
from tracejit.compiler.target import Target
from tracejit.compiler.walks import Walk, cut, cut_product
from tracejit.ir.cluster import Owner, Product, Temporary
from tracejit.ir.graph import Apply, Node
from tracejit.ops.op import Layout
from tracejit.passes.layouts import Layouts, relabel, row_major

Moves = tuple[int, ...]
"""How far an argument moves on, in elements: for each of the outer axes from row to row, then from slab to slab."""


@dataclass(frozen=True, slots=True, eq=False)
class Inner:
    """What one kernel does to a slab of a walk; `written` tells of each argument whether it is.

    `aligned` pairs (read, written) that may be one memory, as far as this kernel is concerned.
    """

    walk: Walk
    kernel: str
    arguments: tuple[tuple[Owner, int, Moves], ...]
    written: tuple[bool, ...]
    dims: tuple[int, ...]
    tasks: int
    grain: int
    scratch_bytes: int
    aligned: frozenset[tuple[Owner, Owner]] = frozenset()

    @property
    def reads(self) -> dict[Owner, None]:
        return self._touched(False)

    @property
    def writes(self) -> dict[Owner, None]:
        return self._touched(True)

    def _touched(self, written: bool) -> dict[Owner, None]:
        pairs = zip(self.arguments, self.written, strict=True)
        return {owner: None for (owner, _, _), each in pairs if each is written}


@dataclass(slots=True)
class SlabParts:
    """Makes the kernels of slabs, and keeps the partial results of folds, of all slabs one after another."""

    slabs: Slabs
    layouts: Layouts
    target: Target
    sums: dict[Apply, Temporary] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for walk in self.slabs.walks:
            self.sums |= self._sums_of(walk) if walk.share else {}

    @property
    def grain(self) -> Grain:
        """Parts are blocks: slabs have no whole superblocks."""
        return replace(self.target.grain, by_blocks=True)

    def of(self, units: int, *, adds: bool = False) -> list[Inner]:
        """What is done to slabs of so many units; the sizes of all but the last are `each`. Where it `adds`, sums go on."""
        found: list[Inner] = []
        for walk in self.slabs.walks:
            rows, step = self.slabs.rows(walk, units), self.slabs.rows(walk, self.slabs.each)
            if isinstance(walk.step, Product):
                found += self._product(walk, rows, step, adds=adds)
            else:
                found += self._loops(walk, rows, step)
        return [each for each in found if each.tasks]

    def place(self, node: Node) -> tuple[Node, Layout]:
        return self.layouts.root(node), self.layouts.layout(node)

    def _sums_of(self, walk: Walk) -> dict[Apply, Temporary]:
        if not isinstance(walk.step, Product):
            return lower_parts(walk.step, self.place, relabel, self.grain)[1]
        if self.slabs.in_order:
            return {}
        node = walk.step.node
        parts = -(-walk.extent // walk.share)
        return {node: Temporary(node.aval.dtype, parts * node.aval.size)}

    def _loops(self, walk: Walk, rows: int, step: int) -> Iterator[Inner]:
        loops = cut(walk, rows)
        sums: dict[Owner, Owner] = {}
        part = 0  # results of a slab, in elements
        if walk.share:
            lowered, own = lower_parts(loops, self.place, relabel, self.grain)
            every = [lowered]
            sums = {own[node]: self.sums[node] for node in own}
            part = prod(parts_of(cut(walk, step), self.grain))
        else:
            every = lower(loops, self.place, relabel, self.target.grain)

        def argument(owner: Owner, offset: int) -> tuple[Owner, int, Moves]:
            if owner in sums:
                return sums[owner], offset, (part,)
            return owner, offset, _moves(walk.strides(owner, offset), step)

        for lowered in every:
            yield Inner(
                walk,
                self.target.kernel(lowered.kernel),
                tuple(argument(*each) for each in lowered.arguments),
                tuple(buffer.written for buffer in lowered.kernel.buffers),
                lowered.dims,
                lowered.tasks,
                lowered.grain,
                lowered.scratch_bytes,
                lowered.aligned,
            )

    def _product(self, walk: Walk, rows: int, step: int, *, adds: bool) -> Iterator[Inner]:
        assert isinstance(walk.step, Product)
        node = walk.step.node
        left, right = (self.layouts.layout(source) for source in node.inputs)
        owners = (*(self.layouts.root(source) for source in node.inputs), self.sums.get(node, node))
        moves = [_moves(touch.strides, step) for touch in walk.touches]
        depth = node.inputs[0].aval.sizes[-1]
        kernel = self.target.product(node.aval.dtype.name, node.aval.sizes, depth, **node.kwargs)
        segments: Callable[..., Iterator[Part]] = product_segments
        segment = kernel.segment
        if walk.share and node in self.sums:
            segments = part_segments
            moves.append((step // walk.share * node.aval.size,))
        elif walk.share:
            segment = partial(segment, adds=adds)
            outer = row_major(node.aval.sizes).strides
            moves.append((*(outer[axis] for axis in walk.axes[:-1]), 0))
        sizes = cut_product(walk, left, right, rows)
        for offsets, dims, tasks, grain in segments(*sizes, segment):
            firsts = (left.offset + offsets[0], right.offset + offsets[1], offsets[2])
            yield Inner(
                walk,
                kernel.name,
                tuple(zip(owners, firsts, moves, strict=True)),
                (False, False, True),
                dims,
                tasks,
                grain,
                kernel.scratch_bytes,
            )


def _moves(strides: Moves, step: int) -> Moves:
    return (*strides[:-1], strides[-1] * step)
