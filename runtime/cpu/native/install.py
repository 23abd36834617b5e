"""Native code takes over: its memory instead of Python's, and its calls."""

from __future__ import annotations

from tracejit._config import config
from tracejit._native import abi
from tracejit.runtime.buffer import Buffer
from tracejit.runtime.cache import disk_cache
from tracejit.runtime.cpu.compile import load_kernels
from tracejit.runtime.cpu.native import memory_ir
from tracejit.runtime.cpu.native.objects import Native, native, native_source
from tracejit.runtime.cpu.pool import run_function
from tracejit.runtime.pool import MEMORY, POOLS, MemoryStats, default_limit

_state: list[Native | str] = []


def installed() -> Native | None:
    """Native code, in use from the first time that this is asked; None where it is not used, and `why_not` says why."""
    if not _state:
        _state.append(_install())
    found = _state[0]
    return None if isinstance(found, str) else found


def load_common() -> None:
    """Has the machine code that all programs need compiled and loaded."""
    disk = disk_cache()
    run_function(disk)
    if config.native_calls and not isinstance(abi.abi(), str):
        load_kernels([native_source()], disk)


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
