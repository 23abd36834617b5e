"""Walking through containers: numbers that may change come as symbols, also those that are written meanwhile, arrays as what
stands for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tracejit.symbols import View
from tracejit.tracing.replay.hooks.containers import (
    expand,
    in_order,
    is_known,
    is_rearranged,
    read_all,
    stands_for_another,
    take_over,
)
from tracejit.tracing.replay.hooks.items import read_item
from tracejit.tracing.replay.iterators import Table
from tracejit.tracing.replay.recording import Recording


def walk(recording: Recording, container: Any) -> Any:
    """What is iterated in the place of a container: numbers that may change come as symbols, also those written meanwhile."""
    in_order(recording, container)
    if is_known(recording, container) or type(container) not in (list, tuple, dict):
        expand(recording, container, deep=False)
        return container
    if is_rearranged(recording, container):
        take_over(recording, container)
        return container
    values = _values(recording, container)
    if type(container) is list:
        return _by_place(recording, container)
    if not any(map(stands_for_another, values)):
        return container
    return (
        iter(values)
        if type(container) is tuple
        else Table(container, _reader(recording, container))
    )


def _values(recording: Recording, container: Any) -> list[Any]:
    """What is in a container, all of which is guarded but for what the call has written."""
    values = [value for _, value in read_all(recording, container)]
    if id(container) in recording.written:
        overlay = recording.overlay.items()
        values += [value for (owner, _), value in overlay if owner == id(container)]
    return values


def _by_place(recording: Recording, container: list[Any]) -> Iterator[Any]:
    read, place = _reader(recording, container), 0
    while place < len(container):
        yield read(place)
        place += 1


def _reader(recording: Recording, container: Any) -> Callable[[Any], Any]:
    return lambda key: read_item(recording, container, key) if recording.live else container[key]


def walk_pairs(recording: Recording, container: dict[Any, Any], name: str) -> Any:
    """What `items()` or `values()` of a dict gives."""
    if is_known(recording, container) or is_rearranged(recording, container):
        expand(recording, container, deep=False)
        return getattr(container, name)()
    values = _values(recording, container)
    native = getattr(container, name)()
    if not any(map(stands_for_another, values)):
        recording.viewed.add(id(container))
        return native
    read = _reader(recording, container)
    return View(native, container, read if name == "values" else lambda key: (key, read(key)))
