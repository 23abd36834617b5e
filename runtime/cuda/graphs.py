"""Runs of one plan as CUDA graphs: the host then pays for one launch instead of each.

A graph is of one set of addresses. A set that keeps coming back has a graph of its own; for what comes once, one more graph is
moved from set to set: the parameters of those of its launches that differ are replaced in place.

pycuda knows no graphs, so the driver is called directly, on pycuda's own streams and launches. A graph that can be launched must
not be used by two threads at once: the functions that do so keep hold of the interpreter, as native code does (`native.py`).
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tracejit._errors import DeviceError
from tracejit.runtime.cuda.context import error_text, library
from tracejit.runtime.cuda.driver import Gpu

AFTER = 2
"""Runs, on one set of addresses or at all, before one is captured: that takes as long as some runs."""
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


class Launches(Protocol):
    """What a plan launches."""

    @property
    def parts(self) -> Sequence[slice]:
        """Of the packed parameters: each launch's."""
        ...

    def packed(self, addresses: Addresses) -> bytes:
        """The parameters of all launches."""
        ...

    def enqueue(self, packed: bytes, stream: Any, after: Callable[[], None] | None = None) -> None:
        """Enqueues all launches; `after` is called after each."""
        ...


class Graphs:
    """The graphs of one plan. Several threads may use it at once."""

    def __init__(self, gpu: Gpu, launches: Launches) -> None:
        self._gpu = gpu
        self._launches = launches
        self._captured: dict[Addresses, Captured] = {}
        self._moving: Captured | None = None
        self._at: Addresses = ()
        """The addresses that the graph that moves is for."""
        self._seen: dict[Addresses, int] = {}
        self._runs = self._captures = 0
        self._lock = threading.Lock()
        """Held while a graph is chosen and launched: it might be moved meanwhile. Who finds it held, be it by a signal's handler,
        does without."""
        self.publish: Callable[[dict[Addresses, Captured]], None] = lambda ready: None
        """Told of the graphs that can be launched, and for which addresses, whenever that changes."""

    def launch(self, addresses: Addresses) -> bool:
        """Enqueues the launches on these addresses as one graph; False, and nothing done, where there is none, and none pays."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if not self._is_ready(addresses):
                return False
            self._of(addresses).launch(self._gpu.stream.handle)
            return True
        finally:
            self._lock.release()

    def prepare(self, addresses: Addresses) -> bool:
        """Whether there is a graph for these addresses now."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return self._is_ready(addresses)
        finally:
            self._lock.release()

    def _of(self, addresses: Addresses) -> Captured:
        own = self._captured.get(addresses, self._moving)
        assert own is not None
        return own

    def _is_ready(self, addresses: Addresses) -> bool:
        if addresses in self._captured or (self._moving is not None and addresses == self._at):
            return True
        self._runs += 1
        seen = self._seen[addresses] = self._seen.get(addresses, 0) + 1
        if len(self._seen) > MOST_COUNTED:
            self._seen = {addresses: seen}
        if seen > AFTER and self._captures < MOST_CAPTURES:
            return self._capture(addresses)
        return self._runs > AFTER and self._move(addresses)

    def _capture(self, addresses: Addresses) -> bool:
        made = self._made(addresses)
        if made is not None:
            if len(self._captured) >= MOST:
                self._captured.pop(next(iter(self._captured)))
            self._captured[addresses] = made
            del self._seen[addresses]
            self._tell()
        return made is not None

    def _move(self, addresses: Addresses) -> bool:
        """Has the graph that moves be for these addresses, if that costs less than the launches do."""
        moving, before = self._moving, self._at
        if moving is None:
            if len(self._launches.parts) < 2 or self._captures >= MOST_CAPTURES:
                return False
            made = self._made(addresses)
            if made is not None and made.is_movable:
                self._moving, self._at = made, addresses
        else:
            self._moving = None
            self._tell()  # from here on nobody launches it
            try:
                has_moved = moving.move(self._launches.packed(addresses))
            except GraphError:  # what it is now nobody knows
                self._captures = MOST_CAPTURES
                return False
            self._moving, self._at = moving, addresses if has_moved else before
        self._tell()
        return self._moving is not None and self._at == addresses

    def _made(self, addresses: Addresses) -> Captured | None:
        """A graph of these addresses; None where another capture is under way, or the driver makes none."""
        if not _one.acquire(blocking=False):
            return None
        self._captures += 1
        try:
            return Captured(self._gpu, self._launches, self._launches.packed(addresses))
        except (GraphError, DeviceError):  # the launches do the same one by one
            self._captures = MOST_CAPTURES
            return None
        finally:
            _one.release()

    def _tell(self) -> None:
        moving = {} if self._moving is None else {self._at: self._moving}
        self.publish({**moving, **self._captured})


