"""An op's gradient rule as steps: run once on abstract values, so that the tape knows what it needs and saves no more."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tracejit import dispatch
from tracejit._errors import AutogradError
from tracejit._records import dataclass
from tracejit.dispatch import Scalar
from tracejit.ir.aval import Aval
from tracejit.ir.graph import Apply, Constant, Input, Node, params_key, topological
from tracejit.methods import Operators
from tracejit.ops.arguments import moved
from tracejit.ops.op import Op, Params


class Abstract(Operators):
    """A value of which only the node is known; `is_wanted`: so is its cotangent."""

    __slots__ = ("aval", "is_wanted", "node")

    def __init__(self, node: Node, is_wanted: bool = True) -> None:
        self.node = node
        self.aval = node.aval
        self.is_wanted = is_wanted


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

    needs      the places of the needed values in (result, *arguments)
    gives      the places of the arguments that get a cotangent
    constants  numbers of the rule; the cotangent, the needed values and they have the first places among the values
    steps      (op, places of its arguments, params) of each further value
    results    the places of the cotangents
    """

    needs: tuple[int, ...]
    gives: tuple[int, ...]
    constants: tuple[Scalar, ...]
    steps: tuple[tuple[Op, tuple[int, ...], Params], ...]
    results: tuple[int, ...]

    def __call__(self, ct: Any, values: tuple[Any, ...]) -> list[Any]:
        """Runs the rule by the interpreters in charge."""
        known = [ct, *values, *self.constants]
        is_there = ct.aval.device != "cpu"
        for op, places, params in self.steps:
            args = tuple([known[place] for place in places])
            if is_there and args and all(type(arg) is Scalar for arg in args):
                args = (moved(args[0], ct.aval.device), *args[1:])  # or it would be the CPU's
            known.append(dispatch.bind(op, args, params))
        return [known[place] for place in self.results]


@lru_cache(maxsize=8192)
def pullback(
    op: Op,
    out: Aval,
    args: tuple[Aval, ...],
    params: tuple[tuple[str, Any], ...],
    wanted: tuple[bool, ...],
) -> Pullback:
    """The rule of `op` for such arguments, reduced to the cotangents of those that are wanted."""
    assert op.vjp is not None
    ct, made = Abstract(Input(out)), Abstract(Input(out))
    given = [Abstract(Input(aval), is_wanted) for aval, is_wanted in zip(args, wanted)]
    values = [made, *given]
    with dispatch.pushed(_Tracer()):
        cts = op.vjp(ct, *values, **dict(params))
    gives = tuple(place for place, ct in enumerate(cts) if wanted[place] and ct is not None)
    for place in gives:
        if not cts[place].aval.equals(args[place]):
            raise AutogradError(
                f"{op}: the gradient rule gives {cts[place].aval} for argument {place}, {args[place]}"
            )
    outputs = [_node(cts[place]) for place in gives]
    nodes = topological(outputs)
    needs = tuple(place for place, value in enumerate(values) if value.node in nodes)
    constants = [node for node in nodes if isinstance(node, Constant)]
    applies = [node for node in nodes if isinstance(node, Apply)]
    ordered = [ct.node, *(values[place].node for place in needs), *constants, *applies]
    at = {node: place for place, node in enumerate(ordered)}
    return Pullback(
        needs,
        gives,
        tuple(Scalar(node.value, node.aval) for node in constants),
        tuple((node.op, tuple(at[i] for i in node.inputs), node.kwargs) for node in applies),
        tuple(at[node] for node in outputs),
    )
