"""The way that a recorded call went: what it guards and runs, and how it decided."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import Any

from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.places import line_inside
from tracejit.tracing.replay.segments import End, Segment

MOST_SEGMENTS = 400
MOST_REPEATED = 8000
"""Segments of loops that have been closed: recording them costs time, and replaying them none."""


class Path:
    """Segments of guards and instructions, each of which ends with a decision on data.

    outermost, definition   the code below which the compiled call runs, and the line for what none of the user's stands for
    """

    def __init__(self, outermost: CodeType, definition: str) -> None:
        self.dead: str | None = None
        """Why the call cannot be replayed."""
        self.closed = False
        self.segments = [Segment()]
        self.jumps: dict[int, int] = {}
        """Segments that are the head of a loop again -> that head's segment."""
        self.has_failed_in_loops = False
        """Whether the recording has ended because loops were closed, or were to be."""
        self.repeated = 0
        """Segments that were recorded again, as the loop that they are of was closed."""
        self.slots = 0
        self.most_slots = 0
        self.drop: Callable[[], None] = _nothing
        """What is to be done when the recording ends early: the recorder computes all that waits."""
        self._seen: dict[Any, Any] = {}
        """What stands at a source, by its identity; and the keys of guards that are needed once."""
        self._outermost = outermost
        self._definition = definition

    @property
    def live(self) -> bool:
        return self.dead is None

    @property
    def segment(self) -> Segment:
        return self.segments[-1]

    def line(self) -> str:
        """`model.py:41`: the user's line, inside the compiled call, that runs now."""
        return line_inside(self._outermost, self._definition)

    def deny(self, why: str) -> None:
        """The call cannot be replayed."""
        if self.dead is None:
            self.deny_at(self.line(), why)

    def deny_at(self, where: str, why: str) -> None:
        if self.dead is None:
            self.dead = f"{where}: {why}"
            self.drop()

    def guard(self, guard: g.Guard) -> None:
        self.segment.guards.append((guard, self.line()))

    def once(self, key: Any, guard: g.Guard) -> None:
        """A guard that is needed once however often it is asked for."""
        if key not in self._seen:
            self._seen[key] = True
            self.guard(guard)

    def slot(self) -> int:
        self.slots += 1
        self.most_slots = max(self.most_slots, self.slots)
        return self.slots - 1

    def branch(self, slot: int, outcome: Any) -> None:
        """What comes after depends on the value in `slot`."""
        self.segment.end = End("branch", slot, outcome, where=self.line())
        self.segments.append(Segment())
        if len(self.segments) - self.repeated > MOST_SEGMENTS or self.repeated > MOST_REPEATED:
            self.has_failed_in_loops |= self.live
            self.deny(f"more than {MOST_SEGMENTS} decisions that depend on data in one call")


def _nothing() -> None:
    pass
