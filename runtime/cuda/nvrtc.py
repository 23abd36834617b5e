"""NVIDIA's run-time compiler, through ctypes: CUDA C to machine code in this process, with or without a GPU.

It lets go of the interpreter while it compiles, so that several threads may.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from tracejit._errors import CompileError, DeviceUnavailable
from tracejit._records import dataclass
from tracejit.artifact import KernelSource

OPTIONS: Final = ("--fmad=false", "--std=c++17")
"""No product and sum become one rounding unless the text says fma; division and square roots are rounded correctly."""
NAMES: Final = ("libnvrtc.so.13", "libnvrtc.so.12")
MEND: Final = "pip install 'tracejit[cuda]', or pip install nvidia-cuda-nvrtc"
CONTEXT: Final = 3
"""Lines shown before and after one with an error."""


@dataclass(frozen=True, slots=True)
class Compilation:
    """Machine code for one architecture, and what the compiler said about it."""

    image: bytes
    log: str


def compiled(source: KernelSource, architecture: str) -> bytes:
    """The machine code of a kernel for an architecture such as `sm_90`.

    Raises CompileError, DeviceUnavailable where there is no NVRTC.
    """
    return compile_text(source.text, architecture).image


def compile_text(text: str, architecture: str, options: Sequence[str] = ()) -> Compilation:
    """A module's machine code; with `--ptxas-options=-v` the log tells of registers and spills. Raises as `compiled` does."""
    program = _Program(library(), text)
    try:
        return program.compiled((f"--gpu-architecture={architecture}", *OPTIONS, *options))
    finally:
        program.destroy()


@cache
def fingerprint() -> str:
    """Changes with the compiler and the way it is used."""
    return f"nvrtc {version()} {' '.join(OPTIONS)}"


@cache
def version() -> str:
    major, minor = ctypes.c_int(), ctypes.c_int()
    library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


class _Program:
    """One text being compiled."""

    def __init__(self, nvrtc: ctypes.CDLL, text: str) -> None:
        self.nvrtc = nvrtc
        self.text = text
        self.handle = ctypes.c_void_p()
        self.do(
            "nvrtcCreateProgram",
            ctypes.byref(self.handle),
            text.encode(),
            b"kernel.cu",
            0,
            None,
            None,
            own=False,
        )

    def compiled(self, options: tuple[str, ...]) -> Compilation:
        encoded = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
        failure = self.nvrtc.nvrtcCompileProgram(self.handle, len(options), encoded)
        log = self.bytes_of("ProgramLog").rstrip(b"\0").decode(errors="replace")
        if failure:
            raise CompileError(explained(self.text, log or self.error(failure), options[0]))
        # A virtual architecture has no machine code.
        what = "PTX" if "compute_" in options[0] else "CUBIN"
        return Compilation(self.bytes_of(what), log)

    def bytes_of(self, what: str) -> bytes:
        size = ctypes.c_size_t()
        self.do(f"nvrtcGet{what}Size", ctypes.byref(size))
        content = ctypes.create_string_buffer(size.value)
        self.do(f"nvrtcGet{what}", content)
        return content.raw

    def do(self, function: str, *args: Any, own: bool = True) -> None:
        failure = getattr(self.nvrtc, function)(*((self.handle,) if own else ()), *args)
        if failure:
            raise CompileError(f"NVRTC {version()}: {function}: {self.error(failure)}")

    def error(self, failure: int) -> str:
        return str(self.nvrtc.nvrtcGetErrorString(failure).decode())

    def destroy(self) -> None:
        self.nvrtc.nvrtcDestroyProgram(ctypes.byref(self.handle))


def explained(text: str, log: str, options: str) -> str:
    """What the compiler said, and the lines of the text that it spoke of."""
    lines = text.splitlines()
    wrong = sorted({int(number) for number in re.findall(r"kernel\.cu\((\d+)\): error", log)})[:3]
    excerpts = []
    for number in wrong:
        first = max(number - CONTEXT, 1)
        around = enumerate(lines[first - 1 : number + CONTEXT], first)
        excerpts.append(
            "\n".join(f"{'>' if n == number else ' '}{n:5} {line}" for n, line in around)
        )
    head = f"NVRTC {version()} {options} rejects a kernel: a defect of tracejit"
    return "\n\n".join([f"{head}\n{log.strip()}", *excerpts])


# the library


@cache
def library() -> ctypes.CDLL:
    """NVRTC: of the wheel, else of a CUDA toolkit, else wherever the linker finds it. Raises DeviceUnavailable."""
    for path in _candidates():
        try:
            return _opened(path)
        except OSError:
            continue
    raise DeviceUnavailable(
        f"cuda: kernels are compiled by NVRTC, which is not installed: {' or '.join(NAMES)} ({MEND})"
    )


def _candidates() -> Iterator[Path]:
    for directory in (*_wheels(), *_toolkits()):
        yield from (directory / name for name in NAMES)
    yield from map(Path, NAMES)


def _wheels() -> Iterator[Path]:
    """Of CUDA 13, and of 12."""
    spec = find_spec("nvidia")
    for place in (spec and spec.submodule_search_locations) or ():
        yield Path(place) / "cu13" / "lib"
        yield Path(place) / "cuda_nvrtc" / "lib"


def _toolkits() -> Iterator[Path]:
    named = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH")]
    for root in (*filter(None, named), "/usr/local/cuda"):
        yield Path(root) / "lib64"


def _opened(path: Path) -> ctypes.CDLL:
    """NVRTC looks for its built-in functions by a bare name, outside of a wheel: they are loaded first."""
    for builtins in (
        sorted(path.parent.glob("libnvrtc-builtins.so.*")) if path.is_absolute() else ()
    ):
        ctypes.CDLL(str(builtins))
    nvrtc = ctypes.CDLL(str(path))
    nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
    return nvrtc
