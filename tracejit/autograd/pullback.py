"""An op's gradient rule as a graph: run once on abstract values, so that the tape knows what the rule needs and saves no more."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tracejit import dispatch
from tracejit._errors import AutogradError
from tracejit.dispatch import Scalar
from tracejit.ir.aval import Aval
from tracejit.ir.graph import (
    Apply,
    Constant,
    Graph,
    Input,
    Node,
    ScalarInput,
    params_key,
    topological,
)
from tracejit.methods import Operators
from tracejit.ops.op import Op, Params


class Abstract(Operators):
    """A value of which only the node is known."""

    __slots__ = ("aval", "node")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.aval = node.aval


class _Tracer:
    """Makes every op a node."""

    def bind(self, op: Op, args: tuple[Any, ...], params: Params) -> Abstract:
        aval = op.infer(*(arg.aval for arg in args), **params)
        return Abstract(Apply(op, tuple(map(_node, args)), params_key(params), aval))

    def assign(self, target: Any, value: Any) -> None:
        raise AutogradError("a gradient rule writes to no value")


def _node(arg: Abstract | Scalar) -> Node:
    return arg.node if isinstance(arg, Abstract) else Constant(arg.aval, arg.value)


@dataclass(frozen=True, slots=True, eq=False)
class Pullback:
    """The cotangents of some of an op's arguments, from the cotangent of its result.

    graph    its inputs are the cotangent, then what `needs` names
    needs    the places of the needed values in (result, *arguments)
    gives    the places of the arguments that get a cotangent, in the order of the graph's outputs
    """

    graph: Graph
    needs: tuple[int, ...]
    gives: tuple[int, ...]

    def __call__(self, ct: Any, values: tuple[Any, ...]) -> list[Any]:
        """Runs the rule by the interpreters in charge."""
        known: dict[Node, Any] = dict(zip(self.graph.inputs, (ct, *values), strict=True))
        for node in self.graph.nodes:
            match node:
                case Apply(op=op, inputs=inputs):
                    known[node] = dispatch.bind(op, tuple(known[i] for i in inputs), node.kwargs)
                case Constant(aval=aval, value=value):
                    known[node] = Scalar(value, aval)
                case Input() | ScalarInput():
                    pass
        return [known[node] for node in self.graph.outputs]


@lru_cache(maxsize=8192)
def pullback(
    op: Op,
    out: Aval,
    args: tuple[Aval, ...],
    scalars: tuple[bool, ...],
    params: tuple[tuple[str, Any], ...],
    wanted: tuple[bool, ...],
) -> Pullback:
    """The rule of `op` for such arguments, reduced to the cotangents of those that are wanted."""
    assert op.vjp is not None
    ct, *values = (
        Abstract(ScalarInput(aval) if is_scalar else Input(aval))
        for aval, is_scalar in zip((out, out, *args), (False, False, *scalars), strict=True)
    )
    with dispatch.pushed(_Tracer()):
        cts = op.vjp(ct, *values, **dict(params))
    gives = tuple(place for place, ct in enumerate(cts) if wanted[place] and ct is not None)
    for place in gives:
        if cts[place].aval is not args[place]:
            raise AutogradError(
                f"{op}: the gradient rule gives {cts[place].aval} for argument {place}, {args[place]}"
            )
    outputs = tuple(_node(cts[place]) for place in gives)
    reached = set(topological(outputs))
    needs = tuple(place for place, value in enumerate(values) if value.node in reached)
    inputs = (ct.node, *(values[place].node for place in needs))
    return Pullback(Graph(inputs, outputs), needs, gives)  # type: ignore[arg-type]  # inputs, by construction
