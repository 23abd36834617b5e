"""Loops over data, `while` and `for` over a range, closed where a head is in a state as before, however often they go round.

The abstract state at a head is what the local variables hold but for data: structure, kinds, dtypes, shapes and sharing. What
the last round has made, and nobody else can hold, is moved to slots of the head; all else has to be what it was. Where a later
head is in the same state, the recording jumps back to the earlier one, and forgets what it has read since: another call may come
there by a way on which none of that was guarded. Memory from outside may be written if it was known at the head.
"""

from __future__ import annotations

from inspect import CO_GENERATOR
from types import FrameType
from typing import Any
from weakref import WeakSet

from tracejit._records import dataclass, field
from tracejit.autograd.tape import is_grad_enabled
from tracejit.storage import Storage
from tracejit.symbols import SYMBOLS
from tracejit.tracing.instrument.names import PREFIX
from tracejit.tracing.replay.apart import guard_memory, guard_objects
from tracejit.tracing.replay.current import recorder_of
from tracejit.tracing.replay.hooks.counting import Walk
from tracejit.tracing.replay.hooks.forward import Round, run_ahead
from tracejit.tracing.replay.hooks.heads import ON_THE_TAPE, Before, State, reached, written_outside
from tracejit.tracing.replay.hooks.unrolling import MOST_FAILURES, MOST_TRIALS, Luck, begun
from tracejit.tracing.replay.hooks.widening import ABSENT, Inside, Path, widened
from tracejit.tracing.replay.recording import Known, Recording
from tracejit.tracing.replay.segments import End, Move, Segment

Values = tuple[Any, ...]
GATHER = "write to a tensor of a fixed size, or return what is left in the end"
UNLIKE = f"is another from round to round in kind, dtype, shape, length or sharing: keep it alike; {GATHER}"
MOST_VISITS = 6
"""A loop that has not closed by then is unrolled."""
MOST_HEADS = 8


@dataclass(slots=True, eq=False)
class Head:
    """A visit of a loop's head that later ones may jump back to.

    slots     how many there were when its segment began: what is recorded after a jump is numbered from there again
    targets   the slots that hold the values at the head
    known     what had been read by then
    held      what the state tells by its id
    """

    state: Any
    changes: tuple[int, ...]
    pattern: tuple[int, ...]
    targets: tuple[int, ...]
    segment: int
    slots: int
    known: Known
    held: dict[int, Any]


@dataclass(slots=True, eq=False)
class Loop:
    """What is known of one loop in one frame; `frame` is held so that its id stays its own.

    visited   how many visits of heads there had been before, and `trials` rounds on open sizes
    rests     whether the rounds that were alike are over, so that the next one, if any, is another
    before    the local variables at the last visit, and written what the call had written to outside state by then
    slots     how many there were at the last visit: those that came since hold what the last round has made
    waiting   storages that were made before the last visit, and had no slot by then
    own       slots of the newest head whose values nobody but the loop holds
    met       what was there before the loop; is_shared: there is more than tensors, which others may hold, and is still to be met
    hides     what of it cannot be followed, so that the loop stays open
    numbers   those that stood inside of something at the last visit
    why       why the last round did not end as the ones before, and the mend
    """

    frame: FrameType
    number: int
    order: int
    segments: int
    visits: int = 0
    visited: int = 0
    trials: int = 0
    rests: bool = False
    before: tuple[Any, ...] = ()
    written: dict[Any, Any] = field(default_factory=dict)
    heads: list[Head] = field(default_factory=list)
    closed: Head | None = None
    slots: int = 0
    waiting: WeakSet[Storage] = field(default_factory=WeakSet)
    own: tuple[int, ...] = ()
    changes: tuple[int, ...] = ()
    met: Before = field(default_factory=Before)
    is_shared: bool = False
    hides: str = ""
    numbers: dict[Path, Any] = field(default_factory=dict)
    why: str = ""

    @property
    def is_unrolled(self) -> bool:
        """Whether it has not closed for so long that it will not."""
        return self.visits > MOST_VISITS and self.closed is None

    def has_made(self, slot: int) -> bool:
        """Whether what is in a slot was made by the last round, or moved there by a head, and is held by local variables only."""
        return slot >= self.slots or slot in self.own

    def left(self, recording: Recording) -> None:
        """A round begins."""
        self.segments, self.slots = len(recording.segments), recording.slots
        self.waiting = WeakSet(recorder_of(recording).waiting())
        self.changes = _changes(recording)


