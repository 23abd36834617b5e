"""Kernels from LLVM text to addresses: the process's table, then the disk cache, then LLVM's code generator.

The texts hold explicit vectors, so LLVM's optimiser is not run: code generation alone gives the same speed in half the time.
"""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import os
import re
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from llvmlite.binding import ffi

from tracejit._errors import CompileError
from tracejit._records import dataclass
from tracejit.artifact import KernelSource
from tracejit.runtime.cache import DiskCache
from tracejit.runtime.cpu.target import host
from tracejit.runtime.cpu.threads import available_cores

_SETTINGS = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
"""Changes with this file, and so with the way that it makes code."""


@dataclass(slots=True)
class CompileCounts:
    """How many kernels this process has compiled, and how many it has read from the disk cache."""

    compiled: int = 0
    read: int = 0


counts = CompileCounts()

_addresses: dict[str, int] = {}
_lock = threading.Lock()


def load_kernels(
    sources: Iterable[KernelSource],
    disk: DiskCache | None = None,
) -> dict[str, int]:
    """The address of each kernel by name; what this process has loaded before is not loaded again.

    The texts may call what libc and libm have. Raises CompileError.
    """
    wanted = {source.name: source for source in sources}
    if not wanted.keys() <= _addresses.keys():
        with _lock:
            missing = [source for name, source in wanted.items() if name not in _addresses]
            if missing:  # another thread may have loaded them meanwhile
                _addresses.update(_link(missing, _objects(missing, disk)))
    return {name: _addresses[name] for name in wanted}


def object_key(source: KernelSource) -> str:
    """Names an object in the disk cache: the text, and all else that the machine code depends on."""
    content = "\0".join((_SETTINGS, host().fingerprint, source.name, source.text))
    return hashlib.sha256(content.encode()).hexdigest()


def assembly(text: str) -> str:
    """The host's assembly for a module of LLVM text, for people to read."""
    machine = _target_machine()
    return machine.emit_assembly(_parse("assembly", text))


def _objects(sources: list[KernelSource], disk: DiskCache | None) -> dict[str, bytes]:
    keys = {source.name: object_key(source) for source in sources} if disk else {}
    objects = {name: data for name, key in keys.items() if (data := disk and disk.get(key))}
    counts.read += len(objects)
    missing = [source for source in sources if source.name not in objects]
    made = _compile_all(missing)
    counts.compiled += len(made)
    if disk:
        for name, data in made.items():
            disk.put(keys[name], data)
    return objects | made


def _compile_all(sources: list[KernelSource]) -> dict[str, bytes]:
    workers = min(len(sources), available_cores())
    if workers <= 1:
        return {source.name: _compile(source) for source in sources}
    longest_first = sorted(sources, key=lambda source: -len(source.text))
    with ThreadPoolExecutor(workers) as executor:
        objects = executor.map(_compile, longest_first)
        return {source.name: data for source, data in zip(longest_first, objects)}


_idle_machines: list[llvm.TargetMachine] = []


def _compile(source: KernelSource) -> bytes:
    module = _parse(source.name, source.text)
    try:
        machine = _idle_machines.pop()
    except IndexError:
        machine = _target_machine()
    try:
        return _emit(source.name, machine, module)
    finally:
        _idle_machines.append(machine)


def _parse(name: str, text: str) -> llvm.ModuleRef:
    try:
        module = llvm.parse_assembly(text, llvm.create_context())
        module.verify()
    except RuntimeError as error:
        raise CompileError(f"kernel {name}: LLVM refused its text: {str(error).strip()}") from None
    return module


# llvmlite holds one lock in all its calls. Code generation in a context and target machine of its own needs none, and takes
# nearly all the time, so it goes past the lock.
_library: Any = getattr(ffi.lib, "_lib_handle", None) or ffi.lib


def _emit(name: str, machine: llvm.TargetMachine, module: llvm.ModuleRef) -> bytes:
    with ffi.OutputString() as error:
        buffer = _library.LLVMPY_TargetMachineEmitToMemory(machine, module, 1, error)
        if not buffer:
            raise CompileError(f"kernel {name}: LLVM made no code: {error}")
    try:
        start, size = _library.LLVMPY_GetBufferStart(buffer), _library.LLVMPY_GetBufferSize(buffer)
        return ctypes.string_at(start, size)
    finally:
        _library.LLVMPY_DisposeMemoryBuffer(buffer)


@cache
def _initialize() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _target_machine() -> llvm.TargetMachine:
    _initialize()
    machine = host()
    return llvm.Target.from_triple(machine.triple).create_target_machine(
        cpu=machine.cpu, features=machine.features, opt=2, reloc="pic", codemodel="small"
    )


@cache
def _linker() -> llvm.orcjit.LLJIT:
    _initialize()
    if host().is_linux:
        # Python need not be linked to libm, whose functions kernels may call.
        ctypes.CDLL("libm.so.6", mode=ctypes.RTLD_GLOBAL)
    linker = llvm.create_lljit_compiler(use_jit_link=os.name != "nt", suppress_errors=True)
    return _immortal(linker)


def _immortal(reference: Any) -> Any:
    """Idle workers still run this code while the interpreter shuts down, so llvmlite must not free it."""
    reference._owned = True
    return reference


_libraries: list[llvm.orcjit.ResourceTracker] = []
_library_numbers = itertools.count()


def _link(sources: list[KernelSource], objects: Mapping[str, bytes]) -> dict[str, int]:
    library = llvm.JITLibraryBuilder().add_current_process()
    for name, data in objects.items():
        library.add_object_img(data)
        library.export_symbol(name)
    try:
        loaded = library.link(_linker(), f"kernels{next(_library_numbers)}")
    except RuntimeError as error:
        unknown = sorted(_declared(sources))
        absent = [symbol for symbol in unknown if not llvm.address_of_symbol(symbol)]
        reason = f"no symbol {', '.join(absent)}" if absent else str(error)
        raise CompileError(f"kernels {', '.join(objects)}: not linked: {reason}") from None
    _libraries.append(_immortal(loaded))
    return {name: loaded[name] for name in objects}


def _declared(sources: list[KernelSource]) -> set[str]:
    """The functions that the texts declare, but for LLVM's own."""
    declared = re.compile(r"^declare [^@]*@([\w.$]+)", re.MULTILINE)
    symbols = {symbol for source in sources for symbol in declared.findall(source.text)}
    return {symbol for symbol in symbols if not symbol.startswith("llvm.")}


if hasattr(os, "register_at_fork"):
    # Held over a fork: a child that inherits LLVM in the middle of a compilation could not use it.
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )
