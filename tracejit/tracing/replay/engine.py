"""When a compiled function's calls are replayed, recorded for replay, or left to Python."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

from tracejit._errors import OWN_CODE
from tracejit.tracing.arrays import Arrays
from tracejit.tracing.instrument.names import PREFIX
from tracejit.tracing.programs import Programs
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.current import current
from tracejit.tracing.replay.finish import finish, without_symbols
from tracejit.tracing.replay.hooks import HOOKS
from tracejit.tracing.replay.recorder import ReplayRecorder
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import argument, constant, keyword
from tracejit.tracing.replay.tree import Tree
from tracejit.tracing.session import tracing

MOST_SKIPPED = 256
BARREN = 5
"""So many recordings with no replay between them make the function be left to Python for a while."""


class Replays:
    """What is known of replaying one function."""

    def __init__(self, function: Callable[..., Any], programs: Programs, name: str) -> None:
        self.function = function
        self.programs = programs
        self.tree = Tree(name)
        self.reason: str | None = None
        """Why the last recording cannot be replayed."""
        self.log: deque[str] = deque(maxlen=64)
        self._skip = 0
        self._failures = 0
        self._barren = 0

    def replayed(self) -> None:
        """A call has been replayed."""
        self._barren = 0

    def wants_recording(self) -> bool:
        """Whether this call is to be recorded for replay: after a failure ever fewer are."""
        if self._skip > 0:
            self._skip -= 1
            return False
        return True

    def record(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], arrays: Arrays
    ) -> Any:
        """Runs the call by instrumented Python; afterwards the tree knows it, or the reason why not."""
        self._explain_miss(args, kwargs)
        recording = Recording(self.tree.symbolic, arrays)
        recorder = ReplayRecorder(self.programs, recording)
        recording.drop = lambda: _drop(recording, recorder)
        before = current.recording, current.recorder
        with tracing(recorder):
            current.recording, current.recorder = recording, recorder
            try:
                result = self._run(recording, args, kwargs, arrays)
                recorder.flush()
                if recording.live:
                    finish(recording, self.tree, result)
                recording.close()
                return without_symbols(recording, result)
            except BaseException as error:
                recording.deny(f"the call raised {type(error).__name__}")
                without_symbols(recording, None)
                raise _seen_by_user(error) from _cause(error)
            finally:
                recorder.flush()
                current.recording, current.recorder = before
                self._note(recording)

    def _run(
        self, recording: Recording, args: tuple[Any, ...], kwargs: dict[str, Any], arrays: Arrays
    ) -> Any:
        recording.begin(args, kwargs)
        given = [
            recording.read(argument(place), arrays.enter(value)) for place, value in enumerate(args)
        ]
        named = {
            name: recording.read(keyword(name), arrays.enter(value))
            for name, value in kwargs.items()
        }
        root = recording.read(constant(self.function, self.tree.name), self.function)
        return HOOKS.callee(root)(*given, **named)

    def _note(self, recording: Recording) -> None:
        if recording.dead is not None:
            self._failures += 1
            self._skip = min(2**self._failures, MOST_SKIPPED)
            self.reason = recording.dead
            self.log.append(f"not replayed: {recording.dead}")
            return
        self._failures = 0
        self._barren += 1
        self.reason = None
        if self._barren >= BARREN:
            self._skip = min(2**self._barren, 4 * MOST_SKIPPED)
            self.reason = "every call needs a recording of its own" + (
                f": {self.log[-1]}" if self.log else ""
            )

    def _explain_miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Notes which guards did not hold; numbers that have changed are inputs from now on."""
        if not self.tree.roots:
            return
        told = []
        for root in self.tree.roots:
            guard, where, now = self.tree.miss(root, args, kwargs)
            told.append(f"{where}: {guard}; now {now}" if now else f"{where}: {guard}")
        for root in self.tree.roots[:1]:
            self.tree.symbolic.update(changed_numbers(root.guards, args, kwargs))
        self.log.append(f"recorded again: {'; '.join(told[:3])}")


def changed_numbers(
    guards: Iterable[g.Guard], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[tuple[Any, ...]]:
    """The sources of numbers that are of the same type and of another value now."""
    for guard in guards:
        if isinstance(guard, g.Equals) and type(guard.value) in (int, float):
            try:
                now = guard.source.follow(args, kwargs)
            except Exception:  # nothing stands there any more
                continue
            if type(now) is type(guard.value) and now != guard.value:
                yield guard.source.identity


def _drop(recording: Recording, recorder: ReplayRecorder) -> None:
    """From here on others may look at the state: what waits is computed, and numbers are plain."""
    recorder.flush()
    without_symbols(recording, None)


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__


def _seen_by_user(error: BaseException) -> BaseException:
    """The error with a traceback of the user's frames: those of hooks and of the recording are none of theirs."""
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
    return error.with_traceback(chain)
