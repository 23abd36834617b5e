"""When a compiled function's calls are replayed, recorded for replay, or left to Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

from tracejit._errors import OWN_CODE, Location
from tracejit.tracing.arrays import Arrays
from tracejit.tracing.instrument.names import PREFIX
from tracejit.tracing.programs import Programs
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.current import current
from tracejit.tracing.replay.finish import finish
from tracejit.tracing.replay.hooks import HOOKS
from tracejit.tracing.replay.kinds import can_be_input
from tracejit.tracing.replay.mends import mend_of_reason
from tracejit.tracing.replay.misses import Log, Miss, miss_of
from tracejit.tracing.replay.opened import as_open
from tracejit.tracing.replay.places import (
    definition_of,
    line_of_error,
    names_of_arguments,
)
from tracejit.tracing.replay.plain import without_symbols
from tracejit.tracing.replay.recorder import ReplayRecorder
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import argument, constant, keyword
from tracejit.tracing.replay.touched import Touched
from tracejit.tracing.replay.tree import Tree, newest_guards
from tracejit.tracing.session import tracing

MOST_SKIPPED = 1024
MOST_SYMBOLIC = 4096
"""Paths of numbers that are inputs, which stay when the recordings that read them go."""
PATIENCE = 4
"""A call that raises is no sign that the next will."""
BARREN = 8
"""So many recordings with no replay between them make the function be left to Python for a while, each time for longer."""


class Replays:
    """What is known of replaying one function. Threads that record at once take turns where they note what they found."""

    def __init__(
        self,
        function: Callable[..., Any],
        programs: Programs,
        gradients: Programs,
        *,
        withholds: bool,
        dynamic: bool | None,
        made_at: Location | None,
    ) -> None:
        self.function = function
        self.programs = programs
        name = getattr(function, "__qualname__", type(function).__qualname__)
        self.tree = Tree(name, programs, gradients)
        self.definition = definition_of(function, made_at)
        self.reason: str | None = None
        """Why calls are left to Python now."""
        self.denials = Log()
        """Why calls could not be recorded for replay."""
        self.misses = Log()
        """Why calls were recorded again."""
        self.dynamic = False if withholds else dynamic
        self.touched = Touched() if withholds else None
        """What recorded calls write, where that is to be withheld for `verify`."""
        self.barren = 0
        """Recordings since the last replay."""
        self._skip = 0
        self._failures = 0

    def wants_recording(self) -> bool:
        """Whether this call is to be recorded for replay: after a failure ever fewer are."""
        with self.tree.lock:
            if self._skip > 0:
                self._skip -= 1
                return False
            return True

    def miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Miss | None:
        """Why a call fits no recording; nothing is changed by asking."""
        with self.tree.lock:
            return miss_of(self.tree, args, kwargs)

    def record(self, args: tuple[Any, ...], kwargs: dict[str, Any], arrays: Arrays) -> Any:
        """Runs the call by instrumented Python; afterwards the tree knows it, or the reason why not."""
        self._note_miss(args, kwargs)
        self._make_room()
        known = self.tree.nodes
        recording, recorder = self._begun(self.tree.symbolic, arrays, _OUTERMOST, self.definition)
        recording.drop = lambda: _drop(recording, recorder)
        recording.unrolls = self.tree.unrolls
        recording.dynamic = self.dynamic
        before = current.recording, current.recorder
        with tracing(recorder):
            current.recording, current.recorder = recording, recorder
            try:
                result = self._run(recording, args, kwargs, arrays)
                recorder.flush()
                self._finish(recording, result, known)
                return without_symbols(recording, result)
            except BaseException as error:
                self._note_error(recording, error)
                recording.close_sizes()
                without_symbols(recording, None)
                _show_to_user(error)
                raise
            finally:
                recorder.flush()
                recording.close_sizes()
                current.recording, current.recorder = before
                recording.forget()

    def _begun(self, *state: Any) -> tuple[Recording, ReplayRecorder]:
        """A recording with this state, and its recorder."""
        recording = Recording(*state)
        return recording, ReplayRecorder(self.programs, recording)

    def _make_room(self) -> None:
        """All that grows with the number of different calls begins anew when there is too much of it."""
        with self.tree.lock:
            if self.touched is not None and self.touched.is_full:
                self.tree.forget()
                self.touched = Touched()
            if len(self.tree.symbolic) > MOST_SYMBOLIC:
                self.tree.symbolic.clear()

    def _run(
        self, recording: Recording, args: tuple[Any, ...], kwargs: dict[str, Any], arrays: Arrays
    ) -> Any:
        recording.begin(args, kwargs)
        names = names_of_arguments(self.function, len(args))
        given = [
            recording.read(argument(place, names[place]), arrays.enter(value))
            for place, value in enumerate(args)
        ]
        named = {
            name: recording.read(keyword(name), arrays.enter(value))
            for name, value in kwargs.items()
        }
        root = recording.read(constant(self.function, self.tree.name, holds=True), self.function)
        return HOOKS.callee(root)(*given, **named)

    def _finish(self, recording: Recording, result: Any, known: int) -> None:
        """Adds the call to the tree, which had so many nodes when the call began.

        What is done to its result from here on decides nothing.
        """
        with self.tree.lock:
            is_alone = self.tree.nodes == known
            if recording.live:
                finish(recording, self.tree, result)
            recording.give_up_sizes()
            recording.close()
            self._keep(recording, result)
            recording.close_sizes()
            if not recording.live:
                self.tree.forget_constants()
            self._note(recording, is_alone)
        recording.looking += 1

    def _keep(self, recording: Recording, result: Any) -> None:
        """Looks at the result while its sizes are open."""

    def _note(self, recording: Recording, is_alone: bool) -> None:
        """`is_alone`: no other thread has added a recording meanwhile, which may be the same."""
        self.tree.open_loops.update(recording.open_loops)
        if recording.dead is not None:
            self.tree.unrolls |= recording.has_failed_in_loops
            self._note_denial(recording.dead)
            return
        if self.touched is not None:
            self.touched.note(recording)
        self._failures = 0
        self.barren += is_alone and not self.tree.is_first_of(recording.signature)
        self.reason = None
        if self.barren >= BARREN:
            self._skip = min(4 * 2 ** (self.barren - BARREN), MOST_SKIPPED)
            last = f": {self.misses.last}" if self.misses else ""
            self.reason = f"{self.definition}: every call needs a recording of its own{last}"

    def _note_error(self, recording: Recording, error: BaseException) -> None:
        if recording.closed:
            return
        where = line_of_error(error, _OUTERMOST, self.definition)
        recording.deny_at(where, f"the call raised {type(error).__name__}")
        assert recording.dead is not None
        with self.tree.lock:
            self._note_denial(recording.dead, patience=PATIENCE)

    def _note_denial(self, reason: str, patience: int = 0) -> None:
        """`patience`: so many in a row say little of the calls that come."""
        self._failures += 1
        beyond = self._failures - patience
        self._skip = min(2**beyond, MOST_SKIPPED) if beyond > 0 else 0
        self.reason = f"{reason}: {mend_of_reason(reason)}"
        self.denials.note(reason, self.reason)

    def _note_miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Notes which guard did not hold; numbers that have changed are inputs from now on."""
        with self.tree.lock:
            miss = miss_of(self.tree, args, kwargs)
            if miss is None:
                return
            self.misses.note((miss.where, miss.subject, miss.mend), str(miss))
            newest = newest_guards(self.tree.roots[0])
            self.tree.symbolic.update(changed_numbers(newest, args, kwargs))
            for key in changed_sizes(newest, args, kwargs):
                if ("fixed", *key) not in self.tree.symbolic:
                    self.tree.symbolic.add(key)


