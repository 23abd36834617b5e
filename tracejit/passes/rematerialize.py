"""Values that are computed anew where they are next needed, so that they need no memory in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tracejit.ir.cluster import Owner
from tracejit.passes.homes import nbytes
from tracejit.passes.plan_memory import Memory, place
from tracejit.passes.timeline import Timeline

MOST_UNITS = 64
"""So many units are run again for one value, no more."""
MOST_TIMES = 4
"""So many times as many launches there may be."""
MOST_TRIALS = 48
"""So many ways to relieve a peak are tried before it is given up."""
SMALL = 8
"""A value is kept for the sake of another that is larger by this factor."""


def rematerialize(timeline: Timeline, fits: Callable[[int], bool]) -> tuple[Timeline, Memory]:
    """The peak fits, or is the least that was found. `fits` says it of an arena of so many bytes.

    What is computed anew is computed by the same launches from the same values, so that it has the same bits.
    """
    most = MOST_TIMES * len(timeline.order)
    best = timeline, place(timeline.homes)
    while not fits(best[1].arena_bytes):
        relieved = next(_relieved(timeline), None)
        if relieved is None or len(relieved.order) > most:
            break
        timeline = relieved
        memory = place(timeline.homes)
        if memory.arena_bytes < best[1].arena_bytes:
            best = timeline, memory
    return best


def _relieved(timeline: Timeline) -> Iterator[Timeline]:
    """Timelines with less in memory at the peak and nowhere more, those first that cost least for what they free."""
    ways = sorted(_ways(timeline), key=lambda way: (way.price, -way.before))
    for way in ways[:MOST_TRIALS]:
        for order in way.orders(timeline.order):
            changed = Timeline(timeline.work, order)
            if (changed.peak, len(changed.places)) < (timeline.peak, len(timeline.places)):
                yield changed


@dataclass(frozen=True, slots=True)
class _Way:
    """To relieve a peak: units that are run again before a place."""

    units: tuple[int, ...]
    before: int
    price: float
    """Nanoseconds a byte."""

    def orders(self, order: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """With what they make kept for later, where it would be made anew, and without."""
        rest = order[self.before :]
        later = [number for number in self.units if number in rest]
        if later:
            kept = list(rest)
            for number in later:
                kept.remove(number)
            yield (*order[: self.before], *self.units, *kept)
        yield (*order[: self.before], *self.units, *rest)


def _ways(timeline: Timeline) -> Iterator[_Way]:
    for value, use in timeline.gaps(timeline.places[0]):
        found = _again(timeline, value, use)
        if found is not None:
            units, kept = found
            freed = nbytes(value) - kept
            work = sum(timeline.work.units[number].work for number in units)
            if freed > 0:
                yield _Way(units, use, work / freed)


def _again(timeline: Timeline, value: Owner, before: int) -> tuple[tuple[int, ...], int] | None:
    """The units that make the value from what is in memory before a place, and the bytes that are to be kept for them."""
    work = timeline.work
    units: set[int] = set()
    kept: set[Owner] = set()
    wanted = [value]
    while wanted:
        for number in work.writers[wanted.pop()]:
            if number in units:
                continue
            units.add(number)
            unit = work.units[number]
            if len(units) > MOST_UNITS or any(map(work.is_input, unit.writes)):
                return None
            for source in unit.reads:
                if source in kept or timeline.is_kept(source, before):
                    continue
                if source not in work.writers:
                    return None
                if nbytes(source) * SMALL <= nbytes(value):
                    kept.add(source)
                else:
                    wanted.append(source)
    return tuple(sorted(units)), sum(map(nbytes, kept))
