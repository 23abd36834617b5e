"""Plans put one after another as one plan, each on memory that the whole plan gives it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from tracejit._records import dataclass
from tracejit.artifact import (
    Account,
    Argument,
    HostCall,
    KernelSource,
    LaunchSpec,
    Place,
    Plan,
    Segment,
)
from tracejit.compiler.account import Between, joined_account
from tracejit.runtime.workspace import aligned

Places = dict[Place, tuple[Argument, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A plan, and where in the whole plan its inputs, outputs and scalars are."""

    plan: Plan
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    scalars: tuple[Argument, ...]


def joined(parts: Sequence[Part], whole: Plan, between: Sequence[Between] = ()) -> Plan:
    """`whole`, which has no steps yet, with those of the parts; what these need in between lies at the end of its arena.

    `between` are the values in the arena of the whole, for the account of it if the parts have accounts.
    """
    scratch = aligned(whole.arena_bytes)
    constants, starts = _constants(part.plan for part in parts)
    steps: list[LaunchSpec | HostCall] = []
    accounts: list[tuple[Account, Places]] = []
    for part in parts:
        places = {
            Place.INPUT: part.inputs,
            Place.OUTPUT: part.outputs,
            Place.SCALAR: part.scalars,
            Place.ARENA: (Argument(Place.ARENA, 0, scratch),),
            Place.CONSTANT: (Argument(Place.CONSTANT, 0, starts[part.plan.constants]),),
        }
        steps += _moved(part.plan.steps, places)
        if part.plan.account:
            accounts.append((part.plan.account, places))
    kernels: dict[str, KernelSource] = {}
    for part in parts:
        kernels.update((kernel.name, kernel) for kernel in part.plan.kernels)
    return replace(
        whole,
        kernels=tuple(kernels.values()),
        steps=tuple(steps),
        constants=constants,
        arena_bytes=scratch + max(part.plan.arena_bytes for part in parts),
        account=joined_account(accounts, between) if accounts else None,
    )


def _constants(plans: Iterable[Plan]) -> tuple[bytes, dict[bytes, int]]:
    """The constants of all plans, and where those of each begin."""
    found, starts = b"", {}
    for plan in plans:
        if plan.constants not in starts:
            found += bytes(aligned(len(found)) - len(found))
            starts[plan.constants] = len(found)
            found += plan.constants
    return found, starts


def _moved(
    steps: Iterable[LaunchSpec | HostCall], places: Places
) -> Iterator[LaunchSpec | HostCall]:
    def moved(arguments: tuple[Argument, ...]) -> tuple[Argument, ...]:
        found = [(places[each.place][each.index], each.offset) for each in arguments]
        return tuple([Argument(at.place, at.index, at.offset + by) for at, by in found])

    for step in steps:
        if isinstance(step, HostCall):
            yield replace(step, arguments=moved(step.arguments))
            continue
        segments = [Segment(moved(each.arguments), each.dims, each.tasks) for each in step.segments]
        yield replace(step, segments=tuple(segments))
