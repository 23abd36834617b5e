"""`for k in range(...)`: the steps of a loop, one by one, so that the loop can be closed as a `while` can."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tracejit.symbols import SymbolicInt, concrete, settled
from tracejit.tracing.replay.recording import Recording

INTEGERS = (int, SymbolicInt)


class Count:
    """The numbers of a `range`, each made of the one before; any of its bounds may be a symbol."""

    __slots__ = ("_step", "_stop")

    def __init__(self, stop: Any, step: int) -> None:
        self._stop, self._step = stop, step

    def goes_on(self, place: Any) -> Any:
        return place < self._stop if self._step > 0 else place > self._stop

    def counted(self, place: Any) -> tuple[Any, Any]:
        return place, place + self._step


class Walk:
    """The elements of anything else by that name; it is its own place, of which only the iterator knows where it is."""

    __slots__ = ("_iterator", "_next")

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator
        self._next: Any = None

    def goes_on(self, place: Walk) -> bool:
        try:
            self._next = next(self._iterator)
        except StopIteration:
            return False
        return True

    def counted(self, place: Walk) -> tuple[Any, Walk]:
        return self._next, self


def count(recording: Recording, args: tuple[Any, ...]) -> tuple[Count, Any] | None:
    """The steps of `range(*args)`, and the first place; None where Python is to say what it is."""
    if not 1 <= len(args) <= 3 or any(type(arg) not in INTEGERS for arg in args):
        return None
    start, stop, step = (0, *args, 1) if len(args) == 1 else (*args, 1)[:3]
    if concrete(step) == 0 or recording.unrolls:
        return None
    return Count(stop, settled(step)), start
