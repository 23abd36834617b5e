"""Products of small matrices over a long inner axis: their partial sums are computed side by side, with the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from tests.compiler.programs import run
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit.artifact import LaunchSpec
from tracejit.compiler import Executable, compile_graph
from tracejit.dtypes import DType
from tracejit.ir.aval import aval
from tracejit.ir.graph import Graph, Input


def product(m: int, n: int, k: int, dtype: DType, *, turned: bool) -> Graph:
    left = Input(aval(dtype, (k, m) if turned else (m, k)))
    right = Input(aval(dtype, (k, n)))
    a = apply("permute", left, axes=(1, 0)) if turned else left
    return Graph((left, right), (apply("matmul", a, right),))


def tasks(executable: Executable) -> list[int]:
    """Of each launch."""
    steps = executable.plan.steps
    return [
        sum(each.tasks for each in step.segments) for step in steps if isinstance(step, LaunchSpec)
    ]


@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64], ids=str)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("k", [2048, 2049, 5000])
@pytest.mark.parametrize(("m", "n"), [(2, 5), (5, 7), (9, 32), (7, 40)])
def test_the_bits_are_those_of_one_launch(
    m: int, n: int, k: int, turned: bool, dtype: DType, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = product(m, n, k, dtype, turned=turned)
    rng = np.random.default_rng(0)
    data = [rng.standard_normal(x.aval.sizes).astype(x.aval.dtype.numpy) for x in graph.inputs]
    whole = run(graph, data)[0]
    assert len(tasks(compile_graph(graph))) == 1
    monkeypatch.setattr("tracejit.compiler.products.DEEP_WORK", 1)
    parts = -(-k // 256)
    assert tasks(compile_graph(graph)) == [parts, -(-m * n // 64)]
    assert run(graph, data)[0].tobytes() == whole.tobytes()


def test_a_product_with_tasks_enough_is_one_launch() -> None:
    assert len(tasks(compile_graph(product(64, 64, 100_000, dtypes.float32, turned=True)))) == 1


def test_a_long_one_is_shared_among_tasks() -> None:
    executable = compile_graph(product(5, 7, 200_000, dtypes.float32, turned=True))
    assert tasks(executable)[0] == -(-200_000 // 256)
    assert executable.plan.arena_bytes >= 782 * 35 * 4


def test_partial_sums_that_would_take_more_memory_than_the_operands_do_are_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tracejit.compiler.products.DEEP_WORK", 1)
    graph = product(600, 900, 2048, dtypes.float32, turned=False)
    assert len(tasks(compile_graph(graph))) == 1
