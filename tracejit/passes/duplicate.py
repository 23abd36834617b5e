"""Values that cost nothing are computed where they are used: a number filled into an array needs no memory."""

from __future__ import annotations

from tracejit.ir.graph import Apply, Effect, Graph, Input, Node
from tracejit.ops.op import Pointwise, View


def duplicate_free(graph: Graph) -> Graph:
    """No two ops share a value made from numbers alone: each has its own, which fusion then puts in its kernel."""
    return _Duplicator().run(graph)


class _Duplicator:
    def __init__(self) -> None:
        self.new: dict[Node, Node] = {}
        self.free: set[Node] = set()

    def run(self, graph: Graph) -> Graph:
        for node in graph.nodes:
            self._add(node)
        outputs = tuple(self.new[node] for node in graph.outputs)
        effects = tuple(Effect(effect.target, self.new[effect.value]) for effect in graph.effects)
        return Graph(graph.inputs, outputs, effects)

    def _add(self, node: Node) -> None:
        if not isinstance(node, Apply):
            self.new[node] = node
            return
        if self._is_free(node):
            self.free.add(node)
        inputs = tuple(self._own(source) for source in node.inputs)
        same = inputs == node.inputs
        self.new[node] = node if same else Apply(node.op, inputs, node.params, node.aval, node.loc)

    def _own(self, source: Node) -> Node:
        """The operand, or a copy of it if it is free."""
        if source not in self.free:
            return self.new[source]
        assert isinstance(source, Apply)
        inputs = tuple(map(self._own, source.inputs))
        return Apply(source.op, inputs, source.params, source.aval, source.loc)

    def _is_free(self, node: Apply) -> bool:
        """Pointwise on nothing but numbers (and not costly), or a view of that."""
        if "costly" in node.op.traits or not isinstance(node.op.recipe, Pointwise | View):
            return False
        if isinstance(node.op.recipe, View):
            return all(source in self.free for source in node.inputs)
        return all(not isinstance(source, Apply | Input) for source in node.inputs)
