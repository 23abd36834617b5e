"""DLPack: a producer and a consumer that know the protocol by its text alone, on the emulated GPU's driver."""

from __future__ import annotations

import ctypes
import gc
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.emulation import standin

X = np.arange(12, dtype=np.float32).reshape(3, 4)
PLAIN, VERSIONED = b"dltensor", b"dltensor_versioned"

_api = ctypes.pythonapi
_api.PyCapsule_GetPointer.restype = ctypes.c_void_p
_api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_api.PyCapsule_GetName.restype = ctypes.c_char_p
_api.PyCapsule_GetName.argtypes = [ctypes.py_object]
_api.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]
_api.PyCapsule_New.restype = ctypes.py_object
_api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_TENSOR = struct.Struct("=QiiiBBHQQQ")
"""data | device: kind, number | rank | code, bits, lanes | shape | strides | offset"""
_DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def words(address: int, count: int) -> tuple[int, ...]:
    return struct.unpack(f"={count}q", ctypes.string_at(address, 8 * count))


class Consumer:
    """What another library makes of a capsule; `array()` copies its elements from the device."""

    def __init__(self, capsule: Any) -> None:
        self.name = _api.PyCapsule_GetName(capsule)
        address = _api.PyCapsule_GetPointer(capsule, self.name)
        at = 0
        if self.name == VERSIONED:
            self.version = struct.unpack("=II", ctypes.string_at(address, 8))
            (self.flags,) = words(address + 24, 1)
            (self.deleter,) = words(address + 16, 1)
            at = 32
        else:
            assert self.name == PLAIN
            (self.deleter,) = words(address + _TENSOR.size + 8, 1)
        self.managed = address
        data, kind, number, rank, *dtype, shape, strides, offset = _TENSOR.unpack(
            ctypes.string_at(address + at, _TENSOR.size)
        )
        self.device, self.dtype = (kind, number), tuple(dtype)
        self.shape, self.strides = words(shape, rank), words(strides, rank)
        self.data = data + offset
        _api.PyCapsule_SetName(capsule, b"used_" + self.name)

    def array(self, dtype: Any = np.float32) -> np.ndarray:
        memory = ctypes.cast(
            self.data, ctypes.POINTER(ctypes.c_uint8)
        )  # the emulation's is the host's
        steps = [stride * np.dtype(dtype).itemsize for stride in self.strides]
        base = np.ctypeslib.as_array(memory, shape=(1 << 12,)).view(dtype)
        return np.lib.stride_tricks.as_strided(base, self.shape, steps)

    def let_go(self) -> None:
        _DELETER(self.deleter)(self.managed)


_alive: list[Producer] = []
"""As long as others have the memory, which here is for ever."""


class Producer:
    """Another library's array in memory of the device that it has from the driver."""

    def __init__(
        self, array: np.ndarray, *, versioned: bool, flags: int = 0, lanes: int = 1
    ) -> None:
        self.array, self.versioned, self.flags, self.lanes = array, versioned, flags, lanes
        self.streams: list[Any] = []
        self.released = 0
        self._kept: list[Any] = []
        _alive.append(self)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, *, stream: Any = None, **options: Any) -> Any:
        if not self.versioned and options:
            raise TypeError("__dlpack__() got an unexpected keyword argument")
        self.streams.append(stream)
        array = self.array
        sizes = (ctypes.c_int64 * max(array.ndim, 1))(*array.shape)
        steps = [stride // array.itemsize for stride in array.strides]
        strides = (ctypes.c_int64 * max(array.ndim, 1))(*steps)
        code = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6}[array.dtype.kind]
        tensor = _TENSOR.pack(
            array.ctypes.data - 8, 2, 0, array.ndim, code, 8 * array.itemsize, self.lanes,
            ctypes.addressof(sizes), ctypes.addressof(strides), 8,
        )  # fmt: skip
        deleter = _DELETER(self._release)
        called = ctypes.cast(deleter, ctypes.c_void_p).value
        text = tensor + struct.pack("=QQ", 0, called)
        if self.versioned:
            text = struct.pack("=IIQQQ", 1, 1, 0, called, self.flags) + tensor
        managed = ctypes.create_string_buffer(text, len(text))
        self._kept += [managed, sizes, strides, deleter]
        name = VERSIONED if self.versioned else PLAIN
        return _api.PyCapsule_New(ctypes.addressof(managed), name, None)

    def _release(self, managed: int) -> None:
        self.released += 1


@pytest.fixture
def memory(emulated: str) -> Iterator[Any]:
    """Arrays in memory of the device: in the emulation it is the host's."""
    library = standin.install()
    taken = []

    def put(array: np.ndarray) -> np.ndarray:
        tj.zeros(1, device=emulated)  # this thread has the device
        address = ctypes.c_uint64()
        span = array.base if array.base is not None else array
        assert library.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(span.nbytes)) == 0
        taken.append(address)
        ctypes.memmove(address.value, span.ctypes.data, span.nbytes)
        offset = array.ctypes.data - span.ctypes.data
        raw = np.ctypeslib.as_array((ctypes.c_uint8 * span.nbytes).from_address(address.value))
        return np.ndarray(array.shape, array.dtype, raw, offset, array.strides)

    yield put
    for address in taken:
        library.cuMemFree_v2(address)


