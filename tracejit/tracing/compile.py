"""`tj.compile`: a function whose ops run fused."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from types import MethodType, NoneType
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakSet

from tracejit._errors import RecompileError, at_user_line, user_location
from tracejit._gate import late
from tracejit._native.entry import entry_class
from tracejit.tensor import Tensor, check_device
from tracejit.tracing.arrays import Arrays
from tracejit.tracing.background import BACKGROUND
from tracejit.tracing.closed import Sealed, are_plain, is_closed, lie_apart
from tracejit.tracing.gradients import remember
from tracejit.tracing.placed import placed
from tracejit.tracing.programs import Options, Programs
from tracejit.tracing.replay import MISS
from tracejit.tracing.session import is_recording, recording, tracing
from tracejit.tracing.watchers import is_watched

if TYPE_CHECKING:
    from tracejit.tracing.replay.engine import Replays
    from tracejit.tracing.replay.native import NativeReplays
    from tracejit.tracing.replay.tree import Tree
    from tracejit.tracing.verify import Rehearsal, Witness

Function = Callable[..., Any]
OnMiss = Literal["record", "error"]
MOST_DIVERGENCES = 32
_NO_ARRAYS = frozenset({Tensor, bool, int, float, str, NoneType})
"""Types of arguments in which there is nothing to look for."""


@functools.cache
def _loaded(name: str) -> Any:
    """A module that is needed only where functions are compiled: together they take as long to load as half of all else."""
    return late(f"tracejit.tracing.{name}")


class Compiled(entry_class()):  # type: ignore[misc]  # one of two classes
    """A function that is recorded when it is called, and whose ops run fused. `tj.explain` tells what became of it."""

    def __init__(
        self,
        function: Function,
        *,
        dynamic: bool | None = None,
        verify: int = 0,
        on_miss: OnMiss = "record",
        device: str | None = None,
        options: Options | None = None,
    ) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.programs = Programs(options or Options())
        self.gradients = Programs(self.programs.options)
        self.made_at = user_location()
        self._calls = {"replay": 0, "record": 0, "eager": 0}
        self.divergences: list[str] = []
        self.copies_arrays = False
        self._dynamic = dynamic
        self._verify = verify
        self._on_miss = on_miss
        self._device = device
        self._turn = 0
        self._has_compared = False
        self._lock = threading.Lock()
        self._native: NativeReplays | None = None
        self._is_made = True
        _all.add(self)
        self.begin()

    @functools.cached_property
    def replays(self) -> Replays:
        """What is known of replaying calls; made at the first one."""
        made: Replays = _loaded("replay.engine").Replays(
            self.function,
            self.programs,
            self.gradients,
            withholds=self._verify > 0,
            dynamic=self._dynamic,
            made_at=self.made_at,
        )
        return made

    @property
    def calls(self) -> dict[str, int]:
        """How many calls have been replayed, recorded, and run by Python."""
        native = self._native.calls if self._native else 0
        return {**self._calls, "replay": self._calls["replay"] + native}

    def called(self, /, *args: Any, **kwargs: Any) -> Any:
        if self._device is not None:
            args, kwargs = (placed(each, self._device) for each in (args, kwargs))
        if self._verify and self._is_turn():
            return self._compared(args, kwargs)
        if not is_recording() and not is_watched():
            replays = self.replays
            result = replays.tree.replay(args, kwargs)
            if result is not MISS:
                self._calls["replay"] += 1
                replays.barren = 0
                if replays.tree.settled:
                    self._settle(replays.tree)
                return result
            if self._on_miss == "error" and self.calls["replay"]:
                self._refuse(args, kwargs)
            if replays.wants_recording():
                return self._record(args, kwargs)
        self._count("record")
        return self._in_python(args, kwargs, None)

    def _settle(self, tree: Tree) -> None:
        """Has machine code take the calls of recordings that are replayed often."""
        with tree.lock:
            roots = dict.fromkeys(tree.settled)
            tree.settled.clear()
            for root in roots:
                root.due = sys.maxsize  # until it has been looked at
        if self._verify or not self.is_native:
            return
        if self._native is None:
            self._native = _loaded("replay.native").NativeReplays(self, self.replays)
        self._native.wanted.update(roots)
        BACKGROUND.do(self._native)

    def _refuse(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raises what a call gets that fits no recording."""
        miss = self.replays.miss(args, kwargs)
        if miss is not None:  # there are recordings
            name = self.replays.tree.name
            raise RecompileError(f"{miss.where}: {name} fits no recording: {miss.text}")

    def _record(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The call's result, by Python; what it depends on and does is noted, so that calls like it can be replayed."""
        self._count("record")
        self._has_compared = False
        with Arrays() as arrays:
            return arrays.leave(self._recorded(args, kwargs, arrays))

    def _recorded(self, args: tuple[Any, ...], kwargs: dict[str, Any], arrays: Arrays) -> Any:
        result = self.replays.record(args, kwargs, arrays)
        remember(result, self.gradients)
        return result

    def _in_python(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], witness: Witness | None
    ) -> Any:
        """The call's result, by Python, with its ops recorded, or, before a witness, eager."""
        if not kwargs and all(type(arg) in _NO_ARRAYS for arg in args):
            return self._run(args, kwargs, None, witness)
        with Arrays() as arrays:
            return self._entered(args, kwargs, arrays, witness)

    def _entered(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        arrays: Arrays,
        witness: Witness | None,
    ) -> Any:
        args = tuple(map(arrays.enter, args))
        kwargs = {name: arrays.enter(value) for name, value in kwargs.items()}
        result = self._run(args, kwargs, arrays, witness)
        return arrays.leave(result) if arrays else result

    def _run(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        arrays: Arrays | None,
        witness: Witness | None,
    ) -> Any:
        if witness is not None:
            return _eager(self.function, args, kwargs, witness)
        if arrays and self._is_alone(args, kwargs, arrays):
            with Sealed(arrays.storages), recording(self.programs):
                return self.function(*args, **kwargs)
        if arrays and not is_recording():
            self.copies_arrays = True
        with recording(self.programs):
            result = self.function(*args, **kwargs)
        remember(result, self.gradients)
        return result

    # Comparing

    def _is_turn(self) -> bool:
        """Whether this call is to be compared with eager execution; calls inside another are part of that."""
        if is_recording():
            return False
        with self._lock:
            self._turn += 1
            return self._turn % self._verify == 0

    def _compared(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The call's result by eager execution; a RuntimeWarning names the first line where compiled execution differs.

        A call that fits no recording is recorded if the last one of this kind was compared, so that there are replays at all.
        """
        rehearsal = self._rehearsal(args, kwargs)
        if rehearsal is None and self._has_compared and self._may_record():
            return self._record(args, kwargs)
        self._has_compared = rehearsal is None
        self._count("eager")
        witness = _loaded("verify").Witness(self.programs)
        try:
            with rehearsal.watched() if rehearsal else nullcontext():
                result = self._in_python(args, kwargs, witness)
        except Exception as error:
            self._report(witness.found or (rehearsal.raised(error) if rehearsal else None))
            raise
        self._report(
            witness.found or (rehearsal.difference(result, witness) if rehearsal else None)
        )
        return result

    def _may_record(self) -> bool:
        return not is_watched() and self.replays.wants_recording()

    def _rehearsal(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Rehearsal | None:
        touched = self.replays.touched
        if touched is None or is_watched():
            return None
        found: Rehearsal | None = _loaded("verify").rehearse(self.replays, touched, args, kwargs)
        return found

    def _report(self, found: str | None) -> None:
        if found is not None:
            self.divergences.append(found)
            del self.divergences[:-MOST_DIVERGENCES]
            warnings.warn(found, RuntimeWarning, stacklevel=4)

    def _count(self, kind: str) -> None:
        with self._lock:
            self._calls[kind] += 1

    def _is_alone(self, args: tuple[Any, ...], kwargs: dict[str, Any], arrays: Arrays) -> bool:
        """Whether nobody else can read or write the arrays while the function runs."""
        return (
            not is_recording()
            and are_plain((*args, *kwargs.values()))
            and lie_apart(arrays.all)
            and is_closed(self.function)
        )

    def __getattr__(self, name: str) -> Any:
        """What else the function, or the object that is called, has."""
        if name == "function":  # not there yet, while being unpickled
            raise AttributeError(name)
        return getattr(self.function, name)

    @property  # type: ignore[misc]  # as it is of any object, but for assignment
    def __class__(self) -> type:
        """`isinstance` finds a compiled module to be a module, so that one inside another is found by it."""
        return Compiled if hasattr(self.function, "__qualname__") else type(self.function)

    def __reduce__(self) -> Any:
        """A compiled function is copied and pickled as functions are, by name; a method or an object as what it is."""
        if hasattr(self.function, "__qualname__") and not isinstance(self.function, MethodType):
            return self.function.__qualname__
        make = functools.partial(
            Compiled,
            dynamic=self._dynamic,
            verify=self._verify,
            on_miss=self._on_miss,
            device=self._device,
            options=self.programs.options,
        )
        return make, (self.function,)

    def __setattr__(self, name: str, value: Any) -> None:
        """What is set on it from outside is set on the function, or the object that is called."""
        if "_is_made" in self.__dict__ and name not in self.__dict__:
            setattr(self.function, name, value)
        else:
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"<compiled {self.function!r}>"


def compile(
    f: Any = None,
    *,
    device: str | None = None,
    dynamic: bool | None = None,
    verify: int = 0,
    on_miss: OnMiss = "record",
    fastmath: bool = False,
    memory_limit: int | None = None,
    background: bool = False,
) -> Any:
    """`f` with its ops fused, and its calls replayed without Python where that is proven to be the same; also a decorator.

    The function means what it means without. The first call is recorded: Python runs, and what the call reads, writes and
    decides is noted. A later call for which all of it is as it was runs the programs and makes the writes, no more; any other
    call runs Python, as a call does of which too little is known (`tj.explain` says why). NumPy arrays in the arguments, and
    what is computed from them, are NumPy arrays again when it returns. Results carry gradients.

    device        where it computes: NumPy arrays and tensors in the arguments that lie elsewhere are copied there, and results
                  stay there; None: where its arguments are. DeviceUnavailable for what is not there
    dynamic       None: a size of an argument that changes is left open, and one recording serves all; True: from the first call
                  on; False: a recording for each combination of sizes
    verify        compare every N-th call with eager execution, and warn with the first line that differs; 0: never
    on_miss       "record": a call that fits no recording is run by Python, and recorded; "error": from the first replay on it
                  raises RecompileError, and does nothing
    fastmath      allow rewrites that change results within rounding
    memory_limit  bytes that each program may allocate for itself while it runs: its results, intermediate values and scratch,
                  not its arguments nor what it writes to. Values are computed anew, by the same code, where keeping them would
                  take more; MemoryLimitError, at the call, where that is not enough. A gradient that is asked for outside the
                  function is a program of its own
    background    compile in another thread: until a program is there its ops run one by one, with the same bits (with `fastmath`,
                  within rounding); `tj.synchronize` waits for it. What has a memory_limit, or computes on a GPU, is compiled at
                  the call

    >>> import tracejit as tj
    >>> @tj.compile
    ... def norm(x):
    ...     return (x * x).sum().sqrt()
    >>> norm(tj.tensor([3.0, 4.0]))
    tensor(5.)
    """
    place = None if device is None else check_device(device)
    if on_miss not in ("record", "error"):
        raise ValueError(at_user_line(f"compile: on_miss is 'record' or 'error', got {on_miss!r}"))
    if dynamic not in (True, False, None):
        raise ValueError(at_user_line(f"compile: dynamic is True, False or None, got {dynamic!r}"))
    if type(verify) is not int or verify < 0:
        raise ValueError(at_user_line(f"compile: verify is a number of calls, got {verify!r}"))
    if memory_limit is not None and (type(memory_limit) is not int or memory_limit <= 0):
        raise ValueError(
            at_user_line(f"compile: memory_limit is a number of bytes, got {memory_limit!r}")
        )
    how: dict[str, Any] = {"dynamic": dynamic, "verify": verify, "on_miss": on_miss}
    how["device"] = None if place == "cpu" else place  # what is computed there is computed as ever
    options = Options(fastmath, memory_limit, bool(background))
    if f is None:
        return functools.partial(compile, **how, **asdict(options))
    if not callable(f):
        raise TypeError(at_user_line(f"compile: {f!r} cannot be called"))
    _loaded("replay.engine")  # now, so that the first call need not wait for it
    return Compiled(f, **how, options=options)


def _eager(
    function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], witness: Witness
) -> Any:
    try:
        with tracing(witness):
            result = function(*args, **kwargs)
        witness.finish()
        return result
    except BaseException:
        witness.finish()
        raise


_all: WeakSet[Compiled] = WeakSet()


def _renew_locks() -> None:
    """In a child process: whoever held a lock is a thread of the parent's."""
    for compiled in _all:
        object.__setattr__(compiled, "_lock", threading.Lock())
        if "replays" in vars(compiled):
            compiled.replays.tree.lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_locks)


def _refuse(wanted: bool, option: str, why: str) -> None:
    if wanted:
        raise NotImplementedError(at_user_line(f"compile: {option} is not supported: {why}"))


def is_deferred(function: Function) -> bool:
    """Whether a call only makes a generator or coroutine, whose body runs after it."""
    kinds = (
        inspect.isgeneratorfunction,
        inspect.iscoroutinefunction,
        inspect.isasyncgenfunction,
    )
    return any(kind(function) for kind in kinds)
