"""Values that are computed anew where they are next needed, so that they need no memory in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tracejit._records import dataclass
from tracejit.ir.cluster import Owner
from tracejit.passes.homes import nbytes
from tracejit.passes.plan_memory import Memory, place
from tracejit.passes.timeline import Timeline

MOST_UNITS = 64
"""So many units are run again for one value, no more."""
MOST_TIMES = 4
"""So many times as many launches there may be."""
MOST_WAYS = 48
"""So many ways to relieve a peak are tried before it is given up."""
MOST_TRIED = 400_000
"""Units of all orders that are tried for one program, which takes some seconds; most take far fewer."""
SHARE = 32
"""This part of a peak may be freed at once: few steps for a long program, and little more than is wanted."""
SMALL = 8
"""A value is kept for the sake of another that is larger by this factor."""


def rematerialize(timeline: Timeline, fits: Callable[[int], bool]) -> tuple[Timeline, Memory]:
    """The peak fits, or is the least that was found. `fits` says it of an arena of so many bytes.

    What is computed anew is computed by the same launches from the same values, so that it has the same bits.
    """
    descent = _Descent(timeline)
    outputs = timeline.homes.output_bytes
    found: list[tuple[Timeline, Memory]] = []
    while True:
        timeline = descent.timeline
        # To lay memory out takes longer than to ask whether it could fit at best.
        if fits(max(timeline.peak - outputs, 0)):
            found.append((timeline, place(timeline.homes)))
            if fits(found[-1][1].arena_bytes):
                return found[-1]
        if not descent.step():
            found.append((timeline, place(timeline.homes)))
            return min(found, key=lambda each: each[1].arena_bytes)


class _Descent:
    """Timelines with ever less in memory at the peak. It goes the same way whatever the limit is."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self._most = MOST_TIMES * len(timeline.order)
        self._left = MOST_TRIED

    def step(self) -> bool:
        """Goes on to the next; False where none was found."""
        now = self.timeline
        for order in _orders(now):
            if len(order) > self._most or self._left < 0:
                return False
            self._left -= len(order)
            changed = Timeline(now.work, order)
            if (changed.peak, len(changed.places)) < (now.peak, len(now.places)):
                self.timeline = changed
                return True
        return False


def _orders(timeline: Timeline) -> Iterator[tuple[int, ...]]:
    """Orders that may have less in memory at the peak, those first that cost least for what they free."""
    ways = sorted(_ways(timeline), key=lambda way: (way.price, -way.before))
    at_once = [_apart(ways, timeline.peak // SHARE)] if ways else []
    for together in (*at_once, *([way] for way in ways[:MOST_WAYS])):
        yield _order(timeline.order, together, keeps=True)
        yield _order(timeline.order, together, keeps=False)


@dataclass(frozen=True, slots=True)
class _Way:
    """To free a value at a peak: units that are run again before a place, from sources that are in memory there."""

    value: Owner
    before: int
    units: tuple[int, ...]
    sources: frozenset[Owner]
    freed: int
    price: float
    """Nanoseconds a byte."""


def _apart(ways: list[_Way], wanted: int) -> list[_Way]:
    """The first ways, of which none frees what another needs, to free so many bytes, but at least one."""
    chosen: list[_Way] = []
    freed: set[Owner] = set()
    needed: set[Owner] = set()
    for way in ways:
        if chosen and sum(each.freed for each in chosen) + way.freed > wanted:
            break
        if way.value not in needed and freed.isdisjoint(way.sources):
            chosen.append(way)
            freed.add(way.value)
            needed |= way.sources
    return chosen


def _order(order: tuple[int, ...], ways: list[_Way], *, keeps: bool) -> tuple[int, ...]:
    """With the units of all ways run again; if it `keeps` what they make, it is not made anew the next time."""
    for way in sorted(ways, key=lambda way: -way.before):
        rest = list(order[way.before :])
        for number in way.units if keeps else ():
            if number in rest:
                rest.remove(number)
        order = (*order[: way.before], *way.units, *rest)
    return order


def _ways(timeline: Timeline) -> Iterator[_Way]:
    for value, use in timeline.gaps(timeline.places[0]):
        way = _again(timeline, value, use)
        if way is not None and way.freed > 0:
            yield way


def _again(timeline: Timeline, value: Owner, before: int) -> _Way | None:
    """The units that make the value from what is in memory before a place, or small enough to be kept for them."""
    work = timeline.work
    units: set[int] = set()
    sources: set[Owner] = set()
    kept = 0
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
                if source in work.fixed or source in sources:
                    continue
                if timeline.is_kept(source, before):
                    sources.add(source)
                elif source not in work.writers:
                    return None
                elif nbytes(source) * SMALL <= nbytes(value):
                    sources.add(source)
                    kept += nbytes(source)
                else:
                    wanted.append(source)
    freed = nbytes(value) - kept
    cost = sum(work.units[number].work for number in units)
    return _Way(
        value, before, tuple(sorted(units)), frozenset(sources), freed, cost / max(freed, 1)
    )
