"""The base class of compiled functions: what has ways is called by native code, and all else by Python.

An entry begins as a bound method of Python's does: the function that runs its calls, and the object that comes first among its
arguments, which is the entry itself. Until native code is loaded, Python's own code for calls of bound methods runs it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Protocol

from tracejit._config import config
from tracejit._native import abi
from tracejit._native.types import (
    BASE_TYPE,
    CALL,
    DESCR_GET,
    METHOD_DESCRIPTOR,
    VECTORCALL,
    function_address,
    integer_member,
    new_type,
)

ENTRY_FUNCTION, ENTRY_SELF, ENTRY_CALL, ENTRY_WAYS, ENTRY_BYTES = 16, 24, 40, 48, 56
"""Where an entry has what; the first three are where a bound method has them, and between lie its weak references."""


if TYPE_CHECKING:

    class Table(Protocol):
        """Machine code for calls.

        before   the table whose place it is taking, which it holds until that is done
        """

        before: Any

        @property
        def address(self) -> int:
            """Where native code finds it."""
            ...

        @property
        def call_address(self) -> int:
            """The native function that runs calls by it."""
            ...


busy: dict[int, None] = {}
"""Threads on which something stands between a call and its plain run, such as a recording: while there is one, all calls go to
Python, which looks whether it is its own."""


class PlainEntry:
    """An entry without native code."""

    is_native = False

    def called(self, *args: Any, **kwargs: Any) -> Any:
        """Runs a call."""
        raise NotImplementedError

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self.called(*args, **kwargs)

    def begin(self) -> None:
        """Makes ready for calls."""

    def take_ways(self, ways: Table | None) -> None:
        """From now on calls try these first. A subclass has room for what is held, as `_held_ways`.

        Two threads must not do this at a time.
        """


class PlainMethod(PlainEntry):
    """One that is bound as a function is."""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)


@cache
def entry_class(*, binds: bool = True) -> type[PlainEntry]:
    """The base class to use: a native one where Python is as native code expects it.

    binds   whether an entry that is found in a class is bound as a function is
    """
    if not config.native_calls or isinstance(abi.abi(), str):
        return PlainMethod if binds else PlainEntry
    return _NativeEntry.made(binds=binds)


class _NativeEntry:
    """What the native class has besides its layout."""

    is_native = True
    called: Callable[..., Any]

    @staticmethod
    def made(*, binds: bool) -> type[PlainEntry]:
        slots = [(CALL, function_address("PyVectorcall_Call"))]
        slots += [(DESCR_GET, _binding())] if binds else []
        members = [
            integer_member("__vectorcalloffset__", ENTRY_CALL, flags=1),
            integer_member("_function_address", ENTRY_FUNCTION),
            integer_member("_self_address", ENTRY_SELF),
            integer_member("_call_address", ENTRY_CALL),
            integer_member("_ways_address", ENTRY_WAYS),
        ]
        flags = VECTORCALL | BASE_TYPE | (METHOD_DESCRIPTOR if binds else 0)
        kind = new_type("tracejit.Entry", ENTRY_BYTES, flags, slots, members)
        for name in ("is_native", "begin", "take_ways", "__init_subclass__"):
            setattr(kind, name, _NativeEntry.__dict__[name])
        return kind

    @classmethod
    def __init_subclass__(cls) -> None:
        """Python hands the flags of calls and of methods down to no class that it makes."""
        flags = ctypes.c_ulong.from_address(id(cls) + abi.FLAGS_AT)
        flags.value |= VECTORCALL | (METHOD_DESCRIPTOR if hasattr(cls, "__get__") else 0)

    def begin(self) -> None:
        _set(self, "_function_address", id(type(self).called))
        _set(self, "_self_address", id(self))  # not held: it is itself
        _set(self, "_call_address", _call_of_methods())

    def take_ways(self, ways: Table | None) -> None:
        # Whatever a call may find is held at any time: a signal may end this after any line.
        if ways is None:
            _set(self, "_call_address", _call_of_methods())
            _set(self, "_ways_address", 0)
            _set(self, "_held_ways", None)
            return
        ways.before = getattr(self, "_held_ways", None)
        _set(self, "_held_ways", ways)
        _set(self, "_ways_address", ways.address)
        _set(self, "_call_address", ways.call_address)
        ways.before = None


_set = object.__setattr__
"""A class may have a way of its own to set attributes."""


class _Sample:
    def method(self) -> None: ...


@cache
def _call_of_methods() -> int:
    """Python's code for calls of bound methods."""
    method = _Sample().method  # held while it is looked at
    return abi.word(id(method) + ENTRY_CALL)


def _binding() -> int:
    """Python's code that binds functions to objects."""
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_int)(
        ("PyType_GetSlot", ctypes.pythonapi)
    )
    address: int = get(FunctionType, DESCR_GET)
    return address
