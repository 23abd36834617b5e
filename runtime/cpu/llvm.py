"""LLVM: text to objects, and objects to addresses. Loaded when there is something to compile: that takes 30 ms.

The texts hold explicit vectors, so LLVM's optimiser is not run: code generation alone gives the same speed in half the time.
Its first level gives that of the second, too, a sixth sooner.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite.binding import ffi

from tracejit._errors import CompileError
from tracejit.artifact import KernelSource
from tracejit.runtime.cpu.pages import let_go
from tracejit.runtime.cpu.target import Host, host


def _make_room() -> None:
    """Keeps the pages of LLVM's library from adding up, where nobody waits: touching them again takes 2 ms."""
    if threading.current_thread().daemon:
        let_go("/libllvmlite.so")


_make_room()
_idle_machines: defaultdict[tuple[Host, bool], list[llvm.TargetMachine]] = defaultdict(list)


def compiled(source: KernelSource, target: Host) -> bytes:
    """The kernel's object for a processor. Raises CompileError."""
    with _parsed(source.name, source.text) as module:
        idle = _idle_machines[target, source.is_long]
        try:
            machine = idle.pop()
        except IndexError:
            machine = _target_machine(target, level=0 if source.is_long else 1)
        _make_room()
        try:
            return _emit(source.name, machine, module)
        finally:
            idle.append(machine)
            _make_room()


def assembly(text: str) -> str:
    """The host's assembly for a module of LLVM text, for people to read."""
    with _parsed("assembly", text) as module:
        return _target_machine(host()).emit_assembly(module)


def this_host() -> Host:
    """The processor that this process runs on."""
    return Host(
        llvm.get_process_triple(),
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
        ".".join(map(str, llvm.llvm_version_info)),
    )


@contextmanager
def _parsed(name: str, text: str) -> Iterator[llvm.ModuleRef]:
    """The module, which is freed at the end: before its context, which a garbage collection does not see to."""
    with _refusal(name):
        module = llvm.parse_assembly(text, llvm.create_context())
    with module:
        with _refusal(name):
            module.verify()
        yield module


@contextmanager
def _refusal(name: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise CompileError(f"kernel {name}: LLVM refused its text: {str(error).strip()}") from None


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


def _target_machine(machine: Host, level: int = 1) -> llvm.TargetMachine:
    _initialize()
    return llvm.Target.from_triple(machine.triple).create_target_machine(
        cpu=machine.cpu, features=machine.features, opt=level, reloc="pic", codemodel="small"
    )


# Linking, where `tracejit.runtime.cpu.elf` cannot do it


_libraries: list[llvm.orcjit.ResourceTracker] = []
_library_numbers = itertools.count()


def link(objects: Mapping[str, bytes]) -> dict[str, int]:
    """The addresses of the functions that the objects are named for. Raises RuntimeError."""
    library = llvm.JITLibraryBuilder().add_current_process()
    for name, data in objects.items():
        library.add_object_img(data)
        library.export_symbol(name)
    loaded = library.link(_linker(), f"kernels{next(_library_numbers)}")
    _libraries.append(_immortal(loaded))
    return {name: loaded[name] for name in objects}


@cache
def _linker() -> llvm.orcjit.LLJIT:
    _initialize()
    linker = llvm.create_lljit_compiler(use_jit_link=os.name != "nt", suppress_errors=True)
    return _immortal(linker)


def _immortal(reference: Any) -> Any:
    """Idle workers still run this code while the interpreter shuts down, so llvmlite must not free it."""
    reference._owned = True
    return reference
