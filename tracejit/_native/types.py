"""Types made through Python's C interface."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

_HEAP_TYPE_DEFAULTS = 1 << 18
BASE_TYPE, VECTORCALL, METHOD_DESCRIPTOR = 1 << 10, 1 << 11, 1 << 17
"""Flags."""
GET_BUFFER, CALL, DEALLOC, DESCR_GET, _MEMBERS = 1, 50, 52, 54, 72
"""Slots."""
_INTEGER = 19
READ_ONLY = 1


Member = tuple[str, int, int, int]
"""The name, kind and place of something in an object, and flags."""
_held: list[Any] = []


def keep(value: Any) -> Any:
    """`value`, which something native refers to for as long as the process lives."""
    _held.append(value)
    return value


def integer_member(name: str, offset: int, flags: int = 0) -> Member:
    """A word of an object, which Python sees as an integer."""
    return name, _INTEGER, offset, flags


def new_type(
    name: str, size: int, flags: int, slots: Sequence[tuple[int, int]], members: Sequence[Member]
) -> type:
    """A class whose objects have `size` bytes."""
    # The C structures as words: classes of `ctypes` for them would take longer to make than the type.
    table = [(_text(each), kind, offset, how, 0) for each, kind, offset, how in members]
    listed = [*slots, (_MEMBERS, _words([*table, (0, 0, 0, 0, 0)])), (0, 0)]
    spec = [(_text(name), size, flags | _HEAP_TYPE_DEFAULTS, _words(listed))]
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p)(
        ("PyType_FromSpec", ctypes.pythonapi)
    )
    made: type = keep(make(_words(spec)))
    return made


def _words(rows: Sequence[tuple[int, ...]]) -> int:
    """Where they lie; of two numbers of 32 bits in a word the second one is 0."""
    address: int = keep(np.array(rows, np.int64)).__array_interface__["data"][0]
    return address


def _text(text: str) -> int:
    """Where it lies."""
    address = ctypes.cast(ctypes.c_char_p(keep(text.encode())), ctypes.c_void_p).value
    assert address is not None
    return address


def function_address(name: str) -> int:
    """Where a function of Python's C interface lies."""
    address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
    assert address is not None
    return address
