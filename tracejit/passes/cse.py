"""Common subexpressions."""

from __future__ import annotations

from collections.abc import Hashable

from tracejit.ir.graph import Apply, Constant, Graph, Node


def share_equal(graph: Graph) -> Graph:
    """No two nodes apply the same op with the same parameters to the same inputs; the first keeps its place and line."""
    first: dict[Hashable, Node] = {}

    def share(node: Node) -> Node | None:
        key = _key(node)
        return None if key is None else first.setdefault(key, node)

    return graph.rewrite(share)


def _key(node: Node) -> Hashable | None:
    """Equal for nodes of equal value. By `repr`, because 1 == True and 0.0 == -0.0 though they are other parameters."""
    match node:
        case Apply(op=op, inputs=inputs, params=params):
            return op, inputs, repr(params), node.aval
        case Constant(aval=aval, value=value):
            return aval, repr(value)
        case _:
            return None
