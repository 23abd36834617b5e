"""Launches of emitted kernels under the emulation."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.emulation.emulate import load
from tracejit.artifact import LaunchShape
from tracejit.codegen.cuda.emit import emit
from tracejit.codegen.cuda.schedule import Variant, shape_of, variant_of
from tracejit.codegen.kernel.ir import Kernel
from tracejit.codegen.kernel.printer import print_kernel
from tracejit.codegen.kernel.verify import verify

Array = np.ndarray[Any, Any]

ORDERS = (0, 1, 7)
"""Of threads: ascending, descending, shuffled."""

Segment = tuple[Sequence[Array], Sequence[int], int]
"""Arrays, sizes, tasks."""

_TEXTS: dict[tuple[str, int, Variant], str] = {}


def text_of(kernel: Kernel, segments: int = 1, variant: Variant = Variant.LONG) -> str:
    """The kernel's CUDA C; kernels that print alike have one."""
    key = (print_kernel(verify(kernel)), segments, variant)
    if key not in _TEXTS:
        _TEXTS[key] = emit(kernel, "kernel", segments, variant)
    return _TEXTS[key]


def scratch_bytes(kernel: Kernel, sizes: Sequence[int]) -> int:
    """Of one task."""
    extents = dict(zip(kernel.sizes, sizes, strict=True))

    def used(extent: object, itemsize: int) -> int:
        count = extent if isinstance(extent, int) else extents[extent]  # type: ignore[index]
        return -(-count * itemsize // 64) * 64

    return sum(used(buffer.scratch, buffer.dtype.itemsize) for buffer in kernel.scratch)


def pack(
    kernel: Kernel, segments: Sequence[Segment], origins: Sequence[int], scratch: tuple[int, int]
) -> bytes:
    """The struct that the launch passes."""
    words: list[int] = []
    for arrays, sizes, tasks in segments:
        pairs = zip(arrays, origins, strict=True)
        words += [array.ctypes.data + origin * array.itemsize for array, origin in pairs]
        words += [*sizes, tasks]
    if kernel.scratch:
        words += scratch
    return struct.pack(f"{len(words)}q", *words)


def launch(
    kernel: Kernel,
    segments: Sequence[Segment],
    *,
    origins: Sequence[int] | None = None,
    order: int = 0,
    shape: LaunchShape | None = None,
    grid: int = 2,
) -> None:
    """All tasks of all segments, in place; a pointer is to `array[origin]`."""
    needed = max(scratch_bytes(kernel, dims) for _, dims, _ in segments)
    sizes = [(dims, tasks) for _, dims, tasks in segments]
    shape = shape or shape_of(kernel, sizes, needed)
    memory = np.full(max(shape.scratch_bytes * shape.teams * grid, 1), 0xFF, np.uint8)
    scratch = (memory.ctypes.data, shape.scratch_bytes) if shape.scratch_bytes else (0, 0)
    parameters = pack(kernel, segments, origins or [0] * len(kernel.buffers), scratch)
    text = text_of(kernel, len(segments), variant_of(kernel, sizes, shape))
    run = load(text, "kernel")
    run(grid, (shape.team, shape.teams), shape.shared_bytes, parameters, order)


def shapes(
    kernel: Kernel, segments: Sequence[tuple[Sequence[int], int]]
) -> tuple[LaunchShape, ...]:
    """The shape that is chosen, one of more teams, and, where a team needs a whole warp, one of several warps."""
    needed = max(scratch_bytes(kernel, sizes) for sizes, _ in segments)
    own = shape_of(kernel, segments, needed)
    if own.scratch_bytes or own.team > 32:
        return (own,)
    several = LaunchShape(own.team, max(96 // own.team, 1), max(96 // own.team, 1) * needed)
    return (own, several, LaunchShape(64, 1, needed)) if own.team == 32 else (own, several)
