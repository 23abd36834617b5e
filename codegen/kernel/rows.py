"""A map whose tasks are rows, for a kernel that already has each row's elements: a matrix product's."""

from __future__ import annotations

from tracejit.codegen.kernel.access import Accesses, Place, Relabel
from tracejit.codegen.kernel.ir import For, Let, Load, Store
from tracejit.codegen.kernel.nest import Lowered, Nest
from tracejit.ir.cluster import Fused
from tracejit.ir.graph import Node


def lower_rows(step: Fused, place: Place, relabel: Relabel) -> Lowered:
    """The map of a step over rows along its last dimension, which has several elements; a row is a task."""
    nest = Nest(Accesses(step, place, relabel), apart=len(step.space) - 1)
    *outer, inner = nest.axes
    with nest.tasks(outer), nest.vector(inner):
        nest.store(step.stores)
    return nest.finish(inner.extent)


def reads_in_order(accesses: Accesses, root: Node) -> bool:
    """Whether the step reads the memory of `root` element by element, in the order in which they lie."""
    strides, size = [], 1
    for extent in reversed(accesses.step.space):
        strides.append(0 if extent == 1 else size)
        size *= extent
    places = {(a.offset, a.strides, a.gather) for a in accesses.every_read() if a.root is root}
    return places == {(0, tuple(reversed(strides)), 0)} and root.aval.size == size


def is_straight(lowered: Lowered) -> bool:
    """Whether no element of it takes a loop."""
    (rows,) = lowered.kernel.body
    *before, columns = rows.body
    assert isinstance(columns, For)
    return all(isinstance(stmt, Let | Load | Store) for stmt in (*before, *columns.body))
