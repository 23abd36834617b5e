"""A limit on the memory that a run allocates: tasks in an order, and as many of them twice, as it takes to stay within it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from tracejit._errors import MemoryLimitError, at_user_line
from tracejit._records import dataclass
from tracejit.artifact import Argument, Plan
from tracejit.compiler.account import described
from tracejit.compiler.launches import Task
from tracejit.ir.cluster import Owner
from tracejit.passes.order import order_for_memory
from tracejit.passes.plan_memory import Memory, place
from tracejit.passes.rematerialize import rematerialize
from tracejit.passes.timeline import Timeline, Work
from tracejit.runtime.workspace import peak_bytes, workspace_of

MOST_NAMED = 5
"""Lines of the user's that an error names."""


@dataclass(frozen=True, slots=True)
class Limit:
    """So many bytes, for runs on so many threads."""

    nbytes: int
    threads: int

    def holds(self, plan: Plan) -> bool:
        return self.peak(plan) <= self.nbytes

    def peak(self, plan: Plan) -> int:
        return peak_bytes(plan, self.threads)


class LayOut(Protocol):
    """Makes the plan of tasks, with their memory as given or as planned by it."""

    def __call__(self, tasks: list[Task], memory: Memory | None = None) -> Plan: ...


def within(
    limit: Limit,
    tasks: list[Task],
    fixed: Mapping[Owner, Argument],
    merged: Callable[[list[Task]], list[Task]],
    lay_out: LayOut,
) -> Plan:
    """A plan of the tasks that is within the limit, those that can be together `merged`; MemoryLimitError where none is found."""
    usual = lay_out(merged(tasks))
    if limit.holds(usual):
        return replace(usual, threads=limit.threads)
    ordered, timeline = _ordered(tasks, fixed)
    # With copies that a plan may need, though this one does not: their pointers take room in the workspace.
    draft = lay_out(ordered, replace(place(timeline.homes), dropped=frozenset()))
    timeline, memory = rematerialize(
        timeline, lambda nbytes: limit.holds(replace(draft, arena_bytes=nbytes))
    )
    pairs = zip(timeline.order, timeline.names, strict=True)
    lean = [ordered[number].renamed(names) for number, names in pairs]
    plans = lay_out(merged(lean)), lay_out(lean, memory)
    for plan in plans:
        if limit.holds(plan):
            return replace(plan, threads=limit.threads)
    least = min((usual, *plans), key=limit.peak)
    raise MemoryLimitError(at_user_line(_message(limit, least, timeline)))


def _ordered(tasks: list[Task], fixed: Mapping[Owner, Argument]) -> tuple[list[Task], Timeline]:
    """The tasks in the order in which they use less memory at once: as recorded, or for memory."""
    found = []
    for order in (range(len(tasks)), order_for_memory([task.unit for task in tasks], fixed)):
        ordered = [tasks[number] for number in order]
        work = Work([task.unit for task in ordered], fixed)
        found.append((ordered, Timeline(work, range(len(ordered)))))
    return min(found, key=lambda pair: pair[1].peak)


def _message(limit: Limit, plan: Plan, timeline: Timeline) -> str:
    """`model.py:7: memory_limit is 1,024 bytes, and the least ... is 2,048: ...`"""
    scratch = limit.threads * workspace_of(plan).scratch_bytes
    held = _by_line(timeline.holders())
    lines = [f"{nbytes:,} {what}" for what, nbytes in held.most_common(MOST_NAMED)]
    if len(held) > MOST_NAMED:
        lines.append(
            f"{sum(held.values()) - sum(n for _, n in held.most_common(MOST_NAMED)):,} others"
        )
    if scratch:
        lines.append(f"{scratch:,} scratch of {limit.threads} threads (fewer: tj.set_num_threads)")
    return (
        f"memory_limit is {limit.nbytes:,} bytes; the least that was found for this program is "
        f"{limit.peak(plan):,} bytes. Bytes held at its peak: {'; '.join(lines)}. "
        "Raise the limit, or let the function compute less at once: smaller batches, fewer results"
    )


def _by_line(holders: Mapping[Owner, int]) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for owner, nbytes in holders.items():
        what, where = described(owner)
        sizes[f"{where}: {what}" if where else what] += nbytes
    return sizes
