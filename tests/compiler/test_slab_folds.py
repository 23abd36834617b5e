"""Sums over the rows of slabs: partial results of each, joined in their order, with the bits of sums over all rows."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tracejit as tj
import tracejit.nn.functional as F
from tests.compiler import machines
from tests.compiler.programs import arrays_of, run
from tests.compiler.test_random_graphs import expected, near, same_bits
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit.artifact import LaunchSpec
from tracejit.compiler import Compiled, compile_graph
from tracejit.dtypes import DType
from tracejit.ir.aval import aval
from tracejit.ir.graph import Graph, Input, Node
from tracejit.passes import group
from tracejit.runtime.gemm import KERNELS
from tracejit.runtime.slabs import KERNEL

Having = Callable[..., None]


@pytest.fixture
def having(monkeypatch: pytest.MonkeyPatch) -> Having:
    return lambda **values: machines.choose(monkeypatch, **values)


@pytest.fixture
def sharing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folds are shared among tasks from two blocks on."""
    few = group.Sharing(few_rows=1 << 20, lanes=4096, few_columns=1 << 20, rows=64)
    monkeypatch.setattr(group, "CORES", few)


def greedy(having: Having, slab_bytes: int) -> None:
    having(least_bytes=1, least_slabs=2, least_rows=1, slab_bytes=slab_bytes)


def off(having: Having) -> None:
    having(least_bytes=1 << 60)


def slabbed(program: Compiled) -> list[LaunchSpec]:
    steps = program.plan.steps
    return [step for step in steps if isinstance(step, LaunchSpec) and step.kernel == KERNEL]


def centres_of(points: tj.Tensor, centres: tj.Tensor) -> tj.Tensor:
    nearest = ((centres * centres).sum(1) - 2 * points @ centres.T).argmin(1)
    members = F.one_hot(nearest, len(centres)).astype(points.dtype)
    return members.T @ points / members.sum(0)[:, None]


def test_a_step_of_k_means_reads_its_points_and_little_else():
    points = tj.random.Generator(0).normal((20_000, 16))
    step = tj.compile(centres_of)
    found = step(points, points[:32])
    (program,) = (each.program for each in step.programs.compiled)
    (launch,) = slabbed(program.executable)
    assert {segment.tasks for segment in launch.segments} == {19, 1}
    assert len(program.executable.launches) <= 5
    assert program.executable.bytes_moved < 2 * 4 * points.size
    assert program.executable.plan.arena_bytes < 4 * points.size / 3
    p, c = np.asarray(points, np.float64), np.asarray(points[:32], np.float64)
    nearest = ((c * c).sum(1) - 2 * p @ c.T).argmin(1)
    means = np.array([p[nearest == n].mean(0) for n in range(32)])
    np.testing.assert_allclose(np.asarray(found), means, rtol=1e-4, atol=1e-4)


def rows_graph(rnd: Random, dtype: DType) -> Graph:
    """What is computed row by row, by a product as well, and then summed over all rows in one to three ways."""
    rows, width = rnd.choice((513, 600, 767, 1024, 1337)), rnd.choice((2, 3, 16, 33))
    other = rnd.choice((2, 5, 17))
    x, w = Input(aval(dtype, (rows, width))), Input(aval(dtype, (width, other)))
    y = apply("tanh", apply("multiply", x, x)) if rnd.random() < 0.5 else x
    z = apply("matmul", y, w) if rnd.random() < 0.8 else apply("sin", y)
    z = apply(rnd.choice(("square", "exp", "negative")), z)
    results: list[Node] = [
        apply("sum", z, axes=(0,)),
        apply("max", apply("abs", z), axes=(0,)),
        apply("sum", apply("square", z), axes=(0, 1)),
        apply("matmul", apply("permute", z, axes=(1, 0)), y),
        apply("matmul", apply("permute", x, axes=(1, 0)), z),
    ]
    chosen = rnd.sample(results, rnd.choice((1, 2, 3)))
    if rnd.random() < 0.3:
        chosen.append(z)
    if rnd.random() < 0.5:  # something that needs a sum
        chosen[0] = apply("exp", apply("tanh", chosen[0]))
    return Graph((x, w), tuple(chosen))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_random_sums_have_the_same_bits(seed: int, having: Having, sharing: None):
    rnd = Random(seed)
    graph = rows_graph(rnd, rnd.choice((dtypes.float32, dtypes.float64)))
    data = arrays_of(graph, seed)
    off(having)
    plain = run(graph, data)
    for a, b in zip(plain, run(graph, data, fuse=False), strict=True):
        assert same_bits(a, b)
    greedy(having, rnd.choice((1 << 14, 1 << 16, 1 << 20)))
    found = run(graph, data)
    for a, b in zip(found, plain, strict=True):
        assert same_bits(a, b)
    for a, b in zip(found, expected(graph, data), strict=True):
        assert near(a, b)


