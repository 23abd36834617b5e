"""What the host's processor can do, and which target level its kernels are made for."""

from __future__ import annotations

from functools import cache

import llvmlite
import llvmlite.binding as llvm

from tracejit._records import dataclass


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
        llvm_version = ".".join(map(str, llvm.llvm_version_info))
        return "\n".join((self.triple, self.cpu, self.features, llvmlite.__version__, llvm_version))


@cache
def host() -> Host:
    """The host, found once."""
    features = llvm.get_host_cpu_features().flatten()
    return Host(llvm.get_process_triple(), llvm.get_host_cpu_name(), features)


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


def _can_run(machine: Host, level: Level) -> bool:
    if level.name == "neon":
        return machine.is_arm64
    if level.name == "sse":
        return not machine.is_arm64  # vectors of 16 bytes and nothing else: any other processor too
    return machine.is_x86 and all(machine.has(feature) for feature in _NEEDS[level.name])
