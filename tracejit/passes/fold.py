"""Constant folding, of numbers only: arrays would be copied into the program."""

from __future__ import annotations

from tracejit.ir.graph import Apply, Constant, Graph, Node
from tracejit.ir.interpret import evaluate, number
from tracejit.ops import elementwise as e

# Exactly rounded, so NumPy and the kernels give the same bits.
EXACT = frozenset({
    e.add, e.subtract, e.multiply, e.divide, e.negative, e.positive, e.abs, e.square, e.sqrt, e.sign,
    e.floor, e.ceil, e.trunc, e.round, e.maximum, e.minimum, e.where, e.copysign,
    e.equal, e.not_equal, e.less, e.less_equal, e.greater, e.greater_equal,
    e.logical_and, e.logical_or, e.logical_xor, e.logical_not,
    e.bitwise_and, e.bitwise_or, e.bitwise_xor, e.bitwise_invert,
})  # fmt: skip

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
