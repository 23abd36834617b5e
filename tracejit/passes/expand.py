"""Ops that move data, written as stores into parts of their own memory."""

from __future__ import annotations

from tracejit.ir.cluster import Fused, Scatter, Step, Store
from tracejit.ir.graph import Apply, Node
from tracejit.ops.op import Concat, Layout, Pad, ScatterAdd, Update, View
from tracejit.passes.layouts import row_major


def expand(node: Apply) -> list[Step]:
    """The steps of a copying view, update, concatenation, padding or scatter."""
    return [*ground(node), *(store(value, node, part) for value, part in parts(node)), *_rest(node)]


def ground(node: Apply) -> list[Step]:
    """What is in its memory before any part is written: of an update a copy, which goes where it lives in the same memory."""
    whole = row_major(node.aval.sizes)
    match node.op.recipe:
        case Update() | ScatterAdd():
            return [store(node.inputs[0], node, whole)]
        case Pad():
            return [store(node.inputs[1], node, whole)]
    return []


def parts(node: Apply) -> list[tuple[Node, Layout]]:
    """The values that are written to parts of its memory, and these."""
    match node.op.recipe:
        case View():
            source = node.inputs[0]
            return [(source, row_major(source.aval.sizes))]
        case Update():
            return [(node.inputs[1], _replaced(node))]
        case Pad():
            return [(node.inputs[0], _inner(node))]
        case Concat():
            return _side_by_side(node)
    return []


def _rest(node: Apply) -> list[Step]:
    return [Scatter(node)] if isinstance(node.op.recipe, ScatterAdd) else []


def store(value: Node, target: Node, layout: Layout) -> Fused:
    """The value, which broadcasts, written to a part of the target's memory."""
    return Fused(layout.shape, (), (), {}, (Store(value, target, layout),))


def _replaced(node: Apply) -> Layout:
    recipe = node.op.recipe
    assert isinstance(recipe, Update)
    part = recipe.layout(row_major(node.aval.sizes), **node.kwargs)
    assert part is not None
    return part


def _inner(node: Apply) -> Layout:
    whole = row_major(node.aval.sizes)
    before = [before for before, _ in node.kwargs["widths"]]
    offset = sum(count * stride for count, stride in zip(before, whole.strides, strict=True))
    return Layout(node.inputs[0].aval.sizes, whole.strides, offset)


def _side_by_side(node: Apply) -> list[tuple[Node, Layout]]:
    axis, whole = node.kwargs["axis"], row_major(node.aval.sizes)
    placed: list[tuple[Node, Layout]] = []
    first = 0
    for source in node.inputs:
        offset = first * whole.strides[axis]
        placed.append((source, Layout(source.aval.sizes, whole.strides, offset)))
        first += source.aval.sizes[axis]
    return placed
