"""Loops over data as machine code: whole calls without Python, with its bits, effects, exceptions and interruptions."""

from __future__ import annotations

import math
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.tracing.fuzz.runner import run_sample
from tests.tracing.replay.test_native import agree, bits, native_calls, taken
from tracejit.runtime.cpu.native.install import installed
from tracejit.runtime.pool import memory_stats
from tracejit.tracing.replay import tree

pytestmark = pytest.mark.skipif(installed() is None, reason="native code is not used")


def filled(value: float, size: int = 4) -> tj.Tensor:
    return tj.full(size, value)


def halved(x: Any, least: float) -> Any:
    rounds = 0
    while tj.max(tj.abs(x)) > least:
        x = x * 0.5
        rounds += 1
    return x, rounds


def all_taken(f: Any, plain: Callable[..., Any], calls: list[tuple[Any, ...]]) -> None:
    """Machine code takes each of the calls, and gives what Python does."""
    for args in calls:
        before = native_calls(f)
        assert bits(f(*args)) == bits(plain(*args))
        assert native_calls(f) == before + 1


# Loops of all kinds


def test_a_loop_goes_round_any_number_of_times_without_python():
    f = agree(halved, [(filled(k), 0.01) for k in (1.0, 8.0, 0.001)])
    all_taken(f, halved, [(filled(2.0**k), 0.01) for k in (*range(-9, 60, 5), 120)])


def test_none_of_a_loop_is_run_by_python(monkeypatch: pytest.MonkeyPatch):
    f = agree(halved, [(filled(k), 0.01) for k in (1.0, 8.0, 0.001)])
    roots = f.replays.tree.roots
    for node in {each for root in roots for each in tree.below(root)}:
        monkeypatch.setattr(node, "run", None)
    all_taken(f, halved, [(filled(2.0**k), 0.01) for k in (0, 1, 9, 99)])


def test_loops_over_ranges():
    def f(x: Any, count: Any) -> Any:
        total = 0
        for k in range(int(count.sum())):
            x = x * 0.75 + k
            total += k
        return x, total

    calls = [(filled(1.0), tj.tensor([n, 1])) for n in (3, 5, -1, 0, 9, 40)]
    all_taken(agree(f, calls), f, [*calls, (filled(2.0), tj.tensor([100, 7]))])


def test_loops_in_loops_with_all_that_python_has():
    def f(x: Any, least: float) -> Any:
        seen = 0
        while x.sum() > least:
            y = x
            for k in range(int(x.max())):
                if k % 3 == 2:
                    continue
                y = y / (k + 1)
                seen += 1
                if y.sum() < 1:
                    break
            else:
                seen -= 100
            x = (x - 1) * 0.5 + y * 0.125
        else:
            seen = -seen
        return x, seen

    calls = [(filled(k), 1.0) for k in (3.0, 100.0, 7.0, 0.5, 1.5, 20.0, 64.0)]
    compiled = agree(f, calls, rounds=8)
    all_taken(compiled, f, [*calls, (filled(33.0), 1.0)])


def test_rounds_that_decide():
    def collatz(x: Any) -> Any:
        rounds = 0
        while x > 1:
            x = x // 2 if x % 2 == 0 else 3 * x + 1
            rounds += 1
        return x, rounds

    f = agree(collatz, [(tj.tensor(k),) for k in (7, 9, 1, 6, 27)])
    all_taken(f, collatz, [(tj.tensor(k),) for k in range(2, 60)])


def test_values_that_change_places_and_are_kept():
    def f(x: Any, y: Any, least: float) -> Any:
        first, before = None, x
        while (x * y).sum() > least:
            x, y, before = y * 0.5, x, x
            first = before if first is None else first
        return x, y, before, first

    calls = [(filled(a), filled(b), 0.1) for a in (1.0, 9.0, 0.01) for b in (1.0, 3.0)]
    all_taken(agree(f, calls), f, [*calls, (filled(300.0), filled(7.0), 0.1)])


