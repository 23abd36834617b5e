"""Who lives in whose memory: an update takes over what it updates; every other value has a home of its own."""

from __future__ import annotations

from collections.abc import Mapping

from tracejit._records import dataclass
from tracejit.artifact import Argument, Place
from tracejit.ir.cluster import Owner, Temporary
from tracejit.ir.graph import Input

Spans = dict[Owner, tuple[int, int]]
"""For each home the first and the last unit that need it."""


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """One launch or host call, as far as memory is concerned.

    `aligned` pairs (read, written) that may be one memory; `copies` says that the unit only copies all of one memory to another.
    `work` is what running it costs, in nanoseconds, roughly.
    """

    reads: tuple[Owner, ...]
    writes: tuple[Owner, ...]
    aligned: frozenset[tuple[Owner, Owner]] = frozenset()
    copies: tuple[Owner, Owner] | None = None
    work: float = 0.0

    def renamed(self, names: Mapping[Owner, Owner]) -> Unit:
        """The unit on other memory."""

        def pair(of: tuple[Owner, Owner]) -> tuple[Owner, Owner]:
            return names.get(of[0], of[0]), names.get(of[1], of[1])

        return Unit(
            tuple(names.get(owner, owner) for owner in self.reads),
            tuple(names.get(owner, owner) for owner in self.writes),
            frozenset(map(pair, self.aligned)),
            pair(self.copies) if self.copies else None,
            self.work,
        )


FARTHEST = 16
"""How many units after a copy what was copied may still be read."""


