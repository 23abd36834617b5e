"""Coordinates of rows, which a kernel reads from its loops, computed by a step of their own.

A slab does not know where it begins. A mask of what comes later compares the numbers of rows with those of columns; rows that are
run slab by slab read theirs from memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod

from tracejit.codegen.kernel.cost import profile
from tracejit.ir.cluster import Fused, Labels, Step, Store
from tracejit.ir.graph import Apply, Constant, ScalarInput
from tracejit.passes.layouts import row_major

LEAST_ROWS_OF = 16
"""Elements of a step for each coordinate that it would read."""


def with_coordinates_apart(steps: Sequence[Step]) -> dict[Step, tuple[Step, ...]]:
    """Of steps that read coordinates of rows: what they become."""
    found: dict[Step, tuple[Step, ...]] = {}
    for step in steps:
        if isinstance(step, Fused) and (apart := [*_coordinates(step)]):
            found[step] = (*map(_alone, apart), _without(step, apart))
    return found


def _coordinates(step: Fused) -> Iterator[Apply]:
    """Members that are coordinates along axes of rows, made from numbers alone, if all that read such coordinates are."""
    rows = {axis for axis in range(len(step.space)) if axis not in step.axes}
    for member in step.members:
        labels = step.labels[member]
        if not any(labels[index] in rows for index in profile(member).indices):
            continue
        if not all(isinstance(source, ScalarInput | Constant) for source in member.inputs):
            return
        if member.aval.size * LEAST_ROWS_OF > prod(step.space):
            return
        yield member


def _alone(member: Apply) -> Fused:
    shape = member.aval.sizes
    labels: Labels = tuple(range(len(shape)))
    own = Store(member, member, row_major(shape))
    return Fused(shape, (), (member,), {member: labels}, (own,))


def _without(step: Fused, apart: Sequence[Apply]) -> Fused:
    members = tuple(member for member in step.members if member not in apart)
    labels = {member: step.labels[member] for member in members}
    stores = tuple(store for store in step.stores if store.value not in apart)
    return replace(step, members=members, labels=labels, stores=stores)
