"""What every pass may rely on, checked."""

from __future__ import annotations

from typing import assert_never

from tracejit._errors import CompileError
from tracejit.ir.graph import Apply, Constant, Effect, Graph, Input, Node, ScalarInput
from tracejit.ir.printer import print_node

_VALUES = {"b": bool, "i": int, "u": int, "f": float}


def verify_graph(graph: Graph, *, after: str = "") -> Graph:
    """`graph`, if it is well-formed; else CompileError with the line that is not, and the stage `after` which it is so.

    Inputs are listed once and come first, each node follows what it needs, each type is what `op.infer` gives,
    parameters are sorted and hashable, numbers have 0 dimensions and a value of their dtype, and an effect writes a value
    of the target's type to an input that no other effect writes.
    """
    _Verifier(graph, after).run()
    return graph


class _Verifier:
    def __init__(self, graph: Graph, after: str) -> None:
        self.graph = graph
        self.after = after
        self.names = {node: f"%{place}" for place, node in enumerate(graph.nodes)}

    def run(self) -> None:
        if len(set(self.graph.inputs)) != len(self.graph.inputs):
            self.fail("the inputs", "one is listed twice")
        listed = set(self.graph.inputs)
        for node in self.graph.nodes:
            self.check(node, listed)
        targets: set[Input] = set()
        for effect in self.graph.effects:
            self.check_effect(effect, targets)
            targets.add(effect.target)

    def fail(self, where: str, why: str) -> None:
        stage = f"after {self.after}: " if self.after else ""
        raise CompileError(f"{stage}{where}: {why}")

    def require(self, claim: bool, node: Node, why: str) -> None:
        if not claim:
            self.fail(print_node(node, self.names), why)

    def check(self, node: Node, listed: set[Input | ScalarInput]) -> None:
        match node:
            case Input(aval=aval, strides=strides):
                self.require(node in listed, node, "the graph does not list this input")
                self.require(
                    strides is None or len(strides) == aval.ndim, node, "one stride per dimension"
                )
            case ScalarInput(aval=aval):
                self.require(node in listed, node, "the graph does not list this input")
                self.require(aval.shape == (), node, "a number has 0 dimensions")
            case Constant(aval=aval, value=value):
                self.require(aval.shape == (), node, "a number has 0 dimensions")
                kind = _VALUES[aval.dtype.kind]
                self.require(type(value) is kind, node, f"{value!r} is no {kind.__name__}")
            case Apply():
                self.check_apply(node)
            case _:
                assert_never(node)

    def check_apply(self, node: Apply) -> None:
        keys = [name for name, _ in node.params]
        self.require(
            keys == sorted(set(keys)), node, "parameters are not sorted, or one is given twice"
        )
        try:
            hash(node.params)
        except TypeError as error:
            self.fail(print_node(node, self.names), f"parameters: {error}")
        try:
            inferred = node.op.infer(*(source.aval for source in node.inputs), **node.kwargs)
        except (ValueError, TypeError, IndexError) as error:
            raise CompileError(
                f"after {self.after}: {print_node(node, self.names)}: {error}"
            ) from error
        self.require(inferred is node.aval, node, f"the op gives {inferred}")

    def check_effect(self, effect: Effect, written: set[Input]) -> None:
        target, value = effect.target, effect.value
        shown = f"write {self.names.get(target, '?')} <- {self.names[value]}"
        if target not in self.graph.inputs:
            self.fail(shown, "the target is no input")
        if target in written:
            self.fail(shown, "the target is written twice")
        if target.aval is not value.aval:
            self.fail(shown, f"{value.aval} does not fit into {target.aval}")
        if target.strides is not None and any(
            stride == 0 and extent != 1 for stride, extent in zip(target.strides, target.aval.shape)
        ):
            self.fail(shown, "elements of the target share memory")
