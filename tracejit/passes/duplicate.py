"""Values that cost nothing are computed where they are used: a number filled into an array needs no memory."""

from __future__ import annotations

from collections.abc import Callable

from tracejit.ir.graph import Apply, Effect, Graph, Input, Node, with_inputs
from tracejit.ops.op import Pointwise, View


def duplicate_free(graph: Graph, is_costly: Callable[[Apply], bool]) -> Graph:
    """No two ops share a cheap value made from numbers alone: each has its own, which fusion then puts in its kernel."""
    return _Duplicator(is_costly).run(graph)


class _Duplicator:
    def __init__(self, is_costly: Callable[[Apply], bool]) -> None:
        self.is_costly = is_costly
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
        owned = {source: self._own(source) for source in node.inputs}
        self.new[node] = with_inputs(node, owned)

    def _own(self, source: Node) -> Node:
        """The operand, or a copy of it if it is free."""
        if source not in self.free:
            return self.new[source]
        assert isinstance(source, Apply)
        inputs = tuple(map(self._own, source.inputs))
        return Apply(source.op, inputs, source.params, source.aval, source.loc)

    def _is_free(self, node: Apply) -> bool:
        """Pointwise on nothing but numbers, and cheap or itself one number, or a view of that."""
        if isinstance(node.op.recipe, View):
            return all(source in self.free for source in node.inputs)
        if not isinstance(node.op.recipe, Pointwise):
            return False
        made = {source for source in node.inputs if isinstance(source, Apply | Input)}
        if not node.aval.shape:  # computed once in a task, not once for an element
            return made <= self.free
        return not made and not self.is_costly(node)