def loop_entered(recording: Recording, frame: FrameType, number: int) -> None:
    """What was known of the loop is of an earlier run through it, with other code between its last round and the next."""
    recording.loops.pop((id(frame), number), None)


def loop_head(
    recording: Recording, frame: FrameType, number: int, names: list[str], values: tuple[Any, ...]
) -> tuple[Any, ...]:
    """The values with which the loop goes on: numbers that change from round to round become symbols.

    A loop in a generator stays open: other code runs, and keeps values, between its rounds. So does one over an iterator.
    """
    if frame.f_code.co_flags & CO_GENERATOR or any(type(value) is Walk for value in values):
        return values
    loop = _visited(recording, frame, number)
    values = _after_trial(recording, loop, frame, names, values)
    before = loop.before
    values = _at_head(recording, loop, frame, names, values)
    if recording.live:
        values = _on_trial(recording, loop, frame, names, values, before)
        is_open = not loop.is_unrolled and recording.trial is None
        recording.testing = not recording.unrolls and is_open
        if not loop.is_unrolled:  # what is noted takes as long as the call has been so far
            loop.left(recording)
    return values


def _at_head(
    recording: Recording, loop: Loop, frame: FrameType, names: list[str], values: tuple[Any, ...]
) -> tuple[Any, ...]:
    depends_on_data = len(recording.segments) > loop.segments
    before, loop.before = loop.before, values
    written, loop.written = loop.written, _written(recording)
    if loop.is_unrolled and loop.visits == MOST_VISITS + 1 and depends_on_data:
        recording.open_loops[recording.line()] = loop.hides or loop.why
    if loop.visits == 1:
        _begin_with(recording, loop, [*zip(names, values), *_others(recording, frame, names)])
        return values
    if not depends_on_data or loop.is_unrolled or loop.hides:
        return values
    recorder_of(recording).flush()
    if not recording.live:
        return values
    if loop.changes != _changes(recording):
        loop.own, loop.slots = (), recording.slots  # what the round has made may be held elsewhere
    values = loop.before = _widened(recording, loop, names, values, before)
    _widen_written(recording, loop, written)
    if loop.is_shared:
        loop.is_shared = False
        _hold(recording, loop, [*zip(names, values), *_others(recording, frame, names)])
        return values
    state = State(recording, loop.has_made, loop.waiting, loop.met)
    found = (
        is_grad_enabled(),
        state.of_variables(zip(names, values)),
        state.of_outside(),
        state.of_variables(_others(recording, frame, names)),
        state.of_others(),
    )
    if state.why:
        loop.why = state.why
        return values
    known = _matching(recording, loop, state, found)
    if known is not None:
        if loop.closed is not None:
            recording.repeated += len(recording.segments) - loop.segments + 1
        _jump(recording, state, known)
        loop.closed = known
        loop.own = known.targets
        values = loop.before = _ran_ahead(recording, loop, state, values)
    else:
        loop.why = _unlike(recording, loop.heads[-1], state, found) if loop.heads else ""
        loop.heads.append(_begin(recording, state, found))
        loop.own = loop.heads[-1].targets
        if loop.closed is not None and len(loop.heads) < MOST_HEADS:
            loop.visits = 1  # the way of this round leads to another head, from which the loop may close as well
        loop.closed = None
    return values


