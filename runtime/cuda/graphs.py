"""Runs of one plan on the same addresses as one CUDA graph: the host then pays for one launch instead of each.

pycuda knows no graphs, so the driver is called directly, on pycuda's own streams and launches.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from tracejit._errors import DeviceError
from tracejit.runtime.cuda.driver import LIBRARY, Gpu

AFTER = 2
"""Runs on the same addresses before they are captured: that takes as long as some runs."""
MOST = 8
"""Graphs of one plan: one for each set of addresses that its runs alternate between."""
MOST_COUNTED = 64
"""Sets of addresses that are counted at a time."""
MOST_CAPTURES = 64
"""Of one plan: where addresses keep changing, captures cost more than they save."""
_THREAD_LOCAL = 1
"""The mode of capture in which other threads may go on as if there were none."""

Addresses = tuple[int, ...]


class GraphError(Exception):
    """What the driver says of a graph."""


class Graphs:
    """The graphs of one plan, by the addresses that they were captured with."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._captured: dict[Addresses, _Captured] = {}
        self._seen: dict[Addresses, int] = {}
        self._captures = 0

    def launch(self, addresses: Addresses) -> bool:
        """Enqueues the graph of these addresses, if there is one."""
        captured = self._captured.get(addresses)
        if captured is None:
            return False
        captured.launch(self._gpu.stream.handle)
        return True

    def consider(self, addresses: Addresses, enqueue: Callable[[Addresses, Any], None]) -> None:
        """Counts a run on these addresses; `enqueue(addresses, stream)` is captured where they keep coming back."""
        seen = self._seen.get(addresses, 0) + 1
        if len(self._seen) >= MOST_COUNTED:
            self._seen.clear()
        self._seen[addresses] = seen
        if seen > AFTER and self._captures < MOST_CAPTURES and _one.acquire(blocking=False):
            try:
                self._capture(addresses, enqueue)
            except (GraphError, DeviceError):  # the launches do the same one by one
                self._captures = MOST_CAPTURES
            finally:
                _one.release()

    def _capture(self, addresses: Addresses, enqueue: Callable[[Addresses, Any], None]) -> None:
        # On another stream: what other threads enqueue meanwhile is no part of it.
        made = _Captured(self._gpu, lambda: enqueue(addresses, self._gpu.aside))
        self._captures += 1
        if len(self._captured) >= MOST:
            self._captured.pop(next(iter(self._captured)), None)
        self._captured[addresses] = made
        self._seen.pop(addresses, None)


_one = threading.Lock()
"""One capture at a time."""


class _Captured:
    """A graph, ready to be launched."""

    def __init__(self, gpu: Gpu, enqueue: Callable[[], None]) -> None:
        self._gpu = gpu
        stream = gpu.aside.handle
        graph = ctypes.c_void_p()
        _call("cuStreamBeginCapture_v2", ctypes.c_void_p(stream), _THREAD_LOCAL)
        try:
            enqueue()
        finally:
            _call("cuStreamEndCapture", ctypes.c_void_p(stream), ctypes.byref(graph))
        self._exec = ctypes.c_void_p()
        try:
            flags = ctypes.c_ulonglong(0)
            _call("cuGraphInstantiateWithFlags", ctypes.byref(self._exec), graph, flags)
        finally:
            _call("cuGraphDestroy", graph)

    def launch(self, stream: int) -> None:
        _call("cuGraphLaunch", self._exec, ctypes.c_void_p(stream))

    def __del__(self) -> None:
        if getattr(self, "_exec", None) and not self._gpu.is_released:
            _driver().cuGraphExecDestroy(self._exec)


@cache
def _driver() -> ctypes.CDLL:
    return ctypes.CDLL(LIBRARY)


def _call(name: str, *args: Any) -> None:
    status = getattr(_driver(), name)(*args)
    if status:
        text = ctypes.c_char_p()
        _driver().cuGetErrorString(status, ctypes.byref(text))
        raise GraphError(f"{name} failed: {(text.value or b'').decode()}")
