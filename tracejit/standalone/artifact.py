"""A loaded artifact: a function that keeps its own state."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from tracejit._gate import late
from tracejit._native.entry import entry_class
from tracejit.standalone.given import LEFT, Quick
from tracejit.standalone.homes import CPU
from tracejit.standalone.kept import Keeping, Kept
from tracejit.standalone.records import Call, Constant, Manifest, Memory, Run, Target
from tracejit.standalone.settling import Settling
from tracejit.standalone.ways import steps_of

if TYPE_CHECKING:
    from inspect import Signature

    from tracejit.backends import AnyProgram
    from tracejit.ops.op import Op
    from tracejit.standalone.homes import Home
    from tracejit.standalone.loops import Rounds
    from tracejit.standalone.steps import Steps


class _Signature:
    """An artifact's signature, as `inspect` looks for it; made when it is asked for."""

    def __get__(self, artifact: Artifact | None, owner: type | None = None) -> Signature:
        if artifact is None:
            raise AttributeError(
                "an artifact has a signature, the class of artifacts that of any class"
            )
        made: Signature = late("tracejit.standalone.signature").signature_of(artifact.manifest.call)
        object.__setattr__(artifact, "__signature__", made)  # found before this, from now on
        return made


class Artifact(entry_class(binds=False), Keeping):  # type: ignore[misc]  # one of two classes
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
        kept: Kept,
        rounds: Rounds | None = None,
        *,
        is_fixed: bool,
        objects: Mapping[str, bytes],
    ) -> None:
        """`is_fixed`: no call changes the state; `objects`: machine code for calls, by `text_key`. `rounds` goes round the call's
        loops; without it Python does. The state is that of other artifacts as well, if they have the same `kept`."""
        call, home = manifest.call, kept.home
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
        self.__name__ = manifest.name
        self._kept, self._values = kept, kept.values
        self._is_fixed = is_fixed
        self._as_op: list[Any] = []
        """What compiled functions take calls for, once one has asked."""
        self._take_turns()
        # Copies: the tensors lie in the file as it was read, which is not to stay.
        names = [step.name for step in steps_of(call) if isinstance(step, Constant)]
        constants = {name: tensors[name].copy() for name in names}
        self._quick: Quick | None = None
        self._make_quick: Callable[[], Quick | None] | None = _quickly(
            call, programs, constants, self._values, home
        )
        """Makes what takes most calls, when there is one; it holds nothing of the artifact but its state."""
        self._steps: Steps | None = None
        self._make_steps = _step_by_step(call, programs, constants, home, rounds, manifest.name)
        """Makes what takes all others."""
        own = constants, self._values, kept.locks, home
        self._in_turn = _InTurn() if self.is_native and home is not CPU and not is_fixed else None
        """What has machine code that is to be called while it is this artifact's turn."""
        taker, offer = (self, kept.offer) if self._in_turn is None else (self._in_turn, None)
        self._settling = (
            Settling(taker, offer, objects, call, programs, *own) if self.is_native else None
        )
        """Has machine code take calls, which then come here no more, but for those that take turns on a GPU."""
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
            if self._in_turn is not None:
                result = self._in_turn(*args, **kwargs)
                if result is not LEFT:
                    return result
            if self._quick is not None:
                result = self._quick(args, kwargs)
                if result is not LEFT:
                    return result
            if self._steps is None:
                self._steps = self._make_steps()
            result, is_error = self._steps(args, kwargs, self._values)
        if is_error:
            raise result
        return result

    @property
    def changes_nothing(self) -> bool:
        """Whether no call changes the state."""
        return self._is_fixed

    def op_for(self, args: tuple[Any, ...]) -> Op | None:
        """The op that calls with such arguments are; None where they are more than a function of tensors."""
        if not self._as_op:
            self._as_op.append(late("tracejit.standalone.as_op").as_op(self))
        found = self._as_op[0]
        return found.op if found is not None and found.fits(args) else None

    def of_arrays(self, arrays: Mapping[int, np.ndarray], result: Memory) -> np.ndarray:
        """The result of a call that is an op, of the arguments' arrays by slot."""
        if self._steps is None:
            self._steps = self._make_steps()
        return self._steps.of_arrays(arrays, self._values, result)

    __signature__ = _Signature()

    @property
    def signature(self) -> Signature:
        """As `inspect.signature` has it: arrays are annotated with their dtype and shape."""
        return self.__signature__

    def _take_turns(self) -> None:
        """With the lock that there is now."""
        self._lock = self._kept.locks[0]
        self._turn: AbstractContextManager[Any] = nullcontext() if self._is_fixed else self._lock

    def __repr__(self) -> str:
        return f"<artifact {self.__name__}{self.signature}>"


class _InTurn(entry_class(binds=False)):  # type: ignore[misc]  # one of two classes
    """Takes calls by machine code, and leaves all others."""

    def __init__(self) -> None:
        self.begin()

    def called(self, /, *args: Any, **kwargs: Any) -> Any:
        return LEFT


def _quickly(
    call: Call,
    programs: Sequence[AnyProgram],
    constants: Mapping[str, np.ndarray],
    values: dict[int, Any],
    home: Home,
) -> Callable[[], Quick | None]:
    of = call, programs, constants, values, home
    return lambda: late("tracejit.standalone.quick").quick_call(*of)


def _step_by_step(
    call: Call,
    programs: Sequence[AnyProgram],
    constants: Mapping[str, np.ndarray],
    home: Home,
    rounds: Rounds | None,
    name: str,
) -> Callable[[], Steps]:
    steps = call, programs, constants, home, rounds, name
    return lambda: late("tracejit.standalone.steps").Steps(*steps)


def _deny_recording() -> None:
    """A recording of this thread's has to know that what is called has a state of its own."""
    if (replays := sys.modules.get("tracejit.tracing.replay.current")) is None:
        return  # nothing has ever been recorded
    recording = replays.live()
    if recording is not None:
        recording.deny("an artifact is called, which does more than to make a tensor of tensors")


_all: WeakSet[Artifact] = WeakSet()


def _renew_locks() -> None:
    """In a child process: whoever held a lock is a thread of the parent's."""
    for kept in {id(each._kept): each._kept for each in _all}.values():
        kept.renew_lock()
    for artifact in _all:
        artifact._take_turns()
        if artifact._settling is not None:
            artifact._settling.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
