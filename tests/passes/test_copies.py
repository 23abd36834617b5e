"""Reshapes that copy, and share their copy."""

from __future__ import annotations

import numpy as np

from tests.compiler.programs import arrays_of, run
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit.compiler import compile_graph
from tracejit.ir.aval import aval
from tracejit.ir.cluster import Fused
from tracejit.ir.graph import Graph, Input, Node
from tracejit.ir.interpret import interpret
from tracejit.passes.copies import share_copies


def array(*shape: int) -> Input:
    return Input(aval(dtypes.float32, shape))


def turned_twice(x: Node) -> tuple[Node, Node]:
    """The transpose of 4 x 6 as 24 and as 3 x 8."""
    turned = apply("permute", x, axes=(1, 0))
    return apply("reshape", turned, shape=(24,)), apply("reshape", turned, shape=(3, 8))


def test_one_copy_serves_all_shapes():
    x = array(4, 6)
    flat, wide = turned_twice(x)
    graph = Graph((x,), (apply("sum", flat, axes=(0,)), apply("matmul", wide, array_of_ones(wide))))
    shared = share_copies(graph)
    (again,) = (node for node in shared.applies if node.aval.sizes == (3, 8) and node.inputs)
    assert again.inputs[0].aval.sizes == (24,)
    data = arrays_of(graph, 1)
    for a, b in zip(run(graph, data), interpret(graph, data)[0], strict=False):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def array_of_ones(like: Node) -> Node:
    return apply("constant", dtype=dtypes.float32, shape=like.aval.sizes[::-1], value=1.0)


def test_the_bits_are_those_of_two_copies():
    x = array(4, 6)
    flat, wide = turned_twice(apply("exp", x))
    graph = Graph((x,), (apply("matmul", wide, apply("permute", wide, axes=(1, 0))), apply("sin", flat)))  # fmt: skip
    data = arrays_of(graph, 2)
    for a, b in zip(run(graph, data), run(graph, data, fuse=False), strict=True):
        assert a.tobytes() == b.tobytes()
    outputs, _ = interpret(graph, data)
    np.testing.assert_allclose(run(graph, data)[1], outputs[1], atol=1e-6)


def test_what_is_in_order_is_not_copied_at_all():
    x = array(4, 6)
    pair = apply("reshape", x, shape=(24,)), apply("reshape", x, shape=(3, 8))
    graph = Graph((x,), tuple(apply("exp", each) for each in pair))
    assert [node.inputs for node in share_copies(graph).applies if node.op.name == "reshape"] == [(x,), (x,)]  # fmt: skip


def test_empty_values_are_copied_as_well():
    x = array(0, 6)
    flat, wide = (apply("reshape", apply("permute", x, axes=(1, 0)), shape=s) for s in ((0,), (3, 0)))  # fmt: skip
    graph = Graph((x,), (flat, wide))
    assert [a.shape for a in run(graph, arrays_of(graph, 0))[:2]] == [(0,), (3, 0)]


def test_a_program_copies_once():
    x = array(64, 96)
    turned = apply("permute", apply("exp", x), axes=(1, 0))
    one, two = (apply("reshape", turned, shape=shape) for shape in ((64 * 96,), (32, 192)))
    other = apply("matmul", two, apply("permute", two, axes=(1, 0)))
    program = compile_graph(Graph((x,), (apply("sum", one, axes=(0,)), other)))
    copies = [step for step in program.steps if isinstance(step, Fused) and not step.members]
    assert len(copies) == 1
