"""Launches that do several kernels slab by slab: what one task does to the slabs of its number, while they are in the cache.

Such a launch is one of the kernel `KERNEL`, whose tasks are slabs. It calls other kernels one after the other, all their tasks,
each with pointers that move on by some bytes from slab to slab, or lead to the task's own scratch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice

from tracejit._records import dataclass
from tracejit.runtime.pool import ALIGNMENT

KERNEL = "tracejit_slabs"
SCRATCH = -1
"""The place of what lies in the task's scratch."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """`place` is one of the launch's arguments, or SCRATCH; `offset` and `advance`, from slab to slab, in bytes."""

    place: int
    offset: int
    advance: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """What one kernel does to a slab; `kernel` counts the launch's `calls`."""

    kernel: int
    pointers: tuple[Pointer, ...]
    dims: tuple[int, ...]
    tasks: int


def pointer_bytes(most: int) -> int:
    """What so many pointers take of the scratch, whose beginning they are."""
    return -(-8 * most // ALIGNMENT) * ALIGNMENT


def dims_of(parts: Sequence[Part], scratch_at: int) -> tuple[int, ...]:
    """The dims of a launch, after the addresses of the kernels it calls: parts, where in the scratch that of the kernels begins,
    then for each part

    0 kernel  1 tasks  2 pointers  3 dims, then pointers * (place, offset, advance), and the dims
    """
    words = [len(parts), scratch_at]
    for part in parts:
        words += (part.kernel, part.tasks, len(part.pointers), len(part.dims))
        words += chain.from_iterable((p.place, p.offset, p.advance) for p in part.pointers)
        words += part.dims
    return tuple(words)


def parts_of(dims: Sequence[int]) -> list[Part]:
    """The parts that `dims_of` has made such dims of."""
    words = iter(dims)

    def some(count: int) -> tuple[int, ...]:
        return tuple(islice(words, count))

    count, _ = some(2)
    parts = []
    for _ in range(count):
        kernel, tasks, pointers, own = some(4)
        places = tuple(Pointer(*some(3)) for _ in range(pointers))
        parts.append(Part(kernel, places, some(own), tasks))
    return parts
