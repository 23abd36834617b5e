"""Memory is aligned, recycled, and never while anything can still see it."""

from __future__ import annotations

import threading

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracejit.runtime.buffer import Buffer, array_at
from tracejit.runtime.pool import ALIGNMENT, MemoryPool, empty_cache, memory_stats, size_class

F32 = np.dtype("float32")


@pytest.mark.parametrize("nbytes", [0, 1, 63, 64, 65, 1000, 1 << 21])
def test_memory_is_aligned(nbytes: int) -> None:
    buffer = Buffer.allocate(nbytes)
    assert buffer.address % ALIGNMENT == 0
    assert buffer.nbytes == nbytes
    assert buffer.array(np.dtype(np.uint8), (nbytes,)).shape == (nbytes,)


def test_freed_memory_is_reused() -> None:
    buffer = Buffer.allocate(12_345)
    address, before = buffer.address, memory_stats()
    del buffer
    again = Buffer.allocate(12_345)
    after = memory_stats()
    assert again.address == address
    assert after.allocations == before.allocations
    assert after.reuses == before.reuses + 1


def test_a_view_keeps_the_memory_of_its_buffer() -> None:
    buffer = Buffer.allocate(4000)
    address = buffer.address
    view = buffer.array(F32, (10, 100))[1:, ::2]
    del buffer
    other = Buffer.allocate(4000)
    assert other.address != address
    del view
    assert Buffer.allocate(4000).address == address


def test_a_dlpack_consumer_keeps_the_memory_of_its_buffer() -> None:
    buffer = Buffer.allocate(4160)
    address = buffer.address
    taken = np.from_dlpack(buffer.array(F32, (10, 100)))
    del buffer
    assert Buffer.allocate(4160).address != address
    del taken
    assert Buffer.allocate(4160).address == address


def test_strides_are_in_elements_and_the_offset_in_bytes() -> None:
    buffer = Buffer.allocate(48)
    buffer.array(F32, (12,))[:] = range(12)
    assert buffer.array(F32, (2, 3), (1, 4), offset=4).tolist() == [[1, 5, 9], [2, 6, 10]]
    assert buffer.array(F32, (3,), (-2,), offset=20).tolist() == [5, 3, 1]


def test_an_array_may_not_reach_outside_the_buffer() -> None:
    buffer = Buffer.allocate(40)
    with pytest.raises(TypeError):
        buffer.array(F32, (11,))
    with pytest.raises(ValueError):
        buffer.array(F32, (3,), (5,))


def test_arrays_of_dtypes_that_numpy_has_no_letter_for() -> None:
    bfloat16 = np.dtype(ml_dtypes.bfloat16)
    buffer = Buffer.allocate(8)
    buffer.array(bfloat16, (4,))[:] = 1.5
    assert array_at(buffer.address, bfloat16, (4,)).tolist() == [1.5] * 4


def test_a_foreign_array_is_seen_in_its_own_layout() -> None:
    array = np.arange(12.0).reshape(3, 4)[::-1, ::2]
    buffer = Buffer.wrap(array)
    strides = [stride // array.itemsize for stride in array.strides]
    seen = buffer.array(array.dtype, array.shape, strides)
    assert buffer.foreign
    assert not Buffer.allocate(8).foreign
    assert np.array_equal(seen, array)
    seen[0, 0] = -1
    assert array[0, 0] == -1


def test_a_foreign_array_that_is_read_only_stays_so() -> None:
    array = np.arange(3.0)
    array.flags.writeable = False
    assert not Buffer.wrap(array).array(array.dtype, (3,)).flags.writeable


def test_the_pool_keeps_no_more_than_its_limit() -> None:
    pool = MemoryPool(limit=10_000)
    for block in [pool.take(1000) for _ in range(20)]:
        pool.give(block)
    assert 0 < pool.stats().bytes_cached <= 10_000
    pool.give(pool.take(100_000))
    assert pool.stats().bytes_cached <= 10_000
    pool.empty()
    assert pool.stats().bytes_cached == 0
    assert pool.stats().bytes_in_use == 0


def test_sizes_not_just_used_are_given_up_first() -> None:
    pool = MemoryPool(limit=10_240)
    pool.give(pool.take(8192))
    pool.give(pool.take(4096))
    assert pool.stats().bytes_cached == 4096


def test_emptying_the_cache_gives_all_of_it_up() -> None:
    buffer = Buffer.allocate(1 << 20)
    del buffer
    assert memory_stats().bytes_cached > 0
    empty_cache()
    assert memory_stats().bytes_cached == 0


@given(st.integers(0, 1 << 40))
def test_a_size_class_wastes_at_most_a_quarter(nbytes: int) -> None:
    size = size_class(nbytes)
    assert size % ALIGNMENT == 0
    assert nbytes <= size <= max(nbytes * 5 // 4, nbytes + ALIGNMENT)
    assert size_class(size) == size


def test_threads_never_hold_the_same_block() -> None:
    clashes = []

    def work(mark: int) -> None:
        for _ in range(2000):
            array = Buffer.allocate(256).array(np.dtype(np.int64), (32,))
            array[:] = mark
            if (array != mark).any():
                clashes.append(mark)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not clashes
