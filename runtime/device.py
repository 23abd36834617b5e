"""The devices that programs can run on."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index

from tracejit._config import config
from tracejit._errors import DeviceUnavailable, at_user_line
from tracejit.runtime.cpu.threads import available_cores


@dataclass(frozen=True, slots=True)
class Device:
    """A place to keep arrays and run programs: the processor's name, the cores to use, and the target level of its code."""

    name: str
    processor: str
    cores: int
    level: str

    def __str__(self) -> str:
        return f"{self.name}: {self.processor}, {self.cores} cores, {self.level}"


def devices() -> tuple[Device, ...]:
    """The devices of this machine.

    >>> [device.name for device in devices()]
    ['cpu']
    """
    # Loading LLVM takes long; nothing else in this module needs it.
    from tracejit.runtime.cpu.target import host, target_level

    level = target_level(config.target or None)
    return (Device("cpu", host().cpu, get_num_threads(), level.name),)


def set_num_threads(threads: int) -> None:
    """Sets how many threads a program may use, the calling one included; results are the same bits for any number.

    Raises ValueError for less than 1, TypeError for what is no integer.

    >>> before = get_num_threads()
    >>> set_num_threads(1)
    >>> get_num_threads()
    1
    >>> set_num_threads(before)
    """
    threads = index(threads)
    if threads < 1:
        raise ValueError(at_user_line(f"number of threads must be at least 1, not {threads}"))
    config.num_threads = threads


def get_num_threads() -> int:
    """How many threads a program may use, the calling one included; at first one for each core that the process may use."""
    return config.num_threads or available_cores()


def check(name: str) -> str:
    """`name` if it is a device of this machine.

    Raises DeviceUnavailable, saying what mends it, for one that is not here; ValueError for what is no device.

    >>> check("cpu")
    'cpu'
    """
    kind, _, index = name.partition(":")
    if kind == "cpu" and index in ("", "0"):
        return "cpu"
    if kind == "cuda":
        raise DeviceUnavailable(
            f"{name}: this version of tracejit runs on the CPU only (use device='cpu')"
        )
    if kind == "cpu":
        raise DeviceUnavailable(f"{name}: there is one CPU device (use device='cpu')")
    raise ValueError(f"{name!r} is no device; tracejit knows 'cpu'")
