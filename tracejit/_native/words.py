"""Memory as it lies."""

from __future__ import annotations

import ctypes


def word(address: int) -> int:
    """The 8 bytes at an address."""
    return ctypes.c_int64.from_address(address).value


def byte(address: int) -> int:
    return ctypes.c_uint8.from_address(address).value
