"""Steps that are run slab by slab: the same bits, fewer launches, and nothing in between in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tracejit as tj
import tracejit.nn.functional as F
from tests.compiler import machines
from tests.compiler.programs import arrays_of, fold_graph, index_graph, long_graph, run
from tests.compiler.test_random_graphs import same_bits
from tracejit import dtypes
from tracejit.artifact import LaunchSpec, Plan
from tracejit.compiler import compile_graph
from tracejit.compiler.machine import CORES
from tracejit.ir.graph import Graph, Input, ScalarInput
from tracejit.runtime.gemm import KERNELS
from tracejit.runtime.slabs import KERNEL

GREEDY = {"least_bytes": 1, "slab_bytes": 1, "least_slabs": 2, "least_rows": 1}
"""As many slabs as there can be, however little is gained."""


@pytest.fixture
def having(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, int]], None]:
    return lambda values: machines.choose(monkeypatch, **values)


def graph_of(function: Callable[..., Any], *args: Any) -> Graph:
    compiled = tj.compile(function)
    compiled(*args)
    (only,) = compiled.programs.compiled
    return only.program.graph


def launches(plan: Plan) -> list[LaunchSpec]:
    return [step for step in plan.steps if isinstance(step, LaunchSpec)]


def slabbed(plan: Plan) -> list[LaunchSpec]:
    return [launch for launch in launches(plan) if launch.kernel == KERNEL]


def tensor(*shape: int, seed: int = 0) -> tj.Tensor:
    return tj.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def results(graph: Graph) -> list[bytes]:
    """The bits of the outputs for some numbers."""
    pairs = zip(graph.inputs, arrays_of(graph, 1), strict=True)
    mine = [array for node, array in pairs if isinstance(node, Input)]
    scalars = [2.0 for node in graph.inputs if isinstance(node, ScalarInput)]
    buffers = compile_graph(graph).run([array.ctypes.data for array in mine], scalars)
    found = zip(buffers, graph.outputs, strict=True)
    return [b.array(node.aval.dtype.numpy, node.aval.sizes).tobytes() for b, node in found]


# What goes together


def attention(q: tj.Tensor, k: tj.Tensor, v: tj.Tensor) -> tj.Tensor:
    return F.softmax(q @ tj.matrix_transpose(k), -1) @ v


def nearest(points: tj.Tensor, centres: tj.Tensor) -> tj.Tensor:
    return ((centres * centres).sum(1) - (points + points) @ tj.matrix_transpose(centres)).argmin(1)


def convolved(x: tj.Tensor, w: tj.Tensor) -> tj.Tensor:
    return F.relu(F.conv2d(x, w, padding=1)).sum((2, 3))


def normalized(x: tj.Tensor, w: tj.Tensor, bias: tj.Tensor) -> tj.Tensor:
    y = tj.tanh(x @ w + bias)
    return (y - y.max(-1, keepdims=True)) @ tj.matrix_transpose(w)


def gathered(table: tj.Tensor, w: tj.Tensor, rows: tj.Tensor) -> tj.Tensor:
    return tj.tanh(tj.take(table, rows, axis=0) @ w).sum(1)


CHAINS: dict[str, tuple[Callable[..., Any], tuple[tj.Tensor, ...], int]] = {
    "attention": (attention, (tensor(8, 32, 16), tensor(8, 32, 16, seed=1), tensor(8, 32, 16, seed=2)), 1),
    "nearest": (nearest, (tensor(600, 8), tensor(10, 8, seed=1)), 2),
    "convolved": (convolved, (tensor(8, 3, 9, 9), tensor(4, 3, 3, 3, seed=1)), 1),
    "normalized": (normalized, (tensor(96, 20), tensor(20, 30, seed=1), tensor(30, seed=2)), 1),
    "gathered": (gathered, (tensor(50, 12), tensor(12, 7, seed=1), tj.tensor(np.arange(48) % 50)), 1),
}  # fmt: skip
"""A function, its arguments, and how many launches it is at the least."""


@pytest.mark.parametrize("name", CHAINS)
def test_chains_give_the_same_bits_in_fewer_launches(name: str, having: Any):
    function, args, least = CHAINS[name]
    graph = graph_of(function, *args)
    having(machines.OFF)
    plain, expected = compile_graph(graph), results(graph)
    assert not slabbed(plain.plan)
    having(GREEDY)
    chained, found = compile_graph(graph), results(graph)
    assert len(slabbed(chained.plan)) == 1
    assert len(launches(chained.plan)) == least < len(launches(plain.plan))
    assert chained.plan.arena_bytes < plain.plan.arena_bytes
    assert found == expected


def test_what_lies_between_is_in_scratch_only():
    """Scores of 4 MiB, of which a run allocates a slab for each thread."""
    shape = (16, 256, 16)
    graph = graph_of(attention, *(tensor(*shape, seed=n) for n in range(3)))
    executable = compile_graph(graph)
    (launch,) = launches(executable.plan)
    assert launch.kernel == KERNEL
    assert set(launch.calls) >= {KERNELS["float32"]}
    assert executable.plan.arena_bytes == 0
    assert 4 * 16 * 256 * 16 * 4 <= launch.nbytes < 5 * 16 * 256 * 16 * 4
    assert launch.scratch_bytes < 2 << 20


def test_small_programs_stay_as_they_are():
    graph = graph_of(attention, *(tensor(8, 32, 16, seed=n) for n in range(3)))
    assert not slabbed(compile_graph(graph).plan)


def test_a_product_has_rows_enough_to_pack_its_right_operand_for():
    args = tensor(4096, 64), tensor(64, 256, seed=1), tensor(256, seed=2)
    (launch,) = slabbed(compile_graph(graph_of(normalized, *args)).plan)
    whole, _ = launch.segments
    assert 4096 // whole.tasks >= CORES.least_rows


# What does not


APART: dict[str, tuple[Callable[..., Any], tuple[tj.Tensor, ...]]] = {
    "all rows are needed": (lambda x: tj.exp(x).sum(0) + tj.exp(x), (tensor(32, 40),)),
    "another row": (lambda x, w: (y := x @ w) - y[:1], (tensor(32, 16), tensor(16, 8))),
    "rows backwards": (lambda x, w: (y := x @ w) - y[::-1], (tensor(32, 16), tensor(16, 8))),
    "columns": (lambda x, w: (x @ w) - tj.matrix_transpose(x @ w), (tensor(32, 32), tensor(32, 32, seed=1))),
    "right operand": (lambda x, w: w @ (x @ w), (tensor(32, 32), tensor(32, 32, seed=1))),
    "one row": (lambda x, w: tj.tanh(x @ w) @ w, (tensor(1, 32), tensor(32, 32))),
    "a prime number of rows, too few": (lambda x, w: tj.tanh(x @ w) @ w, (tensor(1, 3), tensor(3, 3))),
    "shifted": (lambda x, w: (y := x @ w)[1:] * y[:-1], (tensor(33, 16), tensor(16, 8))),
    "rows counted": (lambda x, w: (x @ w) * tj.arange(32)[:, None], (tensor(32, 16), tensor(16, 8))),
}  # fmt: skip


@pytest.mark.parametrize("name", APART)
def test_other_steps_are_right_too(name: str, having: Any):
    function, args = APART[name]
    graph = graph_of(function, *args)
    having(machines.OFF)
    expected = results(graph)
    having(GREEDY)
    assert results(graph) == expected


@pytest.mark.parametrize(
    "name", ["another row", "rows backwards", "columns", "right operand", "shifted"]
)
def test_rows_that_need_others_are_no_chain(name: str, having: Any):
    function, args = APART[name]
    having(GREEDY)
    assert not slabbed(compile_graph(graph_of(function, *args)).plan)


# Training: what is written in place stays so


def test_a_training_step_of_a_convolution(having: Any):
    def bits() -> Iterator[bytes]:
        tj.random.seed(0)
        model = tj.nn.Sequential(
            tj.nn.Conv2d(1, 4, 3), tj.nn.ReLU(), tj.nn.Conv2d(4, 4, 3), tj.nn.MaxPool2d(2), tj.nn.Flatten(), tj.nn.Linear(16, 3)
        )  # fmt: skip
        optimizer = tj.optim.Adam(model.parameters())

        @tj.compile
        def step(x: tj.Tensor, y: tj.Tensor) -> tj.Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        for n in range(3):
            step(tensor(8, 1, 8, 8, seed=n), tj.tensor(np.arange(8) % 3))
        yield from (np.array(each.detach()).tobytes() for each in model.parameters())

    having(machines.OFF)
    with tj.config.scope(cache_bytes=0):
        expected = [*bits()]
        having(GREEDY)
        assert [*bits()] == expected


def test_an_update_in_place_needs_no_copy(having: Any):
    """The gradient is a product, which the update of the parameter follows row by row."""

    def step(w: tj.Tensor, x: tj.Tensor, y: tj.Tensor) -> None:
        w.sub_(x @ y)

    graph = graph_of(step, tensor(32, 8), tensor(32, 16, seed=1), tensor(16, 8, seed=2))
    having(GREEDY)
    (launch,) = compile_graph(graph).plan.steps
    assert isinstance(launch, LaunchSpec)
    assert launch.kernel == KERNEL


# Random programs


MAKERS = {"folds": fold_graph, "indexing": index_graph, "long": long_graph}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_random_programs_have_the_same_bits(maker: Any, seed: int, having: Any):
    rnd = Random(seed)
    graph = maker(rnd, rnd.choice((dtypes.float32, dtypes.float64)))
    data = arrays_of(graph, seed)
    having(machines.OFF)
    expected = run(graph, data)
    having(GREEDY)
    for a, b in zip(run(graph, data), expected, strict=True):
        assert same_bits(a, b)