def test_numbers_that_grow_and_change_their_type():
    def f(x: Any, most: float) -> Any:
        n, ratio = 1, 1
        while x.sum() < most:
            n, ratio = n * 1_000_003, ratio / 3
            x = x + 1
        return x, n, ratio, -n, n > 2**64

    calls = [(filled(0.0), float(most)) for most in (3, 9, 30, 0, 100)]
    all_taken(agree(f, calls), f, [*calls, (filled(0.0), 400.0)])


def test_not_a_number_and_infinity_go_round():
    def f(x: Any, least: float) -> Any:
        while not (tj.abs(x) <= least).all():
            x = tj.where(tj.isnan(x), 8.0, tj.where(tj.isinf(x), math.nan, x * 0.5))
        return x

    values = [[math.nan, 1.0, -0.0], [math.inf, -math.inf, 3.0], [1.0, 0.0, 1e-45], []]
    calls = [(tj.tensor(each, dtype=tj.float32), 0.5) for each in values]
    agree(f, calls)


@pytest.mark.parametrize("make", [lambda x: x[::2], lambda x: x.reshape(2, 3).T, lambda x: x[1]])
def test_views_go_in(make: Callable[[Any], Any]):
    agree(halved, [(make(tj.arange(6.0) * k), 0.01) for k in (1, 50, 0)])


def test_arrays():
    def f(x: np.ndarray, least: float) -> Any:
        while np.abs(x).max() > least:
            x = x * 0.5
        return x

    calls = [(np.arange(4.0) * k, 0.25) for k in (1.0, 9.0, 300.0, 0.0)]
    all_taken(agree(f, calls), f, calls)


# State


class State:
    def __init__(self) -> None:
        self.w, self.last, self.n, self.log = tj.zeros(4), None, 0, {"rounds": 0}

    def picture(self) -> Any:
        return bits([self.w, self.last]), self.n, self.log


def moved(state: State, x: Any, least: float) -> Any:
    state.w.copy_(x)
    while state.w.abs().max() > least:
        state.w.mul_(0.75)
        state.n += 1
        state.log["rounds"] = state.n
        state.last = state.w * 2
    return state.w.sum()


def test_rounds_that_write_state():
    f, rng = tj.compile(moved), random.Random(0)
    one, other = State(), State()
    for _ in range(60):
        x, least = filled(rng.uniform(1, 9)), 10 ** rng.uniform(-3, 0)
        assert bits(f(one, x, least)) == bits(moved(other, x, least))
        assert one.picture() == other.picture()
    assert native_calls(f) > 40
    assert taken(f, one, filled(3.0), 0.01)


def test_memory_that_rounds_write_is_copied_once(monkeypatch: pytest.MonkeyPatch):
    copies = []
    private = tree.private

    def counted(buffer: Any) -> Any:
        copies.append(buffer)
        return private(buffer)

    monkeypatch.setattr(tree, "private", counted)
    f, state = tj.compile(moved), State()
    for k in range(8):
        f(state, filled(2.0 + k), 0.01)
    copies.clear()
    assert taken(f, state, filled(1000.0), 0.01)
    assert len(copies) == 1


def test_random_draws_in_rounds():
    def f(x: Any, most: float) -> Any:
        while x.sum() < most:
            x = x + tj.random.random((4,))
        return x

    def drawn(run: Callable[..., Any]) -> Any:
        tj.random.seed(3)
        return [bits(run(filled(0.0), most)) for most in (2.0, 30.0, 0.0, 9.0) * 4]

    compiled = tj.compile(f)
    assert drawn(compiled) == drawn(f)
    assert native_calls(compiled) > 4


def test_an_array_that_rounds_write():
    def f(x: np.ndarray, least: float) -> int:
        rounds = 0
        while x.max() > least:
            x *= 0.5
            rounds += 1
        return rounds

    compiled = tj.compile(f)
    for k in range(12):
        one, other = np.full(3, 4.0 + k), np.full(3, 4.0 + k)
        assert compiled(one, 0.1) == f(other, 0.1)
        assert bits(one) == bits(other)


# What a call cannot go on with


