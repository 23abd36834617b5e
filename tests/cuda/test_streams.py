"""What is enqueued on devices is in the order in which it was asked for, though they do it as late as may be."""

from __future__ import annotations

import threading

import numpy as np

import tracejit as tj
from tests.emulation import standin
from tracejit.runtime.cuda.driver import gpu

X = np.random.default_rng(0).standard_normal((6, 40), dtype=np.float32)
Two = tuple[str, str]


def test_late_devices_have_done_nothing_until_somebody_waits(late: Two) -> None:
    x = tj.tensor(X, device=late[0])
    before = standin.counts()
    y = x * 2 + 1
    assert "launches" not in standin.counts() - before
    np.testing.assert_array_equal(y.cpu().numpy(), X * 2 + 1)
    assert (standin.counts() - before)["launches"] > 0


def test_a_copy_is_read_after_it_was_made(late: Two) -> None:
    there = (tj.tensor(X, device=late[0]) * 3).to(late[1])
    np.testing.assert_array_equal((there + 1).cpu().numpy(), X * 3 + 1)


def test_a_copy_is_made_before_its_source_is_written(late: Two) -> None:
    x = tj.tensor(X, device=late[0])
    there = x.to(late[1])
    x *= 2
    tj.cuda.synchronize(0)
    np.testing.assert_array_equal(there.cpu().numpy(), X)


def test_memory_that_a_copy_takes_over_is_read_before(late: Two) -> None:
    tj.cuda.empty_cache()
    old = tj.tensor(X, device=late[1])
    address = old.__cuda_array_interface__["data"][0]
    doubled = old * 2
    del old
    there = tj.tensor(X + 5, device=late[0]).to(late[1])
    assert there.__cuda_array_interface__["data"][0] == address
    tj.cuda.synchronize(0)  # the one that copies has come to an end, the other has not begun
    np.testing.assert_array_equal(doubled.cpu().numpy(), X * 2)
    np.testing.assert_array_equal(there.cpu().numpy(), X + 5)


def test_memory_that_was_let_go_of_is_read_before_it_is_written_again(late: Two) -> None:
    x = tj.tensor(X, device=late[0])
    there = (x + 1).to(late[1])  # what was copied is let go of at once
    others = [x * n for n in range(4)]
    tj.cuda.synchronize(0)
    np.testing.assert_array_equal(there.cpu().numpy(), X + 1)
    for n, each in enumerate(others):
        np.testing.assert_array_equal(each.cpu().numpy(), X * n)


def test_a_tensor_of_another_thread_is_ready_without_waiting(late: Two) -> None:
    """All threads have one stream."""
    f = tj.compile(lambda x, n: tj.softmax(x @ x.T * n) @ x)
    made: dict[int, tj.Tensor] = {}

    def work(n: int) -> None:
        x = tj.tensor(X, device=late[0])
        for _ in range(6):  # by launches at first, then as a graph, then by machine code
            made[n] = f(x, float(n)) + n

    before = standin.counts()
    for n in range(3):
        thread = threading.Thread(target=work, args=(n,))
        thread.start()
        thread.join()
    total = made[0] + made[1] * made[2]
    assert "waits" not in standin.counts() - before
    one, two, three = (f(tj.tensor(X), float(n)) + n for n in range(3))
    np.testing.assert_array_equal(total.cpu().numpy(), (one + two * three).numpy())


def test_graphs_that_are_moved_do_what_they_were_launched_for(late: Two) -> None:
    f = tj.compile(lambda x, w: tj.softmax(tj.softmax(tj.softmax(x @ w) @ w.T) @ w))
    w = tj.tensor(X.T.copy(), device=late[1])
    kept = [f(tj.tensor(X + n, device=late[1]), w) for n in range(14)]
    for n, made in enumerate(kept):
        wanted = f(tj.tensor(X + n), tj.tensor(X.T.copy()))
        np.testing.assert_array_equal(made.cpu().numpy(), wanted.numpy())


def test_other_libraries_streams_come_after(late: Two) -> None:
    x = tj.tensor(X, device=late[1])
    y = x * 2
    gpu(1).let_wait(1)  # the default stream
    before = standin.counts()
    y.__dlpack__(stream=1)
    assert "waits" not in standin.counts() - before
    np.testing.assert_array_equal(y.cpu().numpy(), X * 2)
