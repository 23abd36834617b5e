"""Calls that are made to see what they do: what they write is put back, and they end where an artifact could not follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tracejit.ir.dim import Dim, Sizes
from tracejit.runtime.buffer import Buffer, copy_of
from tracejit.standalone.pieces import Route, Unlike
from tracejit.standalone.variables import Variables, put
from tracejit.storage import Storage
from tracejit.symbols import concrete, settled
from tracejit.tensor import Tensor
from tracejit.tracing.programs import Programs
from tracejit.tracing.replay.guards import ResultIs
from tracejit.tracing.replay.mends import mend_of_reason
from tracejit.tracing.replay.opened import Opening, as_open
from tracejit.tracing.replay.places import is_asked_by_library
from tracejit.tracing.replay.recorder import ReplayRecorder
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import Source
from tracejit.tracing.replay.touched import Undo, keep, keep_buffer
from tracejit.tracing.replay.writes import EffectOf

_FIXED = object()
"""Stands for the outcome of what has to come out as it did."""


class Stopped(BaseException):
    """Ends the call that is recorded, past what the user's code catches; the arguments are why, and the mend."""


class Trial(Recording):
    """A recording that notes what stood where the call writes, and stops the call as soon as it cannot be exported.

    undoing    what puts it back, in the order in which it was written
    variables  what the variables around the function held before the call
    route      says how decisions come out; those on numbers that stand before the call are none unless it `decides_numbers`
    open_sizes those that are open, of which `axes` says where they stand
    """

    def __init__(
        self,
        undoing: list[Undo],
        variables: Variables,
        route: Route,
        decides_numbers: bool,
        open_sizes: Sizes,
        axes: Mapping[Any, int],
        *state: Any,
    ) -> None:
        super().__init__(*state)
        self.sizes, self._axes = open_sizes, axes
        self._named: list[Any] = [open_sizes.of({(place,): 1}) for place in open_sizes.variables]
        self._met: set[int] = set()
        self.route = route
        self._decides_numbers = decides_numbers
        self._undoing = undoing
        self._variables_before = variables
        self._put_back: set[Any] = set()
        self._stopped: Stopped | None = None
        self._exceptions: dict[int, tuple[BaseException, tuple[Any, ...]]] = {}
        """By id those that the call has made, and what of."""
        self._asserted: list[Any] = []

    @property
    def live(self) -> bool:
        """Asked by whatever the call does: what it would do after it was stopped, in a `finally`, is not done either."""
        if self._stopped is not None and not self.closed:
            raise self._stopped
        return super().live

    # Open sizes

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.sizes.is_open = True
        self.size_slots += [self.slot() for _ in self._named]
        super().begin(args, kwargs)

    def open(self, source: Source, tensor: Tensor) -> tuple[Opening, ...]:
        openings = super().open(source, tensor)
        wanted = [axis for axis in range(tensor.aval.ndim) if as_open(source, axis) in self._axes]
        if len(openings) < len(wanted):
            why = f"{source} is read too late, or in a way, in which its sizes cannot be left open"
            self._stop(why, "read it before anything is decided, or export it with numbers")
        return openings

    def _is_open(self, source: Source, key: tuple[Any, ...], extent: Any) -> bool:
        return key in self._axes

    def _variable(self, value: int, label: Source, key: tuple[Any, ...]) -> tuple[Dim, int, bool]:
        place = self._axes[key]
        is_first = place not in self._met
        self._met.add(place)
        return self._named[place], self.size_slots[place], is_first

    def guard_sizes(self) -> None:
        """What was asked of them is kept with them, for all ways."""

    def give_up_sizes(self) -> None:
        """They are open, or the function is not exported."""

    def forget(self) -> None:
        kept = self.sizes_of
        super().forget()
        self.sizes_of = kept  # numbers in programs and results may be sizes

    # Exceptions

    def exception(self, make: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """It holds numbers; the symbols that it was made of are known, and looked at only where the call reads them."""
        made = make(*map(concrete, args), **{name: concrete(each) for name, each in kwargs.items()})
        self._exceptions[id(made)] = made, args
        return made

    def exception_again(
        self, error: BaseException, init: Callable[..., None], *args: Any, **kwargs: Any
    ) -> None:
        init(*map(concrete, args), **kwargs)
        self._exceptions[id(error)] = error, args

    def asserted(self, value: Any) -> Any:
        self._asserted.append(value)
        return concrete(value)

    def exception_is_read(self, error: BaseException) -> None:
        for value in self.made_of(error):
            settled(value)

    def made_of(self, error: BaseException) -> tuple[Any, ...]:
        """The arguments of an exception that the call has made, some of which may be symbols."""
        if id(error) in self._exceptions:
            return self._exceptions[id(error)][1]
        if type(error) is AssertionError and len(error.args) == 1:
            found = [each for each in self._asserted if concrete(each) is error.args[0]]
            if len(found) == 1:
                return (found[0],)
            for value in found:  # it is one of several, of which others may be other numbers
                settled(value)
        return error.args

    # What the call does

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

    def decide(self, slot: int, value: Any, *, late: bool, text: str) -> Any:
        key = "decided", slot
        if not late and key in self._seen:
            return value if self._seen[key] is _FIXED else self._seen[key]
        is_way = late or self.testing or (self._decides_numbers and not is_asked_by_library())
        if type(value) is not bool or not is_way:
            if late:
                why = "what is done depends on a number that data gives, of which there are many"
                self._stop(why, "compare it, or use tj.where")
            if self.route.is_supposed:
                self._stop("what is done depends on a number", "use tj.where")
            self._seen[key] = _FIXED
            self.guard(ResultIs(slot, value, text))
            return value
        if not late and not self.testing:
            for loop in self.loops.values():
                loop.segments += 1  # it does not make the number of rounds depend on data
        try:
            outcome = self.route.decide(self, value, is_late=late)
        except Unlike:
            self.unlike()
            return value
        if not late:
            self._seen[key] = outcome
        self.branch(slot, outcome)
        return outcome

    def look(self, tensor: Tensor) -> None:
        if not self.looking and self.live:
            self._stop(f"the elements of {tensor.aval} are looked at", "return the tensor")

    def unlike(self) -> None:
        self.has_failed_in_loops = True
        self._stop("a round of a loop over data is not as the others are", "use tj.where")

    def raised(self, error: Exception) -> None:
        """Elements are not what an op takes, in a call that has decided something: other elements may not even come here."""
        why = f"with these arguments the call raises {type(error).__name__} here"
        self._stop(why, "export it with others")

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
    """Notes what is in memory that programs write; of constants with the same content there is one."""

    def __init__(
        self, programs: Programs, recording: Recording, constants: dict[bytes, Buffer]
    ) -> None:
        self._constants = constants
        super().__init__(programs, recording)

    def _template(self, buffer: Buffer) -> Buffer:
        content = buffer.array(np.dtype(np.uint8), (buffer.nbytes,)).tobytes()
        return self._constants.setdefault(content, copy_of(buffer))

    def check(
        self,
        function: Callable[..., Any],
        before: tuple[Any, ...],
        tensor: Tensor,
        after: tuple[Any, ...],
    ) -> None:
        recording = self.recording
        assert isinstance(recording, Trial)
        try:
            super().check(function, before, tensor, after)
        except Exception as error:
            if recording.route.outcomes:
                recording.raised(error)
            raise

    def _run(self, fresh: list[Storage], written: dict[Storage, int]) -> None:
        recording = self.recording
        assert isinstance(recording, Trial)
        for storage in written:
            recording.keep_memory(storage)
        super()._run(fresh, written)
