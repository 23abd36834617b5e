"""Replays on a GPU as machine code: what they ask of Python and of the driver, and what happens where the driver refuses."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import numpy as np
import pytest

import tracejit as tj
from tests.emulation import standin
from tracejit import nn, optim
from tracejit.nn import functional as F

X = np.random.default_rng(0).standard_normal((6, 40), dtype=np.float32)
Script = Callable[[str], str]


@pytest.fixture
def failing(emulated: str) -> Iterator[Callable[[int], None]]:
    """Has the driver refuse things; `FAIL_...` of driver.c."""
    yield standin.install().standin_set_failing
    standin.install().standin_set_failing(0)


FAIL_INSTANTIATE, FAIL_CAPTURE_INFO, FAIL_UPDATE = 1, 2, 4


def entered(call: Callable[[], object]) -> list[str]:
    """The Python functions that a call enters."""
    names: list[str] = []

    def note(frame: FrameType, event: str, arg: object) -> None:
        if event == "call" and frame.f_code is not call.__code__:  # type: ignore[attr-defined]
            names.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return names


def since(before: standin.Counts) -> dict[str, int]:
    found = standin.counts() - before
    found.pop("launches", None)  # of the graph's nodes
    return found


def training(device: str) -> Callable[[tj.Tensor, tj.Tensor], tj.Tensor]:
    tj.random.seed(0)
    model = nn.Sequential(nn.Linear(40, 8), nn.ReLU(), nn.Linear(8, 4)).to(device)
    optimizer = optim.Adam(model.parameters(), lr=1e-2)

    def step(x: tj.Tensor, y: tj.Tensor) -> tj.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def test_a_training_step_enters_no_python_and_is_one_launch(emulated: str) -> None:
    step = tj.compile(training(emulated))
    here = training("cpu")
    x, y = tj.tensor(X, device=emulated), tj.tensor(np.arange(6) % 4, device=emulated)
    losses = [step(x, y).item() for _ in range(10)]
    assert entered(lambda: step(x, y)) == []
    before = standin.counts()
    step(x, y)
    assert since(before) == {"graph_launches": 1, "copies_in": 1}  # Adam's numbers change
    expected = [here(tj.tensor(X), tj.tensor(np.arange(6) % 4)).item() for _ in range(10)]
    assert losses == expected


def test_numbers_are_sent_only_when_they_change(emulated: str) -> None:
    f = tj.compile(lambda x, factor: tj.softmax(x @ x.T * factor) + 1)
    x = tj.tensor(X, device=emulated)
    for n in range(20):
        made = f(x, float(n))
    for factor, copies in ((2.5, 1), (2.5, 0), (2.5, 0), (0.5, 1), (2.5, 1)):
        before = standin.counts()
        made = f(x, factor)
        assert since(before) == {"graph_launches": 1, **({"copies_in": 1} if copies else {})}
        np.testing.assert_array_equal(made.cpu().numpy(), f(tj.tensor(X), factor).numpy())


def test_addresses_that_always_change_have_one_graph_that_is_moved(emulated: str) -> None:
    w = tj.tensor(X.T.copy(), device=emulated)

    @tj.compile
    def f(x: tj.Tensor, w: tj.Tensor) -> tj.Tensor:
        hidden = tj.softmax(x @ w)
        for _ in range(4):
            hidden = tj.softmax(hidden @ hidden.T)
        return hidden.sum()

    for n in range(6):
        f(tj.tensor(X + n, device=emulated), w)
    kept = []  # so that each has memory of its own
    before = standin.counts()
    for n in range(12):
        x = tj.tensor(X * n, device=emulated)
        kept.append((x, f(x, w)))
    asked = since(before)
    assert "captures" not in asked
    assert asked["graph_launches"] >= 10
    assert 10 <= asked["updates"] <= 3 * 12  # the launches that read x, or write the result
    for n, (_, made) in enumerate(kept):
        assert made.item() == f(tj.tensor(X * n), tj.tensor(X.T.copy())).item()


def test_alternating_addresses_have_a_graph_each(emulated: str) -> None:
    f = tj.compile(lambda x: tj.softmax(x @ x.T) @ x)
    arrays = [tj.tensor(X + n, device=emulated) for n in range(3)]
    for _ in range(8):
        [f(x) for x in arrays]
    before = standin.counts()
    made = [f(x) for x in arrays]
    assert since(before) == {"graph_launches": 3}
    for n, each in enumerate(made):
        np.testing.assert_array_equal(each.cpu().numpy(), f(tj.tensor(X + n)).numpy())


@pytest.mark.parametrize(
    "which", [FAIL_INSTANTIATE, FAIL_CAPTURE_INFO, FAIL_UPDATE, FAIL_CAPTURE_INFO | FAIL_UPDATE]
)
def test_without_graphs_or_updates_results_are_the_same(
    emulated: str, failing: Callable[[int], None], which: int
) -> None:
    failing(which)
    f = tj.compile(lambda x, n: tj.softmax(x @ x.T * n) @ x)
    kept = [f(tj.tensor(X + n % 5, device=emulated), float(n)) for n in range(14)]
    for n, made in enumerate(kept):
        expected = f(tj.tensor(X + n % 5), float(n))
        np.testing.assert_array_equal(made.cpu().numpy(), expected.numpy())


def test_a_graph_that_could_not_be_moved_is_not_used_again(
    emulated: str, failing: Callable[[int], None]
) -> None:
    f = tj.compile(lambda x: tj.softmax(tj.softmax(tj.softmax(x @ x.T) @ x) @ x.T))
    kept = []
    for n in range(16):
        failing(FAIL_UPDATE if n == 8 else 0)
        x = tj.tensor(X + n, device=emulated)
        kept.append((x, f(x)))
    for n, (_, made) in enumerate(kept):
        np.testing.assert_array_equal(made.cpu().numpy(), f(tj.tensor(X + n)).numpy())


def test_labels_are_checked_without_python_where_the_host_knows_them(emulated: str) -> None:
    f = tj.compile(lambda x, y: F.cross_entropy(x, y))
    x = tj.tensor(X, device=emulated)
    y = tj.tensor(np.arange(6), device=emulated)
    for _ in range(6):
        f(x, y)
    assert entered(lambda: f(x, y)) == []
    with pytest.raises(IndexError, match=r"test_native\.py"):
        f(x, tj.tensor(np.arange(36, 42), device=emulated))
    y += 1  # the host does not know them any more
    assert f(x, y).item() == f(tj.tensor(X), tj.tensor(np.arange(1, 7))).item()
    y += 36
    with pytest.raises(IndexError, match=r"test_native\.py"):
        f(x, y)


def test_integers_that_a_replay_writes_are_not_remembered(emulated: str) -> None:
    @tj.compile
    def advance(y: tj.Tensor) -> None:
        y += 1

    @tj.compile
    def advance_part(y: tj.Tensor, n: int) -> None:
        y[2:] += n

    for change in (advance, lambda y: advance_part(y, 1)):
        for _ in range(5):
            change(tj.tensor(np.arange(6), device=emulated))
        y = tj.tensor(np.arange(6), device=emulated)
        change(y)
        expected = np.arange(6)
        expected[slice(None) if change is advance else slice(2, None)] += 1
        assert y.tolist() == expected.tolist()


def test_memory_goes_round(emulated: str) -> None:
    f = tj.compile(lambda x: tj.softmax(x @ x.T) @ x)
    x = tj.tensor(X, device=emulated)
    for _ in range(10):
        f(x)
    before = tj.cuda.memory_stats()
    for _ in range(50):
        f(x)
    after = tj.cuda.memory_stats()
    assert after.allocations == before.allocations
    assert after.bytes_in_use == before.bytes_in_use
    kept = [f(x) for _ in range(4)]
    assert tj.cuda.memory_stats().bytes_in_use - before.bytes_in_use == 4 * X.nbytes
    del kept
    kept_bytes = tj.cuda.memory_stats().bytes_cached
    tj.cuda.empty_cache()
    assert tj.cuda.memory_stats().bytes_cached <= kept_bytes - 4 * X.nbytes
    np.testing.assert_array_equal(f(x).cpu().numpy(), f(tj.tensor(X)).numpy())


def test_a_step_without_memory_has_done_nothing(emulated: str) -> None:
    def trained(failing: bool) -> list[float]:
        step = tj.compile(training(emulated))
        x, y = tj.tensor(X, device=emulated), tj.tensor(np.arange(6) % 4, device=emulated)
        losses = [step(x, y).item() for _ in range(12)]
        assert entered(lambda: step(x, y)) == []
        if failing:
            tj.cuda.empty_cache()
            standin.install().standin_set_limit(1)
            try:
                with pytest.raises(tj.DeviceMemoryError, match="Nothing was lost"):
                    step(x, y)
            finally:
                standin.install().standin_set_limit(1 << 30)
        return losses + [step(x, y).item() for _ in range(3)]

    assert trained(failing=True) == trained(failing=False)


def test_threads_replay_at_once(emulated: str) -> None:
    f = tj.compile(lambda x, n: tj.softmax(tj.softmax(x @ x.T * n) @ x) @ x.T)
    expected = {n: f(tj.tensor(X), float(n)).tolist() for n in range(4)}
    found: dict[int, list[object]] = {}

    def work(n: int) -> None:
        there = tj.tensor(X, device=emulated)
        found[n] = [f(there, float(n)).tolist() for _ in range(30)]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: [expected[n]] * 30 for n in range(4)}


def test_the_process_ends_quietly_when_a_thread_has_made_machine_code(in_a_process: Script) -> None:
    printed = in_a_process(
        """
