"""Memory: where each value of a plan lies. What is not needed at once shares the arena, and the outputs' own memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tracejit._records import dataclass, field
from tracejit.artifact import Argument, Place
from tracejit.ir.cluster import Owner
from tracejit.ir.dim import is_open
from tracejit.passes.homes import Homes, Unit, nbytes

ALIGNMENT = 64


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """Where each owner lies, and which units have nothing left to do."""

    places: Mapping[Owner, Argument]
    dropped: frozenset[int]
    arena_bytes: int


def plan_memory(units: list[Unit], fixed: Mapping[Owner, Argument]) -> Memory:
    """Every owner has memory; no two overlap while both are needed, unless one takes over the other's."""
    return place(Homes(units, fixed))


def place(homes: Homes) -> Memory:
    """First fit, the largest first: in the memory of an output until that is needed, or else in the arena."""
    arena = Space(Argument(Place.ARENA, 0))
    spaces = [*_outputs(homes), arena]
    places = dict(homes.fixed)
    wanted = [home for home in homes.spans if home not in homes.fixed]
    wanted.sort(key=lambda home: (-nbytes(home), homes.spans[home][0]))
    for home in wanted:
        span, size = homes.spans[home], nbytes(home)
        found = next(at for space in spaces if (at := space.take(span, size)) is not None)
        places[home] = found
    return Memory(
        {owner: places[home] for owner, home in homes.home.items()},
        frozenset(homes.dropped),
        arena.end,
    )


def _outputs(homes: Homes) -> list[Space]:
    """The outputs' memory as far as it is idle at first; the smallest first, so that the large ones stay for large values."""
    spaces = []
    for owner in sorted(filter(homes.is_output, homes.spans), key=nbytes):
        if homes.spans[owner][0] > 0:
            space = Space(homes.fixed[owner], nbytes(owner))
            space.take(homes.spans[owner], nbytes(owner))
            spaces.append(space)
    return spaces


@dataclass(slots=True)
class Space:
    """Memory in which values lie, each for its time: to the `end` that they reach, at most `capacity` bytes."""

    at: Argument
    capacity: int | None = None
    end: int = 0
    count: int = 0
    taken: np.ndarray = field(default_factory=lambda: np.empty((4, 16), np.int64))
    """Of each value: the first and last unit that need it, its first byte, and the one after its last."""

    def take(self, span: tuple[int, int], size: int) -> Argument | None:
        """The first room of so many bytes that is free for so long; None where there is none."""
        if self.capacity is not None and size > self.capacity:
            return None
        start = self._first_gap(span, size)
        if self.capacity is not None and start + size > self.capacity:
            return None
        if self.count == self.taken.shape[1]:
            self.taken = np.concatenate((self.taken, self.taken), axis=1)
        if is_open(size):  # an array of integers would look at it
            self.taken = self.taken.astype(object)
        self.taken[:, self.count] = *span, start, start + size
        self.count += 1
        self.end = max(self.end, start + size)
        return Argument(self.at.place, self.at.index, start)

    def _first_gap(self, span: tuple[int, int], size: int) -> int:
        firsts, lasts, starts, stops = self.taken[:, : self.count]
        (rivals,) = np.nonzero((firsts <= span[1]) & (lasts >= span[0]))
        rivals = rivals[np.argsort(starts[rivals])]
        reached = np.maximum.accumulate(-(-stops[rivals] // ALIGNMENT) * ALIGNMENT)
        gaps = np.concatenate(([0], reached))
        wide = np.flatnonzero(starts[rivals] - gaps[:-1] >= size)
        first = gaps[wide[0] if len(wide) else -1]
        return first if is_open(first) else int(first)
