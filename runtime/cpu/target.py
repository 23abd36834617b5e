"""What the host's processor can do, and which target level its kernels are made for."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from tracejit._digest import digest
from tracejit._gate import Gate, late
from tracejit._records import dataclass

if TYPE_CHECKING:
    from tracejit.runtime.cache import DiskCache


@dataclass(frozen=True, slots=True)
class Level:
    """A target level: within one, results are the same bits. Vectors have `vector_bytes` bytes."""

    name: str
    vector_bytes: int
    has_fma: bool


LEVELS = {
    level.name: level
    for level in (
        Level("avx512", 64, has_fma=True),
        Level("avx2", 32, has_fma=True),
        Level("sse", 16, has_fma=False),
        Level("neon", 16, has_fma=True),
    )
}

_NEEDS = {
    "avx512": ("avx512f", "avx512bw", "avx512dq", "avx512vl"),
    "avx2": ("avx2", "fma"),
}


@dataclass(frozen=True, slots=True)
class Host:
    """This machine's processor, in LLVM's words."""

    triple: str
    cpu: str
    features: str
    llvm: str = ""
    """The version that describes it so, and that compiles for it."""

    def has(self, feature: str) -> bool:
        return f"+{feature}" in self.features.split(",")

    @property
    def is_x86(self) -> bool:
        return self.triple.startswith(("x86_64", "i686"))

    @property
    def is_arm64(self) -> bool:
        return self.triple.startswith(("aarch64", "arm64"))

    @property
    def is_linux(self) -> bool:
        return "linux" in self.triple

    @property
    def fingerprint(self) -> str:
        """All that machine code depends on besides its source."""
        return "\n".join((self.triple, self.cpu, self.features, self.llvm, _llvmlite()))


_BASELINES = {"avx512": "x86-64-v4", "avx2": "x86-64-v3", "sse": "x86-64-v2", "neon": "generic"}
"""The least processor of each level, as LLVM calls it, and for x86 as NumPy nearly does."""
_gate = Gate()
"""Whoever asks LLVM is inside."""


@cache
def host() -> Host:
    """The host, found once; where the system tells one start of the machine from another, once in all processes."""
    known = remembered_host()
    if known is not None:
        return known
    with _gate:
        found: Host = late("tracejit.runtime.cpu.llvm").this_host()
    disk, key = _disk_cache(), _key_of_machine()
    if disk and key:
        fields = (found.triple, found.cpu, found.features, found.llvm)
        disk.put(key, "\n".join(fields).encode())
    return found


def remembered_host() -> Host | None:
    """The host, where an earlier process has found it: if so, then that has also compiled something."""
    disk, key = _disk_cache(), _key_of_machine()
    kept = disk.get(key) if disk and key else None
    return Host(*kept.decode().split("\n")) if kept else None


def _disk_cache() -> DiskCache | None:
    found: DiskCache | None = late("tracejit.runtime.cache").disk_cache()
    return found


@cache
def _llvmlite() -> str:
    """The version that is installed: LLVM itself is not loaded for it."""
    return str(late("llvmlite").__version__)


_STARTED = "/proc/sys/kernel/random/boot_id"
"""Where Linux tells one start of the machine from another."""


def _key_of_machine() -> str | None:
    """The same as long as the machine runs, with the same processor and LLVM; None where that is not known."""
    try:
        with open(_STARTED) as file:  # noqa: PTH123  # pathlib takes long to load
            started = file.read()
    except OSError:
        return None
    # A machine may go on from a snapshot, on another processor: NumPy has asked this one.
    numpy_found = getattr(np._core._multiarray_umath, "__cpu_features__", None)  # type: ignore[attr-defined]
    if not numpy_found:
        return None
    content = "\0".join((started, repr(numpy_found), _llvmlite(), __name__))
    return digest(content)


def target_level(name: str | None = None) -> Level:
    """The level called `name`, or the best that the host has.

    Raises ValueError for a name that is no level, or one that the host cannot run.
    """
    machine = host()
    runnable = [level for level in LEVELS.values() if _can_run(machine, level)]
    if name is None:
        return runnable[0]
    for level in runnable:
        if level.name == name:
            return level
    names = ", ".join(level.name for level in runnable)
    raise ValueError(f"target {name!r}: this processor ({machine.cpu}) runs {names}")


def baseline(level: Level) -> Host:
    """A processor of the host's kind that can do what all of the level can, and no more."""
    machine = host()
    return Host(machine.triple, _BASELINES[level.name], "", machine.llvm)


def runs_baseline(name: str) -> bool | None:
    """Whether this process can run code of a level's baseline: NumPy knows, which need not load LLVM. None if it does not."""
    found = getattr(np._core._multiarray_umath, "__cpu_features__", {})  # type: ignore[attr-defined]
    if name == "neon":
        return bool(found.get("ASIMD"))
    has: bool | None = found.get(_BASELINES[name].upper().replace("86-64-", "86_"))
    return has


def _can_run(machine: Host, level: Level) -> bool:
    if level.name == "neon":
        return machine.is_arm64
    if level.name == "sse":
        return not machine.is_arm64  # vectors of 16 bytes and nothing else: any other processor too
    return machine.is_x86 and all(machine.has(feature) for feature in _NEEDS[level.name])
