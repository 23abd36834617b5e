"""Updates that another one undoes before anybody has looked."""

from __future__ import annotations

from tracejit.ir.graph import Apply, Graph, Node, with_inputs
from tracejit.passes.algebra import is_update, part_of


def drop_overwritten(graph: Graph) -> Graph:
    """update(update(x, a), b) is update(x, b), where they have the same part and nobody else reads the first."""
    users, roots = graph.users(), set(graph.roots)
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        moved = with_inputs(node, new)
        base = node.inputs[0] if is_update(node) else None
        if base is not None and len(users[base]) == 1 and base not in roots:
            moved = _without_base(moved)
        new[node] = moved
    return graph.substitute(new)


def _without_base(node: Node) -> Node:
    assert isinstance(node, Apply)
    x, value = node.inputs
    if not is_update(x) or part_of(x) is None or part_of(x) != part_of(node):
        return node
    return Apply(node.op, (x.inputs[0], value), node.params, node.aval, node.loc)
