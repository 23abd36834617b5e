"""Lists, dicts, sets and deques from outside: read and written piece by piece, or taken over whole.

An item that is written is an effect of its own. Whatever cannot be said so (a pop, a sort, a read of the whole after a write)
takes the container over: all that it held is guarded, from there on it counts as the call's own, and a replay replaces its content.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from tracejit.symbols import SYMBOLS, concrete, settled, storable
from tracejit.tensor import Tensor
from tracejit.tracing.replay import guards as g
from tracejit.tracing.arrays import StandIn
from tracejit.tracing.replay.recording import ATOMS, Recording, found_on, is_numpy_number
from tracejit.tracing.replay.sources import Source

SEQUENCES = (list, tuple, deque)
CHANGEABLE = frozenset({list, dict, set, deque})
CONTAINERS = frozenset({list, tuple, dict, set, frozenset, deque})


def is_container(value: Any) -> bool:
    return type(value) in CONTAINERS or (isinstance(value, tuple) and hasattr(value, "_fields"))


def is_known(recording: Recording, container: Any) -> bool:
    """Whether everything in the container is known: the call has made it, or taken it over."""
    return id(container) not in recording.outside or id(container) in recording.taken


def parts(container: Any) -> list[Any]:
    if type(container) is dict:
        return [*container.keys(), *container.values()]
    return list(container)


def expand(
    recording: Recording, container: Any, *, deep: bool = True, above: tuple[int, ...] = ()
) -> None:
    """Native code is about to read the container: all that it can see is guarded, numbers by their value."""
    if not recording.live or not is_container(container) or id(container) in above:
        return
    if not is_known(recording, container):
        recording.viewed.add(id(container))
        if id(container) in recording.written:
            take_over(recording, container)
        else:
            for value in _read_all(recording, container):
                settled(value)
    if deep and recording.live:
        for part in parts(container):
            if is_container(part):
                expand(recording, part, above=(*above, id(container)))


def walk(recording: Recording, container: Any) -> Any:
    """What is iterated in the place of a list, tuple or dict: numbers that may change come as symbols."""
    if is_known(recording, container) or type(container) not in (list, tuple, dict):
        expand(recording, container, deep=False)
        return container
    recording.viewed.add(id(container))
    if id(container) in recording.written:
        take_over(recording, container)
        return container
    values = _read_all(recording, container)
    if type(container) is dict or not any(type(value) in SYMBOLS for value in values):
        return container
    return _by_place(recording, container)


def _by_place(recording: Recording, container: Any) -> Iterator[Any]:
    place = 0
    while place < len(container):
        yield read_item(recording, container, place) if recording.live else container[place]
        place += 1


def walk_pairs(recording: Recording, container: dict[Any, Any], name: str) -> Any:
    """What `items()` or `values()` of a dict from outside gives."""
    if not is_known(recording, container) and id(container) not in recording.written:
        recording.viewed.add(id(container))
        values = _read_all(recording, container)
        if any(type(value) in SYMBOLS for value in values):
            return _by_key(recording, container, name)
    expand(recording, container, deep=False)
    return getattr(container, name)()


def _by_key(recording: Recording, container: dict[Any, Any], name: str) -> Iterator[Any]:
    for key in container:
        value = read_item(recording, container, key) if recording.live else container[key]
        yield (key, value) if name == "items" else value


def take_over(recording: Recording, container: Any) -> bool:
    """Makes the container the call's own; False, and the end of the recording, where that is not possible."""
    recording.changes += 1
    if is_known(recording, container):
        return True
    if type(container) not in CHANGEABLE:
        recording.deny(f"a {type(container).__name__} of outside state is changed")
        return False
    for value in _read_all(recording, container):
        settled(value)
    if not recording.live:
        return False
    recording.taken[id(container)] = container
    for (owner, key), value in recording.overlay.items():
        if owner == id(container) and key in _keys(container):
            container[key] = value  # a symbol, perhaps, where its number was
    count, values = recording.appended.get(id(container), (0, []))
    for place, value in enumerate(values, count):
        container[place] = value
    return True


