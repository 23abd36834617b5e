"""Finding what stands for an array where a call has left it: in objects, containers and closures that go on living."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterable
from types import CellType, MemberDescriptorType
from typing import Any

Change = Callable[[Any], Any]
MOST_TUPLES = 4
"""How deep in tuples it is looked for."""


def replace_everywhere(
    values: list[Any], new: dict[int, Any], own: Iterable[Any], depth: int = 0
) -> None:
    """Puts `new[id(value)]` wherever one of `values` is held, but for `own` containers. Tuples that hold one are made anew."""
    own = (*own, values)
    ours = {id(container) for container in own}

    def change(part: Any) -> Any:
        return new.get(id(part), part)

    tuples = []
    for holder in gc.get_referrers(*values):
        if id(holder) in ours:
            continue
        if type(holder) is tuple:
            tuples.append(holder)
        else:
            _replace_in(holder, change)
    if tuples and depth < MOST_TUPLES:
        rebuilt = {id(holder): tuple(map(change, holder)) for holder in tuples}
        replace_everywhere(tuples, rebuilt, own, depth + 1)


def _replace_in(holder: Any, change: Change) -> None:
    if isinstance(holder, dict):
        if not _replace_on_classes(holder, change):
            _replace_entries(holder, change)
    elif isinstance(holder, list | deque):
        for place, part in enumerate([*holder]):
            _set(holder, place, part, change)
    elif isinstance(holder, set):
        parts = list(map(change, holder))
        holder.clear()
        holder.update(parts)
    elif isinstance(holder, CellType):
        holder.cell_contents = change(holder.cell_contents)
    elif not type(holder).__module__.startswith(("builtins", "tracejit.")):
        _replace_attributes(holder, change)


def _replace_on_classes(names: dict[Any, Any], change: Change) -> bool:
    """Whether it is the dict of a class, whose look-ups are remembered: it is told what is set."""
    owners = [owner for owner in gc.get_referrers(names) if isinstance(owner, type)]
    owners = [owner for owner in owners if gc.get_referents(owner.__dict__)[0] is names]
    for owner in owners:
        for name, part in list(names.items()):
            if change(part) is not part:
                type.__setattr__(owner, name, change(part))
    return bool(owners)


def _replace_entries(names: dict[Any, Any], change: Change) -> None:
    items = list(names.items())
    for key, part in items:
        _set(names, key, part, change)
    if any(change(key) is not key for key, _ in items):
        changed = [(change(key), value) for key, value in names.items()]
        names.clear()
        names.update(changed)


def _set(container: Any, key: Any, part: Any, change: Change) -> None:
    new = change(part)
    if new is not part:
        container[key] = new


def _replace_attributes(holder: Any, change: Change) -> None:
    """In an object that keeps its attributes to itself: without code of its class."""
    names = getattr(holder, "__dict__", None)
    if type(names) is dict:
        _replace_entries(names, change)
    for base in type(holder).__mro__:
        for name, member in base.__dict__.items():
            if type(member) is MemberDescriptorType and hasattr(holder, name):
                part = member.__get__(holder)
                if change(part) is not part:
                    member.__set__(holder, change(part))
