"""The order in which sets give their elements: it follows from hashes, and from what was added and removed before."""

from __future__ import annotations

from typing import Any

from tracejit.symbols import SYMBOLS
from tracejit.tracing.replay.kinds import ATOMS, is_numpy_number
from tracejit.tracing.replay.recording import Recording

SETS = (set, frozenset)


def is_decided(container: Any) -> bool:
    """Whether the order of a set's elements is the same whatever objects stand in their places."""
    return len(container) < 2 or all(map(_is_stable, container))


def _is_stable(value: Any) -> bool:
    """Whether the hash tells nothing of where an object lies in memory, or the object is always the same."""
    kind = type(value)
    if kind is tuple or kind is frozenset:
        return all(map(_is_stable, value))
    if kind in ATOMS or kind in SYMBOLS or is_numpy_number(value):
        return True
    return Recording.is_fixed_object(value)


def comes_back(container: Any) -> bool:
    """Whether a set that is made of the elements, one after the other, is the same to whoever walks through it."""
    if not is_decided(container):
        return False
    made: Any = set()
    for value in container:
        made.add(value)
    if type(container) is frozenset:
        made = frozenset(tuple(container))
    in_order = all(new is old for new, old in zip(made, container))
    return in_order and made.__sizeof__() == container.__sizeof__()
