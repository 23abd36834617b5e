"""Memory of GPUs by DLPack, both ways, without a copy: capsules of version 1, and those of before there were versions.

Whoever takes a capsule gets memory on which all is in order on the stream that it names, and calls the capsule's deleter when it
is done. Memory that comes from others is let go of when the work that was enqueued on it is done.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, ClassVar

from tracejit._errors import at_user_line
from tracejit._records import dataclass
from tracejit.dtypes import ALL, DType, bfloat16
from tracejit.runtime.cuda.driver import Gpu, gpu
from tracejit.runtime.cuda.exchange import reach
from tracejit.runtime.cuda.memory import DeviceBuffer

CPU, CUDA, CUDA_MANAGED = 1, 2, 13
"""Kinds of devices, by the protocol's numbers."""
VERSION = (1, 0)
READ_ONLY, IS_COPY = 1, 2
"""Flags."""
_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}
_BFLOAT = 4
_TYPES = {
    dtype: (_BFLOAT if dtype is bfloat16 else _CODES[dtype.kind], 8 * dtype.itemsize, 1)
    for dtype in ALL
}
"""Code, bits and lanes of elements."""
_PLAIN, _VERSIONED = b"dltensor", b"dltensor_versioned"
_USED_PLAIN, _USED_VERSIONED = b"used_dltensor", b"used_dltensor_versioned"
"""Names of capsules; the deleter of one that is used is the consumer's to call."""


class _Device(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int32), ("index", ctypes.c_int32))


class _Type(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p), ("device", _Device), ("ndim", ctypes.c_int32), ("dtype", _Type),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )  # fmt: skip


class _Plain(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class _Versioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p), ("flags", ctypes.c_uint64), ("tensor", _Tensor),
    )  # fmt: skip


def _python(name: str, result: Any, *arguments: Any) -> Any:
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


_new = _python("PyCapsule_New", ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_is_named = _python("PyCapsule_IsValid", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)
_pointer = _python("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
_rename = _python("PyCapsule_SetName", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)
_DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

# What tracejit gives

_given: dict[int, tuple[Any, ...]] = {}
"""What capsules show, held by their addresses until their deleters are called."""


def _let_go(address: int) -> None:
    _given.pop(address, None)


def _capsule_gone(capsule: int) -> None:
    """A capsule that nobody has used."""
    for name in (_PLAIN, _VERSIONED):
        if _is_named(capsule, name):
            _let_go(_pointer(capsule, name))


_deleter = _DELETER(_let_go)
_destructor = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(_capsule_gone)
for _each in (_deleter, _destructor):  # others may call them when this module is gone
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_each))


def capsule_of(
    buffer: DeviceBuffer,
    dtype: DType,
    shape: Sequence[int],
    strides: Sequence[int],
    offset: int,
    *,
    versioned: bool,
    is_copy: bool,
) -> Any:
    """A capsule of elements of a buffer, to which others may write from now on; strides and offset in elements."""
    buffer.mirror = None
    managed = _Versioned() if versioned else _Plain()
    sizes = (ctypes.c_int64 * max(len(shape), 1))(*shape)
    steps = (ctypes.c_int64 * max(len(shape), 1))(*strides)
    managed.tensor = _Tensor(
        buffer.address + offset * dtype.itemsize, _Device(CUDA, buffer.gpu.index), len(shape),
        _Type(*_TYPES[dtype]), sizes, steps, 0,
    )  # fmt: skip
    managed.deleter = ctypes.cast(_deleter, ctypes.c_void_p).value
    if versioned:
        managed.major, managed.minor = VERSION
        managed.flags = IS_COPY if is_copy else 0
    address = ctypes.addressof(managed)
    _given[address] = managed, sizes, steps, buffer
    name = _VERSIONED if versioned else _PLAIN
    return _new(address, name, ctypes.cast(_destructor, ctypes.c_void_p).value)


