"""GPUs by NVIDIA's driver, through pycuda, which only this module imports, and only when a GPU is first used.

A `Gpu` has the device's primary context, which PyTorch and CuPy share, one stream on which all that it does is in order, and a
pool of its memory. Whatever is enqueued may use memory that is freed afterwards: its next owner comes later on the same stream.
Nothing here waits for the device but `read` and `synchronize`. What two devices do together is in order on both of their streams.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import threading
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from tracejit._errors import DeviceError, DeviceMemoryError, DeviceUnavailable, at_user_line
from tracejit._gate import late
from tracejit.runtime.cuda.context import LIBRARY, Context, error_text, leave, library
from tracejit.runtime.device import on_leaving
from tracejit.runtime.pool import MemoryStats

if TYPE_CHECKING:
    from tracejit.runtime.cuda.native import NativeMemory

COMMON_SHARED = 48 << 10
"""Shared memory that a block may have without asking."""
NO_PYCUDA = (
    "pycuda is not installed: pip install 'tracejit[cuda]', or, where there is no CUDA toolkit, "
    "tracejit doctor --install-cuda"
)
_WITHOUT = "to do without a GPU use device='cpu'"
_NON_BLOCKING = 1
_NO_TIMING = 2
_MEMORY_TYPE, _HOST = 2, 1
"""Of what the driver knows of an address: what kind of memory it is; that of the host, which it knows if it is page-locked."""
_PEER_ALREADY_ENABLED = 704


class Gpu:
    """One device, ready for use by any thread."""

    def __init__(self, index: int) -> None:
        cuda, tools = _pycuda(), late("pycuda.tools")
        device = cuda.Device(index)
        self.index = index
        self.label = f"cuda:{index}"
        self.name: str = device.name()
        self.capability: tuple[int, int] = device.compute_capability()
        processors = cuda.device_attribute.MULTIPROCESSOR_COUNT
        self.processors: int = device.get_attribute(processors)
        self.total_bytes: int = device.total_memory()
        self._cuda = cuda
        self._device = device
        self.context = Context(device.retain_primary_context(), self.label)
        self.enter = self.context.enter
        self.enter()
        self.stream = cuda.Stream()
        self.aside = cuda.Stream(_NON_BLOCKING)
        """For captures alone: what other libraries do on their default streams must not meet one."""
        self._pool = tools.DeviceMemoryPool()
        self._host_pool: Any = None
        self._late: list[tuple[Any, Callable[[int], None], int]] = []
        self._native: NativeMemory | None = None
        self._peak = self._asked = 0
        self._allowed: dict[Any, int] = {}
        """Shared memory, by kernel."""
        self._kept: list[Any] = []
        """What a child process must not take apart: it has no context in which to do so."""
        self._reached: dict[int, bool] = {}
        """By other devices' numbers: whether there is a way to them."""

    @property
    def architecture(self) -> str:
        """What its machine code is made for: `sm_90`."""
        major, minor = self.capability
        return f"sm_{major}{minor}"

    @property
    def is_released(self) -> bool:
        """Whether nothing can be done on it any more, and nothing need be put in order."""
        return self.context.is_released

    # Memory

    def allocate(self, nbytes: int) -> Any:
        """Uninitialised memory, at `address` of what this returns, which goes back to the pool when nobody holds that.

        Raises DeviceMemoryError.
        """
        if self._native is not None:
            memory = self._native.take(nbytes) or self._made_room(self._native, nbytes)
            if memory is None:
                raise DeviceMemoryError(at_user_line(self._shortage(nbytes)))
            return memory
        self.enter()
        try:
            memory = self._pool.allocate(nbytes or 1)
        except self._cuda.Error as error:
            if not isinstance(error, self._cuda.MemoryError):
                raise self.failure(error) from None
            raise DeviceMemoryError(at_user_line(self._shortage(nbytes))) from None
        self._asked += 1
        if (in_use := self._pool.active_bytes) > self._peak:
            self._peak = in_use
        return _Piece(self, memory, int(memory))

    def native_memory(self) -> NativeMemory:
        """Memory for machine code, which Python takes its memory from as well from here on."""
        if self._native is None:
            self.enter()
            self._native = late("tracejit.runtime.cuda.native").NativeMemory(self)
            self._do(self._pool.free_held)
        return self._native

    def _made_room(self, native: NativeMemory, nbytes: int) -> Any:
        """Memory, once all is gone that nobody uses; as pycuda's pool does it."""
        gc.collect()
        self.empty_cache()
        return native.take(nbytes)

    def write(self, address: int, array: np.ndarray) -> None:
        """Enqueues a copy of a row-major array, which may be changed afterwards: the driver has its bytes by then.

        Of page-locked memory it has not, and this waits until it is copied.
        """
        self.enter()
        if array.nbytes:
            self._do(self._cuda.memcpy_htod_async, address, _bytes_of(array), self.stream)
            if is_page_locked(array):
                self._do(self.event().synchronize)

    def read(self, array: np.ndarray, address: int) -> None:
        """Waits for what was enqueued before, and copies from the device."""
        self.enter()
        if array.nbytes:
            self._do(self._cuda.memcpy_dtoh_async, _bytes_of(array), address, self.stream)
        self._do(self.stream.synchronize)

    def copy(self, target: int, source: int, nbytes: int) -> None:
        """Enqueues a copy within the device."""
        self.enter()
        if nbytes:
            self._do(self._cuda.memcpy_dtod_async, target, source, nbytes, self.stream)

    def reaches(self, other: Gpu) -> bool:
        """Whether it can copy to another device's memory, with no way by the host."""
        found = self._reached.get(other.index)
        if found is None:
            found = self._reached[other.index] = self._opens_way_to(other)
        return found

    def _opens_way_to(self, other: Gpu) -> bool:
        self.enter()
        if not self._do(self._device.can_access_peer, other._device):
            return False
        handle = ctypes.c_void_p(other.context.handle)
        return library().cuCtxEnablePeerAccess(handle, 0) in (0, _PEER_ALREADY_ENABLED)

    def copy_to(self, other: Gpu, target: int, source: int, nbytes: int) -> None:
        """Enqueues a copy to a device that it `reaches`: after all that either was given before, and before what comes."""
        self._follow(other)  # which may still be busy with what was in the target's memory
        self.enter()
        if nbytes:  # pycuda's function takes the current device for both
            there, here = (ctypes.c_void_p(each.context.handle) for each in (other, self))
            sent, taken = ctypes.c_uint64(source), ctypes.c_uint64(target)
            stream = ctypes.c_void_p(self.stream.handle)
            status = library().cuMemcpyPeerAsync(
                taken, there, sent, here, ctypes.c_size_t(nbytes), stream
            )
            if status:
                raise self.failure(RuntimeError(f"cuMemcpyPeerAsync: {error_text(status)}"))
        other._follow(self)

    def _follow(self, other: Gpu) -> None:
        """What is enqueued from now on comes after all that the other one has been given."""
        mark = other._do(other.event)
        self._do(self.stream.wait_for_event, mark)

    def let_wait(self, stream: int) -> None:
        """Has another library's stream wait for all that was enqueued. Raises ValueError for what is no stream."""
        driver, mark = library(), ctypes.c_void_p()
        self.enter()
        own, other = ctypes.c_void_p(self.stream.handle), ctypes.c_void_p(stream)
        status = driver.cuEventCreate(ctypes.byref(mark), _NO_TIMING)
        status = status or driver.cuEventRecord(mark, own)
        status = status or driver.cuStreamWaitEvent(other, mark, 0)
        if mark.value:
            driver.cuEventDestroy_v2(mark)  # which the driver does when it has been waited for
        if status:
            why = f"the driver reports: {error_text(status)}"
            raise ValueError(f"{stream} is no stream that can wait: {why}")

    def page_locked(self, nbytes: int) -> Any:
        """Memory of the host, at `address` of what this returns, which the device copies from and to by itself."""
        self.enter()
        if self._host_pool is None:
            self._host_pool = late("pycuda.tools").PageLockedMemoryPool()
        bytes_at = self._do(self._host_pool.allocate, (nbytes or 1,), np.uint8)
        return _Piece(self, bytes_at, bytes_at.ctypes.data)

    def stats(self) -> MemoryStats:
        pool = self._pool
        in_use, kept = pool.active_bytes, pool.managed_bytes - pool.active_bytes
        made = pool.active_blocks + pool.held_blocks  # those that were given up are not counted
        stats = MemoryStats(in_use, kept, made, self._asked - made, self._peak)
        return stats if self._native is None else stats + self._native.stats()

    def reset_peak(self) -> None:
        self._peak = self._pool.active_bytes
        if self._native is not None:
            self._native.reset_peak()

    def empty_cache(self) -> None:
        """Gives memory that nothing uses back to the driver."""
        self.enter()
        self._do(self._pool.free_held)
        if self._native is not None:
            self._native.empty()

    def free_bytes(self) -> int:
        """Memory of the device that no program has taken."""
        self.enter()
        free: int = self._do(self._cuda.mem_get_info)[0]
        return free

    def _shortage(self, nbytes: int) -> str:
        stats = self.stats()
        in_use = stats.bytes_in_use
        return (
            f"{self.label} is out of memory: {nbytes:,} bytes were asked for, of {self.total_bytes:,} "
            f"tracejit holds {in_use + stats.bytes_cached:,} ({in_use:,} of them in tensors), and "
            f"{self.free_bytes():,} are free. Nothing was lost: compute less at once, or let go of tensors"
        )

    # Programs

    def load(self, image: bytes) -> Any:
        """Machine code as a module, whose `get_function` has its kernels."""
        self.enter()
        module = self._do(self._cuda.module_from_buffer, image)
        self._kept.append(module)
        return module

    def allow_shared(self, function: Any, nbytes: int) -> None:
        """Lets a kernel have so much dynamic shared memory, also where that and what its text declares are more than the 48 KB
        that all may have; what it was allowed before stays so."""
        self.enter()
        if function not in self._allowed:
            self._allowed[function] = COMMON_SHARED - self._do(lambda: function.shared_size_bytes)
        if nbytes > self._allowed[function]:
            attribute = self._cuda.function_attribute.MAX_DYNAMIC_SHARED_SIZE_BYTES
            self._do(function.set_attribute, attribute, nbytes)
            self._allowed[function] = nbytes

    def event(self) -> Any:
        """A mark on the stream, with the time at which the device came to it."""
        self.enter()
        mark = self._cuda.Event()
        mark.record(self.stream)
        return mark

    def synchronize(self) -> None:
        """Waits until all that was enqueued is done."""
        self.enter()
        self._do(self.stream.synchronize)
        self._call_late()

    def when_done(self, function: Callable[[int], None], argument: int) -> None:
        """Calls a function, which raises nothing, when all is done that was enqueued so far: some time after."""
        try:
            self._late.append((self.event(), function, argument))
        except self._cuda.Error:  # the device does nothing any more
            function(argument)
        self._call_late()

    def _call_late(self) -> None:
        waiting = []
        while self._late:
            mark, function, argument = self._late.pop()
            try:
                is_done = mark.query()
            except self._cuda.Error:  # nothing is done any more
                is_done = True
            if is_done:
                function(argument)
            else:
                waiting.append((mark, function, argument))
        self._late += waiting

    @property
    def error(self) -> type[Exception]:
        """What pycuda raises."""
        kind: type[Exception] = self._cuda.Error
        return kind

    def failure(self, error: Exception, what: str = "") -> Exception:
        """The error to raise where the driver has told one."""
        where = f" ({what})" if what else ""
        return DeviceError(
            at_user_line(f"{self.label}: the driver reports: {error}{where}{self._outlook()}")
        )

    def _outlook(self) -> str:
        """What an error means for what comes after it: that of a kernel stays, and meets all that is asked of the driver."""
        try:
            self.enter()
            self._cuda.mem_get_info()
        except self._cuda.Error:
            return (
                ". Nothing on the device can be used any more: the process has to be started again"
            )
        return ""

    def _do(self, function: Any, *args: Any) -> Any:
        try:
            return function(*args)
        except self._cuda.Error as error:
            raise self.failure(error) from None

    def __repr__(self) -> str:
        return f"<{self.label}: {self.name}>"