@pytest.mark.parametrize("version", [None, (0, 8), (1, 0), (1, 2)])
def test_a_consumer_sees_a_tensors_memory(emulated: str, version: Any) -> None:
    there = tj.tensor(X, device=emulated)
    assert there.__dlpack_device__() == (2, 0)
    for view, expected in (
        (there, X),
        (there.T, X.T),
        (there[::2, 1:], X[::2, 1:]),
        (there[1, 2], X[1, 2]),
    ):
        seen = Consumer(view.__dlpack__(stream=-1, max_version=version))
        assert seen.name == (VERSIONED if version is not None and version >= (1, 0) else PLAIN)
        assert seen.device == (2, 0)
        assert seen.dtype == (2, 32, 1)
        np.testing.assert_array_equal(seen.array(), expected)
        if seen.name == VERSIONED:
            assert seen.version == (1, 0)
            assert seen.flags == 0
        seen.let_go()
    seen = Consumer(there.__dlpack__())
    seen.array()[1] = 7
    np.testing.assert_array_equal(there[1].cpu().numpy(), np.full(4, 7))
    there[0] = -1
    np.testing.assert_array_equal(seen.array()[0], np.full(4, -1))
    seen.let_go()


def test_elements_have_the_protocols_codes(emulated: str) -> None:
    codes = {"bool": (6, 8), "int8": (0, 8), "uint32": (1, 32), "int64": (0, 64), "float16": (2, 16),
             "bfloat16": (4, 16), "float64": (2, 64)}  # fmt: skip
    for name, code in codes.items():
        there = tj.zeros((2, 0, 3), dtype=name, device=emulated)
        seen = Consumer(there.__dlpack__(max_version=(1, 0)))
        assert (seen.dtype, seen.shape) == ((*code, 1), (2, 0, 3))
        seen.let_go()


def test_a_capsule_holds_the_memory_until_its_deleter_is_called(emulated: str) -> None:
    before = tj.cuda.memory_stats().bytes_in_use
    there = tj.tensor(X, device=emulated)
    seen = Consumer(there.__dlpack__())
    del there
    gc.collect()
    assert tj.cuda.memory_stats().bytes_in_use == before + X.nbytes
    np.testing.assert_array_equal(seen.array(), X)
    seen.let_go()
    assert tj.cuda.memory_stats().bytes_in_use == before
    for version in (None, (1, 0)):
        capsule = tj.tensor(X, device=emulated).__dlpack__(max_version=version)
        assert tj.cuda.memory_stats().bytes_in_use == before + X.nbytes
        del capsule  # nobody has used it
        assert tj.cuda.memory_stats().bytes_in_use == before


def test_the_consumers_stream_waits(emulated: str) -> None:
    library = standin.install()
    library.standin_waiting.restype = ctypes.c_size_t
    there = tj.tensor(X, device=emulated)
    own = ctypes.c_void_p()
    assert library.cuStreamCreate(ctypes.byref(own), 1) == 0
    for stream, waits in ((None, 1), (1, 1), (2, 2), (own.value, own.value)):
        there.__dlpack__(stream=stream)
        assert library.standin_waiting() == waits
        there.__dlpack__(stream=-1)
        assert library.standin_waiting() == waits
    library.cuStreamDestroy_v2(own)
    with pytest.raises(ValueError, match="stream 0 is ambiguous"):
        there.__dlpack__(stream=0)


def test_copies_and_other_devices(emulated: str) -> None:
    there = tj.tensor(X, device=emulated)
    seen = Consumer(there.__dlpack__(max_version=(1, 0), copy=True))
    assert seen.flags == 2
    there[0] = 9
    np.testing.assert_array_equal(seen.array(), X)
    seen.let_go()
    np.testing.assert_array_equal(np.from_dlpack(there, device="cpu"), there.cpu().numpy())
    with pytest.raises(BufferError, match="only by a copy"):
        there.__dlpack__(dl_device=(1, 0), copy=False)
    with pytest.raises(BufferError):
        there.__dlpack__(dl_device=(2, 7))
    with pytest.raises(tj.AutogradError, match="detach"):
        tj.tensor(X, device=emulated, requires_grad=True).__dlpack__()


