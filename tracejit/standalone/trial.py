"""Calls that are made to see what they do: what they write is put back, and they end where an artifact could not follow."""

from __future__ import annotations

from typing import Any

from tracejit.standalone.variables import Variables, put
from tracejit.storage import Storage
from tracejit.symbols import concrete
from tracejit.tracing.replay.mends import mend_of_reason
from tracejit.tracing.replay.recorder import ReplayRecorder
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import Source
from tracejit.tracing.replay.touched import Undo, keep, keep_buffer
from tracejit.tracing.replay.writes import EffectOf


class Stopped(BaseException):
    """Ends the call that is recorded, past what the user's code catches; the arguments are why, and the mend."""


class Trial(Recording):
    """A recording that notes what stood where the call writes, and stops the call as soon as it cannot be exported.

    undoing    what puts it back, in the order in which it was written
    variables  what the variables around the function held before the call
    """

    def __init__(self, undoing: list[Undo], variables: Variables, *state: Any) -> None:
        super().__init__(*state)
        self._undoing = undoing
        self._variables_before = variables
        self._put_back: set[Any] = set()
        self._stopped: Stopped | None = None

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
            self._stopped = Stopped(self.dead, mend)
            raise self._stopped

    def keep_memory(self, storage: Storage) -> None:
        """The memory of a storage is about to be written."""
        if storage.buffer is not None:
            version = self.versions.get(storage, storage.version)
            self._undoing.append(keep_buffer(storage, storage.buffer, version))


class TrialRecorder(ReplayRecorder):
    """Notes what is in memory that programs write."""

    def _run(self, fresh: list[Storage], written: dict[Storage, int]) -> None:
        recording = self.recording
        assert isinstance(recording, Trial)
        for storage in written:
            recording.keep_memory(storage)
        super()._run(fresh, written)
