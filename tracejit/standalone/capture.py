"""Recording a function for export: one way through it that the next call goes as well, and nothing that it leaves changed.

The function is recorded as a compiled one is. Then its guards are looked at again: those that do not hold any more, because the
call itself has changed what they read, are of numbers that are state (a step count), which the next recording takes as inputs,
or the function does something else each time, and is not exported. What calls have written is put back after each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tracejit._errors import ExportError, user_location
from tracejit._records import dataclass
from tracejit.standalone.apart import check_apart
from tracejit.standalone.arguments import Given, given
from tracejit.standalone.reads import ATOMS
from tracejit.standalone.records import Require
from tracejit.standalone.script import Script, script_of
from tracejit.standalone.trial import Stopped, Trial, TrialRecorder
from tracejit.standalone.variables import Variables
from tracejit.storage import as_array
from tracejit.tensor import Tensor
from tracejit.tracing.arrays import Arrays
from tracejit.tracing.compile import Compiled
from tracejit.tracing.programs import Options, Programs
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.engine import Replays, changed_numbers
from tracejit.tracing.replay.recorder import ReplayRecorder
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import Source
from tracejit.tracing.replay.touched import Undo
from tracejit.tracing.replay.tree import newest_guards

MOST_RECORDINGS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """What one call does, and what stands in its state before it; `where` is the line at which the function is defined."""

    name: str
    where: str
    options: Options
    script: Script
    values: tuple[Any, ...]


class _Replays(Replays):
    """Knows one function's recordings, of which the last that came to an end is `script`."""

    given: Given
    script: Script | None = None
    undoing: list[Undo]

    def _begun(self, *state: Any) -> tuple[Recording, ReplayRecorder]:
        recording = Trial(self.undoing, Variables(self.function), *state)
        return recording, TrialRecorder(self.programs, recording)

    def undo(self) -> None:
        """Puts back what calls have written."""
        while self.undoing:
            self.undoing.pop()()

    def _note_error(self, recording: Recording, error: BaseException) -> None:
        recording.closed = True  # what is to be done now is the library's

    def _finish(self, recording: Recording, result: Any, known: int) -> None:
        super()._finish(recording, result, known)
        self.script = script_of(recording, self.given, self.function, result)


def capture(f: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Captured:
    """Raises ExportError, which names the line, where an artifact cannot do what the function does."""
    function, options = (
        (f.function, f.programs.options) if isinstance(f, Compiled) else (f, Options())
    )
    options = Options(options.fastmath, options.memory_limit)
    programs = Programs(options)
    replays = _Replays(
        function, programs, programs, withholds=False, dynamic=False, made_at=user_location()
    )
    replays.tree.unrolls = True
    replays.given, replays.undoing = given(function, args, kwargs), []
    script = _with_numbers_open(replays)
    check_apart(script, args, kwargs, replays.definition)
    values = tuple(_value(place, replays.given) for place in script.places)
    return Captured(replays.tree.name, replays.definition, options, script, values)


def _with_numbers_open(replays: _Replays) -> Script:
    """The script in which those numbers among the arguments are inputs that can be: whose value decides nothing."""
    numbers = {source.identity for source in replays.given.numbers()}
    try:
        script = _settled(replays, numbers)
    except ExportError:
        if not numbers:
            raise
        return _settled(replays, set())
    return _settled(replays, numbers - script.decisive) if script.decisive else script


def _settled(replays: _Replays, numbers: set[Any]) -> Script:
    """The script of a recording that the next call would fit as well; `numbers` are the sources of inputs."""
    replays.tree.forget()
    replays.tree.symbolic = set(numbers)
    for _ in range(MOST_RECORDINGS):
        script, why, changed = _recorded(replays)
        if not why:
            return script
        if changed <= replays.tree.symbolic:
            raise ExportError(why)
        replays.tree.symbolic |= changed
        replays.tree.forget()
    raise ExportError(f"{replays.definition}: export: each call does something else")


def _recorded(replays: _Replays) -> tuple[Script, str, set[Any]]:
    """A recording; the guard that does not hold after it, and which numbers have changed. All is as before then."""
    call = replays.given.args, replays.given.kwargs
    try:
        with Arrays() as arrays:
            arrays.leave(replays.record(*call, arrays))
        (root,) = replays.tree.roots
        guard, where, now = replays.tree.miss(root, *call)
        changed = set(changed_numbers(newest_guards(root), *call))
        assert replays.script is not None
        why = "" if isinstance(guard, str) else _told(guard, where, now, replays.script)
        return replays.script, why, changed
    except Stopped as stopped:
        reason, mend = stopped.args
        where, _, why = reason.partition(": ")
        raise ExportError(f"{where}: export: {why}: {mend}") from None
    finally:
        replays.undo()


def _told(guard: g.Guard, where: str, now: str, script: Script) -> str:
    """Why the next call would not be as this one."""
    if isinstance(guard, g.ResultIs):
        asked = next(
            step
            for step in script.call.body.steps
            if isinstance(step, Require) and step.slot == guard.slot
        )
        claim = f"{asked.text} is {guard.value!r} in this call, and not in the next"
        mend = "make the calls that are others before the export, or use tj.where"
    else:
        claim = f"{guard} in this call, and not in the next" + (
            f", where it is {now}" if now else ""
        )
        mend = (
            "an artifact has one way, which each call goes: make the first call before the export"
        )
    return f"{where}: export: {claim}: {mend}"


def _value(place: Source, given: Given) -> Any:
    """What stands at a place; None where nothing does, or nothing that an artifact carries."""
    try:
        value = place.follow(given.args, given.kwargs)
    except (AttributeError, KeyError, IndexError, TypeError):
        return None
    if isinstance(value, Tensor):
        return np.array(as_array(value))
    if type(value) is np.ndarray:
        return value.copy()
    return value if type(value) in ATOMS else None
