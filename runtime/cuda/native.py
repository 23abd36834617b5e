"""What machine code needs in order to use a GPU: memory from lists of its own, and a program's graphs by the addresses of a run.

It is made when the first replay that uses a GPU becomes machine code; from then on Python takes memory from there as well.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tracejit._native.types import DEALLOC, READ_ONLY, integer_member, new_type
from tracejit._records import dataclass
from tracejit.artifact import KernelSource
from tracejit.runtime.cache import disk_cache
from tracejit.runtime.cpu.native.objects import builtin_function, symbol_table, symbols_of
from tracejit.runtime.cuda import native_ir as ir
from tracejit.runtime.cuda.context import library
from tracejit.runtime.cuda.driver import Gpu
from tracejit.runtime.cuda.graphs import MOST, Addresses, Captured, Graphs
from tracejit.runtime.cuda.memory import DeviceBuffer, forget_mirror
from tracejit.runtime.pool import MemoryStats

if TYPE_CHECKING:
    from tracejit.runtime.cuda.program import CudaProgram

_TABLE = "tracejit_device"


@dataclass(frozen=True, slots=True, eq=False)
class _Native:
    """Native code, loaded; never freed."""

    addresses: dict[str, int]
    memory: type
    """The class of memory."""
    allocate: Callable[[int, int], Any]
    empty: Callable[[int], None]


def device_source() -> KernelSource:
    """What all machine code for GPUs needs."""
    return KernelSource(_TABLE, ir.native_ir() + symbol_table(_TABLE, ir.SYMBOLS))


@cache
def _native() -> _Native:
    addresses = symbols_of(device_source(), ir.SYMBOLS, disk_cache())
    slots = [(DEALLOC, addresses["tracejit_device_give"])]
    members = [integer_member("address", ir.MEMORY_ADDRESS, READ_ONLY)]
    return _Native(
        addresses,
        new_type("tracejit.DeviceMemory", ir.MEMORY_BYTES, 0, slots, members),
        builtin_function("allocate", addresses["tracejit_device_allocate"]),
        ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(addresses["tracejit_device_empty"]),
    )


class NativeMemory:
    """The memory of one device that native code hands out."""

    def __init__(self, gpu: Gpu) -> None:
        self._made = made = _native()
        self._words = words = np.zeros(ir.DEVICE_WORDS, np.int64)
        self._called = gpu.enter, gpu.copy
        words[ir.TYPE] = id(made.memory)
        words[ir.ENTER], words[ir.COPIER] = map(id, self._called)
        words[ir.CONTEXT] = gpu.context.handle
        words[ir.STREAM] = gpu.stream.handle
        for place, name in enumerate(ir.DRIVER, ir.ALLOCATE):
            words[place] = ctypes.cast(getattr(library(), name), ctypes.c_void_p).value or 0
        self.address = int(words.ctypes.data)
        # For ever: memory that is let go of when the interpreter ends comes here, whatever has gone by then.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))

    def take(self, nbytes: int) -> Any:
        """Memory, whose `address` says where it is; None where there is no more."""
        return self._made.allocate(self.address, nbytes)

    def empty(self) -> None:
        """Gives what nobody uses back to the driver; the device is the thread's current one."""
        self._made.empty(self.address)

    def stats(self) -> MemoryStats:
        words = [int(self._words[at]) for at in range(ir.PEAK + 1)]
        return MemoryStats(*words)

    def reset_peak(self) -> None:
        self._words[ir.PEAK] = self._words[ir.IN_USE]

    # What machine code calls

    @property
    def take_address(self) -> int:
        return self._made.addresses["tracejit_device_take"]

    @property
    def run_address(self) -> int:
        return self._made.addresses["tracejit_device_run"]

    @property
    def copy_address(self) -> int:
        return self._made.addresses["tracejit_device_copy"]


class NativeRun:
    """A program's words: what native code has to know of it, and its graphs.

    numbers_address   where its scalars are on the device; they are sent only when they have changed
    """

    buffer_type = DeviceBuffer
    address_at = ir.MEMORY_ADDRESS
    forget = staticmethod(forget_mirror)

    def __init__(self, program: CudaProgram, graphs: Graphs) -> None:
        self.gpu = gpu = program.gpu
        self.output_bytes = program.output_bytes
        self.workspace_bytes = program.workspace_bytes
        self.arena_at, self.scratch_at = program.arena_at, program.scratch_at
        self.constants_address = program.constants_address
        self.memory = gpu.native_memory()
        count, nbytes = program.address_count, 8 * len(program.plan.scalars)
        self._numbers = DeviceBuffer(gpu, nbytes) if nbytes else None
        self.numbers_address = self._numbers.address if self._numbers else 0
        self._known = np.zeros(max(nbytes, 1), np.uint8)
        self._missed = program.run_missed
        self._words = words = np.zeros(ir.PROGRAM_FIRST + (MOST + 1) * (1 + count), np.int64)
        words[ir.PROGRAM_DEVICE] = self.memory.address
        words[ir.PROGRAM_MISSED] = id(self._missed)
        words[ir.PROGRAM_COUNT] = count
        words[ir.PROGRAM_NUMBERS] = nbytes
        words[ir.PROGRAM_NUMBERS_AT] = self.numbers_address
        words[ir.PROGRAM_KNOWN] = self._known.ctypes.data
        self.address = int(words.ctypes.data)
        graphs.publish = self._take_over

    def _take_over(self, ready: dict[Addresses, Captured]) -> None:
        """Between two of these lines other threads may run the program: there are none meanwhile."""
        words = self._words
        words[ir.PROGRAM_GRAPHS] = 0
        listed = [word for addresses, each in ready.items() for word in (each.address, *addresses)]
        words[ir.PROGRAM_FIRST :][: len(listed)] = listed
        words[ir.PROGRAM_GRAPHS] = len(ready)
