"""The one door for applying an op: `bind` hands it to the interpreter on top of this thread's stack.

Eager execution, the recorder, the tape and the function transforms are interpreters. Each handles an op itself or hands it to
the one below. A value is whatever the bottom interpreter deals in, with an `aval`; it says so by having `_is_value`. A Python
number reaches `bind` as `Scalar`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from tracejit._gate import late
from tracejit._native.entry import busy
from tracejit._records import dataclass
from tracejit.ir.aval import Aval

if TYPE_CHECKING:
    from tracejit.ops.op import Op, Params


@dataclass(
    slots=True, unsafe_hash=True
)  # not frozen: one is made for every number in an expression
class Scalar:
    """A Python number on its way into an op: a run-time input of 0 dimensions, never part of a graph's text."""

    value: bool | int | float
    aval: Aval
    # What interpreters ask of any argument: a number is no view, and no gradient flows to it.
    origin: ClassVar[None] = None
    autograd: ClassVar[None] = None
    _is_value: ClassVar[bool] = True


class Interpreter(Protocol):
    """Gives ops and writes their meaning.

    `bind(op, args, params)` gives the op's one result; args are values or Scalars that `op.coerce` has normalised.
    `assign(target, value)` writes a value, already of the target's shape and dtype, to the memory that the target views;
    the value is read completely before the first write. A value that nobody else holds may give its memory to the target:
    whoever passes one must not use it afterwards.
    """

    def bind(self, op: Op, args: tuple[Any, ...], params: Params) -> Any: ...

    def assign(self, target: Any, value: Any) -> None: ...


ripe: list[Callable[[Op, tuple[Any, ...], Params], None]] = []
"""What is to be called with an op that has just been applied, and with what it was given."""


class _Stack(threading.local):
    def __init__(self) -> None:
        self.interpreters: list[Interpreter] = list(_base)
        self.again: Callable[[Op, tuple[Any, ...]], Any] | None = None
        """Asked before an op without parameters is coerced and bound: its result if it has been seen here before, else None."""


class _First:
    """The only interpreter until there are others: to apply an op is to have all of tracejit."""

    def bind(self, op: Op, args: tuple[Any, ...], params: Params) -> Any:
        return _installed().bind(op, args, params)

    def assign(self, target: Any, value: Any) -> None:
        _installed().assign(target, value)


def _installed() -> Interpreter:
    """The upper one of those that every thread begins with, which this one has from now on."""
    late("tracejit._namespace")
    if isinstance(stack.interpreters[0], _First):  # another thread has come before this one
        stack.interpreters[:1] = _base
    return _base[-1]


_base: list[Interpreter] = [_First()]
stack = _Stack()


def _forget_threads() -> None:
    """In a child process: the other threads with interpreters of their own are the parent's."""
    busy.clear()
    if len(stack.interpreters) > len(_base):
        busy[threading.get_ident()] = None


os.register_at_fork(after_in_child=_forget_threads)


def _first_lift(value: Any) -> Any:
    _installed()
    return _lift[0](value)


_lift: list[Callable[[Any], Any]] = [_first_lift]


def install(base: tuple[Interpreter, ...], lift: Callable[[Any], Any]) -> None:
    """Sets the interpreters with which every thread begins, the bottom first, and how an array from outside becomes a value."""
    stack.interpreters[: len(_base)] = base
    _base[:] = base
    _lift[:] = [lift]


def bind(op: Op, args: tuple[Any, ...], params: Params) -> Any:
    """Applies `op` by the interpreter in charge."""
    return stack.interpreters[-1].bind(op, args, params)


def assign(target: Any, value: Any) -> None:
    """Writes `value` to the memory of `target` by the interpreter in charge."""
    stack.interpreters[-1].assign(target, value)


def lift(value: Any) -> Any:
    """`value` itself if it is one, else the value that an array or a nested sequence becomes."""
    return value if hasattr(value, "_is_value") else _lift[0](value)


def below(interpreter: Interpreter) -> Interpreter:
    """The interpreter that `interpreter` hands ops on to."""
    interpreters = stack.interpreters
    if interpreters[-1] is interpreter:
        return interpreters[-2]
    return interpreters[interpreters.index(interpreter) - 1]


def current() -> Interpreter:
    return stack.interpreters[-1]


class pushed:  # noqa: N801  # used as a function would be
    """Inside the block `interpreter` is in charge on this thread, or has its place just under another one."""

    __slots__ = ("_again", "_interpreter", "_under")

    def __init__(self, interpreter: Interpreter, under: Interpreter | None = None) -> None:
        self._interpreter = interpreter
        self._under = under

    def __enter__(self) -> Interpreter:
        if isinstance(stack.interpreters[0], _First):
            _installed()  # it may have been another thread that has loaded them
        interpreters = stack.interpreters
        under = self._under
        place = len(interpreters) if under is None else interpreters.index(under)
        interpreters.insert(place, self._interpreter)
        busy[threading.get_ident()] = None
        self._again, stack.again = stack.again, None
        if interpreters[-1] is under:  # what is above hands ops of known outcome straight on
            stack.again = getattr(self._interpreter, "again", None)
        return self._interpreter

    def __exit__(self, *error: object) -> None:
        stack.interpreters.remove(self._interpreter)
        stack.again = self._again
        if len(stack.interpreters) == len(_base):
            busy.pop(threading.get_ident(), None)
