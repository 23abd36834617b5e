"""Slabs on a GPU: launches for each slab in turn, on the memory of one; the CPU's bits, and no memory that grows with scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tracejit as tj
import tracejit.nn.functional as F
from tests.codegen.kernels import skip_unless_emulated
from tests.compiler import machines
from tests.compiler.programs import arrays_of, index_graph
from tests.compiler.test_random_graphs import same_bits
from tests.compiler.test_slab_folds import rows_graph
from tests.compiler.test_slab_ways import attention_step, convolution_step, trained_graph
from tests.compiler.test_slabs import CHAINS, graph_of, tensor
from tests.emulation.everywhere import EmulatedProgram
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit.artifact import LaunchSpec, Plan
from tracejit.compiler import compile_graph, plan_graph
from tracejit.executable import call_host
from tracejit.ir.aval import aval
from tracejit.ir.graph import Graph, Input
from tracejit.passes import group
from tracejit.runtime.buffer import Buffer

Having = Callable[..., None]
GREEDY = {
    "least_bytes": 1,
    "least_bytes_in_turn": 1,
    "slab_bytes": 1,
    "least_rows": 1,
    "launch": 0.0,
}
"""As many slabs as there can be, however little is gained."""


@pytest.fixture
def having(monkeypatch: pytest.MonkeyPatch) -> Having:
    return lambda **values: machines.choose(monkeypatch, **values)


def planned(graph: Graph) -> Plan:
    return plan_graph(graph, device="cuda:0")[2]


def launches(plan: Plan) -> list[LaunchSpec]:
    return [step for step in plan.steps if isinstance(step, LaunchSpec)]


def is_in_slabs(graph: Graph) -> bool:
    """Whether something is launched again and again."""
    notes = Counter(launch.note for launch in launches(planned(graph)))
    return max(notes.values()) > 2


Program = Callable[[Sequence[int], Sequence[float]], list[Buffer]]


def results(graph: Graph, run: Program, seed: int) -> Iterator[np.ndarray]:
    """And the inputs, which may be written."""
    arrays = [array.copy() for array in arrays_of(graph, seed)]
    pairs = [*zip(graph.inputs, arrays, strict=True)]
    mine = [array for node, array in pairs if isinstance(node, Input)]
    buffers = run([array.ctypes.data for array in mine], [2.0] * (len(pairs) - len(mine)))
    for buffer, node in zip(buffers, graph.outputs, strict=True):
        yield buffer.array(node.aval.dtype.numpy, node.aval.sizes)
    yield from mine


def assert_same_as_cpu(graph: Graph, seed: int = 1) -> None:
    skip_unless_emulated()
    emulated = EmulatedProgram(planned(graph), call_host)
    here = results(graph, compile_graph(graph).run, seed)
    for number, pair in enumerate(zip(here, results(graph, emulated.run, seed), strict=True)):
        assert same_bits(*pair), number


# Bits


@pytest.mark.parametrize("name", CHAINS)
def test_chains_have_the_cpus_bits(name: str, having: Having) -> None:
    function, args, _ = CHAINS[name]
    graph = graph_of(function, *args)
    having(**GREEDY)
    assert is_in_slabs(graph)
    assert_same_as_cpu(graph)


@pytest.mark.parametrize("lead", [(3,), (2, 2), ()])
@pytest.mark.parametrize("causal", [False, True])
def test_trained_attention_has_the_cpus_bits(
    lead: tuple[int, ...], causal: bool, having: Having
) -> None:
    graph = attention_step(lead, 521, 8, causal=causal)
    having(byte=1e6, byte_far=1e6, **GREEDY | {"least_bytes": 1 << 18})
    assert [launch for launch in launches(planned(graph)) if "again matmul" in launch.note]
    assert_same_as_cpu(graph)


def convolution(**options: Any) -> Graph:
    """With its gradients."""
    groups = options.get("groups", 1)

    def step(x: tj.Tensor, w: tj.Tensor, b: tj.Tensor) -> Any:
        return tj.grad(lambda x, w, b: F.relu(F.conv2d(x, w, b, **options)).sum(), (0, 1, 2))(
            x, w, b
        )

    return graph_of(step, tensor(5, 4, 13, 11), tensor(6, 4 // groups, 3, 3, seed=1), tensor(6))


@pytest.mark.parametrize(
    "options", [{"padding": 1}, {"stride": 2, "padding": (2, 1)}, {"groups": 2}, {"dilation": 2}], ids=str
)  # fmt: skip
def test_convolutions_and_their_gradients_have_the_cpus_bits(
    options: dict[str, Any], having: Having
) -> None:
    graph = convolution(**options)
    having(**GREEDY)
    assert is_in_slabs(graph)
    assert_same_as_cpu(graph)


def test_windows_are_made_again_for_gradients(having: Having) -> None:
    graph = convolution_step(9, 4, 11)
    having(byte=1e6, byte_far=1e6, **GREEDY | {"least_bytes": 1 << 15})
    plan = planned(graph)
    assert [launch for launch in launches(plan) if launch.note.startswith("again copy")]
    assert plan.arena_bytes < 4 * 9 * 4 * 9 * 11 * 11
    assert_same_as_cpu(graph)


MAKERS = {"training": trained_graph, "sums": rows_graph, "indexing": index_graph}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_random_programs_have_the_cpus_bits(maker: Any, seed: int, having: Having) -> None:
    rnd = Random(seed)
    graph = maker(rnd, rnd.choice((dtypes.float32, dtypes.float64)))
    size, byte = rnd.choice((1, 1 << 14, 1 << 20)), rnd.choice((1e6, 1e-9))
    having(byte=byte, byte_far=byte, **GREEDY | {"slab_bytes": size})
    assert_same_as_cpu(graph, seed)


def test_sums_of_folds_are_joined_after_all_slabs(
    having: Having, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = group.Sharing(few_rows=1 << 20, lanes=4096, few_columns=1 << 20, rows=64)
    for name in ("CORES", "WARPS"):
        monkeypatch.setattr(group, name, few)
    x, w = (Input(aval(dtypes.float32, shape)) for shape in ((1030, 16), (16, 16)))
    y = apply("exp", apply("matmul", x, w))
    turned = apply("permute", y, axes=(1, 0))
    graph = Graph((x, w), (apply("sum", y, axes=(0,)), apply("matmul", turned, x)))
    having(**GREEDY)
    assert is_in_slabs(graph)
    assert_same_as_cpu(graph)


# What is in memory


def forward(lead: tuple[int, ...], rows: int) -> Graph:
    shape = (*lead, rows, 64)
    q, k, v = (Input(aval(dtypes.float32, shape)) for _ in range(3))
    turned = (*range(len(lead)), len(lead) + 1, len(lead))
    scores = apply("matmul", q, apply("permute", k, axes=turned))
    top = apply("max", scores, axes=(len(lead) + 1,))
    e = apply("exp", apply("subtract", scores, apply("reshape", top, shape=(*lead, rows, 1))))
    total = apply("reshape", apply("sum", e, axes=(len(lead) + 1,)), shape=(*lead, rows, 1))
    return Graph((q, k, v), (apply("matmul", apply("divide", e, total), v),))


@pytest.mark.parametrize("make", [forward, attention_step])
def test_memory_does_not_grow_with_all_scores(make: Callable[..., Graph]) -> None:
    short, long = (planned(make((2, 8), rows)) for rows in (4096, 8192))
    assert short.arena_bytes < 4 * 4096 * 4096 * 16 / 4
    assert long.arena_bytes < 2.5 * short.arena_bytes


def test_attention_is_a_few_launches_for_each_slab() -> None:
    plan = planned(forward((2, 8), 4096))
    slab = 24 << 20  # of scores
    count = len(launches(plan))
    assert 2 * 8 * 4096 * 4096 * 4 / slab * 3 <= count <= 2 * 8 * 4096 * 4096 * 4 / slab * 6
    assert len({launch.kernel for launch in launches(plan)}) <= 6


def test_each_launch_of_a_slab_fills_the_gpu() -> None:
    products = [x for x in launches(planned(forward((2, 8), 4096))) if "product" in x.kernel]
    assert min(sum(segment.tasks for segment in each.segments) for each in products) >= 120


def test_short_scores_stay() -> None:
    graph = forward((2, 8), 256)
    assert len(launches(planned(graph))) == 3


def test_windows_of_a_convolution_are_in_memory_for_some_examples_only(having: Having) -> None:
    def layer(x: tj.Tensor, w: tj.Tensor) -> tj.Tensor:
        return F.relu(F.conv2d(x, w, padding=1))

    graph = graph_of(layer, tensor(16, 32, 20, 20), tensor(32, 32, 3, 3, seed=1))
    windows = 4 * 16 * 32 * 9 * 20 * 20
    having(**GREEDY | {"least_bytes_in_turn": 1 << 20, "slab_bytes": windows // 3})
    plan = planned(graph)
    padded = 4 * 16 * 32 * 22 * 22
    assert plan.arena_bytes < windows / 4 + padded
    assert sum(launch.nbytes for launch in launches(plan)) < windows
    assert len(launches(plan)) <= 3 + 6 * 4
