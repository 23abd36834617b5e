"""Programs of many writes are planned piece by piece, with the bits of the whole."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tracejit as tj
from tests.compiler.programs import arrays_of, run
from tests.compiler.test_random_graphs import same_bits
from tests.ir.graphs import apply
from tracejit import compiler, dtypes
from tracejit.compiler import compile_graph
from tracejit.ir.aval import aval
from tracejit.ir.graph import Constant, Effect, Graph, Input, Node
from tracejit.passes import writes

OFF = 1 << 40
N = 7


@pytest.fixture
def cutting(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def set_limit(count: int) -> None:
        monkeypatch.setattr(writes, "LEAST_WRITES", count)

    set_limit(0)
    return set_limit


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """The graphs that are planned."""
    graphs: list[Graph] = []
    plan_part = compiler.plan_part

    def noting(graph: Graph, *args: Any, **options: Any) -> Any:
        graphs.append(graph)
        return plan_part(graph, *args, **options)

    monkeypatch.setattr(compiler, "plan_part", noting)
    return graphs


def vector(memory: int | None = 0, n: int = N, strides: tuple[int, ...] | None = None) -> Input:
    return Input(aval(dtypes.float32, (n,)), strides, memory=memory)


def part(x: Node, start: int, stop: int, step: int = 1) -> Node:
    return apply("slice", x, start=(start,), stop=(stop,), step=(step,))


def put(x: Node, value: Node, start: int, stop: int, step: int = 1) -> Node:
    return apply("update", x, value, start=(start,), stop=(stop,), step=(step,))


def number(value: float = 0.5) -> Constant:
    return Constant(aval(dtypes.float32), value)


def check(graph: Graph, cutting: Callable[[int], None], seed: int = 0) -> None:
    """Cut up or as a whole, the graph has the same bits."""
    arrays = arrays_of(Graph(tuple(map(_memory, graph.inputs)), ()), seed)
    cutting(OFF)
    whole = run(graph, arrays)
    cutting(0)
    for a, b in zip(run(graph, arrays), whole, strict=True):
        assert same_bits(a, b)


def _memory(x: Node) -> Input:
    """All of the memory in which an input lies."""
    assert isinstance(x, Input)
    if x.strides is None:
        return x
    elements = 1 + sum((n - 1) * by for n, by in zip(x.aval.sizes, x.strides))
    return Input(aval(x.aval.dtype, (elements,)))


def prefixes(x: Node) -> Node:
    """`x[k] = sum(x[:k]) * 0.5`"""
    for k in range(1, N):
        total = apply("sum", part(x, 0, k), axes=(0,))
        half = apply("reshape", apply("multiply", total, number()), shape=(1,))
        x = put(x, half, k, k + 1)
    return x


def test_rounds_of_other_sizes_write_where_the_array_lies(cutting: Any) -> None:
    x = vector()
    graph = Graph((x,), (), (Effect(x, prefixes(x)),))
    check(graph, cutting)
    plan = compile_graph(graph).plan
    assert len(plan.steps) == N - 1
    assert plan.arena_bytes == 0


def test_equal_pieces_are_planned_once_wherever_they_lie(cutting: Any, planned: Any) -> None:
    x = Input(aval(dtypes.float32, (40, N)), memory=0)
    value: Node = x
    for row in range(1, 40):
        bounds = {"start": (row, 0), "stop": (row + 1, N), "step": (1, 1)}
        above = {"start": (row - 1, 0), "stop": (row, N), "step": (1, 1)}
        new = apply("add", apply("slice", value, **bounds), apply("slice", value, **above))
        value = apply("update", value, new, **bounds)
    graph = Graph((x,), (), (Effect(x, value),))
    check(graph, cutting)
    planned.clear()
    assert len(compile_graph(graph).plan.steps) == 39
    assert len(planned) == 2  # one piece, and what comes after the last


def test_what_is_read_later_is_written_in_a_copy(cutting: Any) -> None:
    x = vector()
    first = put(x, number(1.0), 0, 2)
    second = put(first, number(2.0), 1, 3)
    third = put(first, number(3.0), 2, 4)
    check(Graph((x,), (x, first, second, third)), cutting)
    check(Graph((x,), (x,), (Effect(x, second),)), cutting)
    check(Graph((x,), (), (Effect(x, apply("add", second, x)),)), cutting)


def test_what_is_read_before_a_write_is_computed_before_it(cutting: Any) -> None:
    """Whatever the order in which the graph is looked through."""
    x = vector()
    new = put(put(x, number(1.0), 0, 4), number(2.0), 3, 6)
    old = apply("exp", x)
    graph = Graph((x,), (), (Effect(x, apply("add", new, number())),))
    check(graph, cutting)
    y = vector(1)
    graph = Graph((x, y), (), (Effect(x, new), Effect(y, old)))
    check(graph, cutting)
    assert compile_graph(graph).plan.arena_bytes <= 64 * 2


def test_inputs_that_may_lie_in_one_memory_are_read_before_it_is_written(cutting: Any) -> None:
    x, shifted, apart = vector(0), vector(0), vector(None)
    new = put(x, part(shifted, 0, 3), 2, 5)
    new = put(new, part(shifted, 2, 5), 1, 4)
    graph = Graph((x, shifted, apart), (shifted,), (Effect(x, new),))
    memory = arrays_of(Graph((vector(n=2 * N),), ()), 3)[0]
    expected, found = memory.copy(), memory.copy()
    for array, count in ((expected, OFF), (found, 0)):
        cutting(count)
        places = [array[2:].ctypes.data, array.ctypes.data, memory.ctypes.data]
        (old,) = compile_graph(graph).run(places)
        assert same_bits(old.array(memory.dtype, (N,)), memory[:N])
    assert same_bits(found, expected)
    assert not same_bits(found, memory)


def test_two_writes_to_one_memory_are_made_as_the_graph_says(cutting: Any) -> None:
    x, shifted = vector(0), vector(0)
    effects = Effect(x, put(x, number(), 0, 3)), Effect(shifted, put(shifted, number(2.0), 3, 6))
    check(Graph((x, shifted), (), effects), cutting)


@pytest.mark.parametrize("bounds", [(5, 1, -2), (0, N, 1), (3, 3, 1), (0, N, 3)])
def test_parts_of_every_kind_and_values_that_are_repeated(bounds: Any, cutting: Any) -> None:
    x, always = vector(0, strides=(3,) if bounds[2] == 3 else None), vector(1, strides=(0,))
    value: Node = x
    for _ in range(3):
        value = put(value, number(2.0), *bounds)
        value = put(value, part(always, 0, len(range(*bounds))), *bounds)
        value = put(value, apply("exp", part(value, *bounds)), *bounds)
        mirrored = apply("multiply", part(value, N - 1, -1, -1), number())
        value = put(value, mirrored, 0, N)
        value = put(value, apply("sum", value, axes=(0,)), *bounds)
    total = apply("sum", value, axes=(0,))
    check(Graph((x, always), (value, total), (Effect(x, value),)), cutting)


def test_arrays_that_are_made_inside(cutting: Any) -> None:
    x = vector()
    made: Node = put(apply("exp", x), part(x, 0, 3), 2, 5)
    other: Node = put(apply("exp", x), part(made, 0, 2), 1, 3)
    check(Graph((x,), (made, other)), cutting)


def test_a_few_writes_among_many_ops_are_planned_as_one(planned: Any, cutting: Any) -> None:
    x = vector()
    value: Node = x
    for _ in range(writes.MOST_OPS + 1):
        value = apply("exp", value)
    compile_graph(Graph((x,), (put(value, number(), 0, 2),)))
    assert len(planned) == 1
    cutting(OFF)
    compile_graph(Graph((x,), (), (Effect(x, prefixes(x)),)))
    assert len(planned) == 2


def random_writes(rnd: Random) -> Graph:
    """Parts of matrices and vectors become what is computed of other parts, of old versions too."""
    kind = rnd.choice((dtypes.float32, dtypes.float64))
    shapes = [(5, 6), (6,), (5, 6)]
    memories = rnd.choice(((0, 1, 2), (0, 1, 0), (None, None, None)))
    inputs = [Input(aval(kind, shape), memory=m) for shape, m in zip(shapes, memories)]
    if rnd.random() < 0.3:
        inputs[0] = Input(inputs[0].aval, (1, 5), memory=memories[0])
    states: list[Node] = [*inputs]
    pool: list[Node] = [*inputs]
    for _ in range(rnd.randint(1, 14)):
        at = rnd.randrange(len(states))
        bounds = _bounds(rnd, states[at].aval.sizes)
        shape = apply("slice", states[at], **bounds).aval.sizes
        value = _value(rnd, pool if rnd.random() < 0.4 else states, shape, kind)
        states[at] = apply("update", states[at], value, **bounds)
        pool.append(states[at] if rnd.random() < 0.7 else value)
    outputs = tuple(rnd.sample(pool, rnd.choice((0, 1, 2))))
    effects = [Effect(x, y) for x, y in zip(inputs, states) if rnd.random() < 0.7]
    if not effects and not outputs:
        outputs = (states[0],)
    return Graph(tuple(inputs), outputs, tuple(effects))


def _bounds(rnd: Random, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    ranges = []
    for extent in shape:
        first = rnd.randrange(extent)
        last = rnd.randint(first if rnd.random() < 0.1 else first + 1, extent)
        ranges.append((last - 1, first - 1, -1) if rnd.random() < 0.2 else (first, last, 1))
    start, stop, step = zip(*ranges)
    return {"start": start, "stop": stop, "step": step}


def _value(rnd: Random, pool: list[Node], shape: tuple[int, ...], kind: Any) -> Node:
    """Something of the shape, or that broadcasts to it."""
    value: Node = Constant(aval(kind), rnd.choice((0.5, -0.0, 3.0)))
    for _ in range(rnd.randint(0, 3)):
        source = rnd.choice([each for each in pool if each.aval.size])
        seen = source
        if source.aval.ndim == len(shape) and all(map(int.__le__, shape, source.aval.sizes)):
            starts = [rnd.randint(0, n - m) for n, m in zip(source.aval.sizes, shape)]
            ends = tuple(a + m for a, m in zip(starts, shape))
            seen = apply("slice", source, start=tuple(starts), stop=ends, step=(1,) * len(shape))
        elif source.aval.ndim:
            seen = apply("max", source, axes=tuple(range(source.aval.ndim)))
        value = apply(rnd.choice(("add", "multiply", "maximum")), value, seen)
        if rnd.random() < 0.3:
            value = apply("tanh", value)
    return value


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_random_writes_have_the_bits_of_the_whole(seed: int, cutting: Any) -> None:
    check(random_writes(Random(seed)), cutting, seed)


# Programs


def cholesky(a: np.ndarray) -> None:
    a[0, 0] = np.sqrt(a[0, 0])
    for i in range(1, len(a)):
        for j in range(i):
            a[i, j] -= np.dot(a[i, :j], a[j, :j])
            a[i, j] /= a[j, j]
        a[i, i] -= np.dot(a[i, :i], a[i, :i])
        a[i, i] = np.sqrt(a[i, i])


def durbin(r: np.ndarray) -> np.ndarray:
    y = np.empty_like(r)
    alpha = -r[0]
    beta = 1.0
    y[0] = -r[0]
    for k in range(1, len(r)):
        beta *= 1.0 - alpha * alpha
        alpha = -(r[k] + np.dot(np.flip(r[:k]), y[:k])) / beta
        y[:k] += alpha * np.flip(y[:k])
        y[k] = alpha
    return y


def test_triangular_solvers_have_a_plan_for_each_size(planned: list[Graph]) -> None:
    n = 18
    rng = np.random.default_rng(0)
    root = rng.random((n, n))
    found = root @ root.T + n * np.eye(n)
    expected = found.copy()
    cholesky(expected)
    compiled = tj.compile(cholesky)
    first = found.copy()
    compiled(first)
    np.testing.assert_allclose(first, expected, rtol=1e-12)
    assert len(planned) < 6 * n
    assert compiled(found) is None
    assert same_bits(found, first)
    assert len(tj.explain(compiled).kernels) <= n * n + n


def test_sizes_that_grow(cutting: Any) -> None:
    r = np.random.default_rng(1).random(40)
    compiled = tj.compile(durbin)
    first = compiled(r)
    np.testing.assert_allclose(first, durbin(r), rtol=1e-9)
    assert same_bits(compiled(r), first)
    cutting(OFF)
    assert same_bits(tj.compile(durbin)(r), first)
