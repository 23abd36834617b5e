"""A graph run op by op gives the bits, and makes the writes, of its compiled program."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compiler.programs import arrays_of, fold_graph, index_graph
from tests.ir.graphs import apply, arrays_for, assert_same_bits, graphs
from tracejit import dtypes
from tracejit.compiler import compile_graph
from tracejit.ir.aval import aval
from tracejit.ir.graph import Constant, Effect, Graph, Input, ScalarInput, with_inputs
from tracejit.tracing.stepwise import Stepwise

F32 = dtypes.float32


def ran(
    executable: Any, graph: Graph, arrays: list[np.ndarray], scalars: list[Any]
) -> list[np.ndarray]:
    """The outputs, then the inputs as they are afterwards."""
    nodes = [node for node in graph.inputs if isinstance(node, Input)]
    order = ["C" if node.strides is None else "F" for node in nodes]
    mine = [np.array(array, order=each) for array, each in zip(arrays, order)]
    buffers = executable.run([array.ctypes.data for array in mine], scalars)
    pairs = zip(buffers, graph.outputs)
    return [b.array(node.aval.dtype.numpy, node.aval.sizes).copy() for b, node in pairs] + mine


def without_constants(graph: Graph) -> tuple[Graph, list[Any]]:
    """The graph with its constants as further inputs, and their values: the compiler knows no views of constants."""
    constants = [node for node in graph.nodes if isinstance(node, Constant)]
    new: dict[Any, Any] = {node: ScalarInput(node.aval) for node in constants}
    for node in graph.nodes:
        new.setdefault(node, with_inputs(node, new))
    inputs = (*graph.inputs, *(new[node] for node in constants))
    given = graph.substitute(new)
    return Graph(inputs, given.outputs, given.effects), [node.value for node in constants]


def check(graph: Graph, arrays: list[np.ndarray], scalars: list[Any]) -> None:
    stepwise = Stepwise(graph)
    given, values = without_constants(graph)
    expected = ran(compile_graph(given), given, arrays, scalars + values)
    for _ in range(2):
        assert_same_bits(ran(stepwise, graph, arrays, scalars), expected)


@settings(max_examples=60)
@given(graph=graphs(), seed=st.integers(0, 99))
def test_small_graphs_of_views_numbers_updates_and_writes(graph: Graph, seed: int):
    check(graph, *arrays_for(graph, seed))


@pytest.mark.parametrize("maker", [fold_graph, index_graph])
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_graphs_of_folds_and_of_indexing(maker: Any, seed: int):
    rnd = Random(seed)
    graph = maker(rnd, rnd.choice((dtypes.float32, dtypes.float64)))
    check(graph, arrays_of(graph, seed), [])


def test_all_is_read_before_the_first_write():
    x, y = Input(aval(F32, (3,))), Input(aval(F32, (3,)))
    graph = Graph((x, y), (apply("add", x, y), x, x), (Effect(x, y), Effect(y, x)))
    check(graph, [np.arange(3, dtype="f4"), np.arange(3, dtype="f4") + 7], [])


def test_inputs_that_overlap_are_read_before_they_are_written():
    whole, part = Input(aval(F32, (4,)), memory=0), Input(aval(F32, (2,)), memory=0)
    turned = apply("slice", whole, start=(3,), stop=(-1,), step=(-1,))
    graph = Graph((whole, part), (part,), (Effect(whole, turned),))
    found = []
    for executable in (compile_graph(graph), Stepwise(graph)):
        memory = np.arange(4, dtype="f4")
        (buffer,) = executable.run([memory.ctypes.data, memory.ctypes.data + 4])
        found.append((memory.tolist(), buffer.array(memory.dtype, (2,)).tolist()))
    assert found == [([3, 2, 1, 0], [1, 2])] * 2


def test_a_number_that_is_looked_at_as_an_array():
    one = Constant(aval(F32), 1.5)
    wide = apply("broadcast_to", one, shape=(2, 2))
    check(Graph((), (wide, one, apply("negative", wide))), [], [])


def test_values_that_nobody_needs_any_more_are_let_go():
    from tracejit.runtime.pool import MEMORY

    x = Input(aval(F32, (1 << 18,)))
    value: Any = x
    for _ in range(12):
        value = apply("negative", value)
    stepwise = Stepwise(Graph((x,), (value,)))
    array = np.ones(1 << 18, "f4")
    stepwise.run([array.ctypes.data])
    MEMORY.empty()
    before = MEMORY.stats().bytes_cached
    stepwise.run([array.ctypes.data])
    assert MEMORY.stats().bytes_cached - before <= 4 * array.nbytes