def _on_trial(
    recording: Recording,
    loop: Loop,
    frame: FrameType,
    names: list[str],
    values: Values,
    before: Values,
) -> Values:
    """The values for a round on open sizes, where rounds have no decisions, hold no other loops, and may be alike."""
    if loop.rests:
        loop.rests = False
        return values
    luck = recording.luck.setdefault((frame.f_code, loop.number), Luck())
    is_plain = len(recording.segments) == loop.segments and recording.visits == loop.visited + 1
    if (
        not is_plain
        or loop.visits < luck.visit
        or loop.trials >= MOST_TRIALS
        or luck.failures >= MOST_FAILURES
    ):
        return values
    opened = begun(recording, names, values, before, _others(recording, frame, names))
    if opened is None:
        return values
    loop.trials += 1
    return opened


def _after_trial(
    recording: Recording, loop: Loop, frame: FrameType, names: list[str], values: Values
) -> Values:
    """The values once the rounds that were like the last one have been entered, if that was on open sizes."""
    trial = recording.trial
    if trial is None:
        return tuple(map(recording.unless_fixed, values)) if recording.fixed else values
    if recording.visits != loop.visited + 1:  # it was another loop's
        trial.end()
        return tuple(map(recording.unless_fixed, values))
    done = trial.end(names, values, tuple(_others(recording, frame, names)))
    luck = recording.luck[frame.f_code, loop.number]
    if done > 1:
        luck.visit, luck.failures, loop.trials, loop.rests = loop.visits - 1, 0, 0, True
    elif loop.trials == MOST_TRIALS:
        luck.failures += 1
    return tuple(trial.number(name, value, done) for name, value in zip(names, values))


def _begin_with(recording: Recording, loop: Loop, variables: list[tuple[str, Any]]) -> None:
    """Notes what there is before the first round."""
    tensors, others, loop.hides = reached(recording, [*variables, *_outside(recording)])
    loop.met.note(tensors)
    loop.is_shared = bool(others)


def _hold(recording: Recording, loop: Loop, variables: list[tuple[str, Any]]) -> None:
    """After the first round: what that has made others may hold as well, and only what is made from here on is the loop's own."""
    tensors, others, loop.hides = reached(recording, [*variables, *_outside(recording)])
    loop.met.hold([*tensors, *others])
    loop.own = ()


def _outside(recording: Recording) -> list[tuple[str, Any]]:
    return [(name, value) for name, _, value in written_outside(recording)]


def _visited(recording: Recording, frame: FrameType, number: int) -> Loop:
    """The loop, visited once more; loops inside it, seen since its last visit, begin anew."""
    recording.visits += 1
    key = (id(frame), number)
    loop = recording.loops.get(key)
    if loop is None:
        loop = recording.loops[key] = Loop(frame, number, recording.visits, len(recording.segments))
    for other, inner in list(recording.loops.items()):
        if inner.order > loop.order:
            del recording.loops[other]
    loop.visited, loop.order = loop.order, recording.visits
    loop.visits += 1
    return loop


def _widened(
    recording: Recording, loop: Loop, names: list[str], values: tuple[Any, ...], before: Values
) -> tuple[Any, ...]:
    """Local variables with symbols for the numbers that go round, also for those inside of them, and of state taken over."""
    new = (ABSENT,) * (len(values) - len(before))  # variables that are bound since
    inside = Inside(recording, loop.numbers, loop.met)
    values = tuple(
        inside.of((name,), widened(recording, value, old))
        for name, value, old in zip(names, values, (*before, *new))
    )
    for key, container in recording.taken.items():
        inside.of((key,), container)
    for place, effect in recording.placed.items():
        if type(effect.value) is not tuple:
            inside.of((place,), effect.value)
    loop.numbers = inside.found
    return values


def _written(recording: Recording) -> dict[Any, Any]:
    """What the call has written to outside state, by place."""
    return {place: effect.value for place, effect in recording.placed.items()}


def _widen_written(recording: Recording, loop: Loop, before: dict[Any, Any]) -> None:
    """Numbers that rounds have written. They are inputs from the next recording on, as they will have changed by then."""
    for place, value in loop.written.items():
        new = widened(recording, value, before.get(place, ABSENT))
        if new is not value:
            effect = recording.placed[place]
            recording.symbolic.add(effect.place.identity)
            loop.written[place] = effect.value = recording.overlay[place] = new