_one = threading.Lock()
"""One capture at a time."""


class Captured:
    """A graph, ready to be launched.

    address      where the driver has it
    is_movable   whether the driver has said which launch became what
    """

    def __init__(self, gpu: Gpu, launches: Launches, packed: bytes) -> None:
        self._gpu = gpu
        self._parts = launches.parts
        self._packed = packed
        self._nodes: list[ctypes.c_void_p] = []
        self._graph, self._exec = ctypes.c_void_p(), ctypes.c_void_p()
        # On another stream: what other threads enqueue meanwhile is no part of it.
        stream = ctypes.c_void_p(gpu.aside.handle)
        _call("cuStreamBeginCapture_v2", stream, _THREAD_LOCAL)
        try:
            launches.enqueue(packed, gpu.aside, lambda: self._note(stream))
        finally:
            _call("cuStreamEndCapture", stream, ctypes.byref(self._graph))
        flags = ctypes.c_ulonglong(0)
        _call("cuGraphInstantiateWithFlags", ctypes.byref(self._exec), self._graph, flags)
        self.is_movable = len(self._nodes) == len(self._parts)

    @property
    def address(self) -> int:
        return self._exec.value or 0

    def launch(self, stream: int) -> None:
        _call("cuGraphLaunch", self._exec, ctypes.c_void_p(stream))

    def move(self, packed: bytes) -> bool:
        """Replaces the parameters of launches; False, and nothing done, where that would be most of them. Raises GraphError."""
        others = [n for n, part in enumerate(self._parts) if packed[part] != self._packed[part]]
        if 2 * len(others) > len(self._parts):
            return False
        for number in others:
            self._replace(number, packed[self._parts[number]])
        self._packed = packed
        return True

    def _replace(self, number: int, parameters: bytes) -> None:
        node, wanted = self._nodes[number], _NodeParams()
        _call("cuGraphKernelNodeGetParams_v2", node, ctypes.byref(wanted))
        held = ctypes.create_string_buffer(parameters, len(parameters))
        wanted.parameters = (ctypes.c_void_p * 1)(ctypes.addressof(held))
        wanted.extra = None
        _call("cuGraphExecKernelNodeSetParams_v2", self._exec, node, ctypes.byref(wanted))

    def _note(self, stream: ctypes.c_void_p) -> None:
        """The launch that was captured last is what the next one would wait for."""
        status, number = ctypes.c_int(), ctypes.c_uint64()
        graph, nodes, count = (
            ctypes.c_void_p(),
            ctypes.POINTER(ctypes.c_void_p)(),
            ctypes.c_size_t(),
        )
        asked = (ctypes.byref(each) for each in (status, number, graph, nodes, count))
        ask = getattr(library(), "cuStreamGetCaptureInfo_v2", None)  # not in every driver
        if ask is not None and not ask(stream, *asked) and count.value == 1:
            self._nodes.append(ctypes.c_void_p(nodes[0]))

    def __del__(self) -> None:
        if self._gpu.is_released:
            return
        if self._exec.value:
            library().cuGraphExecDestroy(self._exec)
        if self._graph.value:
            library().cuGraphDestroy(self._graph)


class _NodeParams(ctypes.Structure):
    """The driver's CUDA_KERNEL_NODE_PARAMS, its second version."""

    _fields_ = [  # as ctypes wants it
        ("function", ctypes.c_void_p),
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("parameters", ctypes.POINTER(ctypes.c_void_p)),
        ("extra", ctypes.POINTER(ctypes.c_void_p)),
        ("kernel", ctypes.c_void_p),
        ("context", ctypes.c_void_p),
    ]


def _call(name: str, *args: Any) -> None:
    status = getattr(library(), name)(*args)
    if status:
        raise GraphError(f"{name} failed: {error_text(status)}")