def down(rows: int, *, width: int = 16) -> Graph:
    """The sum of what is computed row by row, and its product with something else, over all rows."""
    x, w = (Input(aval(dtypes.float32, shape)) for shape in ((rows, width), (width, width)))
    y = apply("exp", apply("matmul", x, w))
    return Graph((x, w), (apply("sum", y, axes=(0,)), apply("matmul", apply("permute", y, axes=(1, 0)), x)))  # fmt: skip


@pytest.mark.parametrize("rows", [2 * 256, 2 * 256 + 1, 2 * 256 + 64, 3 * 256 - 1, 1030])
def test_the_last_slab_has_what_is_left(rows: int, having: Having, sharing: None):
    greedy(having, 1 << 20)
    graph = down(rows)
    (launch,) = slabbed(compile_graph(graph))
    each = rows // 2 // 256 * 256
    assert [segment.tasks for segment in launch.segments] == [rows // each, 1][
        : 1 + bool(rows % each)
    ]
    data = arrays_of(graph, 2)
    found = run(graph, data)
    off(having)
    for a, b in zip(found, run(graph, data), strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads_gives_the_same_bits(threads: int, having: Having, sharing: None):
    greedy(having, 1 << 16)
    graph = down(5000)
    data = arrays_of(graph, 3)
    off(having)
    plain = run(graph, data)
    greedy(having, 1 << 16)
    before = tj.get_num_threads()
    tj.set_num_threads(threads)
    try:
        for a, b in zip(run(graph, data), plain, strict=True):
            assert same_bits(a, b)
    finally:
        tj.set_num_threads(before)


def test_slabs_that_do_not_fit_the_cache_sum_nothing(having: Having, sharing: None):
    """A partial sum of a product is of 256 rows, which are 36 KiB here; one of another kind of 64."""
    greedy(having, 20 << 10)
    (launch,) = slabbed(compile_graph(down(2048)))
    assert launch.calls[0] == KERNELS["float32"]
    assert launch.note.count("matmul") == 1


def test_partial_sums_larger_than_the_operands_are_not_kept(having: Having, sharing: None):
    greedy(having, 1 << 30)
    rows, width = 1024, 600
    x = Input(aval(dtypes.float32, (rows, width)))
    y = apply("exp", x)
    program = compile_graph(
        Graph((x,), (apply("matmul", apply("permute", y, axes=(1, 0)), apply("sin", y)),))
    )
    assert all("matmul" not in launch.note for launch in slabbed(program))
    assert program.plan.arena_bytes <= 2 * 4 * rows * width


def test_what_needs_a_sum_waits_for_all_slabs(having: Having, sharing: None):
    greedy(having, 1 << 16)
    x = Input(aval(dtypes.float32, (2048, 16)))
    y = apply("exp", x)
    mean = apply("sum", y, axes=(0,))
    graph = Graph((x,), (apply("subtract", y, mean), apply("tanh", mean)))
    data = arrays_of(graph, 5)
    found = run(graph, data)
    off(having)
    for a, b in zip(found, run(graph, data), strict=True):
        assert a.tobytes() == b.tobytes()