def looked_up(state: Any, x: Any, table: Any) -> Any:
    """Fails where the table is too short, and knows no way where it says something new."""
    while x.sum() > 0:
        state.n += 1
        state.w.add_(x)
        x = x - table[state.w[0].astype(tj.int64) % 16]
        if state.w.sum() > 500:
            return "large"
    return x


@pytest.mark.parametrize("length", [16, 9, 6])
def test_a_round_that_fails_or_is_not_known_does_nothing_twice(length: int):
    compiled = tj.compile(looked_up)
    table = tj.arange(1.0, length + 1)
    one, other = (SimpleNamespace(n=0, w=tj.zeros(4)) for _ in range(2))
    seen = set()
    for start in (1, 2, 3, 1, 5, 8, 2, 9, 40, 3, 5, 60, 1, 8) * 3:
        outcomes = []
        for run, state in ((compiled, one), (looked_up, other)):
            try:
                outcomes.append(bits(run(state, filled(float(start)), table)))
            except IndexError as error:
                outcomes.append(str(type(error)))
            if state.w.sum() > 5000:
                state.w.zero_()
        assert outcomes[0] == outcomes[1]
        assert (one.n, bits(one.w)) == (other.n, bits(other.w))
        seen.add(str(outcomes[0]))
    assert len(seen) > 2
    assert native_calls(compiled)


def test_a_way_that_is_new_after_many_rounds_is_machine_code_too():
    def f(x: Any, least: float) -> Any:
        while x.sum() > least:
            x = x * 0.5
            if (x == 1).all():
                return "one"
        return x

    compiled = agree(f, [(filled(k), 0.01) for k in (3.0, 5.0)])
    before = compiled.calls["record"]
    assert compiled(filled(64.0), 0.01) == "one"
    for _ in range(4):
        assert bits(compiled(filled(64.0), 0.01)) == bits("one")
    assert compiled.calls["record"] == before + 1
    all_taken(compiled, f, [(filled(each), 0.01) for each in (3.0, 64.0, 7.0, 2.0**40)])


def test_guards_in_a_round_choose_how_to_go_on():
    def f(x: Any, state: Any) -> Any:
        rounds = 0
        while x.sum() > 1:
            rounds += 1
            x = x * 0.5
            if x.max() < 3:
                x = x - state.shift if state.kind == "shift" else x * state.scale
        return x, rounds

    compiled = tj.compile(f)
    states = [SimpleNamespace(kind=kind, shift=0.25, scale=0.5) for kind in ("shift", "scale")]
    for k in range(60):
        x, state = filled(float(k % 13)), states[k % 2]
        assert bits(compiled(x, state)) == bits(f(x, state))
    all_taken(compiled, f, [(filled(float(k)), state) for k in (1, 6, 12) for state in states])


def test_an_error_that_python_raises_in_a_round():
    def f(x: Any, state: Any) -> Any:
        while x.sum() > 0:
            state.n += 1
            x = x - 1
            if x.max() < state.least:
                raise OverflowError(state.n)
        return x

    compiled = tj.compile(f)
    one, other = SimpleNamespace(n=0, least=-1.5), SimpleNamespace(n=0, least=-1.5)
    for k in range(40):
        one.least = other.least = -1.5 if k % 5 else 0.5
        outcomes = []
        for run, state in ((compiled, one), (f, other)):
            try:
                outcomes.append(bits(run(filled(2.0 + k % 3), state)))
            except OverflowError as error:
                outcomes.append(error.args)
        assert outcomes[0] == outcomes[1]
        assert vars(one) == vars(other)


# Memory


def test_memory_does_not_grow_with_rounds():
    def f(x: Any, y: Any, count: Any) -> Any:
        for _ in range(int(count)):
            x, y = (x + y) * 0.5, x.sqrt() + y.abs()
        return x.sum()

    compiled = tj.compile(f)
    size = 1 << 16

    def peak(rounds: int) -> int:
        args = filled(1.0, size), filled(2.0, size), tj.tensor(rounds)
        tj.empty_cache()
        _reset_peak()
        before = memory_stats().bytes_in_use
        assert bits(compiled(*args)) == bits(f(*args)) if rounds < 40 else compiled(*args)
        _reset_peak()
        assert taken(compiled, *args) or rounds < 10
        return memory_stats().bytes_peak - before

    for rounds in (3, 5, 4, 0, 7, 9):
        peak(rounds)
    few, many = peak(20), peak(2000)
    assert 0 < many <= few + 4096
    blocks = sys.getallocatedblocks()
    peak(3000)
    assert sys.getallocatedblocks() - blocks < 200


