"""What the lines of a call speak of (`walk.py`), as Python's functions; machine code writes most of them out (`entry.py`)."""

from __future__ import annotations

import ctypes
from typing import Any, NoReturn

import numpy as np

from tracejit.runtime.buffer import Buffer, array_at


def element(address: int, dtype: np.dtype[Any]) -> bool | int | float:
    """The element there as a Python number."""
    found: bool | int | float = array_at(address, dtype, ()).item()
    return found


def are_within(address: int, dtype: np.dtype[Any], count: int, base: int, size: int) -> bool:
    """Whether so many integers are in [-base, size)."""
    found = array_at(address, dtype, (count,))
    return not count or bool(found.min() >= -base and found.max() < size)


def copied(address: int, nbytes: int) -> Buffer:
    """The bytes there in memory of their own."""
    buffer = Buffer.allocate(nbytes)
    ctypes.memmove(buffer.address, address, nbytes)
    return buffer


def array(buffer: Buffer, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
    """An array over all of a memory."""
    return buffer.array(dtype, shape)


def put(values: dict[int, Any], *pairs: Any) -> None:
    """Changes state: a slot and its value, and so on, at once: a signal may come between any two lines."""
    values.update(zip(pairs[::2], pairs[1::2]))


def throw(error: type[Exception], args: tuple[Any, ...]) -> NoReturn:
    raise error(*args)


NAMES = {each.__name__: each for each in (element, are_within, copied, array, put, throw)}
"""By the names that lines have for them."""
