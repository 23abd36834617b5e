"""Steps along leading axes: which part of its operands and results each row of these touches, so that rows can be cut into slabs.

A walk either keeps the last of its axes, as what it computes has rows of its own there, or folds it: each slab then has partial
results, of a fixed number of rows each, which are joined once all slabs are done, or added to those of the slabs before. Results
are the same bits either way, for the trees of folds and products are made of such parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import gcd, prod

from tracejit._records import dataclass, field
from tracejit.codegen.kernel.access import Access, Accesses
from tracejit.codegen.kernel.cost import profile
from tracejit.codegen.kernel.folds import SEARCHES
from tracejit.codegen.kernel.lower import combine_of, tree_of
from tracejit.compiler.products import has_small_parts
from tracejit.ir.cluster import Fused, Owner, Product
from tracejit.ir.graph import Apply, Node
from tracejit.ops.op import Layout, Reduction
from tracejit.passes.layouts import Layouts, row_major
from tracejit.runtime.gemm import DEPTH


@dataclass(frozen=True, slots=True)
class Touch:
    """Memory that a step reads or writes while it goes along its axes: each row begins `strides` elements further, one for each
    axis, and reaches `reach` elements from there."""

    root: Node
    offset: int
    strides: tuple[int, ...]
    reach: int
    written: bool = False

    def is_in_rows(self, extents: tuple[int, ...]) -> bool:
        """Whether each row lies in a part of the memory of its own, and all of these are the memory, in order."""
        size = self.root.aval.size
        for extent, stride in zip(extents, self.strides, strict=True):
            if stride * extent != size:
                return False
            size = stride
        return 0 <= self.offset and self.offset + self.reach < size


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """A step along its leading axes; the last of them is cut into slabs.

    rows   of a product in each row of the axes, if all rows of the last one need the same right operand
    share  rows that have a partial result of their own, where the last axis is folded; 0 where it is kept
    """

    step: Fused | Product
    axes: tuple[int, ...]
    extents: tuple[int, ...]
    touches: tuple[Touch, ...]
    rows: int | None = None
    share: int = 0
    read: frozenset[Node] = field(init=False)
    written: frozenset[Node] = field(init=False)
    loose: frozenset[Node] = field(init=False)
    """Of what it touches that which is not in rows."""

    def __post_init__(self) -> None:
        for name, roots in (
            ("read", (touch.root for touch in self.touches if not touch.written)),
            ("written", (touch.root for touch in self.touches if touch.written)),
            ("loose", (t.root for t in self.touches if not t.is_in_rows(self.extents))),
        ):
            object.__setattr__(self, name, frozenset(roots))

    @property
    def extent(self) -> int:
        """Of the axis that is cut."""
        return self.extents[-1]

    @property
    def in_rows(self) -> frozenset[Node]:
        return (self.read | self.written) - self.loose

    @property
    def nodes(self) -> tuple[Apply, ...]:
        """What the step computes."""
        return self.step.members if isinstance(self.step, Fused) else (self.step.node,)

    def strides(self, root: Owner, offset: int) -> tuple[int, ...]:
        """How far, in elements, the rows of an argument lie apart."""
        (strides,) = {t.strides for t in self.touches if t.root is root and t.offset == offset}
        return strides


def _leading(sizes: Sequence[int], depth: int) -> tuple[int, ...]:
    """The first axes of several rows, so many; none where there are fewer."""
    wide = tuple(axis for axis, extent in enumerate(sizes) if extent > 1)[:depth]
    return wide if len(wide) == depth else ()


def walk_of_loops(step: Fused, accesses: Accesses, depth: int) -> Walk | None:
    """Along so many leading axes; None for loops that cannot be cut there."""
    axes = _leading(step.space, depth)
    if not axes or 0 in step.space:
        return None
    folds = [axis for axis in axes if axis in step.axes]
    if folds != [axes[0]] * step.split or (step.split and depth > 1):
        return None
    if any(not isinstance(each.target, Apply) for each in step.stores):
        return None  # what is the caller's stays where it is in the order
    for member in step.members:
        labels = step.labels[member]
        if any(labels[index] in axes for index in profile(member).indices):
            return None
    share = _share(step, axes[0]) if step.split else 0
    if share is None:
        return None
    every = [(access, False) for access in accesses.every_read()]
    every += [
        (access, True)
        for store, access in accesses.writes.items()
        if not (step.split and _is_fold(store.value))
    ]
    touches = tuple(_touch(step, axes, access, written) for access, written in every)
    extents = tuple(step.space[axis] for axis in axes)
    return _consistent(Walk(step, axes, extents, touches, share=share))


def _is_fold(node: Node) -> bool:
    return isinstance(node, Apply) and isinstance(node.op.recipe, Reduction)


def _share(step: Fused, axis: int) -> int | None:
    """Rows of the first of the folded axes that are whole blocks of the folds' tree; None where these have no parts."""
    if any(_is_fold(member) and combine_of(member) in SEARCHES for member in step.members):
        return None
    inner = prod(step.space[other] for other in step.axes if other != axis)
    block = tree_of(step).block
    return block // gcd(block, inner)


