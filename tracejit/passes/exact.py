"""What NumPy computes with the same bits as the kernels."""

from __future__ import annotations

from tracejit.dtypes import bfloat16
from tracejit.ir.graph import Apply, Graph
from tracejit.ops import elementwise as e
from tracejit.ops.op import Concat, Gather, Pad, Recurrence, Update, View

EXACT = frozenset({
    e.add, e.subtract, e.multiply, e.divide, e.negative, e.positive, e.abs, e.square, e.sqrt, e.sign,
    e.floor, e.ceil, e.trunc, e.round, e.maximum, e.minimum, e.where, e.copysign,
    e.equal, e.not_equal, e.less, e.less_equal, e.greater, e.greater_equal,
    e.logical_and, e.logical_or, e.logical_xor, e.logical_not,
    e.bitwise_and, e.bitwise_or, e.bitwise_xor, e.bitwise_invert,
})  # fmt: skip
"""Exactly rounded."""
_MOVES = View | Gather | Update | Concat | Pad


def is_exact(graph: Graph) -> bool:
    """Whether the ops' NumPy `eval` gives the bits of a compiled program, those of NaN included."""
    return all(node.aval.dtype is not bfloat16 for node in graph.nodes) and all(
        map(_is_exact, graph.applies)
    )


def _is_exact(node: Apply) -> bool:
    if (
        node.op.name == "astype"
    ):  # what does not fit into an integer is converted by a rule of our own
        return not (node.inputs[0].aval.dtype.is_float and node.aval.dtype.is_integer)
    if isinstance(node.op.recipe, Recurrence):  # NumPy adds floats in another order
        return node.aval.dtype.is_integer
    return node.op in EXACT or isinstance(node.op.recipe, _MOVES)
