"""Dead code. Nodes that nothing needs are in no graph, by construction; what can still be dead is a write."""

from __future__ import annotations

from tracejit.ir.graph import Graph


def drop_dead(graph: Graph) -> Graph:
    """No effect writes to an input the value it has already; inputs stay, used or not, because callers pass them by place."""
    effects = tuple(effect for effect in graph.effects if effect.value is not effect.target)
    if len(effects) == len(graph.effects):
        return graph
    return Graph(graph.inputs, graph.outputs, effects)
