"""Unrolled loops are planned by one of their rounds, with the bits of the whole."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tracejit as tj
from tests.compiler.programs import _square_op, arrays_of, run
from tests.compiler.test_random_graphs import same_bits
from tests.ir.graphs import apply
from tracejit import compiler, dtypes
from tracejit.artifact import Plan
from tracejit.compiler import compile_graph
from tracejit.ir.aval import aval
from tracejit.ir.graph import Constant, Effect, Graph, Input, Node
from tracejit.passes import repeats

N = 6
OFF = 1 << 40


@pytest.fixture
def rolling(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_limits(nodes: int = 0, rounds: int = 3) -> None:
        monkeypatch.setattr(repeats, "LEAST_NODES", nodes)
        monkeypatch.setattr(repeats, "LEAST_ROUNDS", rounds)

    return set_limits


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of ops of each part that is planned."""
    sizes: list[int] = []
    plan_part = compiler.plan_part

    def noting(graph: Graph, *args: Any, **options: Any) -> Any:
        sizes.append(len(graph.applies))
        return plan_part(graph, *args, **options)

    monkeypatch.setattr(compiler, "plan_part", noting)
    return sizes


def square(k: int = 0) -> Input:
    return Input(aval(dtypes.float32, (N, N)), memory=k)


def turned(x: Node) -> Node:
    return apply("permute", x, axes=(1, 0))


def inside(x: Node) -> Node:
    return apply("slice", x, start=(1, 1), stop=(N - 1, N - 1), step=(1, 1))


def averaged(x: Node, into: Node) -> Node:
    """`into[1:-1, 1:-1] = (x[:-2, 1:-1] + x[2:, 1:-1]) * 0.5`"""
    up = apply("slice", x, start=(0, 1), stop=(N - 2, N - 1), step=(1, 1))
    down = apply("slice", x, start=(2, 1), stop=(N, N - 1), step=(1, 1))
    half = apply("multiply", apply("add", up, down), Constant(aval(dtypes.float32), 0.5))
    return apply("update", into, half, start=(1, 1), stop=(N - 1, N - 1), step=(1, 1))


def stencil() -> Graph:
    """Two arrays by turns, each written over where it lies."""
    a, b = start = square(0), square(1)
    x, y = start
    for _ in range(20):
        y = averaged(x, y)
        x = averaged(y, x)
    return Graph((a, b), (), (Effect(a, x), Effect(b, y)))


def recurrence() -> Graph:
    """A row of the inputs in each round, all states together in the end."""
    rows, w, state = (
        Input(aval(dtypes.float32, (20, N))),
        square(1),
        Input(aval(dtypes.float32, (1, N))),
    )
    h: Node = state
    states: list[Node] = []
    for k in range(20):
        row = apply("slice", rows, start=(k, 0), stop=(k + 1, N), step=(1, 1))
        h = apply("tanh", apply("add", row, apply("matmul", h, w)))
        states.append(h)
    return Graph((rows, w, state), (apply("concat", *states, axis=0), h))


def three_before() -> Graph:
    """Each value is read one and three rounds later."""
    first = square(0), square(1), square(2)
    values: list[Node] = [*first]
    for _ in range(20):
        values.append(
            apply("minimum", apply("tanh", apply("matmul", values[-1], values[-3])), values[-1])
        )
    return Graph(first, (values[-1], turned(values[-2])))


def normalised() -> Graph:
    """All rounds read what was computed before them; one value of each is summed up after them."""
    x, w = square(0), square(1)
    scale = apply("exp", turned(w))
    value: Node = x
    norms: list[Node] = []
    for _ in range(20):
        norm = apply("reshape", apply("max", apply("abs", value), axes=(1,)), shape=(N, 1))
        norms.append(norm)
        value = apply("divide", apply("multiply", value, scale), norm)
    total = norms[0]
    for norm in norms[1:]:
        total = apply("add", total, norm)
    return Graph((x, w), (value, total))


def parts_of_the_last() -> Graph:
    """A round reads parts of what the one before has made, as they lie."""
    x = square(0)
    value: Node = x
    for _ in range(20):
        value = averaged(turned(value), apply("tanh", value))
    return Graph((x,), (inside(value),), (Effect(x, value),))


def empty() -> Graph:
    x = Input(aval(dtypes.float32, (0, N)))
    value: Node = x
    for _ in range(20):
        value = apply("tanh", apply("concat", value, value, axis=0))
    return Graph((x,), (value, apply("sum", value, axes=(0,))))


LOOPS = [stencil, recurrence, three_before, normalised, parts_of_the_last, empty]


@pytest.mark.parametrize("loop", LOOPS)
def test_rounds_are_planned_once_and_give_the_bits_of_the_whole(
    loop: Callable[[], Graph], rolling: Any, planned: list[int]
) -> None:
    graph = loop()
    arrays = arrays_of(graph, 1)
    rolling(OFF)
    whole = run(graph, arrays)
    assert planned == [len(graph.applies)]
    planned.clear()
    rolling()
    for a, b in zip(run(graph, arrays), whole, strict=True):
        assert same_bits(a, b)
    assert len(planned) == 3
    assert sum(planned) < len(graph.applies) / 2


