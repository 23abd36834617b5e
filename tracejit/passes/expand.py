"""Ops that move data, written as stores into parts of their own memory."""

from __future__ import annotations

from tracejit.ir.cluster import Fused, Scatter, Step, Store
from tracejit.ir.graph import Apply, Node
from tracejit.ops.op import Concat, Layout, Pad, ScatterAdd, Update, View
from tracejit.passes.layouts import row_major


def expand(node: Apply) -> list[Step]:
    """The steps of a copying view, update, concatenation, padding or scatter."""
    sources, shape = node.inputs, node.aval.sizes
    match node.op.recipe:
        case View():
            return [store(sources[0], node, row_major(sources[0].aval.sizes))]
        case Update():
            return [taken_over(node), store(sources[1], node, replaced_part(node))]
        case ScatterAdd():
            return [store(sources[0], node, row_major(shape)), Scatter(node)]
        case Pad():
            return [
                store(sources[1], node, row_major(shape)),
                store(sources[0], node, _inner(node)),
            ]
        case Concat():
            return _concatenate(node)
        case recipe:
            raise AssertionError(recipe)


def taken_over(update: Apply) -> Fused:
    """What is updated, copied: nothing is left to do where the update lives in its memory."""
    return store(update.inputs[0], update, row_major(update.aval.sizes))


def store(value: Node, target: Node, layout: Layout) -> Fused:
    """The value, which broadcasts, written to a part of the target's memory."""
    return Fused(layout.shape, (), (), {}, (Store(value, target, layout),))


def replaced_part(node: Apply) -> Layout:
    """The part of an update's memory that is replaced."""
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


def _concatenate(node: Apply) -> list[Step]:
    axis, whole = node.kwargs["axis"], row_major(node.aval.sizes)
    steps: list[Step] = []
    first = 0
    for source in node.inputs:
        offset = first * whole.strides[axis]
        steps.append(store(source, node, Layout(source.aval.sizes, whole.strides, offset)))
        first += source.aval.sizes[axis]
    return steps
