"""A loaded artifact: a function that keeps its own state."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from tracejit._errors import at_user_line
from tracejit._gate import late
from tracejit._native.entry import entry_class
from tracejit._records import dataclass
from tracejit.standalone.binding import Binder, signature_of
from tracejit.standalone.given import array_of, is_tensor
from tracejit.standalone.homes import CPU, Home, array_in
from tracejit.standalone.records import (
    Call,
    Constant,
    Manifest,
    NumberState,
    Raise,
    Run,
    Target,
    TensorState,
)
from tracejit.standalone.results import builder_of, dense
from tracejit.standalone.running import LEFT, Quick, Slots, runner_of
from tracejit.standalone.settling import Settling
from tracejit.standalone.updates import updater_of
from tracejit.standalone.ways import steps_of, ways_of

if TYPE_CHECKING:
    from tracejit.backends import AnyProgram
    from tracejit.standalone.loops import Rounds


@dataclass(frozen=True, slots=True)
class _End:
    """What is done at the end of a way: the result, or the exception, is built, and the state becomes another."""

    build: Callable[[Slots, Mapping[int, Any]], Any]
    update: Callable[[Slots, Mapping[int, Any]], dict[int, Any]]
    is_error: bool


class Artifact(entry_class(binds=False)):  # type: ignore[misc]  # one of two classes
    """What `tj.load` gives: called as the function was, it does what that did.

    Results and errors are those of the function; results carry no gradients, and their memory is their own. Calls of several
    threads take turns, where they change the state.
    """

    def __init__(
        self,
        manifest: Manifest,
        programs: Sequence[AnyProgram],
        tensors: Mapping[str, np.ndarray],
        graph: str,
        target: Target | None,
        home: Home,
        rounds: Rounds | None = None,
        *,
        is_fixed: bool,
        objects: Mapping[str, bytes],
    ) -> None:
        """`is_fixed`: no call changes the state; `objects`: machine code for calls, by `text_key`. `rounds` goes round the call's
        loops; without it Python does."""
        call = manifest.call
        self.manifest = manifest
        self.graph = graph
        """The programs that a call runs, as text."""
        self.target = target
        """The native code that it runs; None if it was compiled here."""
        self.plans = [program.plan for program in programs]
        self.runs = [step.program for step in steps_of(call) if isinstance(step, Run)]
        """Which of the plans a call runs, in order."""
        self.device = home.device
        """Where it computes."""
        self.signature = self.__signature__ = signature_of(call)
        self.__name__ = manifest.name
        self._state: dict[str, TensorState | NumberState] = {each.name: each for each in call.state}
        self._values: dict[int, Any] = {
            each.slot: _initial(each, tensors, home)
            for each in call.state
            if isinstance(each, NumberState) or each.is_read
        }
        self._home = home
        self._bind = Binder(call, home)
        ends = [
            _End(builder_of(way, home), updater_of(call, way, home), isinstance(way.end, Raise))
            for way in ways_of(call)
        ]
        self._run = runner_of(call, programs, tensors, ends, home)
        if rounds is not None:
            self._run = rounds.runner(ends, self._run)
        self._lock = threading.Lock()
        self._turn: AbstractContextManager[Any] = nullcontext() if is_fixed else self._lock
        # Copies: the tensors lie in the file as it was read, which is not to stay.
        names = [step.name for step in steps_of(call) if isinstance(step, Constant)]
        constants = {name: tensors[name].copy() for name in names}
        self._quick: Quick | None = None
        self._make_quick: Callable[[], Quick | None] | None = (
            _quickly(call, programs, constants, self._values) if home is CPU else None
        )
        """Makes what takes most calls, when there is one; it holds nothing of the artifact but its state."""
        self._locks = [self._lock]
        own = constants, self._values, self._locks
        settles = self.is_native and home is CPU
        self._settling = Settling(self, call, programs, *own, objects) if settles else None
        """Has machine code take calls, which then come here no more."""
        _all.add(self)
        self.begin()

    def called(self, /, *args: Any, **kwargs: Any) -> Any:
        _deny_recording()
        if (settling := self._settling) is not None:
            self._settling = None if settling.is_over else settling
            settling.note()
        if self._make_quick is not None:
            self._quick, self._make_quick = self._make_quick(), None
        with self._turn:
            if self._quick is not None:
                result = self._quick(args, kwargs)
                if result is not LEFT:
                    return result
            slots: Slots = [None] * self.manifest.call.slots
            given = self._bind(slots, args, kwargs)
            for slot, value in self._values.items():
                slots[slot] = value
            end = self._run(slots)
            result = end.build(slots, given)
            self._values.update(end.update(slots, given))
        if end.is_error:
            raise result
        self._tie(result, given)
        return result

    def _tie(self, result: Any, given: Mapping[int, Any]) -> None:
        """Gradients do not go through the call, which whoever asks for one is to know."""
        tensors = [each for each in given.values() if is_tensor(each)]
        if tensors:
            library = late("tracejit.standalone.tensors")
            tied = [each for each in tensors if library.is_tied(each)]
            if tied:
                library.tie(result, tied, self.__name__)

    def state_dict(self) -> dict[str, Any]:
        """Copies of the tensors, and the numbers, that the function keeps, by name; without those that no call has set yet."""
        with self._lock:
            return {
                name: _shown(state, self._values[state.slot], self._home)
                for name, state in self._state.items()
                if state.slot in self._values
            }

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> None:
        """Takes over copies of what `state_dict()` gave, or, where something does not fit, nothing.

        RuntimeError names what differs: a dtype, a shape, a type, or with `strict` a name that is missing or not known.
        """
        faults: list[str] = []
        new: dict[int, Any] = {}
        for name, value in state_dict.items():
            state = self._state.get(name)
            if state is None:
                faults += [f"unexpected: {name}"] if strict else []
                continue
            fault, taken = _taken(state, value, self._home)
            faults += [fault] if fault else []
            new[state.slot] = taken
        if strict:
            needed = (each for each in self._state.values() if each.slot in self._values)
            faults += [f"missing: {each.name}" for each in needed if each.name not in state_dict]
        if faults:
            listed = "".join(f"\n    {fault}" for fault in faults)
            message = f"error(s) in loading state_dict for {self.__name__}:{listed}"
            raise RuntimeError(at_user_line(message))
        with self._lock:
            self._values.update(new)

    def __repr__(self) -> str:
        return f"<artifact {self.__name__}{self.signature}>"


def _quickly(
    call: Call,
    programs: Sequence[AnyProgram],
    constants: Mapping[str, np.ndarray],
    values: dict[int, Any],
) -> Callable[[], Quick | None]:
    return lambda: late("tracejit.standalone.quick").quick_call(call, programs, constants, values)


def _deny_recording() -> None:
    """A recording of this thread's has to know that what is called has a state of its own."""
    if (replays := sys.modules.get("tracejit.tracing.replay.current")) is None:
        return  # nothing has ever been recorded
    recording = replays.live()
    if recording is not None:
        recording.deny("an artifact is called, whose state is its own")


