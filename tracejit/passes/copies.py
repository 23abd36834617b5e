"""A value that is wanted in several shapes, and is copied for that: once."""

from __future__ import annotations

from tracejit.ir.graph import Apply, Graph, Node, with_inputs
from tracejit.ops.registry import REGISTRY
from tracejit.passes.layouts import Layouts

reshape = REGISTRY["reshape"]


def share_copies(graph: Graph) -> Graph:
    """Of the reshapes of a value that is not in order in memory one is a copy; the others are views of that."""
    users = graph.users()
    if not any(sum(user.op is reshape for user in users[node]) > 1 for node in graph.nodes):
        return graph
    layouts = Layouts(graph)
    copies: dict[Node, Node] = {}
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        new[node] = with_inputs(node, new)
        if isinstance(node, Apply) and node.op is reshape and not layouts.is_alias(node):
            copy = copies.setdefault(new[node.inputs[0]], new[node])
            if copy is not new[node]:
                new[node] = Apply(reshape, (copy,), node.params, node.aval, node.loc)
    return graph.substitute(new)
