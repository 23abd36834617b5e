"""Loops over data that write to NumPy arrays: closed, with what plain NumPy leaves in them, whatever shares their memory."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tracejit as tj


def smooth(u: np.ndarray, least: float) -> int:
    """Until no element moves by more than `least`."""
    rounds, moved = 0, least + 1
    while moved > least:
        old = u.copy()
        u[1:-1] = 0.5 * (old[:-2] + old[2:])
        moved = np.abs(u - old).max()
        rounds += 1
    return rounds


def shifted(u: np.ndarray, least: float) -> int:
    """Parts that overlap, in both directions, and what is read of a part that was just written."""
    rounds = 0
    while u.max() > least:
        u[1:] = 0.5 * (u[:-1] + u[1:])
        u[:-2] = u[2:] * 0.75
        u[0] = u[-1] * 0.5
        rounds += 1
    return rounds


def both(u: np.ndarray, v: np.ndarray, least: float) -> int:
    rounds = 0
    while u.max() > least and rounds < 9:
        u[1:] *= 0.5
        v[:] = u + v
        u[0] = v[-1] * 0.125
        rounds += 1
    return rounds


def agree(
    plain: Callable[..., Any], calls: list[Callable[[], tuple[Any, ...]]], times: int = 3
) -> Any:
    """The function compiled, after calls that gave and left what plain ones do. `calls` make the arguments."""
    compiled = tj.compile(plain)
    for make in calls * times:
        ours, theirs = make(), make()
        found, expected = compiled(*ours), plain(*theirs)
        np.testing.assert_equal(found, expected)
        for a, b in zip(ours, theirs):
            np.testing.assert_array_equal(a, b)
    return compiled


def ramp(k: float, n: int = 9, dtype: str = "f8") -> np.ndarray:
    return (np.arange(n) ** 2 * k).astype(dtype)


@pytest.mark.parametrize("function", [smooth, shifted])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_any_number_of_rounds_is_one_recording(function: Any, dtype: str) -> None:
    calls = [lambda k=k: (ramp(k, dtype=dtype), 0.125) for k in (1.0, 7.0, 0.25, 300.0, 0.0)]
    compiled = agree(function, calls)
    assert compiled.calls["record"] <= 3
    assert compiled.calls["replay"] >= 12


def test_arrays_whose_elements_lie_in_any_order() -> None:
    def halved(a: np.ndarray, least: float) -> int:
        rounds = 0
        while a.max() > least:
            a[1:, ::2] *= 0.5
            a[1:, 1::2] = a[1:, ::2] - 1
            a[0] = a[1] - 1
            rounds += 1
        return rounds

    def make(order: str, k: float) -> tuple[Any, ...]:
        a = np.arange(24.0).reshape(4, 6) * k
        match order:
            case "F":
                return np.asfortranarray(a), 0.5
            case "gaps":
                return np.repeat(a, 2, axis=1)[:, ::2], 0.5
            case "back":
                return a[::-1], 0.5
        return a, 0.5

    for order in ("C", "F", "gaps", "back"):
        compiled = agree(halved, [lambda o=order, k=k: make(o, k) for k in (1.0, 9.0, 0.5)])
        if order in "CF":
            assert compiled.calls["record"] <= 3


def test_what_lies_between_the_elements_stays() -> None:
    compiled = tj.compile(smooth)
    for k in range(6):
        memory, other = ramp(k + 1, 18), ramp(k + 1, 18)
        assert compiled(memory[::2], 0.5) == smooth(other[::2], 0.5)
        np.testing.assert_array_equal(memory, other)


def test_one_array_by_two_names() -> None:
    def twice(k: float) -> tuple[Any, ...]:
        u = ramp(k)
        return u, u, 0.5

    def overlapping(k: float) -> tuple[Any, ...]:
        u = ramp(k, 12)
        return u[:8], u[4:], 0.5

    def apart(k: float) -> tuple[Any, ...]:
        return ramp(k), ramp(k + 1), 0.5

    calls = [lambda m=m, k=k: m(k) for k in (1.0, 5.0) for m in (apart, twice, overlapping)]
    agree(both, calls)


def test_arrays_without_elements_and_without_dimensions() -> None:
    def grown(total: np.ndarray, nothing: np.ndarray, most: float) -> int:
        rounds = 0
        while total < most:
            total += 1.5
            nothing *= 2
            rounds += 1
        return rounds

    makes = [lambda k=k: (np.array(0.0), np.empty((0, 3)), k) for k in (4.0, 31.0, 0.0)]
    assert agree(grown, makes).calls["record"] <= 3


def test_not_a_number_and_infinity() -> None:
    def damped(u: np.ndarray, most: int) -> int:
        rounds = 0
        while not np.isnan(u).all() and rounds < most:
            u[1:] = u[:-1] - u[1:]
            rounds += 1
        return rounds

    specials = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0])
    agree(damped, [lambda n=n: (np.roll(specials, n), 20) for n in range(4)])


def test_views_of_the_array_that_are_returned_or_kept_share_its_memory() -> None:
    def f(u: np.ndarray, state: Any, least: float) -> np.ndarray:
        while u.max() > least:
            u *= 0.5
        state.kept = u[::2]
        state.whole = u
        return u[1:3]

    compiled, state = tj.compile(f), SimpleNamespace(kept=None, whole=None)
    for k in range(1, 7):
        u = ramp(k)
        part = compiled(u, state, 0.5)
        assert np.shares_memory(part, u)
        assert np.shares_memory(state.kept, u)
        assert state.whole is u
        u[:] = np.arange(9.0)
        assert part.tolist() == [1, 2]
        assert state.kept.tolist() == [0, 2, 4, 6, 8]
    assert compiled.calls["record"] <= 3


def test_an_array_that_is_made_inside_and_kept_before_the_loop() -> None:
    def f(start: float, least: float) -> tuple[np.ndarray, list[Any]]:
        u = np.full(5, start)
        views = [u[1:3]]
        while u.max() > least:
            u[1:] *= 0.5
            u[0] = u[1]
        return u, views

    compiled = tj.compile(f)
    for k in range(1, 8):
        (u, (view,)), (v, (other,)) = compiled(2.0**k, 0.25), f(2.0**k, 0.25)
        assert u.tolist() == v.tolist()
        assert view.tolist() == other.tolist()
        assert np.shares_memory(u, view)


class Full(Exception):
    pass


def test_a_call_that_fails_leaves_what_python_leaves() -> None:
    def f(u: np.ndarray, table: np.ndarray, least: float) -> int:
        rounds = 0
        while u.max() > least:
            u[1:] *= 0.5
            u[0] = table[rounds]  # which may be too short
            rounds += 1
            if u[1] > 40:
                raise Full(rounds)
        return rounds

    compiled = tj.compile(f)
    table = np.zeros(6)
    for k in (1.0, 2.0, 30.0, 1.5, 1e6, 1.0, 90.0, 3e5, 2.0):
        ours, theirs = ramp(k), ramp(k)
        outcomes = []
        for run, u in ((compiled, ours), (f, theirs)):
            try:
                outcomes.append(run(u, table, 4.0))
            except (Full, IndexError) as error:
                outcomes.append((type(error), str(error).rpartition(": ")[2]))
        assert outcomes[0] == outcomes[1]
        np.testing.assert_array_equal(ours, theirs)


def test_branches_after_a_write_to_an_array_are_replayed() -> None:
    def f(u: np.ndarray) -> str:
        u[1:] += 1.0
        if u.sum() > 20:
            u[0] = -1.0
            return "large"
        u *= 2.0
        return "small"

    calls = [lambda k=k: (np.full(4, k),) for k in (1.0, 9.0, 2.0, 30.0)]
    compiled = agree(f, calls)
    assert compiled.calls == {"replay": 10, "record": 2, "eager": 0}


def test_replays_are_compared_with_python() -> None:
    compiled = tj.compile(smooth, verify=2)
    for k in range(8):
        ours, theirs = ramp(k), ramp(k)
        assert compiled(ours, 0.25) == smooth(theirs, 0.25)
        np.testing.assert_array_equal(ours, theirs)
    assert not tj.explain(compiled).divergences


def test_random_loops_leave_what_they_leave_in_numpy() -> None:
    """Parts of three arrays, which may be one another's, become sums of other parts, until there have been so many rounds."""

    def program(seed: int) -> Callable[..., Any]:
        rnd = random.Random(seed)
        places = [[rnd.randrange(3), rnd.randrange(5)] for _ in range(9)]
        (to, t), (one, i), (two, j), (to2, t2), (three, k), *_ = places

        def loop(a: np.ndarray, b: np.ndarray, c: np.ndarray, most: float) -> int:
            arrays = (a, b, c)
            rounds = 0
            while arrays[to].sum() < most and rounds < 12:
                arrays[to][t : t + 4] = arrays[one][i : i + 4] + arrays[two][j : j + 4] * 2
                arrays[to2][t2 : t2 + 4] += arrays[three][k : k + 4]
                rounds += 1
            return rounds

        return loop

    for seed in range(8):
        rng = np.random.default_rng(seed)
        shared = seed % 3

        def make(most: float, rng: Any = rng, shared: int = shared) -> Callable[[], Any]:
            numbers = rng.integers(0, 4, 27).astype(float)

            def arrays() -> tuple[Any, ...]:
                memory = numbers.copy()
                parts = memory.reshape(3, 9)
                third = (parts[2], memory[4:13], parts[0])[shared]
                return parts[0], parts[1], third, most

            return arrays

        agree(program(seed), [make(most) for most in (50.0, 4e3, 0.0, 900.0)], 2)