_all: WeakSet[Artifact] = WeakSet()


def _renew_locks() -> None:
    """In a child process: whoever held a lock is a thread of the parent's."""
    for artifact in _all:
        is_fixed = artifact._turn is not artifact._lock
        artifact._lock = artifact._locks[0] = threading.Lock()
        artifact._turn = artifact._turn if is_fixed else artifact._lock
        if artifact._settling is not None:
            artifact._settling.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def _initial(
    state: TensorState | NumberState, tensors: Mapping[str, np.ndarray], home: Home
) -> Any:
    return state.value if isinstance(state, NumberState) else home.sent(tensors[state.name])


def _shown(state: TensorState | NumberState, value: Any, home: Home) -> Any:
    if isinstance(state, NumberState):
        return value
    memory = dense(state.dtype, state.shape)
    if state.is_array:
        return array_in(CPU.copied(value), memory)
    copy, tensor_of = home.copied(value), late("tracejit.standalone.tensors").tensor_of
    return tensor_of(copy, memory, device=home.device)


def _taken(state: TensorState | NumberState, value: Any, home: Home) -> tuple[str, Any]:
    """What does not fit, and the value as the state holds it."""
    if isinstance(state, NumberState):
        kind = type(value).__name__
        fits = (
            kind == state.type if state.type else type(value) in (type(None), bool, int, float, str)
        )
        return ("" if fits else f"{state.name} is of type {state.type}, not {kind}"), value
    array = array_of(value) if is_tensor(value) else np.asarray(value)
    given, wanted = (array.dtype.name, array.shape), (state.dtype, state.shape)
    if given != wanted:
        return f"{state.name} is {wanted[0]}{[*wanted[1]]}, not {given[0]}{[*given[1]]}", None
    return "", home.sent(array)