import tracejit as tj
f = tj.compile(lambda x: tj.softmax(x * 2) + 1)
x = tj.ones((4, 4), device="cuda")
for n in range(30):
    f(x)
    tj.synchronize()
print(f.calls["replay"], f(x).sum().item())
"""
    )
    assert printed == "29 20.0\n"


def test_a_fault_is_told_by_a_native_launch(in_a_process: Script) -> None:
    from tests.cuda.test_processes import FAULT

    printed = in_a_process(
        FAULT
        + """
import ctypes
from tracejit.tracing.replay import tree
tree.NATIVE_AFTER = 1
ctypes.CDLL("libcuda.so.1").standin_recover()
f = tj.compile(lambda x: x @ x @ x)
x = tj.ones((3, 3), device="cuda")
for _ in range(12):
    f(x)
    tj.synchronize()
try:
    program.run(())
except tj.DeviceError:
    pass
try:
    f(x)
except tj.DeviceError as error:
    print(error)
"""
    )
    assert "the driver reports: " in printed.splitlines()[-1]


def test_a_forked_child_is_refused_by_native_code(in_a_process: Script) -> None:
    printed = in_a_process(
        """
import os, sys
import tracejit as tj
from tracejit.tracing.replay import tree
tree.NATIVE_AFTER = 1
f = tj.compile(lambda x: x @ x @ x)
x = tj.ones((3, 3), device="cuda")
for _ in range(12):
    f(x)
    tj.synchronize()
pid = os.fork()
if not pid:
    try:
        f(x)
    except tj.DeviceUnavailable as error:
        print(error, flush=True)
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
print(f(x).tolist()[0])
"""
    )
    child, parent = printed.splitlines()
    assert "the process was forked after CUDA had been used" in child
    assert parent == "[9.0, 9.0, 9.0]"
