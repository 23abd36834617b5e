"""A graph with open sizes as one of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracejit.ir.aval import Aval, aval
from tracejit.ir.dim import Dim, Sizes, at
from tracejit.ir.graph import Apply, Effect, Graph, Input, Node


class Misfit(Exception):
    """What was recorded does not hold for these sizes."""


def sizes_of(graph: Graph) -> Sizes | None:
    """What the graph's open sizes belong to; None if there are none."""
    for node in graph.nodes:
        if node.aval.open is not None:
            return node.aval.open
        for part in _parts(node):
            sizes = sizes_inside(part) if type(part) is not int else None
            if sizes is not None:
                return sizes
    return None


def resized(graph: Graph, atoms: Sequence[int]) -> Graph:
    """The graph for these values of the atoms of its sizes. Misfit where an op would give another shape than it has there."""
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        new[node] = _resized(node, new, atoms)
    effects = []
    for effect in graph.effects:
        target = new[effect.target]
        assert isinstance(target, Input)
        effects.append(Effect(target, new[effect.value]))
    inputs: Any = tuple(new[node] for node in graph.inputs)
    return Graph(inputs, tuple(new[node] for node in graph.outputs), tuple(effects))


def aval_at(value: Aval, atoms: Sequence[int]) -> Aval:
    """An aval for these values of the atoms."""
    return value if value.open is None else aval(value.dtype, at(value.shape, atoms), value.device)


def _resized(node: Node, new: dict[Node, Node], atoms: Sequence[int]) -> Node:
    match node:
        case Input():
            found = aval_at(node.aval, atoms)
            return Input(found, at(node.strides, atoms), node.loc, node.memory)
        case Apply():
            inputs = tuple(new[source] for source in node.inputs)
            params = tuple((name, at(value, atoms)) for name, value in node.params)
            found = aval_at(node.aval, atoms)
            try:
                inferred = node.op.infer(*(source.aval for source in inputs), **dict(params))
            except (ValueError, TypeError, IndexError) as error:
                raise Misfit(str(error)) from error
            if inferred is not found:
                raise Misfit(f"{node.op} gives {inferred}, not {found}")
            return Apply(node.op, inputs, params, found, node.loc)
    return node


def _parts(node: Node) -> Sequence[Any]:
    match node:
        case Input():
            return (node.strides,)
        case Apply():
            return [value for _, value in node.params]
    return ()


def sizes_inside(value: Any) -> Sizes | None:
    """The same of a size, or of a tuple or list of sizes and numbers."""
    if type(value) is Dim:
        return value.sizes
    if type(value) not in (tuple, list):
        return None
    for part in value:
        sizes = sizes_inside(part) if type(part) is not int else None
        if sizes is not None:
            return sizes
    return None
