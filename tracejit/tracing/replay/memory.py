"""Memory of a replay whose end is not certain yet: writes go to copies, which take the place of the originals at its end."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.runtime.buffer import Buffer, ForeignBuffer, copy_of, overwrite
from tracejit.storage import Storage


class Abandoned(Exception):
    """The replay cannot go on, and nothing has been done yet: Python is to run."""


class Window:
    """A buffer's memory from a place in it on."""

    __slots__ = ("_buffer", "_offset", "address")

    def __init__(self, buffer: Buffer, offset: int) -> None:
        self._buffer = buffer
        self._offset = offset
        self.address = buffer.address + offset

    def array(self, dtype: Any, shape: Any, strides: Any = None, offset: int = 0) -> np.ndarray:
        """As that of a buffer."""
        return self._buffer.array(dtype, shape, strides, self._offset + offset)


def private(buffer: Buffer) -> Buffer:
    """The same bytes in memory of its own."""
    if isinstance(buffer, ForeignBuffer) and not buffer.is_in_order:
        raise Abandoned("an array with gaps is written before the last decision")
    return copy_of(buffer)


def settle(storage: Storage, buffer: Buffer) -> None:
    """Makes the copy the content of `storage`: by taking its place, or at the same address where others see it."""
    if not storage.escaped:
        storage.buffer = buffer
        return
    assert storage.buffer is not None
    overwrite(storage.buffer, buffer)


def put_back(array: np.ndarray, buffer: Buffer) -> Buffer:
    """Makes the copy the content of an array, whose own memory it gives."""
    own = Buffer.wrap(array)
    if buffer.address != own.address:
        overwrite(own, buffer)
    return own