def let_wait(device: Gpu, stream: Any) -> None:
    """Has a consumer's stream, by the array API's numbers for CUDA, wait for all that was enqueued on the device's.

    Raises ValueError for 0, which may mean two streams.
    """
    if stream == -1:
        return
    if stream == 0:
        raise ValueError(
            at_user_line("stream 0 is ambiguous: 1 is the default stream, 2 the one of each thread")
        )
    handle = 1 if stream is None else int(stream)
    if handle != device.stream.handle:
        device.let_wait(handle)


# What others give


@dataclass(frozen=True, slots=True)
class Taken:
    """Another library's array; strides and offset in elements."""

    buffer: DeviceBuffer
    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    offset: int
    is_read_only: bool


class _Foreign:
    """Memory that its owner gets back."""

    __slots__ = ("_gpu", "_managed", "_release", "address")

    def __init__(self, device: Gpu, address: int, managed: Any) -> None:
        self._gpu = device
        self.address = address
        self._managed = managed
        self._release = _DELETER(managed.deleter) if managed.deleter else None

    def __del__(self) -> None:
        if self._release is None or self._gpu.is_released:
            return
        with self._gpu.context.visited():
            self._gpu.when_done(self._release, ctypes.addressof(self._managed))


class ForeignDeviceBuffer(DeviceBuffer):
    """Memory of a GPU that belongs to another library."""

    __slots__ = ()

    foreign: ClassVar[bool] = True

    def __init__(self, device: Gpu, memory: _Foreign, nbytes: int) -> None:
        self._allocation = memory
        self.address = memory.address
        self.gpu = device
        self.nbytes = nbytes
        self.mirror = None


def taken(array: Any, index: int) -> Taken:
    """The memory of an array of another library on a GPU, which was asked to be in order on the device's stream.

    Raises BufferError for what tracejit has no tensors for.
    """
    device = gpu(index)
    device.enter()
    capsule = _asked(array, device.stream.handle)
    managed, flags = _managed(capsule)
    tensor = managed.tensor
    if tensor.device.kind not in (CUDA, CUDA_MANAGED) or tensor.device.index != index:
        raise BufferError(at_user_line("the capsule is not of the device that was said"))
    dtype = _dtype(tensor.dtype)
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = tuple(tensor.strides[: tensor.ndim]) if tensor.strides else None
    first, last = reach(shape, strides)
    address = (tensor.data or 0) + tensor.byte_offset
    _rename(id(capsule), _USED_VERSIONED if isinstance(managed, _Versioned) else _USED_PLAIN)
    memory = _Foreign(device, address + first * dtype.itemsize, managed)
    buffer = ForeignDeviceBuffer(device, memory, (last - first) * dtype.itemsize)
    return Taken(buffer, dtype, shape, strides, -first, bool(flags & READ_ONLY))


def _asked(array: Any, stream: int) -> Any:
    try:
        return array.__dlpack__(stream=stream, max_version=VERSION)
    except TypeError:  # of before there were versions
        return array.__dlpack__(stream=stream)


def _managed(capsule: Any) -> tuple[Any, int]:
    """What a capsule shows, and its flags; the capsule's owner keeps it until it is renamed."""
    if _is_named(id(capsule), _VERSIONED):
        versioned = _Versioned.from_address(_pointer(id(capsule), _VERSIONED))
        if versioned.major != VERSION[0]:
            version = f"{versioned.major}.{versioned.minor}"
            raise BufferError(at_user_line(f"DLPack {version}: tracejit reads version 1"))
        return versioned, versioned.flags
    if not _is_named(id(capsule), _PLAIN):
        raise BufferError(at_user_line("__dlpack__ gave no capsule that can be used"))
    return _Plain.from_address(_pointer(id(capsule), _PLAIN)), 0


def _dtype(found: _Type) -> DType:
    for dtype, known in _TYPES.items():
        if known == (found.code, found.bits, found.lanes):
            return dtype
    what = f"code {found.code}, {found.bits} bits, {found.lanes} lanes"
    raise BufferError(at_user_line(f"elements that tracejit has no dtype for: {what}"))