def _keys(container: Any) -> Any:
    return container if type(container) is dict else range(len(container))


def _read_all(recording: Recording, container: Any) -> list[Any]:
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
        if not all(type(key) in ATOMS for key in places):
            recording.deny(f"{source} is read as a whole, and has objects as keys or elements")
            return []
        recording.once(("whole", source.identity), g.KeysAre(source, places))
        if type(container) is not dict:
            return []
    return [
        recording.read(source.item(place), container[place])
        for place in places
        if (id(container), place) not in recording.overlay
    ]


# Items


def key_name(recording: Recording, key: Any) -> Any:
    """What a source calls a key: an atom itself, an object that is found by identity its source; None for any other."""
    if type(key) in ATOMS and type(key) is not slice:
        return key
    if isinstance(key, Tensor) or type(key).__eq__ is object.__eq__:
        return recording.outside.get(id(key))
    return None


def plain_key(key: Any) -> Any:
    """A key without symbols: what it selects is decided by its value."""
    if type(key) is slice:
        return slice(settled(key.start), settled(key.stop), settled(key.step))
    return tuple(map(plain_key, key)) if type(key) is tuple else settled(key)


def hash_key(recording: Recording, key: Any) -> Any:
    """A key of a dict, or an element of a set, without symbols: it is about to be hashed, and compared with others."""
    kind = type(key)
    if kind in SYMBOLS:
        return settled(key)
    if kind in ATOMS or kind is StandIn or is_numpy_number(key) or recording.is_fixed_object(key):
        return key
    if not recording.live:
        return key
    if kind is frozenset or kind is tuple or (is_container(key) and kind.__hash__ is tuple.__hash__):
        expand(recording, key, deep=False)
        hashed = [hash_key(recording, part) for part in key]
        return tuple(hashed) if kind is tuple else key
    if isinstance(key, Tensor) or is_told_apart(recording, key):
        recording.compare(key)
    elif kind.__hash__ is not None:  # or Python refuses it
        recording.deny(f"a {kind.__name__}, which decides itself what it is equal to, is a key")
    return key


def is_told_apart(recording: Recording, value: Any) -> bool:
    """Whether `==` and `hash` of an object say nothing but which object it is."""
    kind = type(value)
    is_plain = (
        found_on(kind, "__eq__") is object.__dict__["__eq__"]
        and found_on(kind, "__hash__") is object.__dict__["__hash__"]
    )
    if not is_plain or not (recording.is_outside(value) or recording.is_made(value)):
        return False
    recording.class_has(kind, "__eq__")
    recording.class_has(kind, "__hash__")
    return True


def read_item(recording: Recording, container: Any, key: Any) -> Any:
    """`container[key]` of a list, tuple, dict or deque."""
    key = _prepared(recording, container, key)
    if not recording.live:
        return container[key]
    if is_known(recording, container):
        return container[key]
    source = recording.outside[id(container)]
    if isinstance(container, SEQUENCES) and type(key) is int:
        return _read_place(recording, container, source, key)
    if type(container) is dict and (key is None or key_name(recording, key) is not None):
        return _read_key(recording, container, source, key)
    expand(recording, container, deep=False)
    return container[key]


def _prepared(recording: Recording, container: Any, key: Any) -> Any:
    return hash_key(recording, key) if type(container) is dict else plain_key(key)


def _read_place(recording: Recording, container: Any, source: Source, place: int) -> Any:
    if id(container) in recording.appended:
        take_over(recording, container)
        return container[place]
    place = _from_front(recording, container, source, place)
    if (id(container), place) in recording.overlay:
        return recording.overlay[id(container), place]
    return recording.read(source.item(place), container[place])


def _from_front(recording: Recording, container: Any, source: Source, place: int) -> int:
    if 0 <= place < len(container):
        return place
    recording.once(("whole", source.identity), g.LengthIs(source, len(container)))
    return place + len(container) if -len(container) <= place < 0 else place


