"""Emitted CUDA C on this processor: the unchanged text, compiled by g++ and run by a scheduler of fibers.

    run = load(text, name)
    run(grid, (team, teams), shared_bytes, parameters, order=1)

It finds wrong results, missing barriers (other orders of threads give other results), addresses outside of arrays made by
`guarded`, shared memory written past its end, and threads that wait for ever. It says nothing of speed.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
COMPILER = shutil.which("g++")
FLAGS = (
    "-O1 -std=c++17 -shared -fPIC -fvisibility=hidden -fno-extern-tls-init -fno-exceptions -fno-rtti -fwrapv "
    "-fno-strict-aliasing -ffp-contract=off -mfma -mf16c -w -nostdinc++ -x c++"
).split()
PAGE = mmap.PAGESIZE

Launch = Callable[..., None]
Array = np.ndarray[Any, Any]


class EmulationError(Exception):
    """A mistake that a kernel made."""


def unavailable() -> str | None:
    """Why kernels cannot be emulated here, or None."""
    if platform.machine() != "x86_64" or platform.system() != "Linux":
        return "the emulation of CUDA runs on x86-64 Linux alone"
    if COMPILER is None:
        return "the emulation of CUDA needs g++ (apt install g++)"
    if " fma " not in Path("/proc/cpuinfo").read_text():
        return "the emulation of CUDA needs a processor with FMA"
    return None


def directory() -> Path:
    """Where what was compiled is kept, for as long as the tests' temporary directory lives."""
    found = Path(tempfile.gettempdir()) / f"tracejit-emulation-{os.getuid()}"
    found.mkdir(mode=0o700, exist_ok=True)
    if found.lstat().st_uid != os.getuid():
        raise EmulationError(f"{found} belongs to somebody else, whose code is not run")
    return found


def built(arguments: list[str], source: str, suffix: str) -> Path:
    """The output of g++, by the hash of all that it follows from."""
    key = hashlib.sha256("\n".join([*arguments, source]).encode()).hexdigest()[:24]
    path = directory() / f"{key}{suffix}"
    if not path.exists():
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")
        command = [str(COMPILER), *arguments, "-", "-o", str(unfinished)]
        done = subprocess.run(command, input=source, text=True, capture_output=True)
        if done.returncode:
            raise EmulationError(f"g++ rejects the kernel:\n{done.stderr[:4000]}")
        unfinished.replace(path)
    return path


@cache
def scheduler_path() -> Path:
    """The library of the scheduler, which kernels refer to."""
    arguments = ["-O2", "-shared", "-fPIC", "-Wl,-soname,libemulation.so", "-x", "c"]
    return built(arguments, (HERE / "scheduler.c").read_text(), ".so")


@cache
def scheduler() -> ctypes.CDLL:
    return ctypes.CDLL(str(scheduler_path()), mode=ctypes.RTLD_GLOBAL)


def has_barriers(text: str) -> bool:
    return bool(re.search(r"meet\(\);|__syncthreads\(\);|_sync\(", text))


def build(text: str, name: str) -> Path:
    """A shared object that exports `emulated_kernel_NAME`."""
    has_shared = "extern __shared__" in text
    lines = ["EMULATED_SHARED"] if has_shared else []
    shared = "emulated_shared" if has_shared else "nullptr"
    lines.append(f"EMULATED_KERNEL({name}, {shared}, {int(has_barriers(text))})")
    header = (HERE / "cuda.h").read_text()
    return built(FLAGS, "\n".join([header, '#line 1 "kernel.cu"', text, *lines, ""]), ".so")


@cache
def load(text: str, name: str) -> Launch:
    """`launch(grid, (team, teams), shared_bytes, parameters, order=0)`: orders of threads are 0, 1 (backward) and seeds."""
    library = scheduler()
    kernel = ctypes.CDLL(str(build(text, name)))
    info = ctypes.c_char.in_dll(kernel, f"emulated_kernel_{name}")

    def launch(
        grid: int, block: tuple[int, int], shared_bytes: int, parameters: bytes, order: int = 0
    ) -> None:
        message = ctypes.create_string_buffer(512)
        failed = library.emulated_launch(
            ctypes.byref(info),
            grid,
            *block,
            shared_bytes,
            parameters,
            order,
            message,
            ctypes.c_size_t(len(message)),
        )
        if failed:
            raise EmulationError(message.value.decode())

    launch.library = kernel  # type: ignore[attr-defined]  # lives as long as what calls it
    return launch


def guarded(array: Array, *, aligned: bool = True) -> Array:
    """A copy that ends where a page begins that must not be touched, to 16 bytes if `aligned`; so does what lies before it."""
    unit = 16 if aligned else array.itemsize
    whole = -(-array.nbytes // unit) * unit
    pages = max(-(-whole // PAGE), 1)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for page in (0, pages + 1):
        assert protect(base + page * PAGE, PAGE, 0) == 0
    start = (pages + 1) * PAGE - whole
    copy = np.frombuffer(memory, np.uint8, array.nbytes, start).view(array.dtype)
    copy[:] = array.ravel()
    return copy.reshape(array.shape)
