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
from tracejit.standalone.variables import Variables, put
from tracejit.storage import Storage, as_array
from tracejit.symbols import concrete
from tracejit.tensor import Tensor
from tracejit.tracing.arrays import Arrays
from tracejit.tracing.compile import Compiled
from tracejit.tracing.programs import Options, Programs
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.engine import Replays, changed_numbers
from tracejit.tracing.replay.mends import mend_of_reason
from tracejit.tracing.replay.recorder import ReplayRecorder
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import Source
from tracejit.tracing.replay.touched import Undo, keep, keep_buffer
from tracejit.tracing.replay.tree import newest_guards
from tracejit.tracing.replay.writes import EffectOf

MOST_RECORDINGS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """What one call does, and what stands in its state before it; `where` is the line at which the function is defined."""

    name: str
    where: str
    options: Options
    script: Script
    values: tuple[Any, ...]


class _Stopped(BaseException):
    """Ends the call that is recorded, past what the user's code catches; the arguments are why, and the mend."""


class _Recording(Recording):
    """Notes what stood where the call writes, and stops the call as soon as it cannot be exported."""

    def __init__(self, undoing: list[Undo], variables: Variables, *state: Any) -> None:
        super().__init__(*state)
        self._undoing = undoing
        self._variables_before = variables
        self._put_back: set[Any] = set()
        self._stopped: _Stopped | None = None

    @property
    def live(self) -> bool:
        """Asked by whatever the call does: what it would do after it was stopped, in a `finally`, is not done either."""
        if self._stopped is not None and not self.closed:
            raise self._stopped
        return super().live

    def overwriting(self, kind: str, target: Any, name: Any = None) -> None:
        if kind == "class attribute":
            why = f"{target.__name__}.{name} is written, and classes are no state of an artifact"
            self._stop(why, "write to an attribute of an object")
        if kind == "content" and name is None:
            place = self.outside.get(id(target), f"a {type(target).__name__}")
            why = f"{place} gets or loses items, which an artifact cannot carry"
            self._stop(why, "return what is new, or write to items that are there")
        self._undoing.append(keep(kind, target, name))

    def overwritten(self, place: Source, holder: Any, name: str) -> None:
        if place.identity in self._put_back:
            return
        self._put_back.add(place.identity)
        if place.identity in self._seen:
            before = self.arrays.leave(concrete(self._seen[place.identity]))
            self._undoing.append(lambda: put(holder, name, before))
        elif self._variables_before.has(holder):
            before = self._variables_before.of(holder, name)
            self._undoing.append(lambda: put(holder, name, before))
        else:
            why = f"{place} is written before it is read, so that it could not be put back"
            self._stop(why, "return it")

    def effect(
        self, kind: str, source: Source, name: Any, value: Any, target: Any, key: Any = None
    ) -> EffectOf:
        if kind == "print":
            self._stop("the call prints, which an artifact cannot", "return what is to be printed")
        return super().effect(kind, source, name, value, target, key)

    def branch(self, slot: int, outcome: Any) -> None:
        self._stop("a decision depends on data, and an artifact has one way only", "use tj.where")

    def deny(self, why: str) -> None:
        self._stop(why, mend_of_reason(why))

    def _stop(self, why: str, mend: str) -> None:
        super().deny(why)
        if not self.closed:
            self._stopped = _Stopped(self.dead, mend)
            raise self._stopped

    def keep_memory(self, storage: Storage) -> None:
        """The memory of a storage is about to be written."""
        if storage.buffer is not None:
            version = self.versions.get(storage, storage.version)
            self._undoing.append(keep_buffer(storage, storage.buffer, version))


class _Recorder(ReplayRecorder):
    def _run(self, fresh: list[Storage], written: dict[Storage, int]) -> None:
        recording = self.recording
        assert isinstance(recording, _Recording)
        for storage in written:
            recording.keep_memory(storage)
        super()._run(fresh, written)


class _Replays(Replays):
    """Knows one function's recordings, of which the last that came to an end is `script`."""

    given: Given
    script: Script | None = None
    undoing: list[Undo]

    def _begun(self, *state: Any) -> tuple[Recording, ReplayRecorder]:
        recording = _Recording(self.undoing, Variables(self.function), *state)
        return recording, _Recorder(self.programs, recording)

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
    except _Stopped as stopped:
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
            for step in script.call.steps
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