def _reset_peak() -> None:
    from tracejit.runtime.pool import POOLS

    for pool in POOLS:
        pool.reset_peak()


def test_what_a_broken_off_loop_held_is_let_go_of():
    compiled = endless(1 << 12)
    before = memory_stats().bytes_in_use
    for _ in range(3):
        with ringing(KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            compiled(filled(1.0, 1 << 12), filled(1.0, 1 << 12))
    assert memory_stats().bytes_in_use == before


# Interruptions and threads


def endless(size: int = 4) -> Any:
    """A function that machine code has, and that does not end for a factor of one."""

    @tj.compile
    def f(x: Any, factor: Any) -> Any:
        rounds = 0
        while x.sum() > 0.5:
            x = x * factor
            rounds += 1
        return rounds

    for factor in (0.5, 0.25, 0.125, 0.5, 0.25, 0.75, 0.5):
        f(filled(1.0, size), filled(factor, size))
    assert taken(f, filled(1.0, size), filled(0.5, size))
    return f


@contextmanager
def ringing(error: type[BaseException]) -> Iterator[None]:
    """Inside the block a signal comes after a moment, whose handler raises the error."""

    def ring(*_: object) -> None:
        raise error

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("error", [KeyboardInterrupt, TimeoutError])
def test_a_loop_without_end_is_interrupted(error: type[BaseException]):
    f = endless()
    before = f.calls
    with ringing(error), pytest.raises(error):
        f(filled(1.0), filled(1.0))
    assert f.calls["record"] == before["record"]
    assert f(filled(1.0), filled(0.5)) == 3


def test_an_interrupted_loop_has_written_nothing():
    f, state = tj.compile(moved), State()
    for k in range(8):
        f(state, filled(1.0 + k), 0.01)
    before = state.picture()
    with ringing(KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        f(state, filled(1.0), -1.0)
    assert state.picture() == before
    assert taken(f, state, filled(1.0), 0.01)


def test_threads_go_round_at_once_while_one_does_not_end():
    f = endless()
    agree_at_once = [f(filled(1.0), filled(factor)) for factor in (0.5, 0.25, 0.75)]
    found: list[Any] = []

    def run() -> None:
        found.extend(f(filled(1.0), filled(factor)) for factor in (0.5, 0.25, 0.75))

    threads = [threading.Thread(target=run) for _ in range(3)]

    def begin() -> None:
        for thread in threads:
            thread.start()

    timer = threading.Timer(0.0, begin)
    timer.start()
    with ringing(KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        f(filled(1.0), filled(1.0))
    timer.join()
    for thread in threads:
        thread.join()
    assert found == agree_at_once * 3


def test_a_process_ends_though_a_thread_goes_round(run_python: Callable[..., str]):
    script = """
import threading, time
import tracejit as tj
from tracejit.tracing.background import BACKGROUND
from tracejit.tracing.replay import tree
from tests.tracing.replay.test_native_loops import endless, filled

tree.NATIVE_AFTER, BACKGROUND.at_once = 1, True
f, begun = endless(), threading.Event()

def run():
    begun.set()
    f(filled(1.0), filled(1.0))

threading.Thread(target=run, daemon=True).start()
begun.wait()
time.sleep(0.1)
print("ends")
"""
    assert run_python(script) == "ends\n"


# Random programs


def test_random_programs_with_loops_are_machine_code_and_right():
    compiled: list[Any] = []

    def collecting(function: Any) -> Any:
        compiled.append(tj.compile(function))
        return compiled[-1]

    outcome = run_sample("loops", compile=collecting, seed=501, count=4)
    assert not outcome.wrong, "\n".join(map(str, outcome.wrong))
    assert sum(map(native_calls, compiled)) > 10
