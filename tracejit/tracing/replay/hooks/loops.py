"""`while` loops over data: a loop whose head comes back in the same abstract state is closed, however often it goes round.

The abstract state at a head is what the local variables hold but for data: structure, kinds, dtypes, shapes and sharing. The
values in question are moved to slots of the head; where a later head is in the same state, the recording jumps back to the
earlier one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from inspect import CO_GENERATOR
from types import FrameType, FunctionType
from typing import Any

from tracejit.symbols import KINDS, SYMBOLS
from tracejit.tensor import Tensor
from tracejit.tracing.arrays import StandIn
from tracejit.tracing.instrument.names import PREFIX
from tracejit.tracing.replay.current import recorder_of
from tracejit.tracing.replay.recording import ATOMS, Recording
from tracejit.tracing.replay.segments import End, Move, Segment

NUMBERS = (int, float)
MOST_VISITS = 6
"""A loop that has not closed by then is unrolled."""


@dataclass(slots=True, eq=False)
class Head:
    """A visit of a loop's head that later ones may jump back to.

    slots     how many there were when its segment began: what is recorded after a jump is numbered from there again
    targets   the slots that hold the values at the head
    """

    state: Any
    changes: tuple[int, ...]
    pattern: tuple[int, ...]
    targets: tuple[int, ...]
    segment: int
    slots: int


@dataclass(slots=True, eq=False)
class Loop:
    """What is known of one loop in one frame; `frame` is held so that its id stays its own."""

    frame: FrameType
    order: int
    segments: int
    visits: int = 0
    before: tuple[Any, ...] = ()
    heads: list[Head] = field(default_factory=list)
    closed: Head | None = None


def loop_head(
    recording: Recording, frame: FrameType, number: int, names: list[str], values: tuple[Any, ...]
) -> tuple[Any, ...]:
    """The values with which the loop goes on: numbers that change from round to round become symbols.

    A loop in a generator stays open: other code runs, and keeps values, between its rounds.
    """
    if frame.f_code.co_flags & CO_GENERATOR:
        return values
    loop = _visited(recording, frame, number)
    depends_on_data = len(recording.segments) > loop.segments
    loop.segments = len(recording.segments)
    is_first = loop.visits == 1
    before, loop.before = loop.before, values
    if is_first or not depends_on_data or (loop.visits > MOST_VISITS and loop.closed is None):
        return values
    recorder_of(recording).flush()
    if not recording.live or recording.changed_memory:
        return values
    values = loop.before = _widened(recording, values, before)
    state = _State(recording)
    found = (
        tuple(map(state.of, values)),
        tuple((name, state.of(value)) for name, value in _others(frame, names)),
    )
    if state.is_open:
        return values
    known = _matching(recording, loop, state, found)
    if known is not None:
        _jump(recording, state, known)
        loop.closed = known
    elif loop.closed is not None:
        recording.deny("a loop that was closed comes back in another state")
    else:
        loop.heads.append(_begin(recording, state, found))
    loop.segments = len(recording.segments)
    return values


def _visited(recording: Recording, frame: FrameType, number: int) -> Loop:
    """The loop, visited once more; loops inside it, seen since its last visit, begin anew."""
    recording.visits += 1
    key = (id(frame), number)
    loop = recording.loops.get(key)
    if loop is None:
        loop = recording.loops[key] = Loop(frame, recording.visits, len(recording.segments))
    for other, inner in list(recording.loops.items()):
        if inner.order > loop.order:
            del recording.loops[other]
    loop.order = recording.visits
    loop.visits += 1
    return loop


def _widened(
    recording: Recording, values: tuple[Any, ...], before: tuple[Any, ...]
) -> tuple[Any, ...]:
    def widen(value: Any, old: Any) -> Any:
        if type(value) not in NUMBERS or KINDS.get(type(old), type(old)) not in NUMBERS:
            return value
        is_same = type(old) is type(value) and repr(old) == repr(value)
        return value if is_same else recording.widened(value)

    return tuple(map(widen, values, before))


def _others(frame: FrameType, names: list[str]) -> list[tuple[str, Any]]:
    """Local variables that are bound now, though not for certain."""
    return sorted(
        (name, value)
        for name, value in frame.f_locals.items()
        if name not in names and not name.startswith(PREFIX)
    )


class _State:
    """The abstract state of values; `is_open` where one of them cannot be described."""

    def __init__(self, recording: Recording) -> None:
        self.is_open = False
        self.slots: list[int] = []
        self.values: list[Any] = []
        self._recording = recording
        self._known: dict[int, Any] = {}

    @property
    def pattern(self) -> tuple[int, ...]:
        """Which of the values share a slot."""
        return tuple(map(self.slots.index, self.slots))

    def of(self, value: Any) -> Any:
        kind = type(value)
        if kind in ATOMS and kind not in SYMBOLS:
            return ("atom", kind.__name__, repr(value) if kind is not str else value)
        known = self._known.get(id(value))
        if known is not None:
            return known
        self._known[id(value)] = ("seen", len(self._known))
        if kind in SYMBOLS:
            return self._slot(value.slot, value, ("symbol", kind.__name__))
        if self._recording.is_fixed_object(value) or self._recording.is_outside(value):
            return ("object", id(value))
        if isinstance(value, Tensor) or kind is StandIn:
            return self._tensor(value, kind)
        if kind in (list, tuple):
            return (kind.__name__, *map(self.of, value))
        if kind is dict:
            return ("dict", *((self.of(key), self.of(part)) for key, part in value.items()))
        if kind is FunctionType and self._recording.is_made(value) and not value.__closure__:
            return ("function", id(value.__code__))
        self.is_open = True
        return None

    def _tensor(self, tensor: Any, kind: type) -> Any:
        storage = tensor.storage
        slot = self._recording.memory.get(storage)
        is_whole = tensor.origin is None and tensor.autograd is None
        if slot is None or not is_whole:
            self.is_open = True
            return None
        if storage in self._recording.outside_storages:
            return ("memory", slot, tensor.aval, tensor.layout)
        return self._slot(slot, tensor, (kind.__name__, tensor.aval, tensor.layout))

    def _slot(self, slot: int, value: Any, described: Any) -> Any:
        self.slots.append(slot)
        self.values.append(value)
        return described


def _changes(recording: Recording) -> tuple[int, ...]:
    """Grows with everything that the call changes, or learns of the outside, but for its local variables."""
    effects = len(recording.effects), recording.changes, len(recording.written)
    return (*effects, len(recording.taken), len(recording.missing))


def _matching(recording: Recording, loop: Loop, state: _State, found: Any) -> Head | None:
    for head in [loop.closed] if loop.closed is not None else loop.heads:
        is_same = (
            head.state == found
            and head.changes == _changes(recording)
            and head.pattern == state.pattern
        )
        learned = any(segment.guards for segment in recording.segments[head.segment :])
        if is_same and (loop.closed is not None or not learned):
            return head
    return None


def _begin(recording: Recording, state: _State, found: Any) -> Head:
    """The head's own slots take the values over, and a segment of its own begins."""
    targets = tuple(recording.slot() for _ in state.slots)
    recording.segment.instructions.append(Move(targets, tuple(state.slots)))
    recording.segment.end = End("head")
    recording.segments.append(Segment())
    head = Head(
        found,
        _changes(recording),
        state.pattern,
        targets,
        len(recording.segments) - 1,
        recording.slots,
    )
    _move(recording, state, targets)
    return head


def _jump(recording: Recording, state: _State, head: Head) -> None:
    """Back to the head: what comes now is recorded as it was after it the first time."""
    recording.segment.instructions.append(Move(head.targets, tuple(state.slots)))
    recording.segment.end = End("goto", target=head.segment)
    recording.segments.append(Segment())
    recording.jumps[len(recording.segments) - 1] = head.segment
    _move(recording, state, head.targets)
    recording.slots = head.slots


def _move(recording: Recording, state: _State, targets: tuple[int, ...]) -> None:
    for value, target in zip(state.values, targets):
        if type(value) in SYMBOLS:
            value.slot, value.late = target, True
        else:
            recording.memory[value.storage] = target