class Homes:
    """A home is memory; its tenants are the owners that live in it, one after another.

    home      of each owner that is written, or was there before
    spans     when each home is needed: an output until the end
    dropped   units that have nothing left to do, because what they copy is already there
    """

    def __init__(self, units: list[Unit], fixed: Mapping[Owner, Argument]) -> None:
        self.units = units
        self.fixed = fixed
        self.home: dict[Owner, Owner] = {}
        self.spans: Spans = {}
        self.dropped: set[int] = set()
        self._first: dict[Owner, int] = {}
        self._last: dict[Owner, int] = {}
        self._tenants: dict[Owner, list[Owner]] = {}
        self._living: dict[Owner, list[Owner]] = {}
        """The tenants that may still be needed."""
        self._replaced: dict[Owner, Owner] = {}
        """Values that the plan ends by writing over an input, and that input."""
        self._replaced_at: dict[Owner, int] = {}
        self._note_uses()
        for owner in fixed:
            self._settle(owner, owner)
        self._lodge_neighbours()
        for number, unit in enumerate(units):
            self._house(number, unit)

    def is_input(self, owner: Owner) -> bool:
        return owner in self.fixed and self.fixed[owner].place is Place.INPUT

    def is_output(self, owner: Owner) -> bool:
        return owner in self.fixed and self.fixed[owner].place is Place.OUTPUT

    @property
    def output_bytes(self) -> int:
        return sum(nbytes(owner) for owner in self.fixed if self.is_output(owner))

    def loads(self) -> list[int]:
        """The bytes that the run allocates and each unit finds in use; the largest is the least that any plan needs."""
        changes = [0] * (len(self.units) + 1)
        for home, (first, last) in self.spans.items():
            size = nbytes(home)
            changes[first] += size
            changes[min(last + 1, len(self.units))] -= size
        load, loads = 0, []
        for change in changes[:-1]:
            load += change
            loads.append(load)
        return loads

    def _note_uses(self) -> None:
        for number, unit in enumerate(self.units):
            for owner in (*unit.reads, *unit.writes):
                self._first.setdefault(owner, number)
            for owner in unit.reads:
                self._last[owner] = number
            for owner in unit.writes:
                if not self.is_input(owner):
                    self._last[owner] = number
            if unit.copies and self.is_input(unit.copies[1]):
                self._replaced[unit.copies[0]] = unit.copies[1]
                self._replaced_at[unit.copies[1]] = number

    def _lodge_neighbours(self) -> None:
        """Inputs that lie in one memory are each other's tenants: while one is needed none may be written over."""
        beside: dict[int, list[Owner]] = {}
        for owner in self.fixed:
            if isinstance(owner, Input) and owner.memory is not None:
                beside.setdefault(owner.memory, []).append(owner)
        for neighbours in beside.values():
            for owner in neighbours:
                self._living[owner] = [owner, *(each for each in neighbours if each is not owner)]

    def _house(self, number: int, unit: Unit) -> None:
        for owner in unit.writes:
            if owner not in self.home:
                self._settle(owner, self._choose(number, unit, owner))
            elif self._first[owner] == number and self.is_output(owner):
                self._move_in(number, unit, owner)
        if unit.copies and self.home[unit.copies[0]] is self.home[unit.copies[1]]:
            self.dropped.add(number)

    def _settle(self, owner: Owner, home: Owner) -> None:
        self.home[owner] = home
        self._tenants.setdefault(home, []).append(owner)
        self._living.setdefault(home, []).append(owner)
        is_allocated = home not in self.fixed or self.is_output(home)
        if owner in self._first and is_allocated:
            first, last = self.spans.get(home, (self._first[owner], 0))
            until = len(self.units) if self.is_output(owner) else self._last[owner]
            self.spans[home] = min(first, self._first[owner]), max(last, until)

    def _choose(self, number: int, unit: Unit, owner: Owner) -> Owner:
        """The home of an owner that the unit is the first to write: its own, or one that it takes over."""
        candidates: list[Owner] = []
        if owner in self._replaced:
            candidates.append(self._replaced[owner])
        if unit.copies and unit.copies[1] is owner:
            candidates.append(self.home[unit.copies[0]])
        candidates += self._beside(unit, owner)
        for home in candidates:
            if nbytes(home) == nbytes(owner) and self._is_free(home, number, unit, owner):
                return home
        return owner

    def _beside(self, unit: Unit, owner: Owner) -> list[Owner]:
        """The homes of what the unit reads in step with the writing of `owner`, but for those that others know."""
        homes = [self.home[each] for each in unit.reads if (each, owner) in unit.aligned]
        return [home for home in homes if home not in self.fixed]

    def _move_in(self, number: int, unit: Unit, output: Owner) -> None:
        """Lets an operand that ends with this unit, and who lived there before, live in the memory of the output."""
        for home in self._beside(unit, output):
            if nbytes(home) == nbytes(output) and self._is_free(home, number, unit, output):
                del self.spans[home], self._living[home]
                for tenant in self._tenants.pop(home):
                    self._settle(tenant, output)
                return

    def _is_free(self, home: Owner, number: int, unit: Unit, owner: Owner) -> bool:
        """No tenant is needed after this unit, nor in it out of step with the writing of `owner`."""
        if home in self.fixed and self._replaced_at.get(home, -1) < self._last.get(owner, number):
            return False
        living = [each for each in self._living[home] if self._last.get(each, -1) >= number]
        self._living[home] = living
        return all(
            self._ends_with_copy(tenant, owner, number)
            if unit.copies == (tenant, owner)
            else self._last[tenant] == number and (tenant, owner) in unit.aligned
            for tenant in living
        )

    def _ends_with_copy(self, tenant: Owner, owner: Owner, number: int) -> bool:
        """What is copied to `owner` is read no more, or in step by the next that writes `owner`, and by nobody after it."""
        last = self._last[tenant]
        if last > number + FARTHEST:
            return False
        for unit in self.units[number + 1 : last + 1]:
            reads, writes = tenant in unit.reads, owner in unit.writes
            if reads and writes and (tenant, owner) not in unit.aligned:
                return False
            if writes and unit is not self.units[last]:
                return False
        return True


def nbytes(owner: Owner) -> int:
    return owner.nbytes if isinstance(owner, Temporary) else owner.aval.nbytes
