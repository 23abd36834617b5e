"""Rounds that differ in numbers alone are recorded once: the trace is the one that recording all of them would give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.tracing.replay.random_unrolled import outcome, sample
from tracejit.ir.graph import Graph
from tracejit.ir.printer import print_graph
from tracejit.tracing import programs, recorder
from tracejit.tracing.replay.hooks import loops, unrolling

Kernel = Callable[..., Any]


@pytest.fixture
def without_trials(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr(loops, "MOST_TRIALS", 0)


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The graphs that are compiled."""
    found: list[str] = []
    program_of = programs.program_of

    def noting(graph: Graph, **options: Any) -> Any:
        found.append(print_graph(graph))
        return program_of(graph, **options)

    monkeypatch.setattr(programs, "program_of", noting)
    return found


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The ops that Python has recorded."""
    found: list[Any] = []
    bind = recorder.Recorder.bind

    def noting(self: Any, op: Any, *rest: Any) -> Any:
        found.append(op)
        return bind(self, op, *rest)

    monkeypatch.setattr(recorder.Recorder, "bind", noting)
    return found


def cholesky(a: np.ndarray) -> None:
    a[0, 0] = np.sqrt(a[0, 0])
    for i in range(1, len(a)):
        for j in range(i):
            a[i, j] -= np.dot(a[i, :j], a[j, :j])
            a[i, j] /= a[j, j]
        a[i, i] -= np.dot(a[i, :i], a[i, :i])
        a[i, i] = np.sqrt(a[i, i])


def lu(a: np.ndarray) -> None:
    for i in range(len(a)):
        for j in range(i):
            a[i, j] -= a[i, :j] @ a[:j, j]
            a[i, j] /= a[j, j]
        for j in range(i, len(a)):
            a[i, j] -= a[i, :i] @ a[:i, j]


def back_substitution(a: np.ndarray) -> np.ndarray:
    """Parts that shrink to nothing, from the last row on."""
    x = np.zeros(len(a))
    for i in range(len(a) - 1, -1, -1):
        x[i] = (a[i, 0] - a[i, i + 1 :] @ x[i + 1 :]) / a[i, i]
    return x


def durbin(a: np.ndarray) -> np.ndarray:
    """Numbers that go from round to round."""
    r = a[0] / 8
    y = np.empty_like(r)
    alpha, beta = -r[0], 1.0
    y[0] = -r[0]
    for k in range(1, len(r)):
        beta *= 1.0 - alpha * alpha
        alpha = -(r[k] + np.dot(np.flip(r[:k]), y[:k])) / beta
        y[:k] += alpha * np.flip(y[:k])
        y[k] = alpha
    return y


def gram_schmidt(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    q, r = np.zeros_like(a), np.zeros_like(a)
    for k in range(a.shape[1]):
        r[k, k] = np.sqrt(np.dot(a[:, k], a[:, k]))
        q[:, k] = a[:, k] / r[k, k]
        for j in range(k + 1, a.shape[1]):
            r[k, j] = np.dot(q[:, k], a[:, j])
            a[:, j] -= q[:, k] * r[k, j]
    return q, r


def counted(a: np.ndarray) -> np.ndarray:
    """Numbers that move by other steps, in a `while`."""
    k, place, total = 1, 0, a[0] * 0
    while k < len(a):
        total = total + a[k, place : place + 3].sum() * a[k - 1]
        place += 2
        k += 1
        if place > len(a) - 3:
            place = 0
    return total


KERNELS = [cholesky, lu, back_substitution, durbin, gram_schmidt, counted]


def matrix(n: int) -> np.ndarray:
    root = np.random.default_rng(n).random((n, n))
    return root @ root.T + n * np.eye(n)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_trace_is_that_of_all_rounds(
    kernel: Kernel, texts: list[str], recorded: list[Any], without_trials: Any
) -> None:
    n = 20
    first = outcome(tj.compile(kernel), matrix(n))
    few, graphs = len(recorded), [*texts]
    recorded.clear(), texts.clear()
    without_trials()
    assert outcome(tj.compile(kernel), matrix(n)) == first
    assert texts == graphs
    assert len(graphs) == 1
    assert few < len(recorded) / 1.5


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("n", [1, 3, 24])
def test_numpy_computes_the_same(kernel: Kernel, n: int) -> None:
    a, b = matrix(n), matrix(n)
    compiled = tj.compile(kernel)
    expected, found = kernel(a), compiled(b)
    np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-12)
    for x, y in zip(np.atleast_1d(found), np.atleast_1d(expected)):
        if x is not None:
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)
    again = matrix(n)
    compiled(again)
    assert again.tobytes() == b.tobytes()


def solve(a: np.ndarray, x: np.ndarray) -> None:
    for i in range(len(x)):
        x[i] = (x[i] - a[i, :i] @ x[:i]) / a[i, i]


def test_most_rounds_of_a_long_loop_run_no_python(recorded: list[Any]) -> None:
    counts = []
    for n in (100, 200):
        recorded.clear()
        tj.compile(solve)(matrix(n), np.ones(n))
        counts.append(len(recorded))
    assert counts[0] == counts[1] < 100


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_make_no_difference(threads: int, without_trials: Any) -> None:
    before = tj.get_num_threads()
    tj.set_num_threads(threads)
    try:
        found = outcome(tj.compile(gram_schmidt), matrix(40))
        without_trials()
        assert outcome(tj.compile(gram_schmidt), matrix(40)) == found
    finally:
        tj.set_num_threads(before)


def test_a_trace_that_is_cut_goes_on_as_it_was(texts: list[str], without_trials: Any) -> None:
    """At other places than the trace of all rounds: between rounds, and where Python records them."""
    with tj.config.scope(node_budget=300):
        found = outcome(tj.compile(cholesky), matrix(14))
    assert len(texts) > 4
    without_trials()
    assert outcome(tj.compile(cholesky), matrix(14)) == found


# What makes a round another one


def prefix_sums(x: np.ndarray, special: int) -> np.ndarray:
    for k in range(1, len(x)):
        if k == special:
            x[k] = 100.0
            continue
        x[k] += x[:k].sum()
    return x


def leaves_early(x: np.ndarray, special: int) -> np.ndarray:
    for k in range(1, len(x)):
        x[k] += x[:k].sum()
        if k * 3 - 2 > special:
            break
    x[0] = k
    return x


def by_table(x: np.ndarray, special: int) -> np.ndarray:
    table = {special: 50.0}
    for k in range(1, len(x)):
        x[k] += x[:k].sum() + table.get(k, 1.0)
    return x


def place_before(x: np.ndarray, special: int) -> np.ndarray:
    before = special
    for k in range(1, len(x)):
        x[k] += x[before % len(x)] * 0.5
        before = k
    return x


def grows(x: np.ndarray, special: int) -> np.ndarray:
    parts = []
    for k in range(1, len(x)):
        x[k] += x[:k].sum() * 0.125
        parts.append(x[k - 1] * special)
    return np.stack(parts)


def counts_in_a_list(x: np.ndarray, special: int) -> np.ndarray:
    seen = [0]
    for k in range(1, len(x)):
        seen[0] += k
        x[k] += x[: 1 + seen[0] % k].sum()
    return x


def swaps(x: np.ndarray, special: int) -> np.ndarray:
    a, b = x * 1, x * 2
    for k in range(1, len(x)):
        a[k] += b[:k].sum() * 0.25
        a, b = b, a
    return a


def by_value(x: np.ndarray, special: int) -> np.ndarray:
    for k in range(1, len(x)):
        x[k] += x[:k].sum() / k + k**2 % special
    return x


def takes_views(x: np.ndarray, special: int) -> np.ndarray:
    part = x[:special]
    for k in range(1, len(x) - special):
        part += x[k] * 0.125
        part = x[k : k + special]
    return x


def defines(x: np.ndarray, special: int) -> np.ndarray:
    for k in range(1, len(x)):
        scaled = lambda v: v * k  # noqa: B023  # called in its round
        x[k] = scaled(x[k - 1]) * 0.01 + special
    return x


OTHERS = [
    prefix_sums, leaves_early, by_table, place_before, grows, counts_in_a_list, swaps, by_value, takes_views, defines,
]  # fmt: skip


@pytest.mark.parametrize("kernel", OTHERS)
@pytest.mark.parametrize("special", [3, 9])
def test_rounds_that_are_others_are_recorded(kernel: Kernel, special: int) -> None:
    x = np.random.default_rng(0).random(24)
    expected = kernel(x.copy(), special)
    compiled = tj.compile(kernel)
    first = compiled(x.copy(), special)
    np.testing.assert_allclose(first, expected, rtol=1e-12)
    assert compiled(x.copy(), special).tobytes() == first.tobytes()


class Holder:
    total: Any = 0
    last = 0


def test_state_outside_is_what_python_leaves_there() -> None:
    def run(x: np.ndarray, holder: Holder) -> None:
        for k in range(1, len(x)):
            x[k] += x[:k].sum()
            holder.last = k
            holder.total = x[k] * 1

    x = np.random.default_rng(0).random(20)
    found, expected = x.copy(), x.copy()
    ours, theirs = Holder(), Holder()
    tj.compile(run)(found, ours)
    run(expected, theirs)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert ours.last == theirs.last == 19
    np.testing.assert_allclose(ours.total, theirs.total, rtol=1e-12)


def test_what_is_written_twice_in_a_round_is_written_in_each() -> None:
    def run(x: np.ndarray, holder: Holder) -> None:
        for k in range(1, len(x)):
            holder.total = x[:k] * 1
            holder.total = x[:k].sum() * k

    x = np.random.default_rng(0).random(20)
    ours, theirs = Holder(), Holder()
    tj.compile(run)(x, ours)
    run(x, theirs)
    np.testing.assert_allclose(ours.total, theirs.total, rtol=1e-12)


def test_an_error_in_a_round_is_raised_with_what_was_done_before() -> None:
    def run(x: np.ndarray, y: np.ndarray) -> None:
        for k in range(1, len(x)):
            x[k] += x[:k].sum()
            y[k] = x[k]

    x, y = np.ones(20), np.zeros(13)
    found, expected = (x.copy(), y.copy()), (x.copy(), y.copy())
    for function, arrays in ((tj.compile(run), found), (run, expected)):
        with pytest.raises(IndexError):
            function(*arrays)
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a, b)


def test_tensors_and_gradients_are_those_of_eager_code() -> None:
    def run(w: tj.Tensor, x: tj.Tensor) -> tj.Tensor:
        h = x * 0
        for k in range(2, 12):
            h = tj.tanh(h + (w[:k] * x[:k]).sum())
        return h.sum()

    rng = np.random.default_rng(0)
    w, x = (tj.tensor(rng.standard_normal(12).astype("f4")) for _ in range(2))
    eager = run(w, x)
    assert tj.compile(run)(w, x).numpy().tobytes() == eager.numpy().tobytes()
    step = tj.compile(tj.grad(run))
    assert step(w, x).numpy().tobytes() == tj.grad(run)(w, x).numpy().tobytes()


def test_gradients_flow_through_what_rounds_write_in_place() -> None:
    def run(w: tj.Tensor, x: tj.Tensor) -> tj.Tensor:
        h = x * 0
        for k in range(2, 12):
            h[k] = (w[:k] * x[:k]).sum() + h[k - 1]
        return h.sum()

    rng = np.random.default_rng(0)
    w, x = (tj.tensor(rng.standard_normal(12).astype("f4")) for _ in range(2))
    expected = tj.grad(run)(w, x).numpy().tobytes()
    assert tj.compile(tj.grad(run))(w, x).numpy().tobytes() == expected

    def step(w: tj.Tensor, x: tj.Tensor) -> tj.Tensor:
        leaf = w.detach().requires_grad_()
        run(leaf, x).backward()
        return leaf.grad

    assert tj.compile(step)(w, x).numpy().tobytes() == expected


def test_random_loops_do_what_they_do_when_all_rounds_are_recorded() -> None:
    wrong, tally = sample(0, 16)
    assert not wrong, wrong[0]
    assert tally.fewer > 3


def test_the_comparison_sees_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds for which it is another answer whether two numbers are equal are not entered."""
    rounds = unrolling._rounds

    def careless(sizes: Any) -> Any:
        sizes.facts = {asked: so for asked, so in sizes.facts.items() if asked[1] != "eq"}
        return rounds(sizes)

    monkeypatch.setattr(unrolling, "_rounds", careless)
    with pytest.raises(AssertionError):
        test_rounds_that_are_others_are_recorded(prefix_sums, 9)


@pytest.mark.parametrize("between", ["", "n = n + 1", "m = n", "m = i", "m = i + n", "n = i"])
def test_numbers_of_the_call_stay_inputs_where_no_rounds_are_alike(
    between: str, tmp_path: Path
) -> None:
    """A round that was tried on open sizes leaves what comes from outside it as it was."""
    path = tmp_path / "program.py"
    path.write_text(
        f"def f(x, n):\n    m = 1\n    for i in range(20):\n        x = x + n * m\n        {between}\n"
        "    for i in range(20):\n        x = x * 0.5 + n\n    return x, n, m\n"
    )
    names: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    compiled = tj.compile(names["f"])
    for n in (0, 1, 2, 3, 4, 5, 4, 3):
        x = tj.tensor([1.0, -2.0, 3.0])
        expected, found = names["f"](x, n), compiled(x, n)
        assert found[0].numpy().tobytes() == expected[0].numpy().tobytes()
        assert found[1:] == expected[1:]
