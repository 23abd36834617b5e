"""NumPy arrays as arguments of a compiled function: what enters it in their place, and their return."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from sys import getrefcount
from typing import Any

import numpy as np

from tracejit.storage import Storage
from tracejit.tensor import from_array
from tracejit.tracing.recall import replace_everywhere
from tracejit.tracing.stand_in import StandIn, as_stand_in, can_stand_for, made, shown


class Arrays:
    """The arrays among a call's arguments, also inside tuples, lists and dicts, and their stand-ins.

    Lists and dicts keep their identity: for the call their arrays are replaced in place.
    """

    def __init__(self) -> None:
        self._made: list[weakref.ref[Any]] | None = None
        self._stand_ins: dict[int, StandIn] = {}
        self._arrays: dict[int, np.ndarray] = {}
        self._results: dict[int, tuple[StandIn, Any]] = {}
        self._containers: dict[int, Any] = {}

    def enter(self, value: Any) -> Any:
        """`value` with stand-ins for its arrays."""
        kind = type(value)
        if kind is np.ndarray:
            return self._stand_in(value)
        if _is_tuple(kind):
            return _tuple_of(value, map(self.enter, tuple.__iter__(value)))
        if kind in (list, dict) and id(value) not in self._containers:
            self._containers[id(value)] = value
            _replace(value, self.enter)
        return value

    def leave(self, value: Any) -> Any:
        """`value` with arrays for its stand-ins, the arguments' own where they are the arguments'."""
        return _without_stand_ins(value, self._array, {})

    def __enter__(self) -> Arrays:
        if made.refs is None:
            made.refs = self._made = []
        return self

    def __exit__(self, *error: object) -> None:
        """Puts arrays back into the arguments' lists and dicts, and wherever else the call has left what stands for them."""
        for container in self._containers.values():
            self.leave(container)
        if self._made is not None:
            made.refs = None
            self._recall(self._made)

    def _recall(self, refs: list[weakref.ref[Any]]) -> None:
        alive = [stand_in for stand_in in [ref() for ref in refs] if stand_in is not None]
        bases = Counter(id(stand_in.origin[0]) for stand_in in alive if stand_in.origin)
        left = [
            stand_in
            # `alive` and what walks it refer to each as well; variables do not, or do, as Python has it: they are not counted.
            for stand_in, count in zip(alive, list(map(getrefcount, alive)))
            if count - 2 > self._references(stand_in) + bases[id(stand_in)]
        ]
        if left:
            new = {id(stand_in): self._array(stand_in) for stand_in in left}
            replace_everywhere(left, new, (alive, self._stand_ins, *self._results.values()))

    def _references(self, stand_in: StandIn) -> int:
        """How often it is held here."""
        return (id(stand_in) in self._arrays) + (id(stand_in) in self._results)

    def __bool__(self) -> bool:
        return bool(self._stand_ins)

    @property
    def all(self) -> list[np.ndarray]:
        return list(self._arrays.values())

    @property
    def storages(self) -> list[Storage]:
        return [stand_in.storage for stand_in in self._stand_ins.values()]

    def _stand_in(self, array: np.ndarray) -> Any:
        found = self._stand_ins.get(id(array))
        if found is not None:
            return found
        if not can_stand_for(array):
            return array
        tensor = from_array(array, copy=False)
        if (
            not tensor.storage.escaped
        ):  # a copy: memory that is not a whole number of elements apart
            return array
        stand_in: StandIn = as_stand_in(tensor)
        self._stand_ins[id(array)] = stand_in
        self._arrays[id(stand_in)] = array
        return stand_in

    def _array(self, stand_in: StandIn) -> Any:
        """The array that the user takes a stand-in for: one object, wherever it is met."""
        array = self._arrays.get(id(stand_in))
        if array is not None:
            return array
        known = self._results.get(id(stand_in))
        if (
            known is None
        ):  # showing it may end the recording, which asks for the arrays of all that was written
            known = self._results.setdefault(id(stand_in), (stand_in, shown(stand_in)))
        return known[1]


def _is_tuple(kind: type) -> bool:
    return kind is tuple or (issubclass(kind, tuple) and hasattr(kind, "_fields"))


def _tuple_of(before: Any, parts: Iterable[Any]) -> Any:
    """The tuple, or named tuple, with other parts; itself where they are the same. Its class's own code does not run."""
    after = tuple(parts)
    if all(x is y for x, y in zip(tuple.__iter__(before), after)):
        return before
    made = tuple.__new__(type(before), after)
    if hasattr(before, "__dict__"):
        made.__dict__.update(before.__dict__)
    return made


def _replace(container: Any, change: Callable[[Any], Any]) -> None:
    """The values of a list or dict replaced in place; numbers in sets, and as keys, too."""
    if type(container) is not list and any(type(key) is StandIn for key in container):
        parts: Any = (
            [(change(key), value) for key, value in container.items()]
            if type(container) is dict
            else list(map(change, container))
        )
        container.clear()
        container.update(parts)
    if type(container) is set:
        return
    pairs = enumerate(container) if type(container) is list else list(container.items())
    for key, value in pairs:
        changed = change(value)
        if changed is not value:
            container[key] = changed


def _without_stand_ins(value: Any, array: Callable[[StandIn], Any], seen: dict[int, Any]) -> Any:
    """`seen` has what became of each container by its id, and the container, so that the id stays its own."""

    def change(part: Any) -> Any:
        return _without_stand_ins(part, array, seen)

    kind = type(value)
    if kind is StandIn:
        return array(value)
    if id(value) in seen:
        return seen[id(value)][1]
    if _is_tuple(kind):
        seen[id(value)] = value, value
        changed = _tuple_of(value, map(change, tuple.__iter__(value)))
        seen[id(value)] = value, changed
        return changed
    if kind in (list, dict, set):
        seen[id(value)] = value, value
        _replace(value, change)
    return value