def _others(recording: Recording, frame: FrameType, names: list[str]) -> list[tuple[str, Any]]:
    """Local variables that are bound now, though not for certain. What is around a function from outside is outside state."""
    code = frame.f_code
    around = code.co_freevars if recording.is_code_from_outside(code) else ()
    local = frame.f_locals
    found = sorted(
        (name, value)
        for name, value in local.items()
        if name not in names and name not in around and not name.startswith(PREFIX)
    )
    if (
        type(local) is dict
    ):  # before Python 3.13 a copy, which stays, and would hold what the function lets go of
        local.clear()
    return found


def _changes(recording: Recording) -> tuple[int, ...]:
    """Grows with what the call does to the outside, or learns of it, and the state at a head does not tell."""
    steps = sum(map(len, recording.steps.values()))
    effects = len(recording.effects), steps, len(recording.written)
    return (*effects, len(recording.taken), len(recording.missing))


def _matching(recording: Recording, loop: Loop, state: State, found: Any) -> Head | None:
    for head in [loop.closed] if loop.closed is not None else loop.heads:
        is_same = (
            head.state == found
            and head.changes == _changes(recording)
            and head.pattern == state.pattern
            and recording.changed_memory <= head.known["outside_storages"].keys()
        )
        learned = any(segment.guards for segment in recording.segments[head.segment :])
        if is_same and (loop.closed is not None or not learned):
            return head
    return None


def _unlike(recording: Recording, head: Head, state: State, found: Any) -> str:
    """What a round does that others cannot do again, or else what of the state at a head is another now; and the mend."""
    if head.changes != _changes(recording):
        return f"a round prints, or adds to what is outside of the function: {GATHER}"
    for before, now in zip(head.state[1:], found[1:]):
        for one, (name, *described) in zip(before, now):
            if one != (name, *described):
                return f"{name} {ON_THE_TAPE if name in state.on_tape else UNLIKE}"
    if head.state != found:
        return (
            "a round begins with other variables, or another grad mode: have them before the loop"
        )
    return "a round reads, or writes, what the rounds before it have not: read it before the loop"


def _begin(recording: Recording, state: State, found: Any) -> Head:
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
        recording.known(),
        state.met,
    )
    _move(recording, state, targets)
    return head


def _jump(recording: Recording, state: State, head: Head) -> None:
    """Back to the head: what comes now is recorded as it was after it the first time."""
    # What the round has met is none of what was written before.
    if recording.effects and recording.outside.keys() - head.known["outside"].keys():
        guard_objects(recording)
    if recording.outside_storages.keys() - head.known["outside_storages"].keys():
        guard_memory(recording)
    recording.segment.instructions.append(Move(head.targets, tuple(state.slots)))
    recording.segment.end = End("goto", target=head.segment)
    recording.segments.append(Segment())
    recording.jumps[len(recording.segments) - 1] = head.segment
    _move(recording, state, head.targets)
    recording.slots = head.slots
    recording.forget_since(head.known)


def _ran_ahead(
    recording: Recording, loop: Loop, state: State, values: tuple[Any, ...]
) -> tuple[Any, ...]:
    """The values at the head once rounds like the last one have been run."""
    assert loop.closed is not None
    begin, head = loop.segments - 1, loop.closed.segment
    if recording.jumps.get(begin, begin) != head:
        return (
            values  # the round began at another head, and left its values in the slots of this one
        )
    if any(id(value) in state.inside for value in state.values):
        return values  # a number is part of something, or stands in state, as it is now
    last = tuple(recording.segments[begin:-1])
    found = run_ahead(recording, Round(last, loop.closed.targets, loop.closed.slots), state.values)
    if found is None:
        return values
    new = {id(old): value for old, value in zip(state.values, found)}
    return tuple(new.get(id(value), value) for value in values)


def _move(recording: Recording, state: State, targets: tuple[int, ...]) -> None:
    for value, target in zip(state.values, targets):
        if type(value) in SYMBOLS:
            value.slot, value.late = target, True
        else:
            recording.memory[value.storage] = target
