"""The device of a graph. Each computes on one; the compiler, which knows for which, sees none in its values."""

from __future__ import annotations

from dataclasses import replace

from tracejit._errors import CompileError
from tracejit.ir.aval import Aval, aval
from tracejit.ir.graph import Apply, Effect, Graph, Input, Node, with_inputs


def device_of(graph: Graph) -> str:
    """Where the graph's values are computed and written."""
    devices = {node.aval.device for node in (*graph.applies, *graph.outputs)}
    devices |= {effect.target.aval.device for effect in graph.effects}
    if len(devices) > 1:
        raise CompileError(f"a graph on several devices: {', '.join(sorted(devices))}")
    return devices.pop() if devices else "cpu"


def without_device(graph: Graph) -> Graph:
    """The same graph as if it were the CPU's; itself if it is."""
    if device_of(graph) == "cpu":
        return graph
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        new[node] = _without(with_inputs(node, new))
    effects = tuple(
        Effect(_input(new[effect.target]), new[effect.value]) for effect in graph.effects
    )
    inputs = tuple(new[node] for node in graph.inputs)
    return Graph(inputs, tuple(new[node] for node in graph.outputs), effects)  # type: ignore[arg-type]  # inputs stay inputs


def _without(node: Node) -> Node:
    place = _on_cpu(node.aval)
    if not isinstance(node, Apply):
        return node if place is node.aval else replace(node, aval=place)
    params = tuple((name, value) for name, value in node.params if name != "device")
    return replace(node, aval=place, params=params)


def _on_cpu(value: Aval) -> Aval:
    return aval(value.dtype, value.shape)


def _input(node: Node) -> Input:
    assert isinstance(node, Input)
    return node
