"""Replays of open sizes as machine code: what combinations of sizes are known, and what of a call Python still runs."""

from __future__ import annotations

import gc
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracejit as tj
from tests.tracing.replay.test_native import bits, native_calls, taken
from tracejit import nn, optim
from tracejit.runtime.cpu.native import combinations
from tracejit.runtime.cpu.native.combinations import Combinations
from tracejit.runtime.cpu.native.install import installed
from tracejit.tracing import programs
from tracejit.tracing.replay import resizing, tree

pytestmark = pytest.mark.skipif(installed() is None, reason="native code is not used")

SIZES = (5, 2, 9, 3, 16, 33, 1000)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "NATIVE_AFTER", 1)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What Python was asked about sizes."""
    counts: Counter[str] = Counter()

    def counted(owner: Any, name: str) -> None:
        before = getattr(owner, name)

        def count(*args: Any) -> Any:
            counts[name] += 1
            return before(*args)

        monkeypatch.setattr(owner, name, count)

    counted(Combinations, "_made")
    counted(programs.SizedProgram, "at")
    counted(resizing, "converted")
    return counts


def agree(function: Callable[..., Any], make: Callable[[int], tuple[Any, ...]]) -> Any:
    """The function compiled, whose calls give what they give without, machine code taking them in the end."""
    f = tj.compile(function)
    for size in SIZES * 4:
        assert bits(f(*make(size))) == bits(function(*make(size))), size
    for size in SIZES:
        assert taken(f, *make(size)), (size, tj.explain(f))
    return f


def ramp(*shape: int) -> np.ndarray:
    return np.linspace(-1, 2, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def tensor(*shape: int) -> tj.Tensor:
    return tj.tensor(ramp(*shape))


def line(x: Any) -> Any:
    return x * 2 + 1


CASES: dict[str, tuple[Callable[..., Any], Callable[[int], tuple[Any, ...]]]] = {
    "array": (line, lambda n: (ramp(n),)),
    "tensor": (line, lambda n: (tensor(n),)),
    "rows": (lambda x: x - x.mean(axis=0), lambda n: (tensor(n, 3),)),
    "columns": (lambda x: (x.sum(axis=1), x.max()), lambda n: (tensor(4, n),)),
    "two sizes": (lambda x, y: (x[:, None] * y, x.sum()), lambda n: (tensor(n), tensor(2 * n + 1))),
    "size returned": (lambda x: (len(x), x.shape, x.shape[0] ** 7 // 3, x[1:]), lambda n: (tensor(n, 2),)),
    "size computed": (lambda x: x * len(x) + x.shape[0] / 3, lambda n: (tensor(n),)),
    "part": (lambda x: x[1:-1] + x[2:], lambda n: (tensor(n + 2),)),
    "view": (lambda x: (x * 1).reshape(-1, 1).T, lambda n: (tensor(2, n),)),
    "reshaped": (lambda x: (x + 1).reshape(x.shape[0] // 2, -1), lambda n: (tensor(2 * n, 3),)),
    "product": (lambda x, w: x @ w, lambda n: (tensor(n, 4), tensor(4, 3))),
    "labels": (lambda x, i: x[i], lambda n: (tensor(5, 2), tj.tensor(np.arange(n) % 5 - 1))),
    "made": (lambda x: tj.arange(len(x)) + x, lambda n: (tensor(n),)),
    "scan": (lambda x: x.cumsum(0), lambda n: (tensor(n, 2),)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_results_of_all_sizes_are_those_of_plain_python(case: str):
    agree(*CASES[case])


@pytest.mark.parametrize("case", CASES)
def test_python_runs_nothing_for_sizes_that_were_there_before(case: str, asked: Counter[str]):
    function, make = CASES[case]
    f = agree(function, make)
    arguments = [make(size) for size in SIZES]
    asked.clear()
    for args in arguments * 2:
        f(*args)
    assert not asked
    f(*make(77))
    f(*make(77))
    assert asked["_made"]  # of each recording that was tried
    before = asked.copy()
    assert taken(f, *make(77))
    assert asked == before


def test_a_size_for_which_a_question_has_another_answer_goes_elsewhere():
    def f(x: Any) -> Any:
        return x * 2.0 if len(x) > 9 else x - 1.0

    agree(f, lambda n: (ramp(n),))


def test_sizes_that_were_equal_by_chance_are_told_apart():
    def f(x: Any, y: Any) -> Any:
        return x.sum(), y * 2.0

    compiled = tj.compile(f)
    for _ in range(4):
        for a, b in ((4, 4), (5, 5), (6, 6), (5, 6), (6, 5)):
            assert bits(compiled(tensor(a), tensor(b))) == bits(f(tensor(a), tensor(b)))


def test_arrays_that_do_not_lie_in_order_or_have_another_rank_are_no_match():
    f = agree(line, lambda n: (ramp(n, 4),))
    others = [
        ramp(4, 7).T,
        ramp(7, 8)[:, ::2],
        ramp(7, 4)[::-1],
        ramp(28),
        ramp(7, 2, 2),
        ramp(7, 4),
    ]
    others += [each.astype(np.float64) for each in others] + [ramp(0, 4), ramp(1, 4), ramp(7, 0)]
    for x in others * 3:
        assert bits(f(x)) == bits(line(x))


def test_tensors_of_other_layouts_are_no_match():
    f = agree(line, lambda n: (tensor(n, 4),))
    for x in [tensor(4, 7).T, tensor(9, 4)[2:], tensor(7, 8)[:, ::2], tensor(28), tensor(7, 4)] * 3:
        assert bits(f(x)) == bits(line(x))


def test_a_training_step_for_batches_of_all_sizes(asked: Counter[str]):
    def trained(compile: Any) -> list[Any]:
        tj.random.seed(1)
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        optimizer = optim.Adam(model.parameters(), lr=1e-2)

        @compile
        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = ((model(x) - y) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        losses = [step(tensor(n, 4), tensor(n, 2)) for n in SIZES * 3]
        asked.clear()
        losses += [step(tensor(n, 4), tensor(n, 2)) for n in SIZES]
        if compile is tj.compile:
            assert native_calls(step) > 14
        return [*map(bits, losses), *map(bits, model.parameters())]

    assert trained(tj.compile) == trained(lambda f: f)
    assert not asked["at"]


def test_a_loss_is_differentiated_outside():
    def run(compile: Any) -> list[Any]:
        w = tensor(3).requires_grad_()
        f = compile(lambda x: (x * w).sum())
        found = []
        for n in SIZES * 3:
            loss = f(tensor(n, 3))
            loss.backward()
            found.append(bits((loss, w.grad)))
        return found

    assert run(tj.compile) == run(lambda f: f)


def test_a_loop_over_data_with_open_sizes():
    def f(x: Any) -> Any:
        while x.sum() < 100:
            x = x * 2.0 + 1.0
        return x, len(x)

    agree(f, lambda n: (tj.tensor(abs(ramp(n))),))


def test_decisions_with_open_sizes():
    def f(x: Any) -> Any:
        return (x[1:] * 2.0, x.max()) if x.sum() > 2.0 else x.reshape(-1, 1)

    compiled = tj.compile(f)
    for n in SIZES * 4:
        for sign in (1.0, -1.0):
            assert bits(compiled(tensor(n) * sign)) == bits(f(tensor(n) * sign))


def test_long_programs_let_go_of_the_lock():
    f = tj.compile(line)
    for n in (4, 5, 6, 100_000, 200_000, 300_000) * 5:
        assert bits(f(ramp(n))) == bits(line(ramp(n)))
    assert taken(f, ramp(200_000))


def test_more_combinations_than_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(combinations, "MOST_COMBINATIONS", 5)
    f = tj.compile(line)
    for n in [*range(2, 30)] * 3:
        assert bits(f(ramp(n))) == bits(line(ramp(n)))
    assert native_calls(f) > 60


def test_threads_meet_new_sizes_at_once():
    f = tj.compile(line)
    for n in (4, 5, 6) * 4:
        f(ramp(n))
    wrong: list[Any] = []

    def run(first: int) -> None:
        sizes = [*range(first, first + 40)] * 3
        wrong.extend(n for n in sizes if bits(f(ramp(n))) != bits(line(ramp(n))))

    threads = [threading.Thread(target=run, args=(10 + 5 * k,)) for k in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong
    assert taken(f, ramp(30))


def test_records_are_let_go_of_with_their_function():
    f = agree(line, lambda n: (ramp(n),))
    known = [each for each in gc.get_objects() if isinstance(each, Combinations)]
    tables = [weakref.ref(each.table.known[5,].words) for each in known if (5,) in each.table.known]
    assert tables
    del f, known
    gc.collect()
    assert not any(ref() is not None for ref in tables[-1:])


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=4, max_size=40))
def test_random_sizes(shapes: list[tuple[int, int]]):
    def f(x: Any, y: Any) -> Any:
        z = (x * 2.0).sum(axis=0) if len(y) > 3 else x.reshape(-1)
        return z, x[:1], y[1:] - 1.0, x.shape[0] * len(y)

    compiled = tj.compile(f)
    for a, b in shapes * 2:
        x, y = tensor(a, b), tensor(b)
        assert bits(compiled(x, y)) == bits(f(x, y))
