"""GPUs: whether there are any, and their memory. Tensors come to one by `t.to("cuda")`, modules by `model.to("cuda")`."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tracejit._config import config
from tracejit._errors import at_user_line
from tracejit._gate import late
from tracejit.dtypes import as_dtype
from tracejit.runtime.buffer import array_at
from tracejit.runtime.pool import MemoryStats


def _driver() -> Any:
    return late("tracejit.runtime.cuda.driver")


def _gpu(device: str | int) -> Any:
    name = f"cuda:{device}" if isinstance(device, int) else device
    kind, _, index = name.partition(":")
    if kind != "cuda" or not (index.isdecimal() or not index):
        raise ValueError(
            at_user_line(f"a GPU is named 'cuda', 'cuda:1' or by a number, got {device!r}")
        )
    return _driver().gpu_named(name)


def is_available() -> bool:
    """Whether programs can run on a GPU here; `why_not()` says what is missing."""
    return why_not() is None


def why_not() -> str | None:
    """What keeps programs from running on a GPU here, and what mends it; None where they can."""
    reason: str | None = (
        _driver().why_not() or late("tracejit.runtime.cuda.kernels").why_no_compiler()
    )
    return reason


def device_count() -> int:
    """How many GPUs can be used.

    >>> device_count() >= 0
    True
    """
    count: int = _driver().usable()
    return count


def get_device_name(device: str | int = "cuda") -> str:
    """What its maker calls it. Raises DeviceUnavailable, as all below."""
    name: str = _gpu(device).name
    return name


def synchronize(device: str | int = "cuda") -> None:
    """Waits until the GPU has done all that it was given."""
    _gpu(device).synchronize()


def memory_stats(device: str | int = "cuda") -> MemoryStats:
    """How much of its memory tensors use and the pool keeps, in bytes."""
    stats: MemoryStats = _gpu(device).stats()
    return stats


def reset_peak_memory_stats(device: str | int = "cuda") -> None:
    """From now on `memory_stats().bytes_peak` is the most bytes in use since this call."""
    _gpu(device).reset_peak()


def pinned_empty(shape: Any, dtype: Any = None, device: str | int = "cuda") -> np.ndarray:
    """An uninitialised array in page-locked memory of the host, of the default dtype where none is named.

    A GPU copies from and to it several times as fast as from other memory; there is little of it. It goes back to a pool when
    the last view is gone.
    """
    wanted = as_dtype(config.default_dtype if dtype is None else dtype)
    extents = (shape,) if isinstance(shape, int) else tuple(shape)
    memory = _gpu(device).page_locked(prod(extents) * wanted.itemsize)
    return array_at(memory.address, wanted.numpy, extents, owner=memory)


def empty_cache(device: str | int | None = None) -> None:
    """Gives the memory that no tensor uses back to the driver, for other programs: that of one GPU, or of all that are in use.

    What tensors hold stays theirs.
    """
    for gpu in _driver().opened() if device is None else [_gpu(device)]:
        gpu.empty_cache()