def _read_key(recording: Recording, container: Any, source: Source, key: Any) -> Any:
    if (id(container), key) in recording.overlay:
        value = recording.overlay[id(container), key]
        return container[key] if value is g.MISSING else value
    if key not in container:
        has_key(recording, container, key)
        return container[key]  # raises
    return recording.read(source.item(key_name(recording, key)), container[key])


def has_key(recording: Recording, container: Any, key: Any) -> bool:
    """`key in container` of a dict, guarded."""
    key = hash_key(recording, key)
    found: bool = key in container
    if not recording.live:
        return found
    if is_known(recording, container) or (id(container), key) in recording.overlay:
        return found
    name = key_name(recording, key)
    if name is None and key is not None:
        expand(recording, container)
        return found
    source = recording.outside[id(container)]
    recording.once(("in", source.identity, type(key), key), g.KeyIn(source, name, found))
    return found


def write_item(recording: Recording, container: Any, key: Any, value: Any) -> None:
    """`container[key] = value` of a list, dict or deque."""
    recording.changes += 1
    key = _prepared(recording, container, key)
    if not is_known(recording, container) and not _is_single(recording, container, key, value):
        take_over(recording, container)
    if not recording.live:
        container[key] = storable(value)
    elif is_known(recording, container):
        container[key] = value
    else:
        _write_one(recording, container, key, value)


def _is_single(recording: Recording, container: Any, key: Any, value: Any) -> bool:
    """Whether the write is an effect of its own, and whoever reads the container will find what he should."""
    if id(container) in recording.appended or _is_hidden(recording, container, value):
        return False
    if type(container) is dict:
        return key is None or key_name(recording, key) is not None
    return type(key) is int


def _is_hidden(recording: Recording, container: Any, value: Any) -> bool:
    """Whether an iterator or a view would find a plain number where the call has stored a symbol."""
    return id(container) in recording.viewed and storable(value) is not value


def _write_one(recording: Recording, container: Any, key: Any, value: Any) -> None:
    source = recording.outside[id(container)]
    if type(container) is dict:
        if not has_key(recording, container, key):
            recording.added.setdefault(id(container), []).append(key)
    else:
        recording.once(("whole", source.identity), g.LengthIs(source, len(container)))
        key = _from_front(recording, container, source, key)
    container[key] = storable(value)
    recording.overlay[id(container), key] = value
    recording.written[id(container)] = container
    recording.effect("item", source, key_name(recording, key), value, container, key)


def delete_item(recording: Recording, container: Any, key: Any) -> None:
    take_over(recording, container)
    del container[_prepared(recording, container, key)]


def delete_key(recording: Recording, container: dict[Any, Any], key: Any) -> None:
    """`del container[key]` of a dict that has it: an effect of its own."""
    if is_known(recording, container):
        recording.changes += 1
        del container[key]
        return
    source = recording.outside[id(container)]
    has_key(recording, container, key)
    recording.changes += 1
    del container[key]
    recording.overlay[id(container), key] = g.MISSING
    recording.written[id(container)] = container
    added = recording.added.get(id(container), [])
    if key in added:
        added.remove(key)
    else:
        recording.removed.setdefault(id(container), {})[key] = True
    recording.effect("no item", source, key, None, container, key)


def append(recording: Recording, container: Any, value: Any) -> None:
    """`container.append(value)` of a list or an unbounded deque, which reads nothing of it."""
    recording.changes += 1
    if is_known(recording, container):
        container.append(value)
        return
    is_mixed = id(container) in recording.written and id(container) not in recording.appended
    if is_mixed or _is_hidden(recording, container, value):
        take_over(recording, container)
        container.append(value if recording.live else storable(value))
        return
    _, values = recording.appended.setdefault(id(container), (len(container), []))
    values.append(value)
    container.append(storable(value))
    recording.written[id(container)] = container
    recording.effect("append", recording.outside[id(container)], None, value, container)
