"""A machine without a GPU as one with an emulated one: pycuda on a driver of ours, kernels compiled by g++.

`install()` comes before anything asks for a GPU; afterwards the process has the device `cuda:0`,
and as many more as `standin_set_devices` of the driver has been told.
"""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from tests.emulation.emulate import HERE, build, built, scheduler_path, unavailable
from tracejit.artifact import KernelSource
from tracejit.runtime.cuda import context, kernels

FLAGS = "-O1 -w -shared -fPIC -Wl,-soname,libcuda.so.1 -x c".split()
NOT_SUPPORTED = 801


def why_not() -> str | None:
    """What the emulated GPU needs and is not here, or None."""
    if (why := unavailable()) is not None:
        return why
    if importlib.util.find_spec("pycuda") is None:
        return "the emulated GPU needs pycuda (tracejit doctor --install-cuda)"
    return None


class Counts(ctypes.Structure):
    """What the driver has been asked for."""

    _fields_ = [  # as ctypes wants it
        (name, ctypes.c_long)
        for name in (
            "launches",
            "graph_launches",
            "captures",
            "updates",
            "copies_in",
            "copies_out",
            "waits",
            "allocations",
            "modules",
            "peer_copies",
        )
    ]
    launches: int
    graph_launches: int
    captures: int
    updates: int
    copies_in: int
    copies_out: int
    waits: int
    allocations: int
    modules: int
    peer_copies: int

    def copy(self) -> Counts:
        return Counts.from_buffer_copy(self)

    def __sub__(self, before: Counts) -> dict[str, int]:
        """What came since, where it is not 0."""
        since = {name: getattr(self, name) - getattr(before, name) for name, _ in self._fields_}
        return {name: count for name, count in since.items() if count}


def is_installed() -> bool:
    return bool(install.cache_info().currsize)


@cache
def install() -> ctypes.CDLL:
    """The driver, loaded under the name by which pycuda and tracejit find it from now on."""
    library = ctypes.CDLL(str(_driver_path()), mode=ctypes.RTLD_GLOBAL)
    library.standin_counts.restype = ctypes.POINTER(Counts)
    library.standin_set_limit.argtypes = [ctypes.c_size_t]
    assert ctypes.CDLL(context.LIBRARY)._handle == library._handle
    kernels.nvrtc = SimpleNamespace(
        compiled=_image, fingerprint=lambda: "emulation", library=install
    )  # type: ignore[assignment]
    return library


def counts() -> Counts:
    """As they are now."""
    found: Counts = install().standin_counts().contents
    return found.copy()


def _image(source: KernelSource, architecture: str) -> bytes:
    return build(source.text, source.name).read_bytes()


def _driver_path() -> Path:
    own = (HERE / "driver.c").read_text()
    missing = sorted(_asked_for() - _defined(own))
    stubs = "".join(f"Status {name}() {{ return {NOT_SUPPORTED}; }}\n" for name in missing)
    return built([*FLAGS, f'-DSCHEDULER="{scheduler_path()}"'], own + stubs, ".so")


def _asked_for() -> set[str]:
    """The driver's functions that pycuda refers to: all of them have to be there when it is loaded."""
    spec = importlib.util.find_spec("pycuda")
    assert spec is not None
    assert spec.origin is not None
    (extension,) = Path(spec.origin).parent.glob("_driver*.so")
    table = subprocess.run(
        ["nm", "-D", "--undefined-only", extension], check=True, capture_output=True, text=True
    )
    names = {line.split()[-1].partition("@")[0] for line in table.stdout.splitlines()}
    return {name for name in names if name.startswith("cu") and name[2:3].isupper()}


def _defined(text: str) -> set[str]:
    return {
        line.split("(")[0].split()[-1] for line in text.splitlines() if line.startswith("Status cu")
    }
