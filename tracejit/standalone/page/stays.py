"""From which launch to which values stay in the scratch memory of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tracejit._records import dataclass
from tracejit.artifact import Account, Place, Value


@dataclass(frozen=True, slots=True)
class Stay:
    """A value in the arena, needed by the launches from `first` to the one before `end`.

    Where a launch writes over what it reads, that belongs to the new value from this launch on.
    """

    number: int
    value: Value
    first: int
    end: int

    @property
    def begin_byte(self) -> int:
        return self.value.at.offset

    @property
    def end_byte(self) -> int:
        return self.value.at.offset + self.value.nbytes

    def shares_bytes(self, other: Stay) -> bool:
        return self.begin_byte < other.end_byte and other.begin_byte < self.end_byte


def stays_of(account: Account) -> list[Stay]:
    """In the order of their first launches."""
    needed: dict[int, list[int]] = {}
    for step, work in enumerate(account.steps):
        for number in (*work.reads, *work.writes):
            needed.setdefault(number, []).append(step)
    stays = [
        Stay(number, account.values[number], steps[0], steps[-1] + 1)
        for number, steps in needed.items()
        if account.values[number].at.place is Place.ARENA
    ]
    begun: dict[int, list[Stay]] = {}
    for stay in stays:
        begun.setdefault(stay.first, []).append(stay)
    return [_handed_over(stay, begun.get(stay.end - 1, [])) for stay in stays]


def _handed_over(stay: Stay, others: Sequence[Stay]) -> Stay:
    """The value, given up to one that its last launch puts in its place."""
    is_taken = any(stay.first < other.first and stay.shares_bytes(other) for other in others)
    return replace(stay, end=stay.end - 1) if is_taken else stay


def loads_of(stays: Sequence[Stay], steps: int) -> list[int]:
    """The bytes in use during each launch."""
    changes = [0] * (steps + 1)
    for stay in stays:
        changes[stay.first] += stay.value.nbytes
        changes[stay.end] -= stay.value.nbytes
    load, loads = 0, []
    for change in changes[:-1]:
        load += change
        loads.append(load)
    return loads
