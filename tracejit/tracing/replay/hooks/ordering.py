"""`sorted`, `min` and `max`: which of two values is less is asked as the user's `<` would be, and is part of what is recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracejit.symbols import NUMBERS, SymbolicInt, concrete, derived, is_number
from tracejit.tracing.replay.recording import Recording

_QUICK = frozenset({int, float, bool, str, bytes})
"""Types that native code may compare: their values are guarded, or the recorded call's own."""
_NONE = object()


class _Ordered:
    """A value that compares as instrumented code does."""

    __slots__ = ("_hooks", "_value")

    def __init__(self, hooks: Any, value: Any) -> None:
        self._hooks = hooks
        self._value = value

    def __lt__(self, other: _Ordered) -> bool:
        return bool(self._hooks.truth(self._hooks.compare("Lt", self._value, other._value)))

    def __gt__(self, other: _Ordered) -> bool:
        return bool(self._hooks.truth(self._hooks.compare("Gt", self._value, other._value)))


def _keys(hooks: Any, items: list[Any], key: Any) -> list[Any]:
    """What is compared in the place of the items."""
    keys = items if key is None else [hooks.callee(key)(item) for item in items]
    if all(type(each) in _QUICK for each in keys):
        return keys
    return [_Ordered(hooks, each) for each in keys]


def sorted_(hooks: Any, recording: Recording, *args: Any, **options: Any) -> list[Any]:
    if len(args) != 1 or options.keys() - {"key", "reverse"}:
        return sorted(*args, **options)  # raises
    key, reverse = options.get("key"), options.get("reverse", False)
    items = [*hooks.iterate(args[0])]
    if type(reverse) not in (bool, int, SymbolicInt):  # what else is taken depends on the Python
        recording.deny("sorted() with a `reverse` that is neither a bool nor an int")
        call = None if key is None else hooks.callee(key)
        return sorted(items, key=call, reverse=concrete(reverse))
    keys = _keys(hooks, items, key)
    places = sorted(range(len(items)), key=keys.__getitem__, reverse=bool(hooks.truth(reverse)))
    return [items[place] for place in places]


def extreme(function: Any) -> Callable[..., Any]:
    """`min` or `max`."""

    def call(hooks: Any, recording: Recording, *args: Any, **options: Any) -> Any:
        known = {"key", "default"} if len(args) == 1 else {"key"}
        if not args or options.keys() - known:
            return function(*args, **options)  # raises
        key, default = options.get("key"), options.get("default", _NONE)
        items = [*hooks.iterate(args[0])] if len(args) == 1 else [*args]
        if not items:
            return function(()) if default is _NONE else default
        if (
            key is None
            and all(map(is_number, items))
            and any(type(item) in NUMBERS for item in items)
        ):
            return derived(function, *items) if len(items) > 1 else items[0]
        keys = _keys(hooks, items, key)
        return items[function(range(len(items)), key=keys.__getitem__)]

    return call
