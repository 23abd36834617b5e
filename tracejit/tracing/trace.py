"""Traces as paths in a tree: what was recorded before is found again with one look-up an op, and never inferred twice."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from tracejit.ir.aval import Aval
from tracejit.ir.graph import Apply, Effect, Graph, Input, Node
from tracejit.ops.op import Layout
from tracejit.storage import row_major

if TYPE_CHECKING:
    from tracejit.tracing.programs import Program

Ends = tuple[tuple[int, ...], tuple[tuple[int, int], ...]]
"""Where a trace ends: the places of its outputs, and (target, value) of its effects."""


class Step:
    """One value of a trace, and all that may come after it. Equal traces are one path, so they share their steps.

    node       the value in the tensor graph
    place      how many values stand before it in the trace
    device     of the ops up to here, or of what is read first, as a write may have no op; None where there is neither
    after      the next step by what it does
    programs   what was compiled of the trace up to here, by its ends
    """

    __slots__ = ("after", "aval", "device", "layout", "node", "parent", "place", "programs")

    node: Node

    def __init__(self, node: Node | None, parent: Step | None) -> None:
        self.parent = parent
        self.place: int = -1 if parent is None else parent.place + 1
        self.device: str | None = None if parent is None else parent.device
        self.after: dict[Hashable, Step] = {}
        self.programs: dict[Ends, Program] = {}
        if node is not None:  # the root is no value
            self.node = node
            self.aval: Aval = node.aval
            self.layout: Layout = row_major(node.aval.shape)
            if isinstance(node, Apply) or (self.device is None and isinstance(node, Input)):
                self.device = node.aval.device

    def then(self, key: Hashable, node: Node) -> Step:
        """The step that does `key`; made with `node` if it is new."""
        return self.after.setdefault(key, Step(node, self))

    def apart(self) -> Step:
        """The same place in no tree, with nothing after it."""
        return Step(None if self.parent is None else self.node, self.parent)


def graph_of(last: Step, ends: Ends) -> Graph:
    """The graph of the trace that leads to `last`."""
    nodes: list[Any] = []
    step = last
    while step.parent is not None:
        nodes.append(step.node)
        step = step.parent
    nodes.reverse()
    outputs, effects = ends
    return Graph(
        inputs=tuple(node for node in nodes if not isinstance(node, Apply)),
        outputs=tuple(nodes[place] for place in outputs),
        effects=tuple(Effect(nodes[target], nodes[value]) for target, value in effects),
    )
