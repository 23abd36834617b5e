"""Graphs as the compiler fuses and lowers them: CUDA C under the emulation gives the CPU program's bits."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codegen.kernels import ORDERS, skip_unless_emulated
from tests.compiler.programs import arrays_of, fold_graph, index_graph, run
from tests.compiler.test_random_graphs import same_bits
from tests.emulation.plans import Emulated, plan_of
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit.artifact import LaunchSpec
from tracejit.dtypes import DType
from tracejit.ir.aval import aval
from tracejit.ir.graph import Effect, Graph, Input, Node
from tracejit.ops import contract, scan  # noqa: F401  # they register their ops

MAKERS = {"folds": fold_graph, "indexing": index_graph}


def array(*shape: int, dtype: DType = dtypes.float32) -> Input:
    return Input(aval(dtype, shape))


def kept(name: str, x: Node, **params: object) -> Node:
    """A fold along rows whose result broadcasts."""
    return apply("reshape", apply(name, x, axes=(1,), **params), shape=(x.aval.sizes[0], 1))


def assert_same_as_cpu(graph: Graph, seed: int = 1) -> None:
    """Outputs and written inputs, for each order of threads."""
    skip_unless_emulated()
    arrays = arrays_of(graph, seed)
    expected = run(graph, arrays)
    for order in ORDERS:
        inputs = [array.copy() for array in arrays]
        outputs = Emulated(graph, inputs, order).outputs
        for number, (want, have) in enumerate(zip(expected, [*outputs, *inputs])):
            assert same_bits(np.asarray(want), have), number


def softmax(x: Node) -> Node:
    e = apply("exp", apply("subtract", x, kept("max", x)))
    return apply("divide", e, kept("sum", e))


def layer_norm(x: Node) -> Node:
    width = apply("sum", apply("square", x), axes=(1,))
    count = apply("reshape", width, shape=(x.aval.sizes[0], 1))
    centred = apply("subtract", x, kept("sum", apply("tanh", x)))
    return apply("erf", apply("divide", centred, apply("sqrt", count)))


@pytest.mark.parametrize("shape", [(5, 70), (3, 4099), (300, 9), (2, 8192)], ids=str)
@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.bfloat16, dtypes.float64], ids=str)
def test_rows_of_several_stages(shape: tuple[int, int], dtype: DType) -> None:
    x = array(*shape, dtype=dtype)
    assert_same_as_cpu(Graph((x,), (softmax(x), layer_norm(x)), ()))


@pytest.mark.parametrize("shape", [(200, 40), (4200, 3), (64, 70)], ids=str)
def test_columns(shape: tuple[int, int]) -> None:
    x = array(*shape)
    total, top = (apply(name, x, axes=(0,)) for name in ("sum", "max"))
    centred = apply("subtract", x, apply("reshape", total, shape=(1, shape[1])))
    assert_same_as_cpu(Graph((x,), (total, top, centred), ()))


def test_long_folds_of_few_rows() -> None:
    x = array(2, 600_000)
    assert_same_as_cpu(Graph((x,), (apply("sum", x, axes=(1,)), apply("sum", x, axes=(0, 1))), ()))


def test_gathers_and_scatters() -> None:
    table, indices = array(9, 70), array(20, dtype=dtypes.int64)
    rows = apply("take", table, indices, axis=0)
    added = apply("scatter_add", table, indices, apply("exp", rows), axis=0)
    assert_same_as_cpu(Graph((table, indices), (rows, added), ()))


@pytest.mark.parametrize(("shape", "axis"), [((2100,), 0), ((70, 40), 0), ((5, 90), 1)], ids=str)
@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.bfloat16, dtypes.float64], ids=str)
def test_scans_among_pointwise_ops(shape: tuple[int, ...], axis: int, dtype: DType) -> None:
    x = array(*shape, dtype=dtype)
    running = apply("cumulative_sum", apply("tanh", x), axis=axis)
    result = apply("linear_scan", apply("square", running), apply("sin", x), axis=axis)
    outputs = (running, apply("cumulative_prod", apply("cos", result), axis=axis))
    graph = Graph((x,), outputs, (Effect(x, apply("cumulative_sum", x, axis=axis)),))
    assert all(isinstance(step, LaunchSpec) for step in plan_of(graph).steps)
    assert_same_as_cpu(graph)


def test_updates_of_several_parameters_are_one_launch_in_place() -> None:
    parameters = [array(*shape) for shape in ((70, 30), (30,), (5000,))]
    gradients = [array(*p.aval.sizes) for p in parameters]
    effects = tuple(
        Effect(p, apply("subtract", p, apply("multiply", g, g)))
        for p, g in zip(parameters, gradients)
    )
    assert_same_as_cpu(Graph((*parameters, *gradients), (), effects))


def test_products() -> None:
    x, w = array(40, 300), array(300, 50)
    assert_same_as_cpu(Graph((x, w), (apply("tanh", apply("matmul", x, w)),), ()))


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_random_graphs(maker: object, seed: int) -> None:
    rnd = Random(seed)
    assert_same_as_cpu(maker(rnd, rnd.choice((dtypes.float32, dtypes.float64))), seed)  # type: ignore[operator]
