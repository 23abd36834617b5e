"""In the call that is recorded the rounds of a closed loop are run as replays run them, all but the last."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.tracing.replay.test_native import bits


def looks(compiled: Any) -> int:
    """How often Python has looked at a value."""
    found = [re.search(r"looked at \((\d+) times", cut) for cut in tj.explain(compiled).cuts]
    return sum(int(match[1]) for match in found if match)


def first_call(plain: Callable[..., Any], make: Callable[[], tuple[Any, ...]]) -> Any:
    """The function compiled, whose first call gave what plain Python does."""
    compiled = tj.compile(plain)
    ours, theirs = make(), make()
    assert bits(compiled(*ours)) == bits(plain(*theirs))
    assert [bits(x) for x in ours] == [bits(x) for x in theirs]
    assert compiled.calls["record"] == 1
    return compiled


def test_a_long_loop_takes_few_rounds_of_python() -> None:
    def f(x: Any, most: float) -> Any:
        rounds, weight = 0, 1.0
        while x.sum() < most:
            x = x + weight
            rounds += 1
            weight = weight * 1.0009765625
        return x, rounds, weight

    compiled = first_call(f, lambda: (tj.zeros(3), 30000.0))
    assert looks(compiled) < 10
    assert bits(compiled(tj.ones(3), 500.0)) == bits(f(tj.ones(3), 500.0))
    assert compiled.calls["replay"] == 1


def test_arrays_are_written_in_place() -> None:
    def f(u: np.ndarray, v: np.ndarray, least: float) -> int:
        rounds = 0
        while u.max() > least and rounds < 300:
            u[1:-1] = (u[:-2] + u[2:]) * 0.5
            v[1:] = u[:-1] * 0.5 - v[:-1] * 0.25
            u[0] = v[-1] * 0.5
            rounds += 1
        return rounds

    compiled = first_call(f, lambda: (np.arange(9.0) ** 3, np.zeros(9), 400.0))
    assert looks(compiled) < 10


def test_values_that_change_places() -> None:
    def f(a: Any, b: Any, c: Any, most: float) -> Any:
        old = [a]
        while a.max() < most:
            a, b, c = b + 1, c * 1.25, a
            old = [a, (c, b)]
        return a, b, c, old

    def make() -> tuple[Any, ...]:
        return tj.ones(2), tj.ones(2) * 2, tj.ones(2) * 3, 1e4

    assert looks(first_call(f, make)) < 12


def test_a_loop_that_is_left_in_the_middle() -> None:
    def f(x: Any, least: float) -> Any:
        while True:
            y = x * 0.75
            if y.max() < least:
                break
            x = y + 0.0625
        return x, y

    assert looks(first_call(f, lambda: (tj.full(3, 1e6), 0.5))) < 10


def test_decisions_of_which_one_goes_another_way_now_and_then() -> None:
    def f(x: Any) -> Any:
        rounds = 0
        while x > 1:
            x = x // 2 if x % 2 == 0 else 3 * x + 1
            rounds += 1
        return x, rounds

    for start in (27, 1 << 20, 97, 1):
        first_call(f, lambda start=start: (tj.tensor(start),))


def test_loops_inside_loops_and_after_loops() -> None:
    def f(x: Any, y: Any) -> Any:
        rounds = 0
        while x.sum() > 1:
            x = x * 0.5
            while y.sum() < 40:
                y = y + x + 1
                rounds += 1
            y = y * 0.25
        while y.max() > 0.01:
            y = y * 0.5
        return x, y, rounds

    first_call(f, lambda: (tj.full(2, 1e5), tj.zeros(2)))


def test_state_and_random_numbers() -> None:
    def f(state: Any, least: float) -> Any:
        tj.random.seed(3)
        while state.w.abs().max() > least:
            state.w.mul_(0.9)
            state.last = state.w * tj.random.random((3,))
            state.n += 1
        return state.last

    def g(x: Any, most: float) -> Any:
        while x.sum() < most:
            x = x + tj.random.random((3,))
        return x

    def state() -> Any:
        return SimpleNamespace(w=tj.full(3, 9.0), last=None, n=0)

    one, other = state(), state()
    assert bits(tj.compile(f)(one, 0.01)) == bits(f(other, 0.01))
    assert (bits(one.w), bits(one.last), one.n) == (bits(other.w), bits(other.last), other.n)
    drawn = []
    for run in (tj.compile(g), g):
        tj.random.seed(1)
        drawn.append((bits(run(tj.zeros(3), 200.0)), bits(tj.random.random((2,)))))
    assert drawn[0] == drawn[1]


def test_numbers_of_python_that_leave_their_range() -> None:
    def f(x: Any, most: float) -> Any:
        big, small, ratio = 1, 1.0, 1.0
        while x.sum() < most:
            x = x + 1
            big = big * 1024
            small = small * 1e-9
            ratio = ratio * 1e30
        return x, big, small, ratio

    first_call(f, lambda: (tj.zeros(1), 60.0))


@pytest.mark.parametrize("length", [40, 7])
def test_rounds_that_may_fail_are_pythons(length: int) -> None:
    def f(u: np.ndarray, table: np.ndarray, n: int, least: float) -> Any:
        k = 0
        while u.max() > least:
            u *= 0.5
            u[0] = table[u[1:2].astype(int) % 16][0] + 8 // (n - k)
            k += 1
        return k

    outcomes = []
    for run in (tj.compile(f), f):
        u = np.arange(5.0) * 1e6
        try:
            outcomes.append((run(u, np.zeros(length), 12, 0.5), bits(u)))
        except (IndexError, ZeroDivisionError) as error:
            outcomes.append((type(error), bits(u)))
    assert outcomes[0] == outcomes[1]


def test_what_others_hold_stays() -> None:
    def f(x: Any, state: Any, least: float) -> Any:
        state.first = x
        state.kept = [x * 2]
        y = x
        while y.max() > least:
            y = y * 0.5
            if y.max() > 1e4:
                state.kept.append(y)
        return y, x

    outcomes = []
    for run in (tj.compile(f), f):
        state = SimpleNamespace(first=None, kept=None)
        y, x = run(tj.full(2, 1e6), state, 0.01)
        outcomes.append((bits(y), bits(x), bits(state.first), [bits(each) for each in state.kept]))
    assert outcomes[0] == outcomes[1]


def test_rounds_that_take_turns_are_not_taken_for_one() -> None:
    """Two heads: what a round leaves is what the other one begins with."""

    def f(x: Any, y: Any, most: int) -> Any:
        rounds = 0
        while (x > y).any():
            x, y = y, x
            rounds += 1
            if rounds >= most:
                raise ValueError(f"{rounds} rounds")
        return x, y, rounds

    def g(x: Any, y: Any, most: float) -> Any:
        rounds = 0
        while x.sum() < most:
            x, y, rounds = y + 1, x, rounds + 1
        return x, y, rounds

    compiled = tj.compile(f)
    for most in (12, 7):
        with pytest.raises(ValueError, match=f"{most} rounds"):
            compiled(tj.tensor([1.0, 3.0]), tj.tensor([2.0, 1.0]), most)
    assert compiled(tj.tensor([2.0]), tj.tensor([1.0]), 12)[2] == 1
    first_call(g, lambda: (tj.zeros(2), tj.ones(2), 100.0))