class _Piece:
    """Memory of one of pycuda's pools."""

    __slots__ = ("_gpu", "_memory", "address")

    def __init__(self, gpu: Gpu, memory: Any, address: int) -> None:
        self._gpu = gpu
        self._memory = memory
        self.address = address

    def __del__(  # bound early: at exit the globals are gone
        self, leak: Any = ctypes.pythonapi.Py_IncRef, boxed: Any = ctypes.py_object
    ) -> None:
        """pycuda's pool needs the context when the memory is let go of, or ends the process."""
        if self._gpu.is_released:
            leak(boxed(self._memory))
            return
        with self._gpu.context.visited():
            del self._memory


def _bytes_of(array: np.ndarray) -> np.ndarray:
    """The memory of a row-major array: the buffer protocol, by which it is copied, has no name for the ml_dtypes."""
    return array.reshape(-1).view(np.uint8)


def is_page_locked(array: np.ndarray) -> bool:
    """Whether the driver copies from an array's memory after it has returned."""
    kind = ctypes.c_uint()
    ask = library().cuPointerGetAttribute
    known = ask(ctypes.byref(kind), _MEMORY_TYPE, ctypes.c_uint64(array.ctypes.data)) == 0
    return known and kind.value == _HOST


_gpus: dict[int, Gpu] = {}
_opening = threading.Lock()


