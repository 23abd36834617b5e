"""The order of units that keeps little memory in use: what frees more than it takes runs as soon as it can."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heapify, heappop, heappush

from tracejit.artifact import Argument, Place
from tracejit.ir.cluster import Owner
from tracejit.passes.homes import Unit, nbytes


def order_for_memory(units: list[Unit], fixed: Mapping[Owner, Argument]) -> list[int]:
    """Each unit comes after those whose values it needs, and nothing reads an input that has been written."""
    last = next(_writing_inputs(units, fixed), len(units))
    return [*_Ordering(units[:last], fixed).run(), *range(last, len(units))]


def _writing_inputs(units: list[Unit], fixed: Mapping[Owner, Argument]) -> Iterator[int]:
    for number, unit in enumerate(units):
        if any(owner in fixed and fixed[owner].place is Place.INPUT for owner in unit.writes):
            yield number


class _Ordering:
    """List scheduling: of the units that could run, the one that frees most, or else the one that was recorded first."""

    def __init__(self, units: list[Unit], fixed: Mapping[Owner, Argument]) -> None:
        self.units = units
        self.sizes = {
            owner: nbytes(owner)
            for unit in units
            for owner in (*unit.reads, *unit.writes)
            if owner not in fixed
        }
        self.readers: dict[Owner, set[int]] = {}
        self.begun: set[Owner] = set()
        self.after: dict[int, list[int]] = {}
        self.waiting: list[int] = []
        self._note_needs()

    def _note_needs(self) -> None:
        writers: dict[Owner, list[int]] = {}
        for number, unit in enumerate(self.units):
            needs = {n for owner in (*unit.reads, *unit.writes) for n in writers.get(owner, ())}
            self.waiting.append(len(needs))
            for need in needs:
                self.after.setdefault(need, []).append(number)
            for owner in unit.writes:
                writers.setdefault(owner, []).append(number)
            for owner in unit.reads:
                self.readers.setdefault(owner, set()).add(number)

    def run(self) -> list[int]:
        order: list[int] = []
        first = [number for number, waiting in enumerate(self.waiting) if not waiting]
        heapify(first)
        freeing = [(gain, number) for number in first if (gain := self._growth(number)) <= 0]
        heapify(freeing)
        done: set[int] = set()
        while first:
            number = self._next(freeing, done)
            if number is None:
                number = heappop(first)
                if number in done:
                    continue
            done.add(number)
            order.append(number)
            for ready in self._finish(number):
                if not self.waiting[ready] and ready not in done:
                    heappush(first, ready)
                    if (growth := self._growth(ready)) <= 0:
                        heappush(freeing, (growth, ready))
        return order

    def _next(self, freeing: list[tuple[int, int]], done: set[int]) -> int | None:
        """The unit that frees most, as things now stand."""
        while freeing:
            growth, number = heappop(freeing)
            if number in done:
                continue
            now = self._growth(number)
            if now <= growth:
                return number
            if now <= 0:
                heappush(freeing, (now, number))
        return None

    def _growth(self, number: int) -> int:
        """The bytes in use after the unit, less those before it."""
        unit = self.units[number]
        taken = sum(self.sizes.get(o, 0) for o in set(unit.writes) if o not in self.begun)
        freed = sum(self.sizes.get(o, 0) for o in set(unit.reads) if len(self.readers[o]) == 1)
        return taken - freed

    def _finish(self, number: int) -> Iterator[int]:
        """Those that may have become ready, or free more than before."""
        unit = self.units[number]
        self.begun.update(unit.writes)
        for later in self.after.get(number, ()):
            self.waiting[later] -= 1
            yield later
        for owner in set(unit.reads):
            self.readers[owner].discard(number)
            if len(self.readers[owner]) == 1:
                yield from self.readers[owner]
