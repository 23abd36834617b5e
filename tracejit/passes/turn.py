"""Products whose transpose is wanted, computed transposed: (A B)^T is B^T A^T, sum for sum."""

from __future__ import annotations

from tracejit.ir.graph import Apply, Graph, Node, with_inputs
from tracejit.ops.op import Contract, View
from tracejit.passes.layouts import relabel


def turn_products(graph: Graph) -> Graph:
    """No product is read transposed and in no other way. Each element stays the same sum in the same order."""
    users = graph.users()
    roots = set(graph.roots)
    once = {node for node, found in users.items() if len(found) == 1 and node not in roots}
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        if isinstance(node, Apply) and _turns(node) and node.inputs[0] in once:
            new[node] = _turned(node, new)
        else:
            new[node] = with_inputs(node, new)
    return graph.substitute(new)


def _turns(node: Apply) -> bool:
    """A transpose of the last two axes of a product."""
    source = node.inputs[0] if node.inputs else None
    if not isinstance(node.op.recipe, View) or not isinstance(source, Apply):
        return False
    if not isinstance(source.op.recipe, Contract):
        return False
    ndim = source.aval.ndim
    swapped = (*range(ndim - 2), ndim - 1, ndim - 2)
    return (
        1 not in source.aval.shape
        and relabel(node) == swapped
        and all(operand.aval.ndim == ndim for operand in source.inputs)
    )


def _turned(node: Apply, new: dict[Node, Node]) -> Apply:
    """The same view, of the operands instead of their product."""
    product = node.inputs[0]
    assert isinstance(product, Apply)
    left, right = (_seen(new[source], node) for source in product.inputs)
    return Apply(product.op, (right, left), product.params, node.aval, product.loc)


def _seen(source: Node, view: Apply) -> Apply:
    aval = view.op.infer(source.aval, **view.kwargs)
    return Apply(view.op, (source,), view.params, aval, view.loc)