def gpu(index: int = 0) -> Gpu:
    """A device by its number. Raises DeviceUnavailable, saying what mends it."""
    found = _gpus.get(index)
    return _opened(index) if found is None else found


def gpu_named(device: str) -> Gpu:
    """The device of a name such as `cuda:0`."""
    return gpu(int(device.partition(":")[2] or 0))


def opened() -> list[Gpu]:
    """The devices that have been used."""
    return list(_gpus.values())


def why_not() -> str | None:
    """What keeps CUDA from being used here, and what mends it; None where it can be used."""
    why = why_no_driver()
    if why is None and find_spec("pycuda") is None:
        why = NO_PYCUDA
    if why is None:
        try:
            why = None if device_count() else "the driver finds no GPU: see what nvidia-smi says"
        except DeviceUnavailable as reason:
            why = str(reason)
    return None if why is None else f"{why}; {_WITHOUT}"


def why_no_driver() -> str | None:
    """What is wrong with NVIDIA's driver; None where it is there."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return f"there is no NVIDIA driver ({LIBRARY} is not found): install that of the GPU"
    return None


def usable() -> int:
    """How many GPUs can be used here."""
    return 0 if why_not() else device_count()


def device_count() -> int:
    """How many GPUs the driver finds. Raises DeviceUnavailable where it cannot be asked."""
    try:
        count: int = _pycuda().Device.count()
    except (ImportError, RuntimeError) as error:
        raise DeviceUnavailable(f"CUDA does not start: {error}") from None
    return count


@cache
def driver_version() -> str:
    """The CUDA version of the driver, such as `13.0`."""
    version = _pycuda().get_driver_version()
    return f"{version // 1000}.{version % 1000 // 10}"


def _opened(index: int) -> Gpu:
    with _opening:
        if index in _gpus:
            return _gpus[index]
        why = why_not()
        if why is not None:
            raise DeviceUnavailable(at_user_line(f"cuda:{index}: {why}"))
        if index >= (count := device_count()):
            found = f"the driver finds {count} GPU{'s' if count > 1 else ''}, numbered from 0"
            raise DeviceUnavailable(at_user_line(f"cuda:{index}: {found} (or use device='cpu')"))
        if not _gpus:
            atexit.register(_end)
            on_leaving.append(leave)
            os.register_at_fork(before=leave, after_in_child=_keep_for_ever)
        _gpus[index] = Gpu(index)
        return _gpus[index]


@cache
def _pycuda() -> Any:
    """pycuda's driver module, started. It raises ImportError, or what pycuda calls RuntimeError."""
    cuda = late("pycuda.driver")
    try:
        cuda.init()
    except cuda.Error as error:
        raise RuntimeError(str(error)) from None
    return cuda


def _end() -> None:
    """Lets go of the devices before the interpreter takes pycuda's objects apart, in an order that pycuda complains of."""
    leave()
    for each in _gpus.values():
        each.context.release()


def _keep_for_ever() -> None:
    """In a child: the driver's objects are its parent's, and must not be taken apart here."""
    global _opening
    _opening = threading.Lock()
    for each in _gpus.values():
        each.context.is_released = True
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))
