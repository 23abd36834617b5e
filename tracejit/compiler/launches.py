"""Launches before their memory is known, and alike ones merged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tracejit._records import dataclass
from tracejit.ir.cluster import Owner
from tracejit.ir.graph import Apply
from tracejit.passes.homes import Unit

Arguments = tuple[tuple[Owner, int], ...]
"""Memory with offsets in elements."""


@dataclass(frozen=True, slots=True, eq=False)
class Launch:
    """A launch before its memory is known: each segment's arguments, dims and tasks."""

    kernel: str
    segments: tuple[tuple[Arguments, tuple[int, ...], int], ...]
    grain: int
    scratch_bytes: int
    note: str
    kernels: tuple[str, ...] = ()
    """Of each segment, where they are not all `kernel`."""
    calls: tuple[str, ...] = ()
    """Kernels that it calls, of steps that are run slab by slab."""
    moved: int | None = None
    """Bytes that it reads and writes, where that is not all of its memory."""
    nodes: tuple[Apply, ...] = ()
    """What it computes."""
    is_settled: bool = False
    """Whether it has been merged with whatever could wait for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A host call before its memory is known: its arguments as a launch's, the result last."""

    node: Apply
    arguments: Arguments
    note: str


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A launch or call, and what it does to memory."""

    work: Launch | Call
    unit: Unit

    def renamed(self, names: Mapping[Owner, Owner]) -> Task:
        """The task on other memory."""
        if not names:
            return self
        work = self.work
        if isinstance(work, Call):
            moved: Launch | Call = replace(work, arguments=_renamed(work.arguments, names))
        else:
            segments = ((_renamed(owners, names), dims, n) for owners, dims, n in work.segments)
            moved = replace(work, segments=tuple(segments))
        return Task(moved, self.unit.renamed(names))


def _renamed(arguments: Arguments, names: Mapping[Owner, Owner]) -> Arguments:
    return tuple((names.get(owner, owner), offset) for owner, offset in arguments)


FARTHEST = 128
"""How many launches a launch may wait for."""
SMALL = 20_000.0
"""Nanoseconds of work that are hardly worth a launch, where another can do it."""
MOST_TASKS = 2
"""Tasks of a small launch for each of the one that it goes along with: threads take as many tasks of either at a time."""


def merge_alike(tasks: list[Task], *, mixed: bool) -> list[Task]:
    """Launches of one kernel that can wait for the last of them run together: an optimizer's updates are one launch. If `mixed`,
    small launches of any kernel go along with another."""
    merged: list[Task | None] = list(tasks)
    for late in range(len(tasks) - 1, 0, -1):
        task = merged[late]
        if task is not None and _may_merge(task):
            merged[late] = _with_earlier(task, merged, late, mixed)
    return [task for task in merged if task]


def _with_earlier(task: Task, merged: list[Task | None], late: int, mixed: bool) -> Task:
    """The task with those before it that can wait for it, which leave the list."""
    reads, writes = set(task.unit.reads), set(task.unit.writes)
    for early in range(late - 1, max(late - 1 - FARTHEST, -1), -1):
        other = merged[early]
        if other is None:
            continue
        if (
            _may_merge(other)
            and (_are_alike(other, task) or (mixed and _go_along(other, task)))
            and _can_wait(other.unit, reads, writes)
        ):
            task = _together(other, task)
            merged[early] = None
        reads.update(other.unit.reads)
        writes.update(other.unit.writes)
    return task


def _may_merge(task: Task) -> bool:
    work = task.work
    if not isinstance(work, Launch) or task.unit.copies is not None:
        return False
    return not work.calls and not work.is_settled


def _are_alike(first: Task, second: Task) -> bool:
    assert isinstance(first.work, Launch)
    assert isinstance(second.work, Launch)
    return not set(_kernels(first.work)).isdisjoint(_kernels(second.work))


def _go_along(first: Task, second: Task) -> bool:
    """Whether one of them is so small that the other's threads do it by the way."""
    small, large = sorted((first, second), key=lambda task: task.unit.work)
    if small.unit.work > SMALL:
        return False
    return large.unit.work <= SMALL or _count(small) <= MOST_TASKS * _count(large)


def _count(task: Task) -> int:
    assert isinstance(task.work, Launch)
    return sum(tasks for _, _, tasks in task.work.segments)


def _can_wait(unit: Unit, reads: set[Owner], writes: set[Owner]) -> bool:
    """What comes after it reads nothing that the unit writes, and writes nothing that it reads or writes."""
    return reads.isdisjoint(unit.writes) and writes.isdisjoint((*unit.reads, *unit.writes))


def _together(first: Task, second: Task) -> Task:
    assert isinstance(first.work, Launch)
    assert isinstance(second.work, Launch)
    kernels = (*_kernels(first.work), *_kernels(second.work))
    moved = first.work.moved, second.work.moved
    work = replace(
        second.work,
        segments=first.work.segments + second.work.segments,
        kernels=kernels if len(set(kernels)) > 1 else (),
        grain=min(first.work.grain, second.work.grain),
        moved=None if None in moved else sum(filter(None, moved)),
        scratch_bytes=max(first.work.scratch_bytes, second.work.scratch_bytes),
        note=second.work.note
        if first.work.note in second.work.note
        else f"{first.work.note}; {second.work.note}",
        nodes=first.work.nodes + second.work.nodes,
    )
    unit = Unit(
        tuple(dict.fromkeys(first.unit.reads + second.unit.reads)),
        tuple(dict.fromkeys(first.unit.writes + second.unit.writes)),
        _alone(first.unit, second.unit) | _alone(second.unit, first.unit),
        work=first.unit.work + second.unit.work,
    )
    return Task(work, unit)


def _kernels(work: Launch) -> tuple[str, ...]:
    """Of each segment."""
    return work.kernels or (work.kernel,) * len(work.segments)


def note_of(nodes: tuple[Apply, ...]) -> str:
    """`add, relu  model.py:12, model.py:13`"""
    names = ", ".join(dict.fromkeys(node.op.name for node in nodes)) or "copy"
    lines = ", ".join(dict.fromkeys(str(node.loc) for node in nodes if node.loc))
    return f"{names}  {lines}".rstrip()


def _alone(unit: Unit, beside: Unit) -> frozenset[tuple[Owner, Owner]]:
    """The aligned pairs of a unit of which the other, running at the same time, reads nothing."""
    return frozenset(pair for pair in unit.aligned if pair[0] not in beside.reads)
