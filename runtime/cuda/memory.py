"""Memory of a GPU: as a `Buffer`'s, it goes back to its pool when the last tensor over it is gone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from tracejit.runtime.buffer import Buffer, RemoteBuffer
from tracejit.runtime.cuda.driver import Gpu, gpu_named

MIRRORED = 1 << 20
"""Bytes of integers that are kept on the host, too, when they are sent: labels and indices are looked at before their use."""


class DeviceBuffer(RemoteBuffer):
    """`nbytes` of memory at `address` of a GPU.

    mirror   the same bytes on the host; None where there are none, or something has been written since
    """

    __slots__ = ("__weakref__", "_allocation", "address", "gpu", "mirror", "nbytes")

    mirror: np.ndarray | None

    def __init__(self, gpu: Gpu, nbytes: int) -> None:
        self._allocation = gpu.allocate(nbytes)
        self.address = self._allocation.address
        self.gpu = gpu
        self.nbytes = nbytes
        self.mirror = None

    @property
    def memory(self) -> Any:
        raise TypeError("the memory of a GPU has no buffer protocol")

    def array(
        self,
        dtype: np.dtype[Any],
        shape: Sequence[int],
        strides: Sequence[int] | None = None,
        offset: int = 0,
    ) -> np.ndarray:
        """A copy of the elements in the host's memory, for reading only, once all that was enqueued before is done."""
        mirror = self.mirror
        if mirror is None:
            return read(self.gpu, self.address + offset, dtype, shape, strides)
        steps = None if strides is None else [stride * dtype.itemsize for stride in strides]
        return np.ndarray(tuple(shape), dtype, mirror.data, offset, steps)

    def copy(self) -> Buffer:
        twin = DeviceBuffer(self.gpu, self.nbytes)
        self.gpu.copy(twin.address, self.address, self.nbytes)
        return twin

    def overwrite(self, source: Buffer) -> None:
        self.mirror = None
        self.gpu.copy(self.address, source.address, source.nbytes)


def read(
    gpu: Gpu,
    address: int,
    dtype: np.dtype[Any],
    shape: Sequence[int],
    strides: Sequence[int] | None = None,
) -> np.ndarray:
    """A host's copy, read-only, of the elements at `address`; `strides` in elements, None: row-major."""
    if strides is None or not prod(shape):
        array = np.empty(shape, dtype)
        gpu.read(array, address)
    else:
        array = _read_strided(gpu, address, dtype, shape, strides)
    array.flags.writeable = False
    return array


def _read_strided(
    gpu: Gpu, address: int, dtype: np.dtype[Any], shape: Sequence[int], strides: Sequence[int]
) -> np.ndarray:
    """All that lies between the first and the last element is read."""
    reach = [(extent - 1) * stride for extent, stride in zip(shape, strides, strict=True)]
    first, last = sum(min(0, step) for step in reach), sum(max(0, step) for step in reach)
    memory = np.empty((last - first + 1) * dtype.itemsize, np.uint8)
    gpu.read(memory, address + first * dtype.itemsize)
    steps = [stride * dtype.itemsize for stride in strides]
    return np.ndarray(tuple(shape), dtype, memory, -first * dtype.itemsize, steps)


def sent(array: np.ndarray, device: str) -> DeviceBuffer:
    """The elements of an array, row-major, on a device."""
    array = np.ascontiguousarray(array)
    buffer = DeviceBuffer(gpu_named(device), array.nbytes)
    buffer.gpu.write(buffer.address, array)
    if array.dtype.kind in "iu" and 0 < array.nbytes <= MIRRORED:
        buffer.mirror = array.copy()
        buffer.mirror.flags.writeable = False
        _mirrored[buffer.address] = buffer
    return buffer


def across(
    source: DeviceBuffer, device: str, dtype: np.dtype[Any], shape: Sequence[int], offset: int
) -> DeviceBuffer:
    """Row-major elements of a buffer in memory of another GPU: copied from one to the other where they can do that, else by way
    of the host, which knows some of them anyway."""
    target = gpu_named(device)
    if source.mirror is not None or not source.gpu.reaches(target):
        return sent(source.array(dtype, shape, None, offset), device)
    twin = DeviceBuffer(target, prod(shape) * dtype.itemsize)
    source.gpu.copy_to(target, twin.address, source.address + offset, twin.nbytes)
    return twin


_mirrored: WeakValueDictionary[int, DeviceBuffer] = WeakValueDictionary()
"""By address."""


def forget_mirrors(addresses: Iterable[int]) -> None:
    """To be called before a program writes to these addresses, which may lie anywhere in buffers of integers."""
    for buffer in list(_mirrored.values()):
        if any(0 <= address - buffer.address < buffer.nbytes for address in addresses):
            buffer.mirror = None


def forget_mirror(address: int) -> None:
    forget_mirrors([address])
