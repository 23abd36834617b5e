"""Numbers known in the text are computed while compiling."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ir.graphs import FLOATS, apply, arrays_for, assert_same_bits, graphs
from tracejit import dtypes
from tracejit.ir.aval import aval
from tracejit.ir.graph import Constant, Graph
from tracejit.ir.interpret import interpret
from tracejit.ir.verify import verify_graph
from tracejit.passes.fold import fold_constants


def number(value: float, dtype: dtypes.DType = dtypes.float32) -> Constant:
    return Constant(aval(dtype), value)


@pytest.mark.parametrize(
    ("dtype", "x", "y", "total"),
    [
        (dtypes.float32, 0.1, 0.2, 0.30000001192092896),
        (dtypes.bfloat16, 1.0, 0.001, 1.0),
        (dtypes.int8, 127, 1, -128),
        (dtypes.uint64, 2**64 - 1, 1, 0),
        (dtypes.bool_, True, True, True),
    ],
)
def test_numbers_are_added_in_their_dtype(dtype: dtypes.DType, x: float, y: float, total: float):
    (folded,) = fold_constants(
        Graph((), (apply("add", number(x, dtype), number(y, dtype)),))
    ).outputs
    assert isinstance(folded, Constant)
    assert (type(folded.value), folded.value) == (type(total), total)


def test_what_numpy_rounds_in_another_way_is_left_to_the_kernels():
    graph = fold_constants(Graph((), (apply("exp", number(1.0)),)))
    assert len(graph.applies) == 1


@settings(max_examples=30)
@given(graph=graphs(), seed=st.integers(0, 99))
def test_folding_keeps_every_bit(graph: Graph, seed: int):
    values = arrays_for(graph, seed)
    folded = verify_graph(fold_constants(graph))
    for found, expected in zip(interpret(folded, *values), interpret(graph, *values)):
        assert_same_bits(found, expected)


@given(x=st.sampled_from(FLOATS), y=st.sampled_from(FLOATS))
def test_folding_keeps_the_sign_of_a_zero(x: float, y: float):
    graph = Graph(
        (),
        tuple(
            apply(name, number(x), number(y)) for name in ("add", "multiply", "divide", "maximum")
        ),
    )
    assert_same_bits(interpret(fold_constants(graph), [])[0], interpret(graph, [])[0])
