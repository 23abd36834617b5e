"""Memory of a GPU: as a `Buffer`'s, it goes back to its pool when the last tensor over it is gone."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from tracejit.runtime.buffer import Buffer, RemoteBuffer
from tracejit.runtime.cuda.driver import Gpu, gpu_named


class DeviceBuffer(RemoteBuffer):
    """`nbytes` of memory at `address` of a GPU."""

    __slots__ = ("__weakref__", "_allocation", "address", "gpu", "nbytes")

    def __init__(self, gpu: Gpu, nbytes: int) -> None:
        self._allocation = gpu.allocate(nbytes)
        self.address = int(self._allocation)
        self.gpu = gpu
        self.nbytes = nbytes

    def __del__(self) -> None:
        gpu = getattr(self, "gpu", None)  # none where there was no room
        if gpu is not None:
            gpu.expect_back(self._allocation)

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
        return read(self.gpu, self.address + offset, dtype, shape, strides)

    def copy(self) -> Buffer:
        twin = DeviceBuffer(self.gpu, self.nbytes)
        self.gpu.copy(twin.address, self.address, self.nbytes)
        return twin

    def overwrite(self, source: Buffer) -> None:
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
    buffer = DeviceBuffer(gpu_named(device), array.nbytes)
    buffer.gpu.write(buffer.address, np.ascontiguousarray(array))
    return buffer