def steps(plan: Plan) -> int:
    return len(plan.steps)


def test_what_lies_in_the_way_is_written_over(rolling: Any) -> None:
    rolling()
    graph = stencil()
    plan = compile_graph(graph).plan
    # A launch for each array and round; before them the first two and copies of the arrays, after them copies back.
    assert steps(plan) <= 40 + 6
    assert plan.arena_bytes <= 4 * 4 * N * N + 256
    assert plan.written == (0, 1)


def test_values_that_are_needed_later_have_memory_of_their_own(rolling: Any) -> None:
    rolling()
    plan = compile_graph(recurrence()).plan
    assert plan.arena_bytes >= 18 * 4 * N
    assert plan.outputs[0].shape == (20, N)


def test_a_few_ops_are_planned_as_one(planned: list[int]) -> None:
    graph = stencil()
    compile_graph(graph)
    assert planned == [len(graph.applies)]


def test_rounds_that_can_be_one_kernel_stay_together(rolling: Any, planned: list[int]) -> None:
    rolling()
    x = square()
    value: Node = x
    for _ in range(20):
        value = apply("tanh", apply("multiply", value, x))
    assert steps(compile_graph(Graph((x,), (value,))).plan) == 1
    assert len(planned) == 1


def test_a_limit_on_memory_is_kept_by_the_whole(planned: list[int], rolling: Any) -> None:
    rolling()
    compile_graph(three_before(), memory_limit=1 << 20)
    assert len(planned) == 1


# Random loops


def random_loop(rnd: Random) -> Graph:
    """The same random ops in each round, on states, on what a few rounds before have made, and on a part of an input."""
    n, rounds = rnd.choice((16, 33)), rnd.choice((3, 5, 9))
    kind = aval(rnd.choice((dtypes.float32, dtypes.float64)), (n, n))
    steps_in = Input(aval(kind.dtype, (rounds, n, n)))
    inputs = [Input(kind, memory=k) for k in range(rnd.choice((1, 2, 3)))]
    states: list[Node] = [*inputs]
    kinds = ["pointwise", "norm", "turn", "join", "update", "product"]
    seeds = [rnd.randrange(1 << 30) for _ in range(rnd.randint(1, 5))]
    moves = [rnd.randrange(len(states)) for _ in seeds]
    kept: list[Node] = []
    before: list[Node] = [*states]
    for k in range(rounds):
        part = apply("slice", steps_in, start=(k, 0, 0), stop=(k + 1, n, n), step=(1, 1, 1))
        pool = [*states, *before[-3:], apply("reshape", part, shape=(n, n))]
        for seed, move in zip(seeds, moves):
            same = Random(seed)  # what is chosen in every round
            pool.append(_square_op(same, kinds, same.choice(pool), same.choice(pool)))
            before.append(states[move])
            states[move] = pool[-1]
        kept.append(pool[-1])
    outputs = [rnd.choice(states), *rnd.sample(kept, rnd.choice((0, 1, 2)))]
    effects = [Effect(x, rnd.choice(states)) for x in inputs if rnd.random() < 0.5]
    return Graph((steps_in, *inputs), tuple(outputs), tuple(effects))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_random_loops_have_the_bits_of_the_whole(seed: int, rolling: Any) -> None:
    graph = random_loop(Random(seed))
    arrays = arrays_of(graph, seed)
    rolling(OFF)
    whole = run(graph, arrays)
    rolling(0, 2)
    for a, b in zip(run(graph, arrays), whole, strict=True):
        assert same_bits(a, b)


# Programs


def test_a_program_of_many_rounds_has_kernels_for_one() -> None:
    def smooth(rounds: int, a: np.ndarray, b: np.ndarray) -> None:
        for _ in range(rounds):
            b[1:-1] = 0.33333 * (a[:-2] + a[1:-1] + a[2:])
            a[1:-1] = 0.33333 * (b[:-2] + b[1:-1] + b[2:])

    compiled = tj.compile(smooth)
    found, expected = np.random.default_rng(0).random((2, 2, 50))
    expected[:] = found
    for _ in range(3):
        compiled(300, *found)
        smooth(300, *expected)
        tj.synchronize()
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    kernels = [kernel.name for kernel in tj.explain(compiled).kernels]
    assert 600 <= len(kernels) <= 610
    assert len(set(kernels)) < 10


def test_training_in_one_call() -> None:
    def train(w: tj.Tensor, x: tj.Tensor, y: tj.Tensor, steps: int) -> tj.Tensor:
        for _ in range(steps):
            w.requires_grad_()
            loss = ((tj.tanh(x @ w) - y) ** 2).mean()
            w = w.detach() - 0.1 * tj.grad(lambda v: ((tj.tanh(x @ v) - y) ** 2).mean())(w.detach())
        return w, loss.detach()

    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype("f4") for shape in ((5, 3), (7, 5), (7, 3))]
    eager = train(*map(tj.tensor, arrays), 150)
    compiled = tj.compile(train)(*map(tj.tensor, arrays), 150)
    for a, b in zip(eager, compiled):
        assert a.numpy().tobytes() == b.numpy().tobytes()