def _touch(step: Fused, axes: tuple[int, ...], access: Access, written: bool) -> Touch:
    pairs = zip(step.space, access.strides, strict=True)
    steps = [(n - 1) * stride for d, (n, stride) in enumerate(pairs) if d not in axes]
    reach = _reach(steps, access.gather, access.root)
    strides = tuple(access.strides[axis] for axis in axes)
    return Touch(access.root, access.offset, strides, reach, written)


def _reach(steps: Iterable[int], gather: int, root: Node) -> int:
    """Of a row; all of the memory where it is read backwards or anywhere."""
    steps = list(steps)
    return root.aval.size if gather or any(step < 0 for step in steps) else sum(steps)


def walk_of_product(step: Product, layouts: Layouts, depth: int) -> Walk | None:
    """None for a product of fewer axes, or of one row."""
    shape = step.node.aval.sizes
    axes = _leading(shape[:-1], depth)
    if not axes or 0 in shape:
        return None
    touches = []
    shared = False
    for place, source in enumerate(step.node.inputs):
        layout = layouts.layout(source)
        along = _along(layout, shape, axes, at_row=not place)
        shared |= bool(place) and along[-1] is None
        touches.append(_operand(layouts.root(source), layout, along))
    row = prod(shape[axes[-1] + 1 :])
    touches.append(Touch(step.node, 0, _row_strides(shape, axes), row - 1, written=True))
    rows = prod(shape[axes[-1] + 1 : -1]) if shared else None
    return _consistent(Walk(step, axes, _of(shape, axes), tuple(touches), rows))


def walk_down_product(step: Product, layouts: Layouts, depth: int) -> Walk | None:
    """Along all axes of its batch and the one that it sums over; None where partial sums are not worth their memory."""
    shape, inner = step.node.aval.sizes, step.node.inputs[0].aval.sizes[-1]
    axes = _leading(shape[:-2], depth - 1)
    if step.node.params or inner <= DEPTH or not has_small_parts(shape[-2:]):
        return None
    if 0 in shape or prod(_of(shape, axes)) != prod(shape[:-2]):
        return None
    touches = []
    for source, place in zip(step.node.inputs, (-1, -2), strict=True):
        layout = layouts.layout(source)
        along = [*_along(layout, shape, axes), len(layout.shape) + place]
        touches.append(_operand(layouts.root(source), layout, along))
    extents = (*_of(shape, axes), inner)
    return _consistent(Walk(step, (*axes, len(shape)), extents, tuple(touches), share=DEPTH))


def _of(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in axes)


def _row_strides(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return _of(row_major(shape).strides, axes)


def _along(
    layout: Layout, shape: tuple[int, ...], axes: tuple[int, ...], *, at_row: bool = False
) -> list[int | None]:
    """Which axis of an operand is each of these of its product; None for one along which it is the same. The rows of the product
    are those of its left operand, `at_row`."""
    found: list[int | None] = []
    for axis in axes:
        at = axis - len(shape) + len(layout.shape)
        follows = at >= 0 and layout.shape[at] > 1 and (at_row or axis < len(shape) - 2)
        found.append(at if follows else None)
    return found


def _operand(root: Node, layout: Layout, along: Sequence[int | None]) -> Touch:
    strides = tuple(0 if at is None else layout.strides[at] for at in along)
    steps = [
        (n - 1) * s
        for d, (n, s) in enumerate(zip(layout.shape, layout.strides, strict=True))
        if d not in along
    ]
    return Touch(root, layout.offset, strides, _reach(steps, 0, root))


def _consistent(walk: Walk) -> Walk | None:
    """None where one argument would have to move on by different steps."""
    strides: dict[tuple[Node, int], tuple[int, ...]] = {}
    for touch in walk.touches:
        if strides.setdefault((touch.root, touch.offset), touch.strides) != touch.strides:
            return None
    return walk


def cut(walk: Walk, rows: int) -> Fused:
    """The loops of so many rows."""
    assert isinstance(walk.step, Fused)
    space = list(walk.step.space)
    for axis in walk.axes:
        space[axis] = 1
    space[walk.axes[-1]] = rows
    return replace(walk.step, space=tuple(space))


def cut_product(
    walk: Walk, left: Layout, right: Layout, rows: int
) -> tuple[Layout, Layout, tuple[int, ...]]:
    """The operands and the shape of the product of so many rows."""
    assert isinstance(walk.step, Product)
    shape = list(walk.step.node.aval.sizes)
    if walk.share:
        m, n = shape[-2:]
        return _sized(left, (m, rows)), _sized(right, (rows, n)), (m, n)
    for axis in walk.axes:
        shape[axis] = 1
    shape[walk.axes[-1]] = rows
    return _with_leading(left, shape[:-1], 1), _with_leading(right, shape[:-2], 2), tuple(shape)


def _sized(layout: Layout, shape: tuple[int, int]) -> Layout:
    return Layout(shape, layout.strides[-2:], layout.offset)


def _with_leading(layout: Layout, sizes: list[int], kept: int) -> Layout:
    """An operand of a product whose leading axes have these sizes; the last ones stay."""
    count = len(layout.shape) - kept
    pairs = zip(layout.shape, sizes[len(sizes) - count :], strict=False)
    first = tuple(size if extent > 1 else 1 for extent, size in pairs)
    return replace(layout, shape=first + layout.shape[count:])
