"""What a graph means: every op by its NumPy `eval`, one after another. The oracle of the tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

import numpy as np

from tracejit.ir.aval import Aval
from tracejit.ir.graph import Apply, Constant, Graph, Input, Node, ScalarInput


def interpret(
    graph: Graph, arrays: Sequence[np.ndarray], scalars: Sequence[bool | int | float] = ()
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The outputs, and the values of the effects, which the caller writes; none of them shares memory with `arrays`.

    `arrays` and `scalars` are the values of the `Input`s and of the `ScalarInput`s, each in order.
    """
    values: dict[Node, Any] = {}
    next_array, next_scalar = iter(arrays), iter(scalars)
    for node in graph.nodes:
        match node:
            case Input():
                values[node] = next(next_array)
            case ScalarInput(aval=aval):
                values[node] = number(next(next_scalar), aval)
            case Constant(aval=aval, value=value):
                values[node] = number(value, aval)
            case Apply():
                values[node] = evaluate(node, [values[source] for source in node.inputs])
            case _:
                assert_never(node)
    outputs = [np.array(values[node]) for node in graph.outputs]
    effects = [np.array(values[effect.value]) for effect in graph.effects]
    return outputs, effects


def evaluate(node: Apply, arrays: Sequence[Any]) -> np.ndarray:
    """The op on `arrays`, checked against what the graph says of the result: row-major, unless it is a view."""
    with np.errstate(all="ignore"):
        result = np.asarray(node.op.eval(*arrays, **node.kwargs))
    if not any(np.may_share_memory(result, array) for array in arrays):
        result = np.asarray(result, order="C")  # NumPy adds in an order that depends on strides
    assert result.shape == node.aval.shape, (
        f"{node.op}: eval gives shape {result.shape}, infer {node.aval}"
    )
    assert result.dtype == node.aval.dtype.numpy, (
        f"{node.op}: eval gives {result.dtype}, infer {node.aval}"
    )
    return result


def number(value: bool | int | float, aval: Aval) -> np.ndarray:
    """A Python number as an array of 0 dimensions."""
    with np.errstate(all="ignore"):
        return np.asarray(value).astype(aval.dtype.numpy)
