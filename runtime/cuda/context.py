"""A thread's current device: all that the driver is asked for is done on that one.

pycuda has a stack of contexts for each thread, with one of ours on it at a time. Another may come in its place, as PyTorch and
our machine code change devices without a word to pycuda; so the driver is asked each time which one is there.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from tracejit._errors import DeviceUnavailable, at_user_line

LIBRARY = "libcuda.so.1"
_FORKED = (
    "the process was forked after CUDA had been used, and a child cannot use it: start children "
    "with multiprocessing's 'spawn', or use CUDA first in the child"
)


@cache
def library() -> ctypes.PyDLL:
    """The driver, whose functions keep hold of the interpreter: what is asked here takes less time than letting go of it."""
    return ctypes.PyDLL(LIBRARY)


def error_text(status: int) -> str:
    """What the driver calls an error."""
    text = ctypes.c_char_p()
    library().cuGetErrorString(status, ctypes.byref(text))
    return (text.value or b"").decode()


class Context:
    """A device's primary context, which all libraries of the process share.

    is_released   whether nothing can be done in it any more, and nothing need be put in order
    """

    def __init__(self, context: Any, label: str) -> None:
        self._context = context
        self._label = label
        self._process = os.getpid()
        self.handle: int = context.handle
        """What the driver calls it."""
        self.is_released = False

    def enter(self) -> None:
        """Makes the device the current one of this thread. Raises DeviceUnavailable in a forked child."""
        if (visit := _here.visit) is not None and visit.context is self:
            if not visit.is_current():
                library().cuCtxSetCurrent(ctypes.c_void_p(self.handle))
            return
        if self._process != os.getpid():
            raise DeviceUnavailable(at_user_line(f"{self._label}: {_FORKED}"))
        _here.visit = visit = None  # the other device is left first
        _here.visit = _Visit(self, self._context)

    @contextmanager
    def visited(self) -> Iterator[None]:
        """Within the block the device is the current one, and afterwards the one is that was before: for what may happen at any
        time, such as the end of an object."""
        before = _here.visit
        if before is not None and before.context is self:
            self.enter()
            yield
            return
        _here.visit = _Visit(self, self._context)
        try:
            yield
        finally:
            _here.visit = before

    def release(self) -> None:
        """At the end of the process: nothing can be done in it afterwards."""
        self.is_released = True
        if self._process == os.getpid():
            self._context.detach()


class _Visit:
    """A device that is the current one of a thread, until the thread ends: pycuda aborts the process if it still is then."""

    def __init__(self, context: Context, pushed: Any) -> None:
        pushed.push()
        self.context = context
        self._pushed = pushed
        self._thread = threading.get_ident()
        self._found = ctypes.c_void_p()
        self._to_found = ctypes.byref(self._found)
        self._ask = library().cuCtxGetCurrent

    def is_current(self) -> bool:
        """Whether no other library has made another one current."""
        return self._ask(self._to_found) == 0 and self._found.value == self.context.handle

    def __del__(self, me=threading.get_ident) -> None:  # type: ignore[no-untyped-def]  # bound early: at exit the globals are gone
        # Of daemons the interpreter takes the objects apart on another thread, when the device has been released.
        if getattr(self, "_thread", None) == me() and not self.context.is_released:
            self._pushed.pop()


class _Here(threading.local):
    visit: _Visit | None = None


_here = _Here()


def leave() -> None:
    """This thread has no current device: a forked child could not put it away."""
    _here.visit = None
