"""Threads and memory as programs ask for them."""

from __future__ import annotations

import numpy as np
import pytest

import tracejit as tj
from tracejit.runtime.pool import memory_stats


def test_any_number_of_threads_gives_the_same_bits() -> None:
    x = tj.tensor(np.random.default_rng(0).normal(size=(512, 700)).astype(np.float32))
    f = tj.compile(lambda x: (tj.softmax(x, axis=1) @ x.T, x.sum(), tj.exp(x).mean(axis=0)))
    before = tj.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3, 5):
            tj.set_num_threads(threads)
            assert tj.get_num_threads() == threads
            found += [[part.numpy().tobytes() for part in f(x)] for _ in range(3)]
    finally:
        tj.set_num_threads(before)
    assert all(each == found[0] for each in found)


@pytest.mark.parametrize(
    ("threads", "error"), [(0, ValueError), (-2, ValueError), (1.5, TypeError)]
)
def test_a_number_of_threads_that_is_none(threads: object, error: type[Exception]) -> None:
    before = tj.get_num_threads()
    with pytest.raises(error):
        tj.set_num_threads(threads)  # type: ignore[arg-type]
    assert tj.get_num_threads() == before


def test_emptying_the_cache_takes_nothing_that_can_be_seen() -> None:
    x = tj.arange(1 << 16).astype(tj.float32)
    kept, view = x * 2, (x + 1)[5:9]
    array = (x * 3).numpy()
    del x
    assert memory_stats().bytes_cached > 0
    tj.empty_cache()
    assert memory_stats().bytes_cached == 0
    for _ in range(20):  # memory that was freed and is taken again
        _ = tj.ones(1 << 16) * 7
    assert kept[:3].tolist() == [0.0, 2.0, 4.0]
    assert view.tolist() == [6.0, 7.0, 8.0, 9.0]
    assert array[:3].tolist() == [0.0, 3.0, 6.0]
