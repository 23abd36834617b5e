"""Steps along one axis: which part of its operands and results each row of it touches, so that the rows can be cut into slabs.

A walk either keeps its axis, as what it computes has rows of its own there, or folds it: each slab then has partial results, of a
fixed number of rows each, which are joined once all slabs are done. Results are the same bits either way, for the trees of folds
and products are made of such parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import gcd, prod

from tracejit._records import dataclass
from tracejit.codegen.kernel.access import Access, Accesses
from tracejit.codegen.kernel.cost import profile
from tracejit.codegen.kernel.folds import SEARCHES
from tracejit.codegen.kernel.lower import combine_of, tree_of
from tracejit.compiler.products import has_small_parts
from tracejit.ir.cluster import Fused, Owner, Product
from tracejit.ir.graph import Apply, Node
from tracejit.ops.op import Layout, Reduction
from tracejit.passes.layouts import Layouts
from tracejit.runtime.gemm import DEPTH


@dataclass(frozen=True, slots=True)
class Touch:
    """Memory that a step reads or writes while it goes along its axis: each row begins `stride` elements further and
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
    """A step along an axis.

    rows   of a product in each row of the axis, if all need the same right operand
    share  rows that have a partial result of their own, where the axis is folded; 0 where it is kept
    """

    step: Fused | Product
    axis: int
    extent: int
    touches: tuple[Touch, ...]
    rows: int | None = None
    share: int = 0

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

    def stride(self, root: Owner, offset: int) -> int:
        """How far, in elements, the rows of an argument lie apart."""
        (stride,) = {t.stride for t in self.touches if t.root is root and t.offset == offset}
        return stride


def walk_of_loops(step: Fused, accesses: Accesses) -> Walk | None:
    """Along the leading axis of several rows; None for loops that cannot be cut there."""
    axis = next((axis for axis, extent in enumerate(step.space) if extent > 1), None)
    if axis is None or 0 in step.space or step.split != (axis in step.axes):
        return None
    if any(not isinstance(each.target, Apply) for each in step.stores):
        return None  # what is the caller's stays where it is in the order
    for member in step.members:
        labels = step.labels[member]
        if any(labels[index] == axis for index in profile(member).indices):
            return None
    share = _share(step, axis) if step.split else 0
    if share is None:
        return None
    every = [(access, False) for access in accesses.every_read()]
    every += [
        (access, True)
        for store, access in accesses.writes.items()
        if not (step.split and _is_fold(store.value))
    ]
    touches = tuple(_touch(step, axis, access, written) for access, written in every)
    return _consistent(Walk(step, axis, step.space[axis], touches, share=share))


def _is_fold(node: Node) -> bool:
    return isinstance(node, Apply) and isinstance(node.op.recipe, Reduction)


def _share(step: Fused, axis: int) -> int | None:
    """Rows of the first of the folded axes that are whole blocks of the folds' tree; None where these have no parts."""
    if any(_is_fold(member) and combine_of(member) in SEARCHES for member in step.members):
        return None
    inner = prod(step.space[other] for other in step.axes if other != axis)
    block = tree_of(step).block
    return block // gcd(block, inner)


def _touch(step: Fused, axis: int, access: Access, written: bool) -> Touch:
    pairs = zip(step.space, access.strides, strict=True)
    steps = [(n - 1) * stride for d, (n, stride) in enumerate(pairs) if d != axis]
    reach = _reach(steps, access.gather, access.root)
    return Touch(access.root, access.offset, access.strides[axis], reach, written)


def _reach(steps: Iterable[int], gather: int, root: Node) -> int:
    """Of a row; all of the memory where it is read backwards or anywhere."""
    steps = list(steps)
    return root.aval.size if gather or any(step < 0 for step in steps) else sum(steps)


def walk_of_product(step: Product, layouts: Layouts) -> Walk | None:
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


def walk_down_product(step: Product, layouts: Layouts) -> Walk | None:
    """Along the axis that a product sums over; None where its partial sums are not worth their memory."""
    left, right = (layouts.layout(source) for source in step.node.inputs)
    shape, depth = step.node.aval.sizes, left.shape[-1]
    if step.node.params or len(shape) > 2 or depth <= DEPTH or not has_small_parts(shape):
        return None
    touches = []
    for source, layout, axis in zip(step.node.inputs, (left, right), (1, 0), strict=True):
        across = (layout.shape[1 - axis] - 1) * layout.strides[1 - axis]
        root = layouts.root(source)
        reach = _reach([across], 0, root)
        touches.append(Touch(root, layout.offset, layout.strides[axis], reach))
    return _consistent(Walk(step, 0, depth, tuple(touches), share=DEPTH))


def _consistent(walk: Walk) -> Walk | None:
    """None where one argument would have to move on by different steps."""
    strides: dict[tuple[Node, int], int] = {}
    for touch in walk.touches:
        if strides.setdefault((touch.root, touch.offset), touch.stride) != touch.stride:
            return None
    return walk


def cut(walk: Walk, rows: int) -> Fused:
    """The loops of so many rows."""
    assert isinstance(walk.step, Fused)
    space = list(walk.step.space)
    space[walk.axis] = rows
    return replace(walk.step, space=tuple(space))


def cut_product(
    walk: Walk, left: Layout, right: Layout, rows: int
) -> tuple[Layout, Layout, tuple[int, ...]]:
    """The operands and the shape of the product of so many rows."""
    assert isinstance(walk.step, Product)
    shape = list(walk.step.node.aval.sizes)
    if walk.share:
        (m, _), (_, n) = left.shape, right.shape
        return replace(left, shape=(m, rows)), replace(right, shape=(rows, n)), (m, n)
    shape[walk.axis] = rows
    seen = []
    for layout, touch in zip((left, right), walk.touches, strict=False):
        sizes = list(layout.shape)
        if touch.stride:
            sizes[walk.axis - len(shape) + len(sizes)] = rows
        seen.append(Layout(tuple(sizes), layout.strides, layout.offset))
    return seen[0], seen[1], tuple(shape)
