"""Recycled memory: writing to fresh pages costs up to sixteen times what writing to used ones does."""

from __future__ import annotations

import os
import threading
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tracejit._records import dataclass

ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector of any target."""


class _Memory(np.ndarray):
    """Owns its bytes; a class of its own, because NumPy makes the base of a view the last array of the view's own class."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """`nbytes` of aligned memory at `address`, `skew` bytes into `memory`."""

    memory: np.ndarray
    skew: int
    address: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """What the pool holds, in bytes, and how many blocks it has made and reused so far.

    bytes_peak   the most bytes in use at once since the process began, or since `reset_peak_memory_stats()`
    """

    bytes_in_use: int
    bytes_cached: int
    allocations: int
    reuses: int
    bytes_peak: int

    def __add__(self, other: MemoryStats) -> MemoryStats:
        """Those of two pools; peaks as if they had been at one time."""
        return MemoryStats(
            *(getattr(self, name) + getattr(other, name) for name in self.__match_args__)
        )


if TYPE_CHECKING:

    class Pool(Protocol):
        """Hands out memory, and keeps what it gets back for the next time."""

        def empty(self) -> None:
            """Frees all that it keeps."""
            ...

        def stats(self) -> MemoryStats: ...

        def reset_peak(self) -> None:
            """The most bytes in use are those of now."""
            ...


class MemoryPool:
    """Free blocks by size, at most `limit` bytes of them; when there are more, those of sizes not just used go first.

    Safe under threads, under fork, and under a garbage collection that frees a block while another is being taken: lists are
    popped and appended to, which is atomic, and only giving up memory takes a lock.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._free: dict[int, list[Block]] = {}
        self._lock = threading.RLock()
        self._in_use = self._cached = self._allocations = self._reuses = self._peak = 0

    def take(self, nbytes: int) -> Block:
        """A block of at least `nbytes`, uninitialised."""
        size = size_class(nbytes)
        try:
            block = self._free[size].pop()
        except (KeyError, IndexError):
            block = self._allocate(size)
        else:
            self._cached -= size
            self._reuses += 1
        self._in_use += size
        self._peak = max(self._peak, self._in_use)
        return block

    def give(self, block: Block) -> None:
        """Takes `block` back; nothing may be able to see it any more."""
        size = block.nbytes
        self._in_use -= size
        if size > self.limit:
            return
        try:
            self._free[size].append(block)
        except KeyError:
            self._free.setdefault(size, []).append(block)
        self._cached += size
        if self._cached > self.limit:
            self._trim(size)

    def empty(self) -> None:
        """Frees all cached blocks."""
        with self._lock:
            for size in list(self._free):
                self._give_up(size, self._cached)

    def retire(self) -> None:
        """Another pool has taken over: what is given back is freed."""
        self.limit = 0
        self.empty()

    def stats(self) -> MemoryStats:
        return MemoryStats(self._in_use, self._cached, self._allocations, self._reuses, self._peak)

    def reset_peak(self) -> None:
        self._peak = self._in_use

    def _allocate(self, size: int) -> Block:
        self._allocations += 1
        try:
            return _new_block(size)
        except MemoryError:
            self.empty()
            return _new_block(size)

    def _trim(self, used: int) -> None:
        """Gives blocks up, those of the size `used` last, until the rest is within the limit."""
        with self._lock:
            for size in [*(size for size in list(self._free) if size != used), used]:
                self._give_up(size, self._cached - self.limit)

    def _give_up(self, size: int, nbytes: int) -> None:
        blocks = self._free[size]
        while nbytes > 0:
            try:
                blocks.pop()
            except IndexError:
                return
            self._cached -= size
            nbytes -= size


@lru_cache(maxsize=4096)
def size_class(nbytes: int) -> int:
    """The size that a request is rounded up to: four classes to each doubling, so at most a quarter is wasted."""
    step = max(ALIGNMENT, 1 << max(nbytes - 1, 1).bit_length() >> 3)
    return max(-(-nbytes // step), 1) * step


def _new_block(nbytes: int) -> Block:
    memory = np.ndarray.__new__(_Memory, (nbytes + ALIGNMENT,), np.uint8)
    start = memory.__array_interface__["data"][0]
    skew = -start % ALIGNMENT
    return Block(memory, skew, start + skew, nbytes)


def default_limit() -> int:
    """An eighth of the machine's memory, at most 1 GiB."""
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        physical = 4 << 30
    return min(1 << 30, physical // 8)


MEMORY = MemoryPool(default_limit())
POOLS: list[Pool] = [MEMORY]
"""The pools in use: this one until native code takes over, and what is still in use of it then."""

if hasattr(os, "register_at_fork"):
    # Held over a fork, so that the child does not inherit a lock whose owner it lacks.
    os.register_at_fork(
        before=MEMORY._lock.acquire,
        after_in_parent=MEMORY._lock.release,
        after_in_child=MEMORY._lock.release,
    )


def empty_cache() -> None:
    """Gives the memory that no buffer uses back to the operating system; what arrays hold stays theirs.

    >>> empty_cache()
    >>> memory_stats().bytes_cached
    0
    """
    for pool in POOLS:
        pool.empty()


def memory_stats() -> MemoryStats:
    """How much memory buffers use and the pool keeps.

    >>> memory_stats().allocations >= 0
    True
    """
    return reduce(MemoryStats.__add__, (pool.stats() for pool in POOLS))


def reset_peak_memory_stats() -> None:
    """From now on `memory_stats().bytes_peak` is the most bytes in use since this call.

    >>> reset_peak_memory_stats()
    >>> memory_stats().bytes_peak == memory_stats().bytes_in_use
    True
    """
    for pool in POOLS:
        pool.reset_peak()
