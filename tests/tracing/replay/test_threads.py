"""Concurrent calls, calls in forked processes, and calls that somebody watches."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit.tracing import watchers

THREADS = 8
CALLS = 60


def vector() -> tj.Tensor:
    return tj.tensor([1.0, -2.0, 3.0])


def in_threads(work: Callable[[int], Any], count: int = THREADS) -> list[Any]:
    """What `work` gives on each of some threads that start at once; the first exception of theirs is raised."""
    barrier = threading.Barrier(count)
    results: list[Any] = [None] * count
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait()
            results[number] = work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    if errors:
        raise errors[0]
    return results


def test_state_of_each_thread_and_shared_weights():
    weight = tj.tensor([0.5, 2.0, -1.0])

    def step(state: Any, x: tj.Tensor) -> tj.Tensor:
        state.total.add_(x * weight)
        state.count += 1
        return state.total * 2 if x.sum() > 0 else state.total

    def work(f: Any, number: int) -> Any:
        state = SimpleNamespace(total=tj.zeros(3), count=0)
        seen = [
            f(state, vector() * (number + 1) * (-1) ** (k % 3 == 0)).tolist() for k in range(CALLS)
        ]
        return seen, state.total.tolist(), state.count

    f = tj.compile(step)
    assert in_threads(lambda number: work(f, number)) == [
        work(step, number) for number in range(THREADS)
    ]
    calls = tj.explain(f).calls
    assert sum(calls.values()) == THREADS * CALLS
    assert calls["replay"] > THREADS * CALLS / 2


def test_recordings_while_others_replay():
    modes = [f"mode {number}" for number in range(5)]

    def step(x: tj.Tensor, mode: str, n: int) -> tj.Tensor:
        y = x
        for name in modes[: modes.index(mode) + 1]:
            y = y * 2 + len(name)
        return y * n

    f = tj.compile(step)

    def work(f: Any, number: int) -> Any:
        return [
            f(tj.ones(1 + (number + k) % 3), modes[(k // 7 + number) % 5], k).tolist()
            for k in range(CALLS)
        ]

    assert in_threads(lambda number: work(f, number)) == [
        work(step, number) for number in range(THREADS)
    ]
    assert sum(tj.explain(f).calls.values()) == THREADS * CALLS
    str(tj.explain(f))


def test_training_on_each_thread():
    def losses(compile: Any) -> list[float]:
        model = tj.nn.Linear(3, 2)
        with tj.no_grad():
            for parameter in model.parameters():
                parameter.fill_(0.1)
        optimizer = tj.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        return [float(compile(model, optimizer, tj.full((4, 3), float(k % 4)))) for k in range(12)]

    def train(model: Any, optimizer: Any, x: Any) -> Any:
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    f = tj.compile(train)
    expected = losses(train)
    assert in_threads(lambda number: losses(f)) == [expected] * THREADS
    assert tj.explain(f).calls["replay"]


def test_arrays_of_each_thread():
    def step(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a += b
        return np.exp(a * 0.01).sum() + a

    def work(f: Any, number: int) -> Any:
        a, b = np.arange(4.0) + number, np.ones(4)
        return [f(a, b).tolist() for _ in range(CALLS)], a.tolist()

    f = tj.compile(step)
    found = in_threads(lambda number: work(f, number))
    for number, (seen, a) in enumerate(found):
        expected, expected_a = work(step, number)
        np.testing.assert_allclose(seen, expected, rtol=1e-14)
        assert a == expected_a


# Processes


def in_child(work: Callable[[], bool]) -> bool:
    """Whether `work` gives true in a forked process."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_forked_child_replays_what_the_parent_recorded():
    state = SimpleNamespace(total=tj.zeros(3))

    @tj.compile
    def f(x):
        state.total.add_(x)
        return (state.total * 2).sum()

    for _ in range(3):
        f(vector())
    before = tj.explain(f).calls["replay"]
    expected = float((state.total + vector()).sum() * 2)

    def child() -> bool:
        return float(f(vector())) == expected and tj.explain(f).calls["replay"] == before + 1

    assert in_child(child)
    assert float(f(vector())) == expected


def test_a_forked_child_records_though_another_thread_held_the_lock():
    @tj.compile
    def f(x):
        return x * 2

    f(vector())
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with f.replays.tree.lock, f._lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        assert in_child(lambda: f(tj.ones(5)).tolist() == [2.0] * 5)
    finally:
        done.set()
        thread.join()


# Watchers


def test_what_a_debugger_follows_is_run_by_python():
    @tj.compile
    def f(x):
        y = x * 2
        return y + 1

    for _ in range(3):
        f(vector())
    lines: list[int] = []

    def trace(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code is f.function.__code__ and event == "line":
            lines.append(frame.f_lineno - frame.f_code.co_firstlineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        found = f(vector())
    finally:
        sys.settrace(before)
    assert lines == [2, 3]
    assert found.tolist() == (vector() * 2 + 1).tolist()
    assert tj.explain(f).calls == {"replay": 2, "record": 2, "eager": 0}
    f(vector())
    assert tj.explain(f).calls["replay"] == 3


def test_what_a_tool_monitors_is_run_by_python(monkeypatch: pytest.MonkeyPatch):
    """By a stand-in for `sys.monitoring`, which there is from Python 3.12 on."""
    events = {0: 0, 2: 1}
    names = {0: "debugger", 2: "profiler"}
    monitoring = SimpleNamespace(get_tool=names.get, get_events=lambda tool: events[tool])
    monkeypatch.setattr(watchers, "_MONITORING", monitoring)
    assert not watchers.is_watched()
    events[0] = 1
    assert watchers.is_watched()
    f = tj.compile(lambda x: x * 2)
    f(vector())
    f(vector())
    assert tj.explain(f).tier == 1
    assert tj.explain(f).calls["record"] == 2


@pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="from Python 3.12 on")
def test_monitoring_is_seen():
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]
    assert not watchers.is_watched()
    monitoring.use_tool_id(3, "test")
    try:
        monitoring.set_events(3, monitoring.events.LINE)
        assert watchers.is_watched()
    finally:
        monitoring.free_tool_id(3)
