"""Work shared among threads of Python's."""

from __future__ import annotations

import threading

import pytest

from tracejit.runtime.cpu.threads import in_threads


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_results_come_in_the_order_of_the_items(threads: int, count: int) -> None:
    assert in_threads(lambda n: n * n, range(count), threads) == [n * n for n in range(count)]


def test_items_are_worked_on_at_once() -> None:
    both = threading.Barrier(2, timeout=30)
    assert sorted(in_threads(lambda _: both.wait(), range(2), 2)) == [0, 1]


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_comes_out_and_ends_the_work(threads: int) -> None:
    done = []

    def work(number: int) -> None:
        if number == 3:
            raise KeyError(number)
        done.append(number)

    with pytest.raises(KeyError, match="3"):
        in_threads(work, range(1000), threads)
    assert len(done) < 999
