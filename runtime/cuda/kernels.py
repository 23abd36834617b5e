"""Kernels from CUDA C to functions on a device: the process's table, then the disk cache, then NVRTC."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import tracejit.runtime.cuda.nvrtc as nvrtc
from tracejit._digest import digest
from tracejit._errors import DeviceUnavailable
from tracejit.artifact import KernelSource
from tracejit.runtime.cache import DiskCache
from tracejit.runtime.cpu.threads import available_cores, in_threads
from tracejit.runtime.cuda.driver import Gpu

_functions: dict[tuple[int, str], Any] = {}
"""By device and name."""
_lock = threading.Lock()


def load_kernels(
    sources: Iterable[KernelSource], gpu: Gpu, disk: DiskCache | None = None
) -> dict[str, Any]:
    """The function of each kernel by name; what this process has loaded before is not loaded again. Raises CompileError."""
    wanted = {source.name: source for source in sources}
    missing = [source for name, source in wanted.items() if (gpu.index, name) not in _functions]
    if missing:
        _load(images_of(missing, gpu.architecture, disk), gpu)
    return {name: _functions[gpu.index, name] for name in wanted}


def load_objects(keys: Mapping[str, str], gpu: Gpu, disk: DiskCache) -> dict[str, Any] | None:
    """The function of each kernel by name, from the object that the cache has under its key; None where it lacks one."""
    missing = [name for name in keys if (gpu.index, name) not in _functions]
    images = {name: image for name in missing if (image := disk.get(keys[name]))}
    if len(images) < len(missing):
        return None
    _load(images, gpu)
    return {name: _functions[gpu.index, name] for name in keys}


def why_no_compiler() -> str | None:
    """Why kernels cannot be compiled here, and what mends it; None where they can. It loads the compiler."""
    try:
        nvrtc.library()
    except DeviceUnavailable as error:
        return str(error)
    return None


def object_key(source: KernelSource, architecture: str) -> str:
    """Names an object in the disk cache: the text, and all else that the machine code depends on."""
    content = "\0".join((nvrtc.fingerprint(), architecture, source.name, source.text))
    return digest(content)


def images_of(
    sources: list[KernelSource], architecture: str, disk: DiskCache | None
) -> dict[str, bytes]:
    """The code of each kernel by name, for an architecture, which need not be here. Raises as `nvrtc.compiled` does."""
    keys = {source.name: object_key(source, architecture) for source in sources} if disk else {}
    images = {name: image for name, key in keys.items() if (image := disk and disk.get(key))}
    missing = [source for source in sources if source.name not in images]
    made = _compiled(missing, architecture)
    if disk:
        for name, image in made.items():
            disk.put(keys[name], image)
    return images | made


def _compiled(sources: list[KernelSource], architecture: str) -> dict[str, bytes]:
    """NVRTC lets go of the interpreter, so that kernels are compiled on all cores."""
    longest_first = sorted(sources, key=lambda source: -len(source.text))
    threads = 1 if threading.current_thread().daemon else available_cores()
    images = in_threads(lambda source: nvrtc.compiled(source, architecture), longest_first, threads)
    return {source.name: image for source, image in zip(longest_first, images)}


def _load(images: Mapping[str, bytes], gpu: Gpu) -> None:
    with _lock:
        for name, image in images.items():
            if (gpu.index, name) not in _functions:
                _functions[gpu.index, name] = gpu.load(image).get_function(name)


def _renew_lock() -> None:
    """In a child process: whoever held the lock is a thread of the parent's."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)
