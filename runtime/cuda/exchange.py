"""Arrays of other libraries on the same GPUs, by `__cuda_array_interface__`, version 3."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from tracejit._records import dataclass
from tracejit.runtime.cuda.context import LIBRARY, library
from tracejit.runtime.cuda.driver import gpu
from tracejit.runtime.cuda.memory import DeviceBuffer

VERSION = 3
_ORDINAL = 9
"""Of what the driver knows of an address: the number of its device."""


@dataclass(frozen=True, slots=True)
class Received:
    """A copy of another library's array, its elements as far apart as they were; strides and offset in elements."""

    buffer: DeviceBuffer
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    offset: int


def exported(
    buffer: DeviceBuffer,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    offset: int,
) -> dict[str, Any]:
    """The interface of elements of a buffer, to which others may write from now on; strides and offset in elements."""
    buffer.mirror = None
    return {
        "version": VERSION,
        "shape": shape,
        "typestr": dtype.str,
        "strides": tuple(stride * dtype.itemsize for stride in strides),
        "data": (buffer.address + offset * dtype.itemsize, False),
        "stream": buffer.gpu.stream.handle,
    }


def received(interface: Mapping[str, Any]) -> Received:
    """A copy of another's array. It waits: for what makes the array, and until it is copied.

    Raises TypeError for elements that are not whole strides apart.
    """
    dtype, shape = np.dtype(interface["typestr"]), tuple(interface["shape"])
    address, steps = interface["data"][0], interface.get("strides")
    if steps is not None and any(step % dtype.itemsize for step in steps):
        raise TypeError(f"an array with elements of {dtype} that are {steps} bytes apart")
    strides = None if steps is None else tuple(step // dtype.itemsize for step in steps)
    first, last = reach(shape, strides)
    device = gpu(_ordinal(address) if prod(shape) else 0)
    device.enter()  # whose default streams have the same numbers as others'
    _wait_for(interface.get("stream"))
    buffer = DeviceBuffer(device, (last - first) * dtype.itemsize)
    device.copy(buffer.address, address + first * dtype.itemsize, buffer.nbytes)
    device.synchronize()
    return Received(buffer, dtype, shape, strides, -first)


def reach(shape: tuple[int, ...], strides: tuple[int, ...] | None) -> tuple[int, int]:
    """From the first element in memory to behind the last."""
    if strides is None or not prod(shape):
        return 0, prod(shape)
    steps = [(extent - 1) * stride for extent, stride in zip(shape, strides, strict=True)]
    return sum(min(0, step) for step in steps), sum(max(0, step) for step in steps) + 1


def _ordinal(address: int) -> int:
    found = ctypes.c_int()
    ask = library().cuPointerGetAttribute
    if ask(ctypes.byref(found), _ORDINAL, ctypes.c_uint64(address)):
        raise ValueError(f"{address:#x} is no address on a GPU")
    return found.value


def _wait_for(stream: int | None) -> None:
    if stream is not None:
        ctypes.CDLL(LIBRARY).cuStreamSynchronize(ctypes.c_void_p(stream))
