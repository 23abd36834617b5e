"""Nodes of the tape that are built when somebody asks for them: of a graph that has been freed, hardly anybody does."""

from __future__ import annotations

from typing import Any

from tracejit._errors import Location
from tracejit._records import dataclass
from tracejit.autograd.node import Edge, Handle, Node, Rule, next_sequence
from tracejit.ir.aval import Aval


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One node of a freed graph; an edge is None, the place of an earlier node, or -1 - the place of a leaf."""

    name: str
    aval: Aval
    edges: tuple[int | None, ...]
    rule: Rule
    loc: Location | None


class LateNode(Node):
    """The last node of a freed graph. What it leads to is built at the first look.

    All nodes of the graph count as made at the same time: between the nodes before and those after it.
    """

    __slots__ = ("_leaves", "_real", "_steps")

    def __init__(self, steps: tuple[Step, ...], leaves: tuple[Handle, ...]) -> None:
        last = steps[-1]
        self.name, self.aval, self.loc = last.name, last.aval, last.loc
        self.hooks = ()
        self.sequence = next_sequence()
        self._steps = steps
        self._leaves = leaves
        self._real: Node | None = None

    @property
    def real(self) -> Node:
        """The node itself, with all that it leads to."""
        if self._real is None:
            nodes: list[Node] = []
            for place, step in enumerate(self._steps):
                edges = tuple(self._edge(edge, nodes) for edge in step.edges)
                node = Node(step.name, step.aval, edges, step.rule, (), step.loc)
                node.sequence = self.sequence - 1 + (place + 1) / (len(self._steps) + 1)
                nodes.append(node)
            self._real = nodes[-1]
        return self._real

    def _edge(self, edge: int | None, nodes: list[Node]) -> Edge | None:
        if edge is None:
            return None
        return nodes[edge] if edge >= 0 else self._leaves[-1 - edge]

    @property
    def edges(self) -> tuple[Edge | None, ...]:  # type: ignore[override]  # a slot of ordinary nodes
        return self.real.edges

    @property
    def rule(self) -> Rule:  # type: ignore[override]
        return self._steps[-1].rule

    @property
    def saved(self) -> tuple[Any, ...]:  # type: ignore[override]
        return ()
