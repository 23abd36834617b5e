"""Equal nodes are shared."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ir.graphs import apply, arrays_for, assert_same_bits, graphs
from tracejit import dtypes
from tracejit.ir.aval import aval
from tracejit.ir.graph import Graph, Input
from tracejit.ir.interpret import interpret
from tracejit.ir.verify import verify_graph
from tracejit.passes.cse import share_equal

X = Input(aval(dtypes.float32, (2, 3)))


def test_an_expression_written_twice_is_computed_once():
    twice = apply("add", apply("negative", X), apply("negative", X))
    assert len(share_equal(Graph((X,), (twice,))).applies) == 2


def test_sharing_works_its_way_through_whole_expressions():
    def deep() -> Graph:
        return apply("sqrt", apply("abs", apply("negative", X)))

    a, b = share_equal(Graph((X,), (deep(), deep()))).outputs
    assert a is b


def test_parameters_that_compare_equal_but_differ_are_not_shared():
    zeros = [
        apply("constant", shape=(), dtype=dtypes.float32, value=value)
        for value in (0.0, -0.0, 0, False)
    ]
    assert len(set(share_equal(Graph((), tuple(zeros))).outputs)) == 4


@settings(max_examples=30)
@given(graph=graphs(), seed=st.integers(0, 99))
def test_sharing_keeps_every_bit(graph: Graph, seed: int):
    values = arrays_for(graph, seed)
    shared = verify_graph(share_equal(graph))
    for found, expected in zip(interpret(shared, *values), interpret(graph, *values)):
        assert_same_bits(found, expected)
