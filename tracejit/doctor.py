"""`tracejit doctor`: what tracejit found on this machine, and whether it computes what NumPy does."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec

import numpy as np

from tracejit import __version__
from tracejit._config import config
from tracejit._errors import DeviceUnavailable
from tracejit._gate import late
from tracejit.ops.functions import exp
from tracejit.runtime.cache import disk_cache
from tracejit.runtime.cpu.native.install import why_not
from tracejit.runtime.cpu.target import host, target_level
from tracejit.runtime.device import get_num_threads
from tracejit.tensor import Tensor

REQUIRED = ["numpy", "ml_dtypes", "llvmlite", "sympy"]


def report() -> bool:
    """Prints what was found; whether everything works."""
    for name, finding in findings():
        print(f"{name:<10} {finding}")
    fault = computation_fault()
    print(f"{'compiler':<10} {fault or 'compiles, and agrees with NumPy'}")
    return fault is None


def findings() -> Iterator[tuple[str, str]]:
    yield "tracejit", __version__
    yield "python", f"{platform.python_version()} on {platform.platform()}"
    for package in REQUIRED:
        yield package, version(package)
    yield "processor", f"{host().cpu}, compiled for {target_level(config.target or None).name}"
    yield "threads", str(get_num_threads())
    yield "calls", calls()
    yield from cuda()
    disk = disk_cache()
    yield "cache", f"{disk.directory}: {len(disk.entries())} entries" if disk else "off"


def cuda() -> Iterator[tuple[str, str]]:
    """What programs need on a GPU, one by one, each with what mends it."""
    driver, nvrtc = late("tracejit.runtime.cuda.driver"), late("tracejit.runtime.cuda.nvrtc")
    yield "driver", driver.why_no_driver() or f"{driver.LIBRARY} is there"
    found = find_spec("pycuda") is not None
    yield "pycuda", version("pycuda") if found else driver.NO_PYCUDA
    try:
        yield "NVRTC", nvrtc.version()
    except DeviceUnavailable as error:
        yield "NVRTC", str(error)
    why = driver.why_not()
    if why is not None:
        yield "GPU", f"not used: {why}"
        return
    for gpu in map(driver.gpu, range(driver.device_count())):
        made_for = f"{gpu.architecture}, a driver of CUDA {driver.driver_version()}"
        yield (
            "GPU",
            f"{gpu.label}: {gpu.name}, {made_for}: {gpu_fault(gpu.label) or 'computes what the CPU does'}",
        )


def gpu_fault(device: str) -> str | None:
    """What goes wrong when a small program is compiled and run there."""
    x = Tensor(np.linspace(-3, 3, 1000, dtype=np.float32))
    try:
        with config.scope(eager="compiled"):
            there, here = ((exp(each) * 2 + 1).tolist() for each in (x.to(device), x))
    except Exception as error:  # whatever it is, it is the finding
        return f"fails: {type(error).__name__}: {error}"
    return None if there == here else "computes something else than the CPU"


def calls() -> str:
    """Whether machine code takes calls, or why not."""
    why = why_not()
    return "native" if why is None else f"through Python, which is slower: {why}"


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except PackageNotFoundError:
        return "not installed"


def computation_fault() -> str | None:
    """What goes wrong when a small program is compiled and run."""
    x = np.linspace(-3, 3, 1000, dtype=np.float32)
    try:
        with config.scope(eager="compiled"):
            y = (exp(Tensor(x)) * 2 + 1).numpy()
    except Exception as error:  # whatever it is, it is the finding
        return f"fails: {type(error).__name__}: {error}"
    expected = np.exp(x.astype(np.float64)) * 2 + 1
    worst = float(np.max(np.abs(y - expected) / expected))
    return None if worst < 1e-6 else f"is wrong: exp is off by {worst:.1e}"
