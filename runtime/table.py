"""Launches as a table of words for native code to walk (`tracejit.runtime.cpu.runner`): rounds that are alike stand in it once.

An unrolled loop has the same launches again and again, on memory that moves by as much from each round to the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tracejit._records import dataclass
from tracejit.artifact import LaunchSpec
from tracejit.runtime.workspace import aligned, argument_count

if TYPE_CHECKING:
    from tracejit.runtime.program import Slots

HEADER_WORDS = 6
SEGMENT_WORDS = 5
PLACE_WORDS = 4
LEAST_LAUNCHES = 8
"""Fewer are not looked through for rounds."""
_MOST_PERIODS = 3
_MOST_TURNS = 4
"""Rounds that may take turns with memory, and so are alike by twos, threes or fours only."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A launch: its words but for the places of its arguments, and these, each a word of the workspace and bytes to add."""

    before: tuple[Any, ...]
    places: tuple[int, ...]
    dims: tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Rounds:
    """`period` launches from `start` on, done `count` times; `steps` is how far the places of each move with each round."""

    start: int
    period: int
    count: int
    steps: tuple[tuple[int, ...], ...]


def table_of(
    launches: Sequence[LaunchSpec], kernels: Mapping[str, int], slots: Slots, head: Sequence[int]
) -> np.ndarray:
    """The table; `head` is (context, bytes to the pointers, bytes to the scratch)."""
    return np.array(table_words(launches, kernels, slots, head), np.int64)


def table_words(
    launches: Sequence[LaunchSpec], kernels: Mapping[str, Any], slots: Slots, head: Sequence[Any]
) -> list[Any]:
    """Its words, with whatever stands for the addresses of kernels and of the context."""
    entries = [entry_of(launch, kernels, slots) for launch in launches]
    groups = [*rounds_of(entries)]
    words: list[Any] = [head[0], len(groups), *head[1:]]
    for group in groups:
        inside: list[Any] = []
        for entry, steps in zip(entries[group.start :], group.steps):
            inside += _words(entry, steps)
        words += (group.count, group.period, 3 + len(inside), *inside)
    return words


def entry_of(launch: LaunchSpec, kernels: Mapping[str, Any], slots: Slots) -> Entry:
    segments: list[Any] = []
    places: list[int] = []
    dims: list[Any] = []
    count = argument_count(launch)
    dims_at = HEADER_WORDS + SEGMENT_WORDS * len(launch.segments) + PLACE_WORDS * count
    tasks = 0
    names = launch.kernels or (launch.kernel,) * len(launch.segments)
    for name, segment in zip(names, launch.segments, strict=True):
        segments += (kernels[name], tasks, segment.tasks)
        segments += (len(places) // 2, dims_at + len(dims))
        for argument in segment.arguments:
            places += slots.locate(argument)
        if launch.calls:
            dims += (len(launch.calls), *(kernels[name] for name in launch.calls))
        dims += segment.dims
        tasks += segment.tasks
    grain, scratch = max(launch.grain, 1), aligned(launch.scratch_bytes)
    header = (len(launch.segments), tasks, grain, scratch, count, dims_at + len(dims))
    return Entry((*header, *segments), tuple(places), tuple(dims))


def _words(entry: Entry, steps: tuple[int, ...]) -> Iterator[Any]:
    yield from entry.before
    for at in range(0, len(entry.places), 2):
        yield from entry.places[at : at + 2]
        yield from steps[at : at + 2]
    yield from entry.dims


def rounds_of(entries: Sequence[Entry]) -> Iterator[Rounds]:
    """The launches as rounds, one after another; what is not done again is a round that is done once."""
    found = _Repeats(entries)
    start = first = 0
    while start < len(entries):
        best = found.best_from(start)
        if best is None:
            start += 1
            continue
        if first < start:
            yield found.once(first, start)
        yield best
        start = first = start + best.period * best.count
    if first < len(entries):
        yield found.once(first, len(entries))


class _Repeats:
    """Looks for rounds among launches."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._places = [entry.places for entry in entries]
        numbers: dict[object, int] = {}
        kinds = [(entry.before, entry.dims) for entry in entries]
        self._kinds = np.array([numbers.setdefault(kind, len(numbers)) for kind in kinds])
        periods = self._find_periods() if len(entries) >= LEAST_LAUNCHES else []
        self._again = {period: self._count_again(period) for period in periods}

    def once(self, start: int, stop: int) -> Rounds:
        none = tuple((0,) * len(places) for places in self._places[start:stop])
        return Rounds(start, stop - start, 1, none)

    def best_from(self, start: int) -> Rounds | None:
        """The rounds that begin here and cover most launches; None where nothing is done three times."""
        best, most = 0, 0
        for period, again in self._again.items():
            third = start + 2 * period
            count = 2 + int(again[third]) // period if third < len(again) else 0
            if count > 2 and count * period > most:
                best, most = period, count * period
        if not best:
            return None
        second = range(start + best, start + 2 * best)
        steps = tuple(self._moved(at, best) for at in second)
        return Rounds(start, best, most // best, steps)

    def _find_periods(self) -> list[int]:
        """Distances at which the same kernel has the same dims again, the most frequent first, and small multiples of them."""
        last: dict[int, int] = {}
        gaps: Counter[int] = Counter()
        for at, kind in enumerate(self._kinds.tolist()):
            if kind in last:
                gaps[at - last[kind]] += 1
            last[kind] = at
        often = [gap for gap, _ in gaps.most_common(_MOST_PERIODS)]
        return sorted({gap * turns for gap in often for turns in range(1, _MOST_TURNS + 1)})

    def _count_again(self, period: int) -> np.ndarray:
        """From each launch on, how many in turn do what those a period before do, and have moved as far as those had."""
        count = len(self._kinds)
        moved = np.full(count, -1)
        numbers: dict[tuple[int, ...], int] = {}
        for at in (np.flatnonzero(self._kinds[period:] == self._kinds[:-period]) + period).tolist():
            moved[at] = numbers.setdefault(self._moved(at, period), len(numbers))
        is_alike = np.zeros(count, bool)
        is_alike[period:] = (moved[period:] == moved[:-period]) & (moved[period:] >= 0)
        breaks = np.append(np.flatnonzero(~is_alike), count)
        every = np.arange(count)
        return breaks[np.searchsorted(breaks, every)] - every

    def _moved(self, at: int, period: int) -> tuple[int, ...]:
        before = self._places[at - period]
        return tuple(now - then for now, then in zip(self._places[at], before))
