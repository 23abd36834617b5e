"""Memory: where each value of a plan lies. What is not needed at once shares the arena; an update takes over what it updates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tracejit._records import dataclass
from tracejit.artifact import Argument, Place
from tracejit.ir.cluster import Owner, Temporary
from tracejit.ir.graph import Input

ALIGNMENT = 64


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """One launch or host call, as far as memory is concerned.

    `aligned` pairs (read, written) that may be one memory; `copies` says that the unit only copies all of one memory to another.
    """

    reads: tuple[Owner, ...]
    writes: tuple[Owner, ...]
    aligned: frozenset[tuple[Owner, Owner]] = frozenset()
    copies: tuple[Owner, Owner] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """Where each owner lies, and which units have nothing left to do."""

    places: Mapping[Owner, Argument]
    dropped: frozenset[int]
    arena_bytes: int


def plan_memory(units: list[Unit], fixed: Mapping[Owner, Argument]) -> Memory:
    """Every owner has memory; no two overlap while both are needed, unless one takes over the other's."""
    return Planner(units, fixed).run()


class Planner:
    """A home is memory; its tenants are the owners that live in it, one after another."""

    def __init__(self, units: list[Unit], fixed: Mapping[Owner, Argument]) -> None:
        self.units = units
        self.fixed = fixed
        self.first: dict[Owner, int] = {}
        self.last: dict[Owner, int] = {}
        for number, unit in enumerate(units):
            for owner in (*unit.reads, *unit.writes):
                self.first.setdefault(owner, number)
            for owner in unit.reads:
                self.last[owner] = number
            for owner in unit.writes:
                if not self._is_input(owner):
                    self.last[owner] = number
        self.home: dict[Owner, Owner] = {}
        self.tenants: dict[Owner, list[Owner]] = {}
        self.replaced: dict[Owner, Owner] = {}
        """Values that the plan ends by writing over an input, and that input."""
        self.replaced_at: dict[Owner, int] = {}
        for number, unit in enumerate(units):
            if unit.copies and self._is_input(unit.copies[1]):
                self.replaced[unit.copies[0]] = unit.copies[1]
                self.replaced_at[unit.copies[1]] = number

    def run(self) -> Memory:
        for owner in self.fixed:
            self._settle(owner, owner)
        self._lodge_neighbours()
        dropped: set[int] = set()
        for number, unit in enumerate(self.units):
            for owner in unit.writes:
                if owner not in self.home:
                    self._settle(owner, self._choose(number, unit, owner))
            if unit.copies and self.home[unit.copies[0]] is self.home[unit.copies[1]]:
                dropped.add(number)
        offsets, arena_bytes = self._arena()
        places = {owner: offsets.get(home) or self.fixed[home] for owner, home in self.home.items()}
        return Memory(places, frozenset(dropped), arena_bytes)

    def _lodge_neighbours(self) -> None:
        """Inputs that lie in one memory are each other's tenants: while one is needed none may be written over."""
        inputs = [owner for owner in self.fixed if isinstance(owner, Input)]
        for owner in inputs:
            self.tenants[owner] += [
                other
                for other in inputs
                if other is not owner and owner.memory is not None and other.memory == owner.memory
            ]

    def _is_input(self, owner: Owner) -> bool:
        return owner in self.fixed and self.fixed[owner].place is Place.INPUT

    def _settle(self, owner: Owner, home: Owner) -> None:
        self.home[owner] = home
        self.tenants.setdefault(home, []).append(owner)

    def _choose(self, number: int, unit: Unit, owner: Owner) -> Owner:
        """The home of an owner that the unit is the first to write: its own, or one that it takes over."""
        candidates: list[Owner] = []
        if owner in self.replaced:
            candidates.append(self.replaced[owner])
        if unit.copies and unit.copies[1] is owner:
            candidates.append(self.home[unit.copies[0]])
        beside = [self.home[source] for source, written in unit.aligned if written is owner]
        candidates += [home for home in beside if home not in self.fixed]
        for home in candidates:
            if nbytes(home) == nbytes(owner) and self._is_free(home, number, unit, owner):
                return home
        return owner

    def _is_free(self, home: Owner, number: int, unit: Unit, owner: Owner) -> bool:
        """No tenant is needed after this unit, nor in it out of step with the writing of `owner`."""
        if home in self.fixed and self.replaced_at.get(home, -1) < self.last.get(owner, number):
            return False
        for tenant in self.tenants[home]:
            last = self.last.get(tenant, -1)
            together = (tenant, owner) in unit.aligned or unit.copies == (tenant, owner)
            if last > number or (last == number and not together):
                return False
        return True

    def _interval(self, home: Owner) -> tuple[int, int]:
        tenants = self.tenants[home]
        return self.first[home], max(self.last[tenant] for tenant in tenants)

    def _arena(self) -> tuple[dict[Owner, Argument], int]:
        """First fit, the largest first, over the intervals in which homes are needed."""
        homes = [home for home in self.tenants if home not in self.fixed]
        homes.sort(key=lambda home: (-nbytes(home), self.first[home]))
        placed: list[tuple[int, int, int, int]] = []
        offsets: dict[Owner, Argument] = {}
        for home in homes:
            first, last = self._interval(home)
            rivals = ((start, stop) for a, b, start, stop in placed if a <= last and first <= b)
            start = _first_gap(rivals, nbytes(home))
            placed.append((first, last, start, start + nbytes(home)))
            offsets[home] = Argument(Place.ARENA, 0, start)
        return offsets, max((stop for *_, stop in placed), default=0)


def nbytes(owner: Owner) -> int:
    return owner.nbytes if isinstance(owner, Temporary) else owner.aval.nbytes


def _first_gap(taken: Iterable[tuple[int, int]], size: int) -> int:
    start = 0
    for first, stop in sorted(taken):
        if first - start >= size:
            break
        start = max(start, -(-stop // ALIGNMENT) * ALIGNMENT)
    return start
