"""Loops over data, and over ranges that change, are closed: the number of rounds needs no recording of its own."""

# ruff: noqa: B007  # loop variables that are used after the loop

from __future__ import annotations

import random
from typing import Any

import pytest

import tracejit as tj


def halves(x: Any) -> Any:
    rounds = 0
    while x.sum() > 1:
        x = x * 0.5
        rounds += 1
    return x, rounds


def collatz(x: Any) -> Any:
    rounds = 0
    while x > 1:
        if x % 2 == 0:
            x = x // 2
        else:
            x = 3 * x + 1
        rounds += 1
    return x, rounds


def test_random_trip_counts_need_at_most_three_recordings():
    f = tj.compile(halves)
    rng = random.Random(0)
    for _ in range(400):
        start = tj.tensor([rng.random() * 2.0 ** rng.randint(-2, 88)] * 2)
        x, rounds = f(start)
        expected, count = halves(start)
        assert (x.tolist(), rounds) == (expected.tolist(), count)
    assert f.calls["record"] <= 3
    assert f.calls["replay"] >= 397


def until_small(x: Any, n: int, least: float) -> Any:
    for k in range(90):
        x = x * 0.875
        if x.abs().max() < least:
            break
    else:
        k = -1
    return x, k


def counted(x: Any, n: int, least: float) -> Any:
    total = 0
    for k in range(n):
        x = x * 0.5 + k
        total += k
    return x, total


def counted_by_hand(x: Any, n: int, least: float) -> Any:
    k = 0
    while k < n:
        x = x * 0.5 + k
        k += 1
    return x, k


def both(x: Any, n: int, least: float) -> Any:
    for k in range(1, n, 2):
        x = x * 0.875 + 1 / k
        if x.min() < least:
            return x, k
    return x, n


@pytest.mark.parametrize("function", [until_small, counted, counted_by_hand, both])
def test_ranges_and_breaks_need_at_most_three_recordings(function: Any):
    f = tj.compile(function)
    rng = random.Random(0)
    for _ in range(400):
        x, n, least = tj.tensor([rng.random(), -1.5]), rng.randint(1, 90), 10 ** rng.uniform(-4, 0)
        found, count = f(x, n, least)
        expected, rounds = function(x, n, least)
        assert (found.tolist(), count, type(count)) == (expected.tolist(), rounds, type(rounds))
    assert f.calls["record"] <= 3 + (function is both)
    assert f.calls["replay"] >= 396


def test_loops_that_write_outside_memory_and_attributes_are_closed():
    class State:
        def __init__(self) -> None:
            self.n, self.w, self.last = 0, tj.zeros(3), None

    def step(state: State, x: Any, least: float) -> Any:
        state.w.copy_(x)
        while state.w.abs().max() > least:
            state.w.mul_(0.75)
            state.n += 1
            state.last = state.w * 2
        return state.w.sum()

    f, rng = tj.compile(step), random.Random(0)
    one, other = State(), State()
    for _ in range(200):
        x, least = tj.tensor([rng.random() + 1, 2.0, -3.0]), 10 ** rng.uniform(-3, 0)
        assert f(one, x, least).item() == step(other, x, least).item()
        assert (one.n, one.w.tolist(), one.last.tolist()) == (
            other.n,
            other.w.tolist(),
            other.last.tolist(),
        )  # type: ignore[attr-defined]
    assert f.calls["record"] <= 3


def test_a_long_loop_is_recorded_once():
    @tj.compile
    def f(x: Any, n: int) -> Any:
        for k in range(n):
            x = x * 0.999
            if x.abs().max() < 1e-9:
                break
        return x, k

    for n in (1000, 2000, 3000, 5000):
        assert f(tj.ones(3), n)[1] == n - 1
    assert f.calls == {"record": 2, "replay": 2, "eager": 0}


def test_a_range_of_a_fixed_length_is_unrolled_into_one_program():
    @tj.compile
    def f(x: Any) -> Any:
        for k in range(3):
            x = x * 2 + k
        return x

    for _ in range(3):
        assert f(tj.ones(2)).tolist() == [12.0, 12.0]
    assert f.calls["replay"] == 2
    assert len(tj.explain(f).graphs) == 1


def test_a_loop_with_a_branch_in_it_is_closed():
    f = tj.compile(collatz)
    for start in [*range(1, 40), 97]:
        x, rounds = f(tj.tensor(start))
        expected, count = collatz(tj.tensor(start))
        assert (x.item(), rounds) == (expected.item(), count)
    assert f.calls["record"] <= 6


def test_a_loop_over_a_python_number_is_unrolled_into_one_program():
    @tj.compile
    def f(x: Any) -> Any:
        rounds = 3
        while rounds:
            x = x * 2
            rounds -= 1
        return x

    for _ in range(3):
        assert f(tj.ones(2)).tolist() == [8.0, 8.0]
    assert f.calls["replay"] == 2
    assert len(tj.explain(f).graphs) == 1


@pytest.mark.parametrize("limit", [0, 1, 2, 5])
def test_break_and_continue_in_a_loop(limit: int):
    def f(x: Any, limit: Any) -> Any:
        rounds, kept = 0, x * 0
        while True:
            rounds += 1
            x = x - 1
            if x.sum() > limit:
                continue
            kept = kept + x
            if kept.sum() < -3:
                break
        return kept, rounds

    compiled = tj.compile(f)
    for start in [3.0, 5.0, 2.0, 9.0, 0.0, 4.0]:
        found, expected = compiled(tj.full(2, start), limit), f(tj.full(2, start), limit)
        assert (found[0].tolist(), found[1]) == (expected[0].tolist(), expected[1])


def test_a_loop_inside_a_loop():
    def f(x: Any) -> Any:
        total = 0
        while x.sum() > 1:
            y = x
            while y.max() > 1:
                y = y / 2
                total += 1
            x = x / 4
        return x, total

    compiled = tj.compile(f)
    for start in [3.0, 100.0, 7.0, 0.5, 1000.0, 20.0, 3e6]:
        found, expected = compiled(tj.full(2, start)), f(tj.full(2, start))
        assert (found[0].tolist(), found[1]) == (expected[0].tolist(), expected[1])


def test_what_a_generator_gives_is_not_lost_in_a_closed_loop():
    def f(x: Any) -> Any:
        def parts(y: Any) -> Any:
            while y.max() > 1:
                y = y / 2
                yield y

        return [part + 1 for part in parts(x)]

    compiled = tj.compile(f)
    for start in [1.0, 9.0, 30.0, 9.0, 1.0, 30.0]:
        found, expected = compiled(tj.full(2, start)), f(tj.full(2, start))
        assert [part.tolist() for part in found] == [part.tolist() for part in expected]
