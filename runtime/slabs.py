"""Launches that do several kernels slab by slab: what one task does to the slabs of its number, while they are in the cache.

Such a launch is one of the kernel `KERNEL`. A task's number, read as digits, says which slabs are its own: those along some outer
axes, and one or, round after round, all of the last one. It calls other kernels one after the other, all their tasks, each with
pointers that move on by some bytes from digit to digit and from round to round, or lead to the task's own scratch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from tracejit._records import dataclass
from tracejit.runtime.pool import ALIGNMENT

KERNEL = "tracejit_slabs"
SCRATCH = -1
"""The place of what lies in the task's scratch."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """`place` is one of the launch's arguments, or SCRATCH; `offset`, `advances` for each digit, and `step` from round to round,
    in bytes."""

    place: int
    offset: int
    advances: tuple[int, ...]
    step: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """What one kernel does to a slab; `kernel` counts the launch's `calls`."""

    kernel: int
    pointers: tuple[Pointer, ...]
    dims: tuple[int, ...]
    tasks: int


@dataclass(frozen=True, slots=True)
class Rounds:
    """Parts one after another, so many times."""

    count: int
    parts: tuple[Part, ...]


def pointer_bytes(most: int) -> int:
    """What so many pointers take of the scratch, whose beginning they are."""
    return -(-8 * most // ALIGNMENT) * ALIGNMENT


def dims_of(radices: Sequence[int], scratch_at: int, every: Sequence[Rounds]) -> tuple[int, ...]:
    """The dims of a launch, after the addresses of the kernels it calls:

    digits, the radix of each, where in the scratch that of the kernels begins, how many `Rounds` there are, then for each of them
    0 count  1 parts, then for each part
    0 kernel  1 tasks  2 pointers  3 dims, then pointers * (place, offset, advances, step), and the dims
    """
    return (
        len(radices),
        *radices,
        scratch_at,
        len(every),
        *chain.from_iterable(map(_words, every)),
    )


def _words(rounds: Rounds) -> Iterator[int]:
    yield from (rounds.count, len(rounds.parts))
    for part in rounds.parts:
        yield from (part.kernel, part.tasks, len(part.pointers), len(part.dims))
        for pointer in part.pointers:
            yield from (pointer.place, pointer.offset, *pointer.advances, pointer.step)
        yield from part.dims


def rounds_of(dims: Sequence[int]) -> tuple[tuple[int, ...], list[Rounds]]:
    """The radices and the rounds that `dims_of` has made such dims of."""
    words = iter(dims)

    def some(count: int) -> tuple[int, ...]:
        return tuple(islice(words, count))

    def part() -> Part:
        kernel, tasks, pointers, own = some(4)
        places = tuple(pointer() for _ in range(pointers))
        return Part(kernel, places, some(own), tasks)

    def pointer() -> Pointer:
        place, offset, *advances, step = some(3 + digits)
        return Pointer(place, offset, tuple(advances), step)

    (digits,) = some(1)
    radices = some(digits)
    _, count = some(2)
    every = []
    for _ in range(count):
        repeated, parts = some(2)
        every.append(Rounds(repeated, tuple(part() for _ in range(parts))))
    return radices, every
