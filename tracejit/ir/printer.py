"""The graph as text: one line a node, names given in order, the same text for the same graph."""

from __future__ import annotations

from typing import Any, assert_never

from tracejit.dtypes import DType
from tracejit.ir.dim import Dim
from tracejit.ir.graph import Apply, Constant, Graph, Input, Node, ScalarInput

_INTS = frozenset({int})


def print_graph(graph: Graph, *, locations: bool = True) -> str:
    """The graph line by line; without locations the text is equal exactly where the computation is.

    >>> from tracejit import dtypes
    >>> from tracejit.ir.aval import aval
    >>> x = Input(aval(dtypes.float32, (2, 3)), strides=(1, 2))
    >>> print(print_graph(Graph((x,), (x,))))
    %0: f32[2,3] = input(strides=(1, 2))
    return %0
    """
    names = {node: f"%{place}" for place, node in enumerate(graph.nodes)}
    lines = [print_node(node, names, locations=locations) for node in graph.nodes]
    lines.append(f"return {', '.join(names[node] for node in graph.outputs)}".rstrip())
    lines += [f"write {names[effect.target]} <- {names[effect.value]}" for effect in graph.effects]
    return "\n".join(lines)


def print_node(node: Node, names: dict[Node, str], *, locations: bool = True) -> str:
    """`%3: f32[128,512] = matmul(%0, %1)  # model.py:12`"""
    line = f"{names[node]}: {node.aval.name} = {_expression(node, names)}"
    return f"{line}  # {node.loc}" if locations and node.loc is not None else line


def _expression(node: Node, names: dict[Node, str]) -> str:
    match node:
        case Input(strides=strides, memory=memory):
            known = {"strides": strides, "memory": memory}
            return f"input({', '.join(f'{k}={print_param(v)}' for k, v in known.items() if v is not None)})"
        case ScalarInput():
            return "scalar()"
        case Constant(value=value):
            return f"number({value!r})"
        case Apply(op=op, inputs=inputs, params=params):
            arguments = [names[source] for source in inputs]
            arguments += [f"{name}={print_param(value)}" for name, value in params]
            return f"{op.name}({', '.join(arguments)})"
        case _:
            assert_never(node)


def print_param(value: Any) -> str:
    """A static argument as a Python literal, dtypes by their names.

    >>> from tracejit import dtypes
    >>> print_param((dtypes.float32, (1, None)))
    '(float32, (1, None))'
    """
    if type(value) is int:
        return repr(value)
    if isinstance(value, DType):
        return value.name
    if isinstance(value, tuple):
        if _INTS.issuperset(map(type, value)):
            return repr(value)
        inner = ", ".join(map(print_param, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return value.name if type(value) is Dim else repr(value)
