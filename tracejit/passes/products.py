"""Sums of products: the gradient of a matrix that every step of a recurrence multiplies by."""

from __future__ import annotations

from tracejit.ir.graph import Apply, Graph, Node, with_inputs
from tracejit.ops import elementwise as e
from tracejit.ops.registry import REGISTRY
from tracejit.passes.algebra import apply
from tracejit.runtime.gemm import DEPTH

matmul = REGISTRY["matmul"]
in_parts = REGISTRY["matmul_in_parts"]
concat = REGISTRY["concat"]
LEAST = 3
"""Products from which joining them is worth the copies of their operands."""


def join_products(graph: Graph) -> Graph:
    """No sum of several alike products of little depth is left: its operands are concatenated along the inner axis.

    Such a product adds the same partial sums in the same order, but never writes one that is not added to the others.
    """
    users, roots = graph.users(), set(graph.roots)
    once = {node for node in graph.applies if len(users[node]) == 1 and node not in roots}
    terms: dict[Node, tuple[Apply, ...]] = {}
    for each in graph.applies:
        if found := _terms(each, terms, once):
            terms[each] = found
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        new[node] = with_inputs(node, new)
        is_part = node in once and users[node][0] in terms
        if isinstance(node, Apply) and len(terms.get(node, ())) >= LEAST and not is_part:
            new[node] = _joined(node, terms[node], new)
    return graph.substitute(new)


def _terms(
    node: Apply, terms: dict[Node, tuple[Apply, ...]], once: set[Apply]
) -> tuple[Apply, ...]:
    """The products whose sum the node is, in the order in which they are added; none for anything else."""
    if node.op is matmul:
        return (node,) if _is_shallow(node) else ()
    if node.op is not e.add or any(source.aval is not node.aval for source in node.inputs):
        return ()
    if any(source not in once for source in node.inputs):
        return ()
    first, second = sorted((terms.get(source, ()) for source in node.inputs), key=len, reverse=True)
    if not first or len(second) != 1 or second[0].inputs[0].aval is not first[0].inputs[0].aval:
        return ()
    return (*first, *second)


def _is_shallow(product: Apply) -> bool:
    """Whether the operands are less than what is saved, and no partial sum is one of several parts."""
    depth = product.inputs[0].aval.sizes[-1]
    *lead, m, n = product.aval.sizes
    return not lead and 0 < depth <= DEPTH and depth * (m + n) <= m * n


def _joined(node: Apply, products: tuple[Apply, ...], new: dict[Node, Node]) -> Apply:
    left, right = (
        apply(concat, *(new[product.inputs[place]] for product in products), like=node, axis=axis)
        for place, axis in ((0, 1), (1, 0))
    )
    depth = products[0].inputs[0].aval.sizes[-1]
    return apply(in_parts, left, right, like=node, depth=depth)
