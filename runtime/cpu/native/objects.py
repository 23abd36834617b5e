"""The native part of the run time, loaded: its functions, its types, and NumPy's handler."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from tracejit._native import abi, entry
from tracejit._native.types import DEALLOC, GET_BUFFER, READ_ONLY, integer_member, keep, new_type
from tracejit._records import dataclass
from tracejit.artifact import KernelSource
from tracejit.runtime.buffer import Buffer
from tracejit.runtime.cache import DiskCache
from tracejit.runtime.cpu.compile import load_kernels
from tracejit.runtime.cpu.native import entry_ir, memory_ir, pins_ir, sizes_ir
from tracejit.runtime.cpu.pool import address_of, run_function

_TABLE = "tracejit_native"
_SYMBOLS = (
    "tracejit_pool", "tracejit_block_bytes", "tracejit_take", "tracejit_give", "tracejit_empty",
    "tracejit_buffer_type", "tracejit_new_buffer", "tracejit_allocate", "tracejit_free_buffer",
    "tracejit_export_buffer", "tracejit_handler_malloc", "tracejit_handler_calloc",
    "tracejit_handler_realloc", "tracejit_handler_free", "tracejit_busy", "tracejit_watch",
    "tracejit_call", "tracejit_release", "tracejit_give_up", "tracejit_break_off",
    "tracejit_distinct", "tracejit_in_range", "tracejit_has_keys", "tracejit_new_array",
    "tracejit_new_array_function", "tracejit_array_type", "tracejit_handler",
    "tracejit_run_function", "tracejit_run_short", "tracejit_run_long",
    "tracejit_find", "tracejit_array_in_order", "tracejit_tuple_in_order",
    "tracejit_same", "tracejit_keep", "tracejit_hold", "tracejit_note_entry", "tracejit_note_keys",
)  # fmt: skip
_FASTCALL = 0x80
WATCHERS = (0, 1, 3, 4)
"""The numbers of tools in `sys.monitoring` but for profilers and optimizers, which do not mind what is not run."""


class _Method(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )  # fmt: skip


class _Handler(ctypes.Structure):
    """NumPy's `PyDataMem_Handler`."""

    _fields_ = (
        ("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("context", ctypes.c_void_p),
        ("malloc", ctypes.c_void_p), ("calloc", ctypes.c_void_p), ("realloc", ctypes.c_void_p),
        ("free", ctypes.c_void_p),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Native:
    """What there is once native code is loaded; never freed."""

    addresses: dict[str, int]
    buffer: type
    """The class of buffers in native memory."""
    allocate: Callable[[int], Buffer]
    run_short: Callable[[int, int], None]
    run_long: Callable[[int, int], None]
    """They run launches over a workspace, both by address."""
    empty: Callable[[], None]
    """Frees the memory that the pool keeps."""

    def words(self, name: str, count: int = 1) -> Any:
        """A native variable, as an array of integers."""
        return (ctypes.c_int64 * count).from_address(self.addresses[name])


@cache
def native(disk: DiskCache | None) -> Native | str:
    """Native code, loaded; or why it is not used."""
    found = abi.abi()
    if isinstance(found, str):
        return found
    addresses = symbols_of(native_source(), _SYMBOLS, disk)
    buffer = _buffer_type(addresses)
    handler = keep(_numpy_handler(addresses))
    variables = {
        "tracejit_buffer_type": id(buffer),
        "tracejit_busy": id(entry.busy),
        "tracejit_run_function": address_of(run_function()),
        "tracejit_array_type": id(np.ndarray),
        "tracejit_handler": id(handler),
        "tracejit_new_array_function": abi.word(found.numpy_table + 8 * abi.NEW_ARRAY),
    }
    for name, value in variables.items():
        ctypes.c_void_p.from_address(addresses[name]).value = value
    _watch(addresses["tracejit_watch"])
    return Native(
        addresses,
        buffer,
        builtin_function("allocate", addresses["tracejit_allocate"]),
        builtin_function("run_short", addresses["tracejit_run_short"]),
        builtin_function("run_long", addresses["tracejit_run_long"]),
        ctypes.PYFUNCTYPE(None)(addresses["tracejit_empty"]),
    )


def native_source() -> KernelSource:
    """All native code, as one module."""
    parts = memory_ir.memory_ir, entry_ir.entry_ir, sizes_ir.sizes_ir, pins_ir.pins_ir
    text = "".join(part() for part in parts)
    return KernelSource(_TABLE, text + symbol_table(_TABLE, _SYMBOLS))


def symbol_table(name: str, symbols: Sequence[str]) -> str:
    """A function that writes the addresses of these symbols into a table."""
    stores = "".join(
        f"  %p{n} = getelementptr ptr, ptr %table, i64 {n}\n  store ptr @{symbol}, ptr %p{n}\n"
        for n, symbol in enumerate(symbols)
    )
    return f"define void @{name}(ptr %table) {{\n{stores}  ret void\n}}\n"


def symbols_of(
    source: KernelSource, symbols: Sequence[str], disk: DiskCache | None
) -> dict[str, int]:
    """The addresses of what a module defines, by name; its function is that of `symbol_table`."""
    table = (ctypes.c_void_p * len(symbols))()
    address = load_kernels([source], disk)[source.name]
    fill = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
    fill(ctypes.addressof(table))
    return dict(zip(symbols, table, strict=True))


def _watch(address: int) -> None:
    """Tells native code how to find out whether somebody watches Python run: a call of one of these that gives not None."""
    questions: list[tuple[Any, Any]] = [(sys.gettrace, None)]
    if hasattr(sys, "monitoring"):
        questions += [(sys.monitoring.get_tool, tool) for tool in WATCHERS]
    words = (ctypes.c_int64 * (2 * len(questions) + 1))()
    for place, (function, argument) in enumerate(keep(questions)):
        words[2 * place] = id(function)
        words[2 * place + 1] = 0 if argument is None else id(argument)
    ctypes.c_void_p.from_address(address).value = ctypes.addressof(keep(words))


def _buffer_type(addresses: dict[str, int]) -> type:
    slots = [
        (DEALLOC, addresses["tracejit_free_buffer"]),
        (GET_BUFFER, addresses["tracejit_export_buffer"]),
    ]
    members = [
        integer_member("address", memory_ir.BUFFER_ADDRESS, READ_ONLY),
        integer_member("nbytes", memory_ir.BUFFER_NBYTES, READ_ONLY),
        integer_member("__weaklistoffset__", memory_ir.BUFFER_WEAK, READ_ONLY),
    ]
    made = new_type("tracejit.NativeBuffer", memory_ir.BUFFER_BYTES, 0, slots, members)
    # Not a subclass: objects of classes that are written in Python are looked at by the garbage collector.
    for name in ("memory", "skew", "foreign", "array", "__repr__"):
        setattr(made, name, Buffer.__dict__[name])
    return made


def builtin_function(name: str, address: int) -> Any:
    """A built-in function: `name(args...)`."""
    method = keep(_Method(name.encode(), address, _FASTCALL, None))
    make = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
    )(("PyCMethod_New", ctypes.pythonapi))
    return make(ctypes.addressof(method), None, None, None)


def _numpy_handler(addresses: dict[str, int]) -> Any:
    names = ("malloc", "calloc", "realloc", "free")
    functions = [addresses[f"tracejit_handler_{name}"] for name in names]
    handler = keep(_Handler(b"tracejit", 1, None, *functions))
    name = keep(ctypes.create_string_buffer(b"mem_handler"))
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(
        ("PyCapsule_New", ctypes.pythonapi)
    )
    return make(ctypes.addressof(handler), ctypes.addressof(name), None)
