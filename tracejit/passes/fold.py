"""Constant folding, of numbers only: arrays would be copied into the program."""

from __future__ import annotations

from tracejit.ir.graph import Apply, Constant, Graph, Node
from tracejit.ir.interpret import evaluate, number
from tracejit.passes.exact import EXACT

_PYTHON = {"b": bool, "i": int, "u": int, "f": float}


def fold_constants(graph: Graph) -> Graph:
    """No exactly rounded op is applied to numbers that are all part of the text."""
    return graph.rewrite(_folded)


def _folded(node: Node) -> Node | None:
    if not isinstance(node, Apply) or node.op not in EXACT or node.aval.shape or not node.inputs:
        return None
    values = [
        number(source.value, source.aval) for source in node.inputs if isinstance(source, Constant)
    ]
    if len(values) != len(node.inputs):
        return None
    result = evaluate(node, values)
    if result != result:  # a NaN's sign is not part of a number's text
        return None
    return Constant(node.aval, _PYTHON[node.aval.dtype.kind](result), node.loc)
