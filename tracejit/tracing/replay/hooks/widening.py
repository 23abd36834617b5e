"""Numbers that differ from one round of a loop to the next become symbols, wherever they stand."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from tracejit.symbols import KINDS, SYMBOLS, rebuilt
from tracejit.tracing.replay.hooks.containers import is_known
from tracejit.tracing.replay.hooks.heads import Before
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.templates import slots

NUMBERS = (int, float)
ABSENT = object()
Path = tuple[Any, ...]


def widened(recording: Recording, value: Any, old: Any) -> Any:
    """`value` as a symbol, where it is a number, and `old`, which stood there a round ago, another one."""
    if type(value) not in NUMBERS:
        return value
    if old is not ABSENT and KINDS.get(type(old), type(old)) not in NUMBERS:
        return value
    is_same = type(old) is type(value) and repr(old) == repr(value)
    return value if is_same else recording.widened(value)


class Inside:
    """Numbers in what the call has made: tuples, which are made anew, lists, dicts and objects.

    met     what was there before the loop: tuples that others may hold stay as they are
    found   the numbers by where they stand
    """

    def __init__(self, recording: Recording, before: dict[Path, Any], met: Before) -> None:
        self.found: dict[Path, Any] = {}
        self._recording = recording
        self._before = before
        self._met = met
        self._known: dict[int, Any] = {}

    def of(self, path: Path, value: Any) -> Any:
        """The value with symbols inside of it."""
        kind = type(value)
        if kind in NUMBERS or kind in SYMBOLS:
            if len(path) > 1:
                value = widened(self._recording, value, self._before.get(path, value))
                self.found[path] = value
            return value
        if id(value) not in self._known:
            self._known[id(value)] = value
            self._known[id(value)] = self._parts(path, value, kind)
        return self._known[id(value)]

    def _parts(self, path: Path, value: Any, kind: type) -> Any:
        if kind is tuple or (isinstance(value, tuple) and hasattr(kind, "_fields")):
            return self._tuple(path, value)
        if kind in (list, deque, dict):
            if is_known(self._recording, value):
                self._items(path, value)
        elif self._recording.is_made(value):
            for name in slots(kind):
                if hasattr(value, name):
                    self._attribute(path, value, name)
            if type(getattr(value, "__dict__", None)) is dict:
                self._items(path, value.__dict__)
        return value

    def _tuple(self, path: Path, value: tuple[Any, ...]) -> Any:
        if value in self._met:
            return value
        return rebuilt(value, [self.of((*path, at), part) for at, part in enumerate(value)])

    def _items(self, path: Path, container: Any) -> None:
        places: Iterable[Any] = [*container] if type(container) is dict else range(len(container))
        for place in places:
            part = container[place]
            new = self.of((*path, place), part)
            if new is not part:
                container[place] = new

    def _attribute(self, path: Path, target: Any, name: str) -> None:
        part = getattr(target, name)
        new = self.of((*path, name), part)
        if new is not part:
            object.__setattr__(target, name, new)
