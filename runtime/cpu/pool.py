"""The thread pool that launches share. Its threads are made at the first launch that has work for several."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache

import numpy as np

from tracejit._config import after_change
from tracejit._gate import late
from tracejit.artifact import KernelSource
from tracejit.runtime.cpu import pool_ir
from tracejit.runtime.cpu.threads import get_num_threads


class ThreadPool:
    """The context that native code finds its threads by; `address` points at it, and it is never freed."""

    def __init__(self) -> None:
        size = pool_ir.CONTEXT_BYTES
        memory = np.zeros(2 * size, np.uint8)
        skew = (
            -memory.ctypes.data % size
        )  # a worker finds the context from the address of its own flag in it
        self._bytes = memory[skew : skew + size]
        self.address: int = self._bytes.ctypes.data
        self._resize(get_num_threads())
        after_change.append(self._follow)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget_threads)

    @property
    def threads(self) -> int:
        """Threads that a launch may use, the caller's own included."""
        return self._count

    @property
    def workers(self) -> int:
        """Threads that now run beside the callers."""
        return int(self._bytes[pool_ir.ALIVE :].view(np.int32).sum())

    @property
    def jobs(self) -> int:
        """Launches that have been shared among threads so far."""
        return int(self._bytes[4:8].view(np.uint32)[0])

    def work_alone(self, until: int) -> None:
        """Has callers do small launches alone until the processor's counter reaches `until`."""
        self._bytes[pool_ir.ALONE_UNTIL :][:8].view(np.int64)[0] = until

    def _follow(self, setting: str) -> None:
        if setting == "num_threads":
            self._resize(get_num_threads())

    def _resize(self, threads: int) -> None:
        """Missing workers are made, and surplus ones end, when next there is work for several."""
        self._count = min(threads, pool_ir.MAX_THREADS)
        self._word(pool_ir.THREADS)[0] = self._count
        self._word(pool_ir.STARTED)[0] = 0

    def _word(self, offset: int) -> np.ndarray:
        return self._bytes[offset : offset + 4].view(np.int32)

    def _forget_threads(self) -> None:
        """A forked child has the memory of its parent's threads, but not the threads."""
        self._bytes[:] = 0
        self._resize(self._count)


@cache
def thread_pool() -> ThreadPool:
    """The process's one pool."""
    return ThreadPool()


@cache
def runner_source() -> KernelSource:
    """What runs launches, for this system."""
    runner = late("tracejit.runtime.cpu.runner")
    return KernelSource(runner.RUN, runner.runner_ir(late("tracejit.runtime.cpu.target").host()))


_RUN_TYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
RunFunction = Callable[[int, int], None]
_run: list[RunFunction] = []
runners: list[RunFunction] = []
"""What runs launches for Python, short ones and long ones; native code puts its own in their place."""


def address_of(function: RunFunction) -> int:
    """Where the machine code of `run_function` begins."""
    address = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]  # of a type made by ctypes
    assert address is not None
    return address


def run_function() -> RunFunction:
    """`tracejit_run(launches, workspace)`, two addresses; the GIL is released while it runs."""
    if not _run:
        source, disk = runner_source(), late("tracejit.runtime.cache").disk_cache()
        use_runner(late("tracejit.runtime.cpu.compile").load_kernels([source], disk)[source.name])
    return _run[0]


def use_runner(address: int) -> None:
    """Has launches be run by this machine code of `runner_source`, if there is none yet."""
    if not _run:
        _run.append(_RUN_TYPE(address))
        runners[:] = [_run_plainly, _run_plainly]


def _run_plainly(launches: int, workspace: int) -> None:
    try:
        _run[0](launches, workspace)
    except ctypes.ArgumentError:  # of two integers: there was no room on the stack to convert them
        raise RecursionError("maximum recursion depth exceeded") from None