_OUTERMOST = Replays.record.__code__


def changed_numbers(
    guards: Iterable[g.Guard], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[tuple[Any, ...]]:
    """The sources of numbers that are of the same type and of another value now."""
    for guard in guards:
        if isinstance(guard, g.Equals) and can_be_input(guard.value):
            try:
                now = guard.source.follow(args, kwargs)
            except Exception:  # nothing stands there any more
                continue
            if type(now) is type(guard.value) and now != guard.value:
                yield guard.source.identity


def changed_sizes(
    guards: Iterable[g.Guard], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[tuple[Any, ...]]:
    """The axes of tensors and arrays that are of another size now."""
    for guard in guards:
        if not isinstance(guard, g.TensorIs | g.ArrayIs):
            continue
        try:
            shape = guard.source.follow(args, kwargs).shape
        except Exception:  # nothing stands there any more
            continue
        before = guard.aval.shape if isinstance(guard, g.TensorIs) else guard.shape
        if len(shape) == len(before):
            for axis, (extent, now) in enumerate(zip(before, shape)):
                if type(extent) is int and extent != now:
                    yield as_open(guard.source, axis)


def _drop(recording: Recording, recorder: ReplayRecorder) -> None:
    """From here on others may look at the state: what waits is computed, and numbers are plain."""
    recorder.flush()
    recording.close_sizes()
    without_symbols(recording, None)


def _show_to_user(error: BaseException) -> None:
    """Leaves the user's frames in the traceback: those of hooks and of the recording are none of theirs."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        is_own = code.co_filename.startswith(OWN_CODE) and "/tracing/" in code.co_filename
        is_helper = bool(code.co_varnames) and code.co_varnames[0] == PREFIX
        if not is_own and not is_helper:
            frames.append(trace)
        trace = trace.tb_next
    chain: TracebackType | None = None
    for frame in reversed(frames):
        chain = TracebackType(chain, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    error.__traceback__ = chain
