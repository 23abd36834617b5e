"""Types made through Python's C interface."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

_HEAP_TYPE_DEFAULTS = 1 << 18
BASE_TYPE, VECTORCALL, METHOD_DESCRIPTOR = 1 << 10, 1 << 11, 1 << 17
"""Flags."""
GET_BUFFER, CALL, DEALLOC, DESCR_GET, _MEMBERS = 1, 50, 52, 54, 72
"""Slots."""
_INTEGER = 19
READ_ONLY = 1


class _Slot(ctypes.Structure):
    _fields_ = (("slot", ctypes.c_int), ("value", ctypes.c_void_p))


class Member(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p), ("kind", ctypes.c_int), ("offset", ctypes.c_ssize_t),
        ("flags", ctypes.c_int), ("doc", ctypes.c_char_p),
    )  # fmt: skip


class _Spec(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p), ("size", ctypes.c_int), ("item_size", ctypes.c_int),
        ("flags", ctypes.c_uint), ("slots", ctypes.POINTER(_Slot)),
    )  # fmt: skip


_held: list[Any] = []


def keep(value: Any) -> Any:
    """`value`, which something native refers to for as long as the process lives."""
    _held.append(value)
    return value


def integer_member(name: str, offset: int, flags: int = 0) -> Member:
    """A word of an object, which Python sees as an integer."""
    return Member(name.encode(), _INTEGER, offset, flags, None)


def new_type(
    name: str, size: int, flags: int, slots: Sequence[tuple[int, int]], members: Sequence[Member]
) -> type:
    """A class whose objects have `size` bytes."""
    table = keep((Member * (len(members) + 1))(*members))
    found = [*slots, (_MEMBERS, ctypes.addressof(table)), (0, 0)]
    listed = keep((_Slot * len(found))(*(_Slot(slot, value) for slot, value in found)))
    spec = keep(_Spec(name.encode(), size, 0, flags | _HEAP_TYPE_DEFAULTS, listed))
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p)(
        ("PyType_FromSpec", ctypes.pythonapi)
    )
    made: type = keep(make(ctypes.addressof(spec)))
    return made


def function_address(name: str) -> int:
    """Where a function of Python's C interface lies."""
    address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
    assert address is not None
    return address
