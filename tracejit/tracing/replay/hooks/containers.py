"""Lists, dicts, sets and deques as a whole: what native code sees of one is guarded, or the call takes it over.

An item that is written is an effect of its own (`items`). Whatever cannot be said so (a pop, a sort, a read of the whole after a
write) takes the container over: all that it held is guarded, from there on it counts as the call's own, and a replay replaces
what it holds.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import Any

import numpy as np

from tracejit.symbols import SYMBOLS
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.kinds import ATOMS, found_on
from tracejit.tracing.replay.order import SETS, is_decided
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.stand_in import StandIn

SEQUENCES = (list, tuple, deque)
CHANGEABLE = frozenset({list, dict, set, deque})
CONTAINERS = frozenset({list, tuple, dict, set, frozenset, deque})


def is_container(value: Any) -> bool:
    return type(value) in CONTAINERS or (isinstance(value, tuple) and is_named_tuple(type(value)))


_OF_TUPLES = ("__iter__", "__len__", "__getitem__", "__contains__", "__eq__", "__hash__")


def is_named_tuple(kind: type) -> bool:
    """Whether objects of the class are tuples with names, and nothing more to native code."""
    return hasattr(kind, "_fields") and all(
        found_on(kind, name) is vars(tuple)[name] for name in _OF_TUPLES
    )


def is_known(recording: Recording, container: Any) -> bool:
    """Whether everything in the container is known: the call has made it, or taken it over."""
    return id(container) not in recording.outside or id(container) in recording.taken


def is_rearranged(recording: Recording, container: Any) -> bool:
    """Whether the call has added to an outside container, or removed from it; else it has at most written to places there."""
    key = id(container)
    has_more = key in recording.appended or bool(recording.added.get(key))
    return has_more or key in recording.removed


def parts(container: Any) -> list[Any]:
    if type(container) is dict:
        return [*container.keys(), *container.values()]
    return list(container)


def in_order(recording: Recording, container: Any) -> None:
    """The elements of a set are about to be walked through."""
    if type(container) in SETS and recording.live and not is_decided(container):
        recording.deny("the order of objects in a set depends on where they lie in memory")


def expand(
    recording: Recording, container: Any, *, deep: bool = True, above: tuple[int, ...] = ()
) -> None:
    """Native code is about to read the container: all that it can see is guarded, numbers by their value."""
    if not recording.live or not is_container(container) or id(container) in above:
        return
    if not is_known(recording, container):
        if id(container) in recording.written:
            take_over(recording, container)
        else:
            for _, value in read_all(recording, container):
                recording.as_read(value)
    if deep and recording.live:
        for part in parts(container):
            if is_container(part):
                expand(recording, part, above=(*above, id(container)))


def take_over(recording: Recording, container: Any) -> bool:
    """Makes the container the call's own; False, and the end of the recording, where that is not possible."""
    if is_known(recording, container):
        return True
    if type(container) not in CHANGEABLE:
        recording.deny(f"a {type(container).__name__} of outside state is changed")
        return False
    values = read_all(recording, container)
    if not recording.live:
        return False
    recording.overwriting("content", container)
    recording.taken[id(container)] = container
    for place, value in values:
        if stands_for_another(value):
            container[place] = value
    for (owner, key), value in recording.overlay.items():
        if owner == id(container) and key in _keys(container):
            container[key] = value  # a symbol, perhaps, where its number was
    count, values = recording.appended.get(id(container), (0, []))
    for place, value in enumerate(values, count):
        container[place] = value
    return True


def holds_arrays(container: Any) -> bool:
    """Whether arrays themselves are in it, which the call is not to see."""
    return any(type(part) is np.ndarray for part in parts(container))


def stands_for_another(value: Any) -> bool:
    """Whether what was read is not what stands there: a symbol, or what stands for an array."""
    return type(value) in SYMBOLS or type(value) is StandIn


def _keys(container: Any) -> Any:
    return container if type(container) is dict else range(len(container))


def read_all(recording: Recording, container: Any) -> list[tuple[Any, Any]]:
    """Guards the length, or the keys, that the container had before the call, and what stood there and was not replaced."""
    source = recording.outside[id(container)]
    if isinstance(container, SEQUENCES):
        count = recording.appended.get(id(container), (len(container), []))[0]
        recording.once(("whole", source.identity), g.LengthIs(source, count))
        places: Any = range(count)
    else:
        added = recording.added.get(id(container), ())
        if id(container) in recording.removed:
            recording.deny(f"{source} is read as a whole after a key was removed")
            return []
        places = tuple(key for key in container if key not in added)
        if not all(type(key) in ATOMS or is_fixed_key(recording, key) for key in places):
            recording.deny(f"{source} is read as a whole, and has objects as keys or elements")
            return []
        size = 0 if type(container) is dict else container.__sizeof__()
        recording.once(("whole", source.identity), g.KeysAre(source, places, size))
        if type(container) is not dict:
            return []
    return [
        (place, recording.read(source.item(place), container[place]))
        for place in places
        if (id(container), place) not in recording.overlay
    ]


def is_fixed_key(recording: Recording, key: Any) -> bool:
    """Whether an object is what it is, and no function of the user's says what it is equal to."""
    if not recording.is_fixed_object(key):
        return False
    kind = type(key)
    if not g.is_changeable(kind) or recording.is_library(kind):
        return True
    if found_on(kind, "__eq__") is not vars(object)["__eq__"]:
        return False
    if found_on(kind, "__hash__") not in (vars(enum.Enum)["__hash__"], vars(object)["__hash__"]):
        return False
    recording.class_has(kind, "__eq__")
    recording.class_has(kind, "__hash__")
    return True
