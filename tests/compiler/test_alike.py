"""Graphs alike but for sizes are planned once, with open sizes, and get the plan that each would have by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.compiler.test_random_graphs import same_bits
from tests.ir.graphs import apply
from tracejit import compiler, dtypes
from tracejit.artifact import Plan
from tracejit.compiler.alike import AlikePlans, taken_apart
from tracejit.ir.aval import aval
from tracejit.ir.dim import Sizes, plain
from tracejit.ir.graph import Constant, Effect, Graph, Input

Form = Callable[[int], Graph]
SIZES = (0, 1, 2, 3, 7, 8, 9, 10, 63, 64, 65, 200, 4095, 4097, 9000, 65537, 70000, 5, 66, 300, 1)


def vector(n: int, memory: int | None = None, step: int = 1) -> Input:
    return Input(aval(dtypes.float64, (n,)), None if step == 1 else (step,), memory=memory)


def plan_of(graph: Graph, device: str = "cpu") -> Plan:
    return compiler.plan_graph(graph, device=device)[2]


def dot(n: int) -> Graph:
    """`c -= a[:n] @ b[:n]`"""
    a, b, c = vector(n), vector(n, step=7), Input(aval(dtypes.float64, ()), memory=0)
    total = apply("sum", apply("multiply", a, b), axes=(0,))
    return Graph((a, b, c), (), (Effect(c, apply("subtract", c, total)),))


def scaled(n: int) -> Graph:
    """`a[:n] += b * a[:n][::-1]`, in a copy"""
    a, b = vector(n, 0), Input(aval(dtypes.float64, ()))
    mirrored = apply("slice", a, start=(n - 1,), stop=(-1,), step=(-1,))
    return Graph((a, b), (), (Effect(a, apply("add", a, apply("multiply", mirrored, b))),))


def rows(n: int) -> Graph:
    """Sums along rows of n, and a value that two steps read."""
    x = Input(aval(dtypes.float32, (5, n)), (n + 2, 1))
    total = apply("sum", apply("exp", x), axes=(1,))
    wide = apply("reshape", total, shape=(5, 1))
    return Graph((x,), (apply("divide", apply("exp", x), wide), apply("sqrt", total)))


def growing(n: int) -> Graph:
    """A matrix of n x (n + 1), times a vector."""
    x, y = Input(aval(dtypes.float64, (n, n + 1))), vector(n + 1)
    column = apply("reshape", y, shape=(n + 1, 1))
    product = apply("reshape", apply("matmul", x, column), shape=(n,))
    return Graph((x, y), (apply("tanh", product),))


def concatenated(n: int) -> Graph:
    x, y = vector(n), vector(2 * n)
    half = apply("multiply", y, Constant(aval(dtypes.float64), 0.5))
    return Graph((x, y), (apply("tanh", apply("concat", x, half, axis=0)),))


FORMS = [dot, scaled, rows, growing, concatenated]


@pytest.mark.parametrize("form", FORMS)
def test_each_size_has_the_plan_that_it_would_have_alone(form: Form) -> None:
    plans = AlikePlans(plan_of)
    for n in SIZES if form is not growing else SIZES[:11]:
        assert plans.of(form(n)) == plan_of(form(n)), n


@pytest.mark.parametrize("form", [dot, scaled, rows, concatenated])
def test_each_size_has_its_plan_on_a_gpu(form: Form) -> None:
    plans = AlikePlans(lambda graph: plan_of(graph, "cuda"))
    for n in (1, 2, 3, 9, 10, 65, 66, 300, 9000, 70000):
        assert plans.of(form(n)) == plan_of(form(n), "cuda"), n


@pytest.mark.parametrize("form", [dot, scaled, rows])
def test_few_sizes_are_planned(form: Form) -> None:
    planned: list[Graph] = []

    def noting(graph: Graph) -> Plan:
        planned.append(graph)
        return plan_of(graph)

    plans = AlikePlans(noting)
    for n in range(2, 120):
        plans.of(form(n))
    assert len(planned) <= 12


def test_numbers_that_move_apart_have_variables_of_their_own() -> None:
    def two(n: int, m: int) -> Graph:
        a, b = vector(n), vector(m)
        sums = (apply("sum", each, axes=(0,)) for each in (a, b))
        return Graph((a, b), (apply("add", *sums),))

    planned: list[Graph] = []

    def noting(graph: Graph) -> Plan:
        planned.append(graph)
        return plan_of(graph)

    plans = AlikePlans(noting)
    for n in range(20, 60, 3):
        for m in range(20, 60, 5):
            assert plans.of(two(n, m)) == plan_of(two(n, m)), (n, m)
    assert len(planned) < 14 * 8 / 3


def test_values_that_are_no_numbers_belong_to_the_form() -> None:
    def filled(value: float) -> Graph:
        x = vector(4)
        return Graph((x,), (apply("add", x, Constant(aval(dtypes.float64), value)),))

    assert taken_apart(filled(0.0)) != taken_apart(filled(-0.0))
    assert taken_apart(filled(1.0)) != taken_apart(filled(True))
    form, numbers = taken_apart(dot(9))
    assert (form, 9 in numbers) == (taken_apart(dot(12))[0], True)


def test_a_plan_that_needs_its_numbers_is_made_for_each() -> None:
    planned: list[tuple[Any, ...]] = []

    def looking(graph: Graph) -> Plan:
        planned.append(graph.inputs[0].aval.shape)
        int(graph.inputs[0].aval.shape[0])
        return plan_of(graph)

    plans = AlikePlans(looking)
    for n in (10, 20, 30, 40, 50, 60):
        assert plans.of(dot(n)) == plan_of(dot(n))
    assert [shape for shape in planned if type(shape[0]) is int] == [
        (n,) for n in range(10, 61, 10)
    ]
    assert len(planned) == 6 + 3  # and a few times with open sizes


def test_what_was_asked_is_asked_before_what_follows_from_it() -> None:
    """Where there are no elements, what one of them takes has no value."""
    sizes = Sizes(estimates=True)
    n: Any = sizes.variable(6)
    each = 5.0 / (n * 0.5) if n != 0 else 0.0
    assert each < 3.0
    assert sizes.atoms_where_facts_hold((0,)) is None
    assert sizes.atoms_where_facts_hold((1,)) is None  # 10.0
    assert sizes.atoms_where_facts_hold((8,)) is not None


@pytest.mark.parametrize("value", [-9, -8, -1, 0, 1, 7, 8, 9, 4097])
@pytest.mark.parametrize("by", [1, 4, 7, 4096])
def test_sizes_are_rounded_up_as_numbers_are(value: int, by: int) -> None:
    sizes = Sizes()
    n: Any = sizes.variable(abs(value)) * (1 if value >= 0 else -1)
    found = -(-n // by), -n % by
    assert plain(found) == (-(-value // by), -value % by)
    assert not any(relation == "eq" and is_so for (_, relation), is_so in sizes.facts.items())


# Programs


def solve(a: np.ndarray, x: np.ndarray) -> None:
    for i in range(len(x)):
        x[i] = (x[i] - a[i, :i] @ x[:i]) / a[i, i]


def durbin(r: np.ndarray, y: np.ndarray) -> None:
    alpha, beta = -r[0], 1.0
    y[0] = -r[0]
    for k in range(1, len(r)):
        beta *= 1.0 - alpha * alpha
        alpha = -(r[k] + np.dot(np.flip(r[:k]), y[:k])) / beta
        y[:k] += alpha * np.flip(y[:k])
        y[k] = alpha


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    graphs: list[Graph] = []
    plan_part = compiler.plan_part

    def noting(graph: Graph, *args: Any, **options: Any) -> Any:
        graphs.append(graph)
        return plan_part(graph, *args, **options)

    monkeypatch.setattr(compiler, "plan_part", noting)
    return graphs


@pytest.mark.parametrize("threads", [1, 2])
def test_a_solver_of_any_size_is_planned_by_a_few(planned: list[Graph], threads: int) -> None:
    before = tj.get_num_threads()
    tj.set_num_threads(threads)
    try:
        n = 300
        rng = np.random.default_rng(0)
        a, start = rng.random((n, n)) + n * np.eye(n), rng.random(n)
        found, expected = start.copy(), start.copy()
        compiled = tj.compile(solve)
        compiled(a, found)
        solve(a, expected)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        assert len(planned) < 16
        again = start.copy()
        compiled(a, again)
        assert same_bits(again, found)
        assert len(tj.explain(compiled).kernels) <= n + 1
    finally:
        tj.set_num_threads(before)


def test_temporaries_of_any_size_lie_where_they_would(planned: list[Graph]) -> None:
    r = np.random.default_rng(1).random(200) / 8
    found, expected = np.zeros(200), np.zeros(200)
    tj.compile(durbin)(r, found)
    durbin(r, expected)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert len(planned) < 24
