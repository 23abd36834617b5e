"""Memory of an array: tracejit's own, recycled when the last view of it is gone, or that of a foreign array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit.runtime.pool import MEMORY, Block


class _Window(np.ndarray):
    """The base of every array over a buffer: it keeps the buffer alive."""

    __slots__ = ("buffer",)
    buffer: Buffer


class Buffer:
    """`nbytes` of memory at `address`.

    Memory of tracejit's own is 64-byte aligned and goes back to the pool when the buffer and all arrays over it are gone.
    Memory that is `foreign` belongs to an array that someone else made; the buffer keeps that array alive.

    >>> buffer = Buffer.allocate(24)
    >>> array = buffer.array(np.dtype("float32"), (2, 3))
    >>> array[...] = 1
    >>> buffer.array(np.dtype("float32"), (2,), strides=(3,), offset=4).tolist()
    [1.0, 1.0]
    """

    __slots__ = ("__weakref__", "_array", "_block", "address", "nbytes")

    address: int
    nbytes: int
    _block: Block | None
    _array: np.ndarray | None

    @classmethod
    def allocate(cls, nbytes: int) -> Buffer:
        """Uninitialised memory; `nbytes` may be 0."""
        block = MEMORY.take(nbytes)
        buffer = cls.__new__(cls)
        buffer._block = block
        buffer._array = None
        buffer.address = block.address
        buffer.nbytes = nbytes
        return buffer

    @classmethod
    def wrap(cls, array: np.ndarray) -> Buffer:
        """The memory of `array`, whatever its layout; `address` is that of its first element."""
        buffer = cls.__new__(cls)
        buffer._block = None
        buffer._array = array
        buffer.address = array.__array_interface__["data"][0]
        buffer.nbytes = array.nbytes
        return buffer

    @property
    def foreign(self) -> bool:
        """Whether others may write to the memory with no notice."""
        return self._array is not None

    def array(
        self,
        dtype: np.dtype[Any],
        shape: Sequence[int],
        strides: Sequence[int] | None = None,
        offset: int = 0,
    ) -> np.ndarray:
        """An array over the memory. `strides` in elements (None: row-major), `offset` in bytes, as in `tracejit.artifact`.

        Raises TypeError or ValueError, as `np.ndarray` does, if the array would reach outside memory of tracejit's own.
        """
        if self._block is None:
            return array_at(self.address + offset, dtype, shape, strides, owner=self)
        steps = None if strides is None else [stride * dtype.itemsize for stride in strides]
        window = np.ndarray.__new__(
            _Window, (self.nbytes,), np.uint8, self._block.memory, self._block.skew
        )
        window.buffer = self
        return np.ndarray(shape, dtype, window, offset, steps)

    def __del__(self, give=MEMORY.give) -> None:  # type: ignore[no-untyped-def]  # bound early: at exit the globals are gone
        block = getattr(self, "_block", None)  # none where a signal has ended `allocate` half way
        if block is not None:
            give(block)

    def __repr__(self) -> str:
        kind = "foreign " if self.foreign else ""
        return f"<{kind}Buffer of {self.nbytes} bytes at {self.address:#x}>"


class _Exporter:
    """What NumPy asks for when it makes an array over an address."""

    def __init__(self, owner: object, interface: dict[str, object]) -> None:
        self.owner = owner
        self.__array_interface__ = interface


def array_at(
    address: int,
    dtype: np.dtype[Any],
    shape: Sequence[int],
    strides: Sequence[int] | None = None,
    owner: object = None,
) -> np.ndarray:
    """An array over the elements at `address`; `owner` is kept alive. `strides` in elements."""
    writeable = (
        not isinstance(owner, Buffer) or owner._array is None or owner._array.flags.writeable
    )
    interface = {
        "version": 3,
        "data": (address, not writeable),
        "typestr": f"|V{dtype.itemsize}",  # the interface has no name for the ml_dtypes
        "shape": tuple(shape),
        "strides": None if strides is None else tuple(s * dtype.itemsize for s in strides),
    }
    return np.asarray(_Exporter(owner, interface)).view(dtype)
