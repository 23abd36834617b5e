"""What the steps of a plan do, told for people: their ops with the user's lines, and the values that they read and write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tracejit._records import dataclass, field
from tracejit.artifact import (
    Account,
    Argument,
    Computed,
    HostCall,
    LaunchSpec,
    Place,
    Value,
    Work,
)
from tracejit.compiler.launches import Call, Task
from tracejit.ir.cluster import Owner, Temporary
from tracejit.ir.graph import Apply
from tracejit.passes.homes import nbytes

Placed = Sequence[tuple[Task, Sequence[LaunchSpec | HostCall]]]
"""Tasks with the steps that they have become."""


def account_of(placed: Placed, places: Mapping[Owner, Argument]) -> Account:
    """Of the steps of tasks, whose values lie in these places."""
    values = Values()

    def numbers(owners: Sequence[Owner]) -> tuple[int, ...]:
        return tuple(
            values.number(
                owner, Value(*described(owner, places[owner]), places[owner], nbytes(owner))
            )
            for owner in owners
            if owner in places and nbytes(owner)
        )

    works: list[Work] = []
    for task, steps in placed:
        work = Work(tuple(_computed(task)), numbers(task.unit.reads), numbers(task.unit.writes))
        works += [work] * len(steps)
    return Account(tuple(works), tuple(values.found))


@dataclass(slots=True)
class Values:
    """Numbers for values, each of which is known by a key."""

    found: list[Value] = field(default_factory=list)
    _numbers: dict[object, int] = field(default_factory=dict)

    def number(self, key: object, value: Value) -> int:
        if key not in self._numbers:
            self._numbers[key] = len(self.found)
            self.found.append(value)
        return self._numbers[key]


def _computed(task: Task) -> Iterator[Computed]:
    nodes = (task.work.node,) if isinstance(task.work, Call) else task.work.nodes
    for node in dict.fromkeys(nodes):
        yield Computed(node.op.name, str(node.aval), str(node.loc or ""))


def described(owner: Owner, at: Argument | None = None) -> tuple[str, str]:
    """What lies in memory, and the user's line: `matmul -> f32[8,3]`, `model.py:41`."""
    if isinstance(owner, Temporary):
        return "parts of sums", ""
    if isinstance(owner, Apply):
        what = f"{owner.op} -> {owner.aval}"
    elif at is not None and at.place in (Place.INPUT, Place.SCALAR):
        what = f"{at.place.value} {at.index}: {owner.aval}"
    else:
        what = f"copy of {owner.aval}"
    return what, str(owner.loc or "")


@dataclass(frozen=True, slots=True)
class Between:
    """A value that goes from part to part of a plan that is several one after another: the parts that need it, by number."""

    value: Value
    first: int
    last: int

    def holds(self, part: int, at: Argument) -> bool:
        begin = self.value.at.offset
        is_inside = at.place is Place.ARENA and begin <= at.offset < begin + self.value.nbytes
        return is_inside and self.first <= part <= self.last


def joined_account(
    parts: Sequence[tuple[Account, Mapping[Place, Sequence[Argument]]]], between: Sequence[Between]
) -> Account:
    """Of the plans of parts one after another, each with where in the whole plan its places are."""
    values = Values()
    works: list[Work] = []
    for part, (account, places) in enumerate(parts):
        numbers: list[int] = []
        for own, value in enumerate(account.values):
            start = places[value.at.place][value.at.index]
            at = replace(start, offset=start.offset + value.at.offset)
            shared = [n for n, each in enumerate(between) if each.holds(part, at)]
            if shared:
                numbers.append(values.number(("between", shared[0]), between[shared[0]].value))
            elif at.place is Place.ARENA:
                numbers.append(values.number((part, own), replace(value, at=at)))
            else:
                what = value.what.replace(
                    f"{value.at.place.value} {value.at.index}", f"{at.place.value} {at.index}"
                )
                numbers.append(values.number(at, replace(value, at=at, what=what)))
        works += (
            Work(
                each.ops,
                tuple(numbers[n] for n in each.reads),
                tuple(numbers[n] for n in each.writes),
            )
            for each in account.steps
        )
    return Account(tuple(works), tuple(values.found))
