"""Native code takes over: its memory instead of Python's, and its calls."""

from __future__ import annotations

import os
import threading

from tracejit._config import config
from tracejit.runtime.buffer import Buffer
from tracejit.runtime.cache import disk_cache
from tracejit.runtime.cpu.native import memory_ir
from tracejit.runtime.cpu.native.objects import Native, native
from tracejit.runtime.cpu.pool import runners
from tracejit.runtime.pool import MEMORY, POOLS, MemoryStats, default_limit

_state: list[Native | str] = []
_lock = threading.RLock()


def _renew_lock() -> None:
    """In a child process: whoever held the lock is a thread of the parent's."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def installed() -> Native | None:
    """Native code, in use from the first time that this is asked; None where it is not used, and `why_not` says why."""
    with _lock:
        if not _state:
            _state.append(_install())
    found = _state[0]
    return None if isinstance(found, str) else found


def why_not() -> str | None:
    """Why native code is not used; None where it is."""
    installed()
    found = _state[0]
    return found if isinstance(found, str) else None


def _install() -> Native | str:
    if not config.native_calls:
        return "the setting native_calls is off"
    found = native(disk_cache())
    if isinstance(found, Native):
        words = found.words("tracejit_pool", memory_ir.WORDS)
        words[memory_ir.LIMIT] = default_limit()
        POOLS.append(_NativePool(found))
        runners[:] = [found.run_short, found.run_long]
        Buffer.allocate = found.allocate  # type: ignore[method-assign, assignment]  # as its docstring says
        MEMORY.retire()
    return found


class _NativePool:
    def __init__(self, made: Native) -> None:
        self._words = made.words("tracejit_pool", memory_ir.WORDS)
        self._empty = made.empty

    def empty(self) -> None:
        self._empty()

    def stats(self) -> MemoryStats:
        words = self._words
        return MemoryStats(
            words[memory_ir.IN_USE],
            words[memory_ir.CACHED],
            words[memory_ir.ALLOCATIONS],
            words[memory_ir.REUSES],
            words[memory_ir.PEAK],
        )

    def reset_peak(self) -> None:
        self._words[memory_ir.PEAK] = self._words[memory_ir.IN_USE]