@pytest.mark.parametrize("versioned", [False, True])
def test_a_producers_memory_becomes_a_tensor(memory: Any, emulated: str, versioned: bool) -> None:
    for view in (
        X.copy(),
        X.copy().T,
        X.copy()[::-1, 1:3],
        X.copy()[2, 3, ...],
        np.arange(5, dtype=np.int16),
    ):
        given = memory(view)
        producer = Producer(given, versioned=versioned)
        made = tj.from_dlpack(producer)
        assert made.device == emulated
        assert producer.streams[-1] > 2
        np.testing.assert_array_equal(made.cpu().numpy(), view)
        given[...] = view + 1  # by its owner
        np.testing.assert_array_equal((made * 2).cpu().numpy(), (view + 1) * 2)
        made -= 1
        tj.cuda.synchronize()
        np.testing.assert_array_equal(given, view)
        assert producer.released == 0
        del made
        assert producer.released == 1


def test_read_only_memory_is_copied(memory: Any) -> None:
    producer = Producer(memory(X.copy()), versioned=True, flags=1)
    made = tj.from_dlpack(producer)
    made += 1
    np.testing.assert_array_equal(producer.array, X)
    assert producer.released == 1
    with pytest.raises(BufferError, match="read-only"):
        tj.from_dlpack(producer, copy=False)
    assert producer.released == 2


def test_memory_goes_back_when_the_device_has_done_with_it(memory: Any) -> None:
    library = standin.install()
    producer = Producer(memory(X.copy()), versioned=True)
    library.standin_set_busy(1)
    made = tj.from_dlpack(producer) + 1
    assert producer.released == 0
    library.standin_set_busy(0)
    tj.cuda.synchronize()
    assert producer.released == 1
    np.testing.assert_array_equal(made.cpu().numpy(), X + 1)


def test_what_cannot_be_a_tensor_is_refused_and_stays_its_owners(memory: Any) -> None:
    for producer, message in (
        (Producer(memory(X.astype(np.complex64)), versioned=True), "no dtype for: code 5, 64 bits"),
        (Producer(memory(X.copy()), versioned=False, lanes=4), "4 lanes"),
    ):
        with pytest.raises(BufferError, match=message):
            tj.from_dlpack(producer)
        assert producer.released == 0  # the capsule is its owner's


def test_replays_use_the_memory_of_others(memory: Any, emulated: str) -> None:
    @tj.compile
    def f(x: tj.Tensor, state: tj.Tensor) -> tj.Tensor:
        state += x.sum(0)
        return tj.softmax(x * 2)

    given, state = memory(X.copy()), memory(np.zeros(4, np.float32))
    x, held = (tj.from_dlpack(Producer(each, versioned=True)) for each in (given, state))
    for n in range(1, 8):
        made = f(x, held)
        np.testing.assert_array_equal(state, X.sum(0) * n)
        np.testing.assert_array_equal(made.cpu().numpy(), tj.softmax(tj.tensor(X) * 2).numpy())
    assert f.calls["replay"] >= 5
    overlapping = tj.from_dlpack(Producer(given[0], versioned=True))
    expected = X.copy()
    for _ in range(4):
        f(x, overlapping)
        expected[0] += expected.sum(0)
        np.testing.assert_array_equal(given, expected)


def test_arrays_of_both_kinds_become_tensors(memory: Any, emulated: str) -> None:
    producer = Producer(memory(X.copy()), versioned=True)
    shown = tj.asarray(producer)
    producer.array[0] = 5
    assert shown[0].tolist() == [5] * 4
    own = tj.tensor(producer)
    producer.array[0] = 6
    assert own[0].tolist() == [5] * 4
    assert tj.asarray(producer, dtype="float64", device="cpu").dtype is tj.float64
    with pytest.raises(ValueError, match="only by a copy"):
        tj.asarray(producer, dtype="float64", copy=False)
    assert tj.from_dlpack(tj.ones(2, device=emulated)).device == emulated


def test_pinned_arrays_are_copied_before_they_may_change(emulated: str) -> None:
    pinned = tj.cuda.pinned_empty((3, 4))
    assert pinned.dtype == np.float32
    pinned[...] = X
    before = standin.counts()
    there = tj.tensor(pinned, device=emulated)
    assert (standin.counts() - before)["waits"] == 1
    pinned[...] = 0
    np.testing.assert_array_equal(there.cpu().numpy(), X)
    before = standin.counts()
    tj.tensor(X, device=emulated)
    assert "waits" not in standin.counts() - before
    view = pinned[1:]
    del pinned
    gc.collect()
    view[...] = 1
    assert tj.tensor(view, device=emulated).sum().item() == 8
    assert tj.cuda.pinned_empty(0, "int64").shape == (0,)


@pytest.mark.cuda
def test_pytorch_and_cupy_share_memory(real: str) -> None:
    torch = pytest.importorskip("torch")
    there = tj.tensor(X, device=real)
    seen = torch.from_dlpack(there)
    seen += 1
    np.testing.assert_array_equal(there.cpu().numpy(), X + 1)
    back = tj.from_dlpack(seen * 2)
    np.testing.assert_array_equal(back.cpu().numpy(), (X + 1) * 2)
