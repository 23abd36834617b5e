"""Units in the order in which they run, some of them more than once: what is in memory when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from tracejit._records import dataclass
from tracejit.artifact import Argument, Place
from tracejit.ir.cluster import Owner
from tracejit.passes.homes import Homes, Unit, nbytes


class Work:
    """All units once, each after what it needs; who writes what."""

    def __init__(self, units: Sequence[Unit], fixed: Mapping[Owner, Argument]) -> None:
        self.units = units
        self.fixed = fixed
        self.writers: dict[Owner, list[int]] = {}
        for number, unit in enumerate(units):
            for owner in unit.writes:
                self.writers.setdefault(owner, []).append(number)

    def is_input(self, owner: Owner) -> bool:
        return owner in self.fixed and self.fixed[owner].place in (Place.INPUT, Place.SCALAR)

    def begins(self, number: int, owner: Owner) -> bool:
        """Whether the unit is the first to write a value, so that running it again makes the value anew."""
        return owner not in self.fixed and self.writers[owner][0] == number


@dataclass(slots=True, eq=False)
class Life:
    """A value from its computation to its last use before it is computed anew: at which places of the order it is used."""

    value: Owner
    written: int
    """The last place that writes it."""
    uses: list[int]

    def gap(self, place: int) -> int | None:
        """Its next use after a place at which it is kept and not used; None where there is no such."""
        if place <= self.written or place > self.uses[-1] or place in self.uses:
            return None
        return next(use for use in self.uses if use > place)


class Timeline:
    """The units in an order in which each reads what was last written."""

    def __init__(self, work: Work, order: Sequence[int]) -> None:
        self.work = work
        self.order = tuple(order)
        self.names: list[Mapping[Owner, Owner]] = []
        """At each place the memory of the values that have been computed before."""
        self.lives: dict[Owner, list[Life]] = {}
        self.values: dict[Owner, Owner] = {}
        """The value that memory which was added holds."""
        for place, number in enumerate(self.order):
            self._add(place, number)
        pairs = zip(self.order, self.names, strict=True)
        self.units = [
            work.units[n].renamed(names) if names else work.units[n] for n, names in pairs
        ]
        self.homes = Homes(self.units, work.fixed)
        self.loads = self.homes.loads()
        self.peak = max(self.loads, default=0)

    def _add(self, place: int, number: int) -> None:
        unit = self.work.units[number]
        names = self.names[-1] if self.names else {}
        renewed = [o for o in unit.writes if o in self.lives and self.work.begins(number, o)]
        if renewed:
            made = {owner: replace(owner) for owner in renewed}
            self.values.update((memory, owner) for owner, memory in made.items())
            names = {**names, **made}
        self.names.append(names)
        for owner in unit.writes:
            if owner not in self.lives or owner in renewed:
                self.lives.setdefault(owner, []).append(Life(owner, place, []))
            life = self.lives[owner][-1]
            life.written = place
            life.uses.append(place)
        for owner in unit.reads:
            if owner in self.lives:
                self.lives[owner][-1].uses.append(place)

    @cached_property
    def places(self) -> list[int]:
        """Where most memory is in use."""
        return [place for place, load in enumerate(self.loads) if load == self.peak]

    @cached_property
    def last(self) -> int:
        """The first place that writes an input: nothing can be computed anew after it."""
        writes = (
            place
            for place, unit in enumerate(self.units)
            if any(self.work.is_input(owner) for owner in unit.writes)
        )
        return next(writes, len(self.units))

    def is_kept(self, value: Owner, place: int) -> bool:
        """Whether the value is in memory before a place, and used there or later, so that one more use costs nothing."""
        if value in self.work.fixed:
            return True
        return any(life.written < place <= life.uses[-1] for life in self.lives.get(value, ()))

    def gaps(self, place: int) -> Iterator[tuple[Owner, int]]:
        """The values that are kept at a place without being used, and where they are next used."""
        for value, lives in self.lives.items():
            if value in self.work.fixed:
                continue
            for life in lives:
                use = life.gap(place)
                if use is not None and use <= self.last:
                    yield value, use

    def holders(self) -> dict[Owner, int]:
        """What is in memory at the peak, of each home the value that is needed, with their sizes."""
        place = self.places[0]
        held = {home: home for home in filter(self.homes.is_output, self.homes.spans)}
        for value, lives in self.lives.items():
            home = self.homes.home[self.names[place].get(value, value)]
            is_needed = any(life.uses[0] <= place <= life.uses[-1] for life in lives)
            if is_needed and not self.work.is_input(home):
                held[home] = value
        return {value: nbytes(home) for home, value in held.items()}
