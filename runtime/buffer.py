"""Memory of an array: tracejit's own, recycled when the last view of it is gone, or that of a foreign array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from tracejit._native.arrays import address_of
from tracejit.runtime.pool import MEMORY, Block

_BYTES = np.dtype(np.uint8)


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

    __slots__ = ()

    address: int
    nbytes: int
    foreign: ClassVar[bool] = False
    """Whether others may write to the memory with no notice."""

    @property
    def memory(self) -> Any:
        """What has the memory, with `skew` bytes before it, by the buffer protocol."""
        return self

    skew: int = 0

    @staticmethod
    def allocate(nbytes: int) -> Buffer:
        """Uninitialised memory; `nbytes` may be 0. Native code, once it is there, takes the place of this function."""
        return BlockBuffer(MEMORY.take(nbytes), nbytes)

    @staticmethod
    def wrap(array: np.ndarray) -> Buffer:
        """The memory of `array`, whatever its layout; `address` is that of its first element."""
        return ForeignBuffer(array)

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
        steps = None if strides is None else [stride * dtype.itemsize for stride in strides]
        return np.ndarray(shape, dtype, self.memory, self.skew + offset, steps)

    def __repr__(self) -> str:
        kind = "foreign " if self.foreign else ""
        return f"<{kind}Buffer of {self.nbytes} bytes at {self.address:#x}>"


class _Window(np.ndarray):
    """The base of every array over a block: it keeps the buffer alive."""

    __slots__ = ("buffer",)
    buffer: Buffer


class BlockBuffer(Buffer):
    """A buffer over a block of the pool that is written in Python."""

    __slots__ = ("__weakref__", "_block", "address", "nbytes")

    def __init__(self, block: Block, nbytes: int) -> None:
        self._block = block
        self.address = block.address
        self.nbytes = nbytes

    @property
    def memory(self) -> Any:
        window = np.ndarray.__new__(
            _Window, (self.nbytes,), np.uint8, self._block.memory, self._block.skew
        )
        window.buffer = self
        return window

    def __del__(self, give=MEMORY.give) -> None:  # type: ignore[no-untyped-def]  # bound early: at exit the globals are gone
        block = getattr(self, "_block", None)  # none where a signal has ended `__init__` half way
        if block is not None:
            give(block)


class ForeignBuffer(Buffer):
    """The memory of an array that someone else made."""

    __slots__ = ("__weakref__", "address", "nbytes", "owner")

    foreign = True

    def __init__(self, owner: np.ndarray) -> None:
        self.owner = owner
        self.address = address_of(owner)
        self.nbytes = owner.nbytes

    @property
    def is_in_order(self) -> bool:
        """Whether its elements lie side by side from `address` on: then all of its bytes may be copied at once."""
        return self.owner.flags.forc

    def array(
        self,
        dtype: np.dtype[Any],
        shape: Sequence[int],
        strides: Sequence[int] | None = None,
        offset: int = 0,
    ) -> np.ndarray:
        return array_at(self.address + offset, dtype, shape, strides, owner=self)


class RemoteBuffer(Buffer):
    """Memory of another device, of which `array` gives copies."""

    __slots__ = ()

    def copy(self) -> Buffer:
        """The same bytes in other memory of the device."""
        raise NotImplementedError

    def overwrite(self, source: Buffer) -> None:
        """Takes over the bytes of other memory of the device."""
        raise NotImplementedError


def copy_of(buffer: Buffer) -> Buffer:
    """The same bytes in memory of tracejit's own, on the same device; those of a foreign buffer lie in order."""
    if isinstance(buffer, RemoteBuffer):
        return buffer.copy()
    twin = Buffer.allocate(buffer.nbytes)
    overwrite(twin, buffer)
    return twin


def overwrite(target: Buffer, source: Buffer) -> None:
    """Copies the bytes of one buffer to another of the same size and device; those of foreign ones lie in order."""
    if isinstance(target, RemoteBuffer):
        target.overwrite(source)
        return
    shape = (source.nbytes,)
    target.array(_BYTES, shape)[...] = source.array(_BYTES, shape)


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
    writeable = not isinstance(owner, ForeignBuffer) or owner.owner.flags.writeable
    interface = {
        "version": 3,
        "data": (address, not writeable),
        "typestr": f"|V{dtype.itemsize}",  # the interface has no name for the ml_dtypes
        "shape": tuple(shape),
        "strides": None if strides is None else tuple(s * dtype.itemsize for s in strides),
    }
    return np.asarray(_Exporter(owner, interface)).view(dtype)
