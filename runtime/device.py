"""The devices that programs can run on."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import index

from tracejit._config import config
from tracejit._errors import DeviceUnavailable, at_user_line
from tracejit._gate import late
from tracejit._records import dataclass
from tracejit.runtime.cpu.threads import get_num_threads as get_num_threads

on_leaving: list[Callable[[], None]] = []
"""What a thread does that may be taken apart when the process ends: it has no current device then."""
KINDS = ("cpu", "cuda")
"""What the names of devices begin with."""


@dataclass(frozen=True, slots=True)
class Device:
    """A place to keep arrays and run programs: the processor's name, the cores to use, and the target level of its code."""

    name: str
    processor: str
    cores: int
    level: str

    def __str__(self) -> str:
        return f"{self.name}: {self.processor}, {self.cores} cores, {self.level}"


def cpu() -> Device:
    """The processor of this machine.

    >>> cpu().name
    'cpu'
    """
    # Loading LLVM takes long; nothing else in this module needs it.
    from tracejit.runtime.cpu.target import host, target_level

    level = target_level(config.target or None)
    return Device("cpu", host().cpu, get_num_threads(), level.name)


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


def full_name(name: str) -> str:
    """The device's name, with the number of a GPU, if it can be used: that is found out, by using it.

    Raises DeviceUnavailable, saying what mends it.

    >>> full_name("cpu:0")
    'cpu'
    """
    kind, _, index = name.partition(":")
    if kind == "cpu" and index in ("", "0"):
        return "cpu"
    if kind == "cuda" and (index.isdecimal() or not index):
        label: str = late("tracejit.runtime.cuda.driver").gpu(int(index or 0)).label
        return label
    mend = (
        "there is one CPU (use device='cpu')"
        if kind == "cpu"
        else "tj.devices() lists those of this machine"
    )
    raise DeviceUnavailable(at_user_line(f"{name}: there is no such device: {mend}"))


def default_device() -> str:
    """Where tensors are made of what is on no device, where none is named: as `tj.config.default_device` says.

    Raises DeviceUnavailable where it cannot be used.

    >>> default_device()
    'cpu'
    """
    name = config.default_device
    if name == "auto":
        name = _best()
    return name if name == "cpu" else full_name(name)


@cache
def _best() -> str:
    return next(iter(gpus()), "cpu")


def leave() -> None:
    """This thread has no current device any more."""
    for each in on_leaving:
        each()


def gpus() -> list[str]:
    """The GPUs that can be used, by name."""
    return [f"cuda:{index}" for index in range(late("tracejit.runtime.cuda.driver").usable())]
