"""What is done to one slab: the kernels of its steps, where their arguments lie in it, and how these move on to other slabs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from tracejit._records import dataclass, field
from tracejit.codegen.kernel.grain import Grain
from tracejit.codegen.kernel.lower import lower, lower_parts, parts_of, share_of
from tracejit.compiler.inner import Inner, Moves, moves_of
from tracejit.compiler.slab_products import SlabProduct
from tracejit.compiler.slabs import Slabs
from tracejit.compiler.target import Target
from tracejit.compiler.walks import Walk, cut
from tracejit.ir.cluster import Owner, Product, Temporary
from tracejit.ir.graph import Apply, Node
from tracejit.ops.op import Layout
from tracejit.passes.layouts import Layouts, relabel


@dataclass(slots=True)
class SlabParts:
    """Makes the kernels of slabs, and keeps the partial results of folds, of all slabs one after another."""

    slabs: Slabs
    layouts: Layouts
    target: Target
    sums: dict[Apply, Temporary] = field(default_factory=dict)
    products: dict[Walk, SlabProduct] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for walk in self.slabs.walks:
            sums = self._sums_of(walk) if walk.share else {}
            self.sums |= sums
            if isinstance(walk.step, Product):
                self.products[walk] = SlabProduct.of(
                    walk, self.slabs, self.layouts, self.target, sums.get(walk.step.node)
                )

    @property
    def partial(self) -> list[Temporary]:
        """Memory for the partial sums of one slab."""
        return [each.own for each in self.products.values() if each.own]

    @property
    def grain(self) -> Grain:
        """Parts are blocks: slabs have no whole superblocks."""
        return replace(self.target.grain, by_blocks=True)

    def of(self, units: int, *, adds: bool = False) -> list[Inner]:
        """What is done to slabs of so many units; the sizes of all but the last are `each`. Where it `adds`, sums go on."""
        found: list[Inner] = []
        for walk in self.slabs.walks:
            rows = self.slabs.rows(walk, units)
            if walk in self.products:
                found += self.products[walk].inner(rows, adds=adds)
            else:
                found += self._loops(walk, rows, self.slabs.rows(walk, self.slabs.each))
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
            slab = cut(walk, step)
            part = prod(parts_of(slab, share_of(slab, self.grain)))
        else:
            every = lower(loops, self.place, relabel, replace(self.target.grain, whole_rows=0))

        def argument(owner: Owner, offset: int) -> tuple[Owner, int, Moves]:
            if owner in sums:
                return sums[owner], offset, (part,)
            return owner, offset, moves_of(walk.strides(owner, offset), step)

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
