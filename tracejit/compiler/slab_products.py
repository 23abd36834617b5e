"""Products slab by slab: sums go on in the result, or are computed in parts, which are joined at once or after all slabs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import prod

from tracejit._records import dataclass
from tracejit.codegen.kernel.ir import Combine
from tracejit.codegen.kernel.parts import join_parts
from tracejit.compiler.inner import Inner, Moves, moves_of
from tracejit.compiler.products import deep_parts, part_segments, product_segments
from tracejit.compiler.slabs import Slabs
from tracejit.compiler.target import ProductKernel, Target
from tracejit.compiler.walks import Walk, cut_product
from tracejit.ir.cluster import Owner, Temporary
from tracejit.ir.graph import Apply
from tracejit.ops.op import Layout
from tracejit.passes.layouts import Layouts, row_major
from tracejit.runtime.gemm import DEPTH

Sizes = tuple[Layout, Layout, tuple[int, ...]]
"""The operands of a slab's product, and its shape."""


@dataclass(frozen=True, slots=True, eq=False)
class SlabProduct:
    """Of one walk, of whose rows `step` are a slab.

    sums   where the partial sums of all slabs lie one after another, if they are joined once all are there
    own    where those of one slab lie, which are joined at once
    """

    walk: Walk
    step: int
    layouts: Layouts
    target: Target
    sums: Temporary | None
    own: Temporary | None

    @classmethod
    def of(
        cls,
        walk: Walk,
        slabs: Slabs,
        layouts: Layouts,
        target: Target,
        sums: Temporary | None,
    ) -> SlabProduct:
        step = slabs.rows(walk, slabs.each)
        whole = cls(walk, step, layouts, target, sums, None)
        if sums or not slabs.in_turn or not whole.is_better_in_parts:
            return whole
        *_, shape = whole.sizes(step)
        memory = Temporary(whole.node.aval.dtype, whole.parts(step) * prod(shape))
        return cls(walk, step, layouts, target, None, memory)

    @property
    def node(self) -> Apply:
        (node,) = self.walk.nodes
        return node

    def inner(self, rows: int, *, adds: bool) -> Iterator[Inner]:
        """What is done to a slab of so many rows; where it `adds` there have been slabs before, of which sums go on."""
        if self.sums:
            moves = (self.step // self.walk.share * self.node.aval.size,)
            yield from self._multiplied(rows, self.sums, moves)
        elif self.own:
            yield from self._multiplied(rows, self.own, (0,) * len(self.walk.axes))
            yield self._joined(rows, self.own, goes_on=adds and bool(self.walk.share))
        else:
            yield from self._multiplied(
                rows, self.node, self._result, adds=adds and bool(self.walk.share)
            )

    def sizes(self, rows: int) -> Sizes:
        left, right = (self.layouts.layout(source) for source in self.node.inputs)
        return cut_product(self.walk, left, right, rows)

    def parts(self, rows: int) -> int:
        """How many partial sums there are."""
        left, *_ = self.sizes(rows)
        return -(-left.shape[-1] // DEPTH)

    @property
    def is_better_in_parts(self) -> bool:
        """Whether sums cannot go on in the result, or a slab's product has too few tasks to share."""
        if self.walk.share:
            return not self.target.adds_products
        left, right, shape = self.sizes(self.step)
        if self.node.params or not deep_parts(left.shape[-1], shape):
            return False
        segments = product_segments(left, right, shape, self._kernel(shape, left.shape[-1]).segment)
        return sum(tasks for _, _, tasks, _ in segments) < self.target.grain.products

    @property
    def _result(self) -> Moves:
        """How the result moves on."""
        if not self.walk.share:
            return moves_of(self.walk.touches[-1].strides, self.step)
        outer = row_major(self.node.aval.sizes).strides
        return (*(outer[axis] for axis in self.walk.axes[:-1]), 0)

    def _kernel(self, part: tuple[int, ...], depth: int) -> ProductKernel:
        aval, params = self.node.aval, self.node.kwargs
        return self.target.product(aval.dtype.name, aval.sizes, part, depth, **params)

    def _multiplied(
        self, rows: int, to: Owner, moves: Moves, *, adds: bool = False
    ) -> Iterator[Inner]:
        """The product written to the result; or its partial sums, to other memory."""
        left, right, shape = self.sizes(rows)
        in_parts = to is not self.node
        kernel = (
            self._kernel((self.parts(rows), *shape), DEPTH)
            if in_parts
            else self._kernel(shape, left.shape[-1])
        )
        segments = part_segments if in_parts else product_segments
        segment = partial(kernel.segment, adds=True) if adds else kernel.segment
        owners = (*(self.layouts.root(source) for source in self.node.inputs), to)
        every = (*(moves_of(each.strides, self.step) for each in self.walk.touches[:2]), moves)
        for offsets, dims, tasks, grain in segments(left, right, shape, segment):
            firsts = (left.offset + offsets[0], right.offset + offsets[1], offsets[2])
            yield Inner(
                self.walk,
                kernel.name,
                tuple(zip(owners, firsts, every, strict=True)),
                (False, False, True),
                dims,
                tasks,
                grain,
                kernel.scratch_bytes,
            )

    def _joined(self, rows: int, memory: Temporary, *, goes_on: bool) -> Inner:
        """The partial sums of a slab joined, and added to those before."""
        *_, shape = self.sizes(rows)
        lowered = join_parts(
            Combine.SUM,
            memory,
            self.node,
            prod(shape),
            self.parts(rows),
            self.target.grain,
            goes_on=goes_on,
        )
        moves = (0,) * len(self.walk.axes), self._result
        return Inner(
            self.walk,
            self.target.kernel(lowered.kernel),
            tuple((*at, by) for at, by in zip(lowered.arguments, moves, strict=True)),
            tuple(buffer.written for buffer in lowered.kernel.buffers),
            lowered.dims,
            lowered.tasks,
            lowered.grain,
            lowered.scratch_bytes,
        )
