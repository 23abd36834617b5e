"""Slabs along several axes, in order and again: products over all rows go on from slab to slab, what was left is made anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tracejit as tj
import tracejit.nn.functional as F
from tests.compiler import machines
from tests.compiler.programs import arrays_of, index_graph, long_graph, run
from tests.compiler.test_random_graphs import expected, near, same_bits
from tests.compiler.test_slabs import graph_of, results, tensor
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit._errors import ArtifactError
from tracejit.artifact import LaunchSpec, Plan
from tracejit.compiler import compile_graph, plan_graph
from tracejit.dtypes import DType
from tracejit.ir.aval import aval
from tracejit.ir.graph import Constant, Effect, Graph, Input, Node
from tracejit.runtime.gemm import KERNELS
from tracejit.runtime.slabs import KERNEL
from tracejit.runtime.workspace import workspace_of
from tracejit.standalone.plans import _Checker

Having = Callable[..., None]
GREEDY = {"least_bytes": 1, "least_bytes_in_turn": 1, "least_rows": 1}


@pytest.fixture
def having(monkeypatch: pytest.MonkeyPatch) -> Having:
    def choose(*, anew: bool = False, **values: float) -> None:
        """`anew` has all computed anew that can be."""
        byte = 1e6 if anew else 1e-9
        machines.choose(monkeypatch, byte=byte, byte_far=byte, **values)

    return choose


def off(having: Having) -> None:
    having(**machines.OFF)


def seen(rnd: Random, dtype: DType, lead: tuple[int, ...], m: int, n: int) -> tuple[Input, Node]:
    """An operand of a product, which lies in some order in its memory."""
    shape = (*lead, m, n)
    axes = [*range(len(shape))]
    if rnd.random() < 0.6:
        rnd.shuffle(axes)
    memory = Input(aval(dtype, tuple(shape[axes.index(at)] for at in range(len(shape)))))
    return memory, apply("permute", memory, axes=tuple(axes))


def turned(x: Node) -> Node:
    last = x.aval.ndim
    return apply("permute", x, axes=(*range(last - 2), last - 1, last - 2))


def row(x: Node, kind: str) -> Node:
    """A fold of each row, as wide as it was."""
    folded = apply(kind, x, axes=(x.aval.ndim - 1,))
    return apply("reshape", folded, shape=(*x.aval.sizes[:-1], 1))


def trained_graph(rnd: Random, dtype: DType) -> Graph:
    """Scores of some heads, what their rows become, and gradients of all that, with something in between that needs all rows."""
    lead = rnd.choice([(), (2,), (8,), (3, 3), (2, 4), (1, 9), (1, 2)])
    rows, columns, deep = (
        rnd.choice((40, 257, 300, 520)),
        rnd.choice((5, 33, 258)),
        rnd.choice((2, 3, 17)),
    )
    (qm, q), (km, k), (vm, v) = (seen(rnd, dtype, lead, n, deep) for n in (rows, columns, columns))
    scores = apply("matmul", q, turned(k))
    inputs = [qm, km, vm]
    if rnd.random() < 0.4:
        mask = Input(aval(dtype, rnd.choice([(rows, columns), (columns,), (rows, 1)])))
        inputs.append(mask)
        scores = apply("minimum", scores, mask)
    shifted = (
        apply("subtract", scores, row(scores, "max"))
        if rnd.random() < 0.7
        else apply("tanh", scores)
    )
    weights = apply("exp", shifted) if rnd.random() < 0.7 else apply("square", shifted)
    if rnd.random() < 0.7:
        weights = apply("divide", weights, row(weights, "sum"))
    out = apply("matmul", weights, v)
    between = rnd.choice(("nothing", "sum", "product"))
    ct: Node = apply("add", out, out)
    if between == "sum":
        ct = apply("subtract", ct, apply("max", out, axes=tuple(range(out.aval.ndim - 1))))
    if between == "product":
        flat = apply("reshape", out, shape=(out.aval.size // deep, deep))
        ct = apply(
            "reshape",
            apply("matmul", flat, apply("matmul", turned(flat), flat)),
            shape=out.aval.sizes,
        )
    back = apply("matmul", ct, turned(v))
    inner = apply("multiply", back, weights)
    if rnd.random() < 0.7:
        inner = apply("subtract", inner, apply("multiply", row(inner, "sum"), weights))
    results = [
        apply("matmul", inner, k),
        apply("matmul", turned(inner), q),
        apply("matmul", turned(q), inner),
        apply("matmul", turned(weights), ct),
        apply("sum", inner, axes=tuple(range(inner.aval.ndim))),
        out,
    ]
    chosen = rnd.sample(results, rnd.choice((1, 2, 3, 4)))
    if rnd.random() < 0.1:
        chosen.append(weights)
    effects = []
    for target, value in ((qm, results[0]), (km, results[1]), (vm, results[3])):
        if value.aval is target.aval and rnd.random() < 0.2:
            effects.append(Effect(target, apply("subtract", target, value)))
    return Graph(tuple(inputs), tuple(chosen), tuple(effects))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_random_training_has_the_same_bits(seed: int, having: Having) -> None:
    rnd = Random(seed)
    graph = trained_graph(rnd, rnd.choice((dtypes.float32, dtypes.float64)))
    data = arrays_of(graph, seed)
    off(having)
    plain = run(graph, data)
    few, size = rnd.choice((1, 1, 2, 8)), rnd.choice((1, 1 << 14, 1 << 20))
    least, cache = rnd.choice((1, 1 << 12, 1 << 15)), rnd.choice((1 << 13, 1 << 22))
    having(cache_bytes=cache)
    for anew in (True, False):
        having(anew=anew, least_slabs=few, slab_bytes=size, **GREEDY | {"least_bytes": least})
        for a, b in zip(run(graph, data), plain, strict=True):
            assert same_bits(a, b)
    for a, b in zip(run(graph, data, fuse=False), plain, strict=True):
        assert same_bits(a, b)


@pytest.mark.parametrize("maker", [index_graph, long_graph])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_what_is_written_in_parts_is_made_again_as_a_whole(
    maker: Callable[..., Graph], seed: int, having: Having
) -> None:
    rnd = Random(seed)
    graph = maker(rnd, rnd.choice((dtypes.float32, dtypes.float64)))
    data = arrays_of(graph, seed)
    off(having)
    plain = run(graph, data)
    having(anew=True, slab_bytes=1, least_slabs=rnd.choice((1, 2, 8)), **GREEDY)
    for a, b in zip(run(graph, data), plain, strict=True):
        assert same_bits(a, b)


# What is in memory


def attention_step(
    lead: tuple[int, ...], rows: int, deep: int = 64, *, causal: bool = False
) -> Graph:
    """Attention and its gradients; what comes between needs all rows."""
    shape = (*lead, rows, deep)
    q, k, v, w = (Input(aval(dtypes.float32, s)) for s in (shape, shape, shape, (deep, deep)))
    scores = apply("matmul", q, turned(k))
    if causal:
        zero, one = (Constant(aval(dtypes.int64, ()), number) for number in (0, 1))
        number = apply("arange", zero, one, length=rows)
        after = apply("less", apply("reshape", number, shape=(rows, 1)), number)
        scores = apply("where", after, Constant(aval(dtypes.float32, ()), -np.inf), scores)
    weights = apply("exp", apply("subtract", scores, row(scores, "max")))
    total = row(weights, "sum")
    shares = apply("divide", weights, total)
    out = apply("matmul", shares, v)
    flat = apply("reshape", out, shape=(out.aval.size // deep, deep))
    middle = apply("max", flat, axes=(0,))
    ct = apply("reshape", apply("matmul", apply("subtract", flat, middle), w), shape=shape)
    back = apply("matmul", ct, turned(v))
    centred = apply("subtract", back, row(apply("multiply", back, shares), "sum"))
    inner = apply("multiply", apply("divide", centred, total), weights)
    outputs = (
        apply("matmul", inner, k),
        apply("matmul", turned(inner), q),
        apply("matmul", turned(shares), ct),
    )
    return Graph((q, k, v, w), outputs)


def planned(graph: Graph) -> Plan:
    return plan_graph(graph)[2]


def launches(plan: Plan) -> list[LaunchSpec]:
    return [step for step in plan.steps if isinstance(step, LaunchSpec)]


def noted(plan: Plan, word: str) -> list[LaunchSpec]:
    return [launch for launch in launches(plan) if word in launch.note]


def test_long_scores_are_in_memory_nowhere() -> None:
    rows = 4096
    plan = planned(attention_step((2, 4), rows))
    workspace = workspace_of(plan)
    assert plan.arena_bytes < 4 * rows * rows
    assert workspace.scratch_bytes < 4 * rows * rows
    assert sum(launch.nbytes for launch in launches(plan)) < 4 * rows * rows * 8
    (backward,) = noted(plan, "again")
    assert "again matmul" in backward.note
    assert [segment.tasks for segment in backward.segments] == [8]


def test_scores_of_few_heads_are_done_one_slab_after_another() -> None:
    rows = 8192
    plan = planned(attention_step((), rows))
    assert plan.arena_bytes < 4 * rows * rows / 4
    backward = noted(plan, "again matmul")
    assert len(backward) == rows // 256
    assert {launch.kernel for launch in backward} == {KERNELS["float32"]}
    assert sum(launch.nbytes for launch in launches(plan)) < 2 * 4 * rows * rows


def test_of_two_matrices_of_middling_size_one_is_kept() -> None:
    rows, heads = 1024, 16
    plan = planned(attention_step((heads,), rows))
    (backward,) = noted(plan, "again")
    assert "again matmul" not in backward.note
    assert "again divide" in backward.note
    assert 4 * rows * rows * heads < plan.arena_bytes < 1.5 * 4 * rows * rows * heads


def test_short_scores_stay() -> None:
    plan = planned(attention_step((8,), 256))
    assert not noted(plan, "again")
    assert plan.arena_bytes >= 4 * 256 * 256 * 8


def convolution_step(batch: int, channels: int, extent: int) -> Graph:
    """Gradients of two convolutions, between which and their loss something needs all rows."""

    def step(x: tj.Tensor, w: tj.Tensor, u: tj.Tensor) -> tuple[tj.Tensor, ...]:
        def loss(w: tj.Tensor, u: tj.Tensor) -> tj.Tensor:
            h = F.relu(F.conv2d(F.relu(F.conv2d(x, w, padding=1)), u, padding=1))
            return ((h - h.max(0)) ** 2).sum()

        found: tuple[tj.Tensor, ...] = tj.grad(loss, (0, 1))(w, u)
        return found

    kernels = (tensor(channels, channels, 3, 3, seed=n) for n in (1, 2))
    return graph_of(step, tensor(batch, channels, extent, extent), *kernels)


def test_windows_are_made_again_for_gradients_and_not_laid_out_for_all() -> None:
    plan = planned(convolution_step(16, 16, 28))
    windows = 4 * 16 * 16 * 9 * 28 * 28
    assert noted(plan, "again copy")
    assert plan.arena_bytes < windows
    assert sum(launch.nbytes for launch in launches(plan)) < 3 * windows


@pytest.mark.parametrize("extent", [6, 9])
def test_gradients_of_convolutions_have_the_same_bits(extent: int, having: Having) -> None:
    graph = convolution_step(9, 3, extent)
    off(having)
    plain = results(graph)
    having(anew=True, slab_bytes=1, least_slabs=8, **GREEDY | {"least_bytes": 1 << 14})
    assert noted(planned(graph), "again copy")
    assert results(graph) == plain


@pytest.mark.parametrize("lead", [(9,), (2, 4), (2,), ()])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_right_along_any_axes(
    lead: tuple[int, ...], causal: bool, having: Having
) -> None:
    graph = attention_step(lead, 520, 8, causal=causal)
    data = arrays_of(graph, 1)
    off(having)
    plain = run(graph, data)
    having(cache_bytes=1 << 16)  # so that no head is one slab
    having(anew=True, slab_bytes=1, least_slabs=8, **GREEDY | {"least_bytes": 1 << 18})
    plan = planned(graph)
    assert noted(plan, "again matmul")
    in_turn = prod(lead) < 8
    assert in_turn != bool([launch for launch in noted(plan, "again") if launch.kernel == KERNEL])
    before = tj.get_num_threads()
    try:
        for threads in (1, 2, 5):
            tj.set_num_threads(threads)
            for a, b in zip(run(graph, data), plain, strict=True):
                assert same_bits(a, b)
    finally:
        tj.set_num_threads(before)
    for a, b in zip(plain, expected(graph, data), strict=True):
        assert near(a, b)


def test_sums_in_order_begin_anew_in_each_run(having: Having) -> None:
    """What is added to is not what the run before has left."""
    having(slab_bytes=1, least_slabs=1, **GREEDY)
    graph = attention_step((3,), 520, 8)
    data = arrays_of(graph, 1)
    program = compile_graph(graph)
    every = []
    for _ in range(2):
        buffers = program.run([array.ctypes.data for array in data])
        pairs = zip(buffers, graph.outputs, strict=True)
        every.append([b.array(np.float32, node.aval.sizes).tobytes() for b, node in pairs])
    assert every[0] == every[1]


def test_explain_tells_what_is_made_again() -> None:
    def step(q: tj.Tensor, w: tj.Tensor) -> tj.Tensor:
        shares = tj.softmax(q @ q.permute(0, 2, 1), axis=-1)
        out = (shares @ q).reshape(-1, q.shape[-1]) @ w
        return ((out - out.max(0)) ** 2).sum()

    gradient = tj.compile(tj.grad(step))
    generator = tj.random.Generator(0)
    gradient(generator.normal((8, 768, 16)), generator.normal((16, 16)))
    assert "again " in str(tj.explain(gradient))


# What must stay in order


def test_a_part_is_not_written_over_by_the_ground_that_it_lies_on(having: Having) -> None:
    x = Input(aval(dtypes.float32, (6, 5)))
    zero = Constant(aval(dtypes.float32, ()), 0.0)
    y = apply("exp", x)
    low, high = (
        apply("pad", apply("negative", y), zero, widths=((0, 0), width))
        for width in ((0, 2), (2, 0))
    )
    graph = Graph((x,), (apply("add", low, high),))
    data = arrays_of(graph, 1)
    off(having)
    plain = run(graph, data)
    having(slab_bytes=1, least_slabs=2, **GREEDY)
    for a, b in zip(run(graph, data), plain, strict=True):
        assert same_bits(a, b)


# Artifacts


def test_slabs_of_a_file_are_checked(having: Having) -> None:
    having(slab_bytes=1, least_slabs=1, **GREEDY)
    plan = replace(planned(attention_step((3,), 520, 8)), kernels=())
    known = {
        name: ""
        for launch in launches(plan)
        for name in (launch.kernel, *launch.kernels, *launch.calls)
    }
    _Checker(plan, known, "here", is_for_gpu=False).run()
    at = next(n for n, step in enumerate(plan.steps) if step.kernel == KERNEL)
    launch = plan.steps[at]
    segment = launch.segments[0]
    for dims in (
        segment.dims[:-1],
        (*segment.dims, 0),
        (1 << 40, *segment.dims[1:]),
        (*segment.dims[:1], 0, *segment.dims[2:]),
    ):
        changed = replace(launch, segments=(replace(segment, dims=dims),))
        steps = (*plan.steps[:at], changed, *plan.steps[at + 1 :])
        with pytest.raises(ArtifactError):
            _Checker(replace(plan, steps=steps), known, "here", is_for_gpu=False).run()
