"""The ways through a call: what each of them has done by the time that it is over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from tracejit._records import dataclass
from tracejit.standalone.records import (
    Again,
    Body,
    Call,
    Constant,
    Copy,
    Decide,
    Finish,
    Loop,
    Raise,
    Run,
    Step,
    Update,
)


@dataclass(frozen=True, slots=True)
class Way:
    """The end of a call, and the steps of the bodies that it is in."""

    steps: tuple[Step, ...]
    end: Finish | Raise

    @property
    def updates(self) -> tuple[Update, ...]:
        return self.end.updates

    @property
    def outputs(self) -> set[int]:
        """Slots of memory that programs have made."""
        return {slot for each in self.steps if isinstance(each, Run) for slot in each.outputs}

    @property
    def constants(self) -> set[int]:
        return {each.slot for each in self.steps if isinstance(each, Constant)}

    @property
    def copied(self) -> list[int]:
        """Slots whose memory has been copied, for the copies to become real."""
        return [each.slot for each in self.steps if isinstance(each, Copy)]


def ways_of(call: Call) -> Iterator[Way]:
    yield from _ways(call.body, ())


def _ways(body: Body, before: tuple[Step, ...]) -> Iterator[Way]:
    steps = (*before, *body.steps)
    if isinstance(body.end, Finish | Raise):
        yield Way(steps, body.end)
    for inner in inside(body):
        yield from _ways(inner, steps)


def inside(body: Body) -> tuple[Body, ...]:
    """The bodies that one leads on to."""
    match body.end:
        case Decide(true=true, false=false):
            return true, false
        case Loop(body=inner):
            return (inner,)
        case Finish() | Raise() | Again():
            return ()
        case _:
            assert_never(body.end)


def bodies_of(body: Body) -> Iterator[Body]:
    """It, and all bodies within."""
    yield body
    for inner in inside(body):
        yield from bodies_of(inner)


def only_way(call: Call) -> Way | None:
    """The way of all calls, if there is one only."""
    end = call.body.end
    return Way(call.body.steps, end) if isinstance(end, Finish) else None


def has_loops(call: Call) -> bool:
    return any(isinstance(body.end, Loop) for body in bodies_of(call.body))


def moved_slots(call: Call) -> Iterator[int]:
    """What loops carry, and what that is filled from."""
    for body in bodies_of(call.body):
        if isinstance(body.end, Loop):
            yield from (slot for pair in body.end.carried for slot in pair)
        elif isinstance(body.end, Again):
            yield from body.end.carried


def steps_of(call: Call) -> Iterator[Step]:
    """All steps, of all ways."""
    for body in bodies_of(call.body):
        yield from body.steps
