"""The one door for applying an op: `bind` hands it to the interpreter on top of this thread's stack.

Eager execution, the recorder, the tape and the function transforms are interpreters. Each handles an op itself or hands it to
the one below. A value is whatever the bottom interpreter deals in, with an `aval`; a Python number reaches `bind` as `Scalar`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tracejit.ir.aval import Aval

if TYPE_CHECKING:
    from tracejit.ops.op import Op, Params


@dataclass(frozen=True, slots=True)
class Scalar:
    """A Python number on its way into an op: a run-time input of 0 dimensions, never part of a graph's text."""

    value: bool | int | float
    aval: Aval


class Interpreter(Protocol):
    """`bind(op, args, params)` gives the op's one result; args are values or Scalars that `op.coerce` has normalised."""

    def bind(self, op: Op, args: tuple[Any, ...], params: Params) -> Any: ...


class _Stack(threading.local):
    def __init__(self) -> None:
        self.interpreters: list[Interpreter] = list(_base)


_base: list[Interpreter] = []
_stack = _Stack()
_lift: list[Callable[[Any], Any]] = []


def install(base: Interpreter, lift: Callable[[Any], Any]) -> None:
    """Sets the bottom interpreter of every thread, and how an array from outside becomes a value."""
    _base[:] = [base]
    _lift[:] = [lift]
    _stack.interpreters[:1] = [base]


def bind(op: Op, args: tuple[Any, ...], params: Params) -> Any:
    """Applies `op` by the interpreter in charge."""
    return _stack.interpreters[-1].bind(op, args, params)


def lift(value: Any) -> Any:
    """`value` itself if it has an aval, else the value that an array or a nested sequence becomes."""
    return value if hasattr(value, "aval") else _lift[0](value)


def below(interpreter: Interpreter) -> Interpreter:
    """The interpreter that `interpreter` hands ops on to."""
    interpreters = _stack.interpreters
    return interpreters[interpreters.index(interpreter) - 1]


def current() -> Interpreter:
    return _stack.interpreters[-1]


@contextmanager
def pushed(interpreter: Interpreter) -> Iterator[Interpreter]:
    """`interpreter` is in charge inside the block, on this thread."""
    _stack.interpreters.append(interpreter)
    try:
        yield interpreter
    finally:
        _stack.interpreters.pop()
