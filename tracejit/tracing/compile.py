"""`tj.compile`: a function whose ops run fused."""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections.abc import Callable
from types import MethodType, NoneType
from typing import Any, Literal

from tracejit._errors import at_user_line
from tracejit.tensor import Tensor, check_device
from tracejit.tracing.arrays import Arrays
from tracejit.tracing.closed import Sealed, are_plain, is_closed, lie_apart
from tracejit.tracing.gradients import remember
from tracejit.tracing.programs import Programs
from tracejit.tracing.replay.engine import Replays
from tracejit.tracing.replay.tree import MISS
from tracejit.tracing.session import is_recording, recording
from tracejit.tracing.verify import verified

Function = Callable[..., Any]
_NO_ARRAYS = frozenset({Tensor, bool, int, float, str, NoneType})
"""Types of arguments in which there is nothing to look for."""


class Compiled:
    """A function that is recorded when it is called, and whose ops run fused. `tj.explain` tells what became of it."""

    def __init__(self, function: Function, *, verify: int = 0, fastmath: bool = False) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.programs = Programs(fastmath=fastmath)
        self.gradients = Programs(fastmath=fastmath)
        self.replays = Replays(
            function,
            self.programs,
            getattr(function, "__qualname__", type(function).__qualname__),
        )
        self.calls = {"replay": 0, "record": 0, "eager": 0}
        self.divergences: list[str] = []
        self.copies_arrays = False
        self._verify = verify
        self._turn = 0
        self._lock = threading.Lock()
        self._is_made = True

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if self._may_replay():
            result = self.replays.tree.replay(args, kwargs)
            if result is not MISS:
                self.calls["replay"] += 1
                self.replays.replayed()
                return result
            if self.replays.wants_recording():
                self.calls["record"] += 1
                return self._record(args, kwargs)
        if not kwargs and all(type(arg) in _NO_ARRAYS for arg in args):
            return self._run(args, kwargs, None)
        arrays = Arrays()
        try:
            args = tuple(map(arrays.enter, args))
            kwargs = {name: arrays.enter(value) for name, value in kwargs.items()}
            result = self._run(args, kwargs, arrays)
            return arrays.leave(result) if arrays else result
        finally:
            if arrays:
                arrays.restore()

    def _record(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The call's result, by Python; what it depends on and does is noted, so that calls like it can be replayed."""
        arrays = Arrays()
        try:
            result = self.replays.record(args, kwargs, arrays)
            remember(result, self.gradients)
            return arrays.leave(result)
        finally:
            arrays.restore()

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any], arrays: Arrays | None) -> Any:
        if self._is_verified_call():
            return verified(self, args, kwargs)
        if arrays and self._is_alone(args, kwargs, arrays):
            with Sealed(arrays.storages), recording(self.programs):
                return self.function(*args, **kwargs)
        if arrays and not is_recording():
            self.copies_arrays = True
        with recording(self.programs):
            result = self.function(*args, **kwargs)
        remember(result, self.gradients)
        return result

    def _may_replay(self) -> bool:
        """Whether nobody watches Python run: neither a recording that this call joins nor a debugger."""
        return not self._verify and not is_recording() and sys.gettrace() is None

    def _is_alone(self, args: tuple[Any, ...], kwargs: dict[str, Any], arrays: Arrays) -> bool:
        """Whether nobody else can read or write the arrays while the function runs."""
        return (
            not is_recording()
            and are_plain((*args, *kwargs.values()))
            and lie_apart(arrays.all)
            and is_closed(self.function)
        )

    def _is_verified_call(self) -> bool:
        """Whether it is this call's turn to be compared with eager execution; counts the call."""
        with self._lock:
            self._turn += 1
            turn = self._verify > 0 and self._turn % self._verify == 0 and not is_recording()
            self.calls["eager" if turn else "record"] += 1
        return turn

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """A compiled method is bound as a function is."""
        return self if instance is None else MethodType(self, instance)

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
        """A compiled function is copied and pickled as functions are, by name; a compiled object as the object is."""
        if hasattr(self.function, "__qualname__"):
            return self.function.__qualname__
        make = functools.partial(Compiled, verify=self._verify, fastmath=self.programs.fastmath)
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
    on_miss: Literal["record"] = "record",
    fastmath: bool = False,
    memory_limit: int | None = None,
    background: bool = False,
) -> Any:
    """`f` with its ops recorded and run fused; also a decorator, with or without options.

    The function means what it means without: Python runs at every call, ops wait until a value is looked at (`bool`, `float`,
    `print`, `numpy()`) or the call returns, and then run as one program, which is kept. NumPy arrays in the arguments, and what
    is computed from them, are NumPy arrays again when it returns. Results carry gradients.

    device        "cpu"; DeviceUnavailable for what is not there
    dynamic       None or False: a program for each combination of shapes
    verify        compare every N-th call with eager execution, and warn with the first line that differs; 0: never
    on_miss       "record": what to do where no program is known yet
    fastmath      allow rewrites that change results within rounding

    >>> import tracejit as tj
    >>> @tj.compile
    ... def norm(x):
    ...     return (x * x).sum().sqrt()
    >>> norm(tj.tensor([3.0, 4.0]))
    tensor(5.)
    """
    check_device(device)
    _refuse(dynamic is True, "dynamic=True", "each combination of shapes has its own program")
    _refuse(memory_limit is not None, "memory_limit", "programs take the memory that they need")
    _refuse(background, "background=True", "a program is compiled where it is first needed")
    if on_miss != "record":
        raise ValueError(at_user_line(f"compile: on_miss must be 'record', got {on_miss!r}"))
    if type(verify) is not int or verify < 0:
        raise ValueError(at_user_line(f"compile: verify is a number of calls, got {verify!r}"))
    if f is None:
        return functools.partial(compile, verify=verify, fastmath=fastmath)
    if not callable(f):
        raise TypeError(at_user_line(f"compile: {f!r} cannot be called"))
    return Compiled(f, verify=verify, fastmath=fastmath)


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
