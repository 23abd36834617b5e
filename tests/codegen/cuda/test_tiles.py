"""Reads across memory by way of shared memory, under the emulation: the CPU program's bits."""

from __future__ import annotations

import re

import pytest

from tests.codegen.cuda.test_compiled import ARCHITECTURES, cost
from tests.codegen.cuda.test_graphs import array, assert_same_as_cpu
from tests.emulation.plans import plan_of
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit._errors import DeviceUnavailable
from tracejit.artifact import LaunchSpec
from tracejit.dtypes import DType
from tracejit.ir.aval import aval
from tracejit.ir.graph import Effect, Graph, Input, Node
from tracejit.runtime.cuda import nvrtc


def turned(x: Node, axes: tuple[int, ...] = (1, 0)) -> Node:
    return apply("permute", x, axes=axes)


def variants(graph: Graph) -> list[str]:
    launches = [step for step in plan_of(graph).steps if isinstance(step, LaunchSpec)]
    return [step.kernel.rpartition("_")[2] for step in launches]


@pytest.mark.parametrize(
    "dtype", [dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bool_, dtypes.int8], ids=str
)
def test_transposes(dtype: DType) -> None:
    for rows, columns in ((33, 600), (8, 513), (70, 1024)):
        x = array(rows, columns, dtype=dtype)
        graph = Graph((x,), (turned(x),), ())
        assert variants(graph) == ["tiled"]
        assert_same_as_cpu(graph)


def test_what_is_read_across_meets_what_is_read_along() -> None:
    x, y, scale = array(40, 600), array(600, 40), array(40)
    out = apply("tanh", apply("add", apply("multiply", turned(x), scale), y))
    graph = Graph((x, y, scale), (out,), ())
    assert variants(graph) == ["tiled"]
    assert_same_as_cpu(graph)


def test_a_sum_of_transposes_updates_another_array() -> None:
    x, y = array(20, 520), array(520, 20)
    graph = Graph((x, y), (), (Effect(y, apply("add", y, turned(x))),))
    assert_same_as_cpu(graph)


def test_batches_of_transposes_and_other_permutations() -> None:
    for axes in ((0, 2, 1), (2, 1, 0), (1, 2, 0), (1, 0, 2)):
        x = array(9, 70, 33)
        assert_same_as_cpu(Graph((x,), (turned(x, axes),), ()))


def test_every_other_element_of_a_row_is_read_as_it_is() -> None:
    x = Input(aval(dtypes.float32, (600, 40)), (80, 2))
    graph = Graph((x,), (apply("tanh", x),), ())
    assert variants(graph) == ["short"]


def test_few_or_short_runs_are_read_as_they_are() -> None:
    for rows, columns in ((40, 100), (5, 700)):
        x = array(rows, columns)
        assert variants(Graph((x,), (turned(x),), ())) != ["tiled"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_tiles_lie_so_that_banks_do_not_meet(architecture: str) -> None:
    try:
        nvrtc.library()
    except DeviceUnavailable as error:
        pytest.skip(str(error))
    x = array(1000, 1000)
    (source,) = plan_of(Graph((x,), (turned(x),), ())).kernels
    assert re.search(r"__shared__ float \w+\[32\]\[33\];", source.text)
    found = cost(source.text, architecture)
    assert found.spilled == 0
    assert found.registers <= 64
