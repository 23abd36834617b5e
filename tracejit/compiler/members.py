"""A part of a fused step: what it takes to compute some of its values."""

from __future__ import annotations

from collections.abc import Container

from tracejit.codegen.kernel.access import Accesses
from tracejit.ir.cluster import Fused
from tracejit.ir.graph import Apply, Node
from tracejit.ops.op import Reduction
from tracejit.passes.layouts import Layouts, relabel


def accesses_of(step: Fused, layouts: Layouts) -> Accesses:
    """What the step reads and writes, where that lies in memory."""
    return Accesses(step, lambda node: (layouts.root(node), layouts.layout(node)), relabel)


def only(
    step: Fused, wanted: Container[Node], layouts: Layouts, given: Container[Node] = ()
) -> Fused:
    """The step as far as it stores what is wanted; members that are given are read from memory."""
    accesses = accesses_of(step, layouts)
    stores = tuple(store for store in step.stores if store.target in wanted)
    needed: set[Apply] = set()
    stack: list[Node] = [store.value for store in stores]
    while stack:
        member = accesses.behind(stack.pop())
        if member is not None and member not in needed and member not in given:
            needed.add(member)
            stack += member.inputs
    members = tuple(member for member in step.members if member in needed)
    labels = {member: step.labels[member] for member in members}
    folds = any(isinstance(member.op.recipe, Reduction) for member in members)
    axes, split = (step.axes, step.split) if folds else ((), False)
    return Fused(step.space, axes, members, labels, stores, split)
