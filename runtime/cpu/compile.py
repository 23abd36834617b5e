"""Kernels from LLVM text to addresses: the process's table, then the disk cache, then LLVM's code generator."""

from __future__ import annotations

import os
import struct
import sys
import threading
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from tracejit._digest import digest
from tracejit._errors import CompileError
from tracejit._gate import late
from tracejit._records import dataclass
from tracejit.artifact import KernelSource
from tracejit.runtime.cache import DiskCache
from tracejit.runtime.cpu.link import LLVM, gate, link
from tracejit.runtime.cpu.target import Host, host
from tracejit.runtime.cpu.threads import available_cores, in_threads

_SETTINGS = digest(Path(__file__).with_name("llvm.py").read_bytes())
"""Changes with the way that code is made."""


@dataclass(slots=True)
class CompileCounts:
    """How many kernels this process has compiled, and how many it has read from the disk cache."""

    compiled: int = 0
    read: int = 0


counts = CompileCounts()

_addresses: dict[str, int] = {}


def load_kernels(
    sources: Iterable[KernelSource],
    disk: DiskCache | None = None,
) -> dict[str, int]:
    """The address of each kernel by name; what this process has loaded before is not loaded again.

    Threads that want other kernels do not wait for each other. The texts may call what libc and libm have. Raises CompileError.
    """
    wanted = {source.name: source for source in sources}
    while not wanted.keys() <= _addresses.keys():
        mine = _claims.take(wanted.values())
        try:
            if mine:
                texts = [source.text for source in mine]
                _addresses.update(link(_objects(mine, disk), texts))
        finally:
            _claims.give(mine)
    return {name: _addresses[name] for name in wanted}


class _Claims:
    """Which thread loads which kernel, so that no two load the same."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Forgets what is claimed, by threads that a child process does not have."""
        self._changed = threading.Condition()
        self._owners: dict[str, int] = {}

    def take(self, wanted: Iterable[KernelSource]) -> list[KernelSource]:
        """Those missing that nobody else is loading; where there are none, it waits for another thread to be done with some."""
        me = threading.get_ident()
        with self._changed:
            missing = [source for source in wanted if source.name not in _addresses]
            owners = {} if gate.is_kept else self._owners  # nobody else will ever come in again
            mine = [source for source in missing if owners.get(source.name, me) == me]
            if missing and not mine:
                self._changed.wait()
            self._owners.update((source.name, me) for source in mine)
            return mine

    def give(self, sources: Iterable[KernelSource]) -> None:
        with self._changed:
            for source in sources:
                self._owners.pop(source.name, None)
            self._changed.notify_all()


_claims = _Claims()


def load_objects(keys: Mapping[str, str], disk: DiskCache) -> dict[str, int] | None:
    """The address of each kernel by name, from the object that the cache has under its key; None where it lacks one."""
    missing = [name for name in keys if name not in _addresses]
    with gate:
        objects = {name: data for name in missing if (data := disk.get(keys[name]))}
    if len(objects) < len(missing):
        return None
    if objects:
        counts.read += len(objects)
        _addresses.update(link(objects))
    return {name: _addresses[name] for name in keys}


def load_at_hand(source: KernelSource, objects: Mapping[str, bytes]) -> bool:
    """Whether `load_kernels` gives this without loading LLVM, as it is there, or now is, from the object of its `text_key`, or as
    LLVM is loaded.

    Raises CompileError for what is no object.
    """
    data = objects.get(text_key(source))
    if source.name not in _addresses and data is not None:
        try:
            _addresses.update(link({source.name: data}, [source.text]))
        except (struct.error, LookupError, ValueError) as error:
            raise CompileError(f"not linked: {error}") from None
    return source.name in _addresses or LLVM in sys.modules


def text_key(source: KernelSource) -> str:
    """Names an object outside of the disk cache, by all that it does."""
    return digest("\0".join((source.name, source.text)))


def object_key(source: KernelSource, target: Host | None = None) -> str:
    """Names an object in the disk cache: the text, and all else that the machine code depends on."""
    fingerprint = (target or host()).fingerprint
    content = "\0".join((_SETTINGS, fingerprint, source.name, source.text))
    return digest(content)


def objects_for(
    target: Host, sources: Iterable[KernelSource], disk: DiskCache | None = None
) -> dict[str, bytes]:
    """The object of each kernel by name, for a processor that need not be this one. Raises CompileError."""
    return _objects([*sources], disk, target)


def _objects(
    sources: list[KernelSource], disk: DiskCache | None, target: Host | None = None
) -> dict[str, bytes]:
    keys = {source.name: object_key(source, target) for source in sources} if disk else {}
    with gate:
        objects = {name: data for name, key in keys.items() if (data := disk and disk.get(key))}
    counts.read += len(objects)
    missing = [source for source in sources if source.name not in objects]
    made = _compile_all(missing, target or host()) if missing else {}
    counts.compiled += len(made)
    if disk:
        with gate:
            for name, data in made.items():
                disk.put(keys[name], data)
    return objects | made


def _compile_all(sources: list[KernelSource], target: Host) -> dict[str, bytes]:
    # A daemon compiles alone: when the interpreter exits it would wait for other threads.
    threads = 1 if threading.current_thread().daemon else available_cores()
    longest_first = sorted(sources, key=lambda source: -len(source.text))
    objects = in_threads(partial(_compiled, target), longest_first, threads)
    return {source.name: data for source, data in zip(longest_first, objects)}


def _compiled(target: Host, source: KernelSource) -> bytes:
    with gate:
        data: bytes = late(LLVM).compiled(source, target)
    return data


def assembly(text: str) -> str:
    """The host's assembly for a module of LLVM text, for people to read."""
    with gate:
        found: str = late(LLVM).assembly(text)
    return found


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_claims.renew)
