"""Lists, dicts, sets and deques from outside: read and written piece by piece, or taken over whole.

An item that is written is an effect of its own. Whatever cannot be said so (a pop, a sort, a read of the whole after a write)
takes the container over: all that it held is guarded, from there on it counts as the call's own, and a replay replaces what
it holds.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from tracejit.symbols import SYMBOLS, View, concrete, settled, storable
from tracejit.tensor import Tensor
from tracejit.tracing.arrays import StandIn
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.iterators import Table
from tracejit.tracing.replay.recording import ATOMS, Recording, found_on, is_numpy_number
from tracejit.tracing.replay.sources import Source

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
        if id(container) in recording.written:
            take_over(recording, container)
        else:
            for _, value in _read_all(recording, container):
                settled(value)
    if deep and recording.live:
        for part in parts(container):
            if is_container(part):
                expand(recording, part, above=(*above, id(container)))


def walk(recording: Recording, container: Any) -> Any:
    """What is iterated in the place of a container: numbers that may change come as symbols, also those written meanwhile."""
    if is_known(recording, container) or type(container) not in (list, tuple, dict):
        expand(recording, container, deep=False)
        return container
    if id(container) in recording.written:
        take_over(recording, container)
        return container
    values = [value for _, value in _read_all(recording, container)]
    if type(container) is list:
        return _by_place(recording, container)
    if not any(type(value) in SYMBOLS for value in values):
        return container
    return (
        iter(values)
        if type(container) is tuple
        else Table(container, _reader(recording, container))
    )


def _by_place(recording: Recording, container: list[Any]) -> Iterator[Any]:
    read, place = _reader(recording, container), 0
    while place < len(container):
        yield read(place)
        place += 1


def _reader(recording: Recording, container: Any) -> Callable[[Any], Any]:
    return lambda key: read_item(recording, container, key) if recording.live else container[key]


def walk_pairs(recording: Recording, container: dict[Any, Any], name: str) -> Any:
    """What `items()` or `values()` of a dict gives."""
    if is_known(recording, container) or id(container) in recording.written:
        expand(recording, container, deep=False)
        return getattr(container, name)()
    values = _read_all(recording, container)
    native = getattr(container, name)()
    if not any(type(value) in SYMBOLS for _, value in values):
        recording.viewed.add(id(container))
        return native
    read = _reader(recording, container)
    return View(native, container, read if name == "values" else lambda key: (key, read(key)))


def take_over(recording: Recording, container: Any) -> bool:
    """Makes the container the call's own; False, and the end of the recording, where that is not possible."""
    recording.changes += 1
    if is_known(recording, container):
        return True
    if type(container) not in CHANGEABLE:
        recording.deny(f"a {type(container).__name__} of outside state is changed")
        return False
    values = _read_all(recording, container)
    if not recording.live:
        return False
    recording.taken[id(container)] = container
    for place, value in values:
        if type(value) in SYMBOLS:
            container[place] = value
    for (owner, key), value in recording.overlay.items():
        if owner == id(container) and key in _keys(container):
            container[key] = value  # a symbol, perhaps, where its number was
    count, values = recording.appended.get(id(container), (0, []))
    for place, value in enumerate(values, count):
        container[place] = value
    return True


def _keys(container: Any) -> Any:
    return container if type(container) is dict else range(len(container))


def _read_all(recording: Recording, container: Any) -> list[tuple[Any, Any]]:
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
        if not all(type(key) in ATOMS or is_fixed_key(key) for key in places):
            recording.deny(f"{source} is read as a whole, and has objects as keys or elements")
            return []
        recording.once(("whole", source.identity), g.KeysAre(source, places))
        if type(container) is not dict:
            return []
    return [
        (place, recording.read(source.item(place), container[place]))
        for place in places
        if (id(container), place) not in recording.overlay
    ]


# Items


def key_name(recording: Recording, key: Any) -> Any:
    """What a source calls a key: an atom itself, an object that is found by identity its source; None for any other."""
    if (type(key) in ATOMS and type(key) is not slice) or is_fixed_key(key):
        return key
    if isinstance(key, Tensor) or found_on(type(key), "__eq__") is vars(object)["__eq__"]:
        return recording.outside.get(id(key))
    return None


def is_fixed_key(key: Any) -> bool:
    """Whether an object is what it is, and no function of the user's says what it is equal to."""
    kind = type(key)
    if isinstance(key, enum.Enum):
        found = found_on(kind, "__hash__"), found_on(kind, "__eq__")
        return found == (vars(enum.Enum)["__hash__"], vars(object)["__eq__"])
    return Recording.is_fixed_object(key)


def plain_key(key: Any) -> Any:
    """A key without symbols: what it selects is decided by its value."""
    if type(key) is slice:
        return slice(settled(key.start), settled(key.stop), settled(key.step))
    return tuple(map(plain_key, key)) if type(key) is tuple else settled(key)


def native_index(recording: Recording, key: Any) -> Any:
    """A place, or a slice, that native code takes: no object of the user's says which."""
    key = plain_key(key)
    if not _is_index(key):
        recording.deny(f"a {type(key).__name__} is, or has, an index of its own making")
    return key


def _is_index(key: Any) -> bool:
    if type(key) is slice:
        return all(map(_is_index, (key.start, key.stop, key.step)))
    if type(key) is tuple:
        return all(map(_is_index, key))
    return (
        type(key) in ATOMS
        or type(key) is StandIn
        or isinstance(key, Tensor)
        or is_numpy_number(key)
    )


def hash_key(recording: Recording, key: Any, *, among_state: bool = False) -> Any:
    """A key of a dict, or an element of a set, without symbols: it is about to be hashed, and compared with others.

    `among_state`: the others were there before the call, so that a replay finds it, or not, as Python would.
    """
    kind = type(key)
    refuse_nan(recording, key)
    if kind in SYMBOLS:
        return settled(key)
    if kind in ATOMS or kind is StandIn or is_numpy_number(key) or is_fixed_key(key):
        return key
    if not recording.live:
        return key
    if kind is frozenset or kind is tuple or (is_container(key) and isinstance(key, tuple)):
        expand(recording, key, deep=False)
        hashed = [hash_key(recording, part, among_state=among_state) for part in key]
        return tuple(hashed) if kind is tuple else key
    if isinstance(key, Tensor) or is_told_apart(recording, key):
        if not among_state:
            recording.compare(key)
    elif kind.__hash__ is not None:  # or Python refuses it
        recording.deny(f"a {kind.__name__}, which decides itself what it is equal to, is a key")
    return key


def refuse_nan(recording: Recording, value: Any) -> None:
    """A NaN is found among others by identity, of which nothing is known."""
    number = concrete(value)
    if type(number) in (float, complex) and number != number:
        recording.deny("a NaN is looked for, or is a key")


def is_told_apart(recording: Recording, value: Any) -> bool:
    """Whether `==` and `hash` of an object say nothing but which object it is."""
    kind = type(value)
    is_plain = (
        found_on(kind, "__eq__") is vars(object)["__eq__"]
        and found_on(kind, "__hash__") is vars(object)["__hash__"]
    )
    if not is_plain or not (recording.is_outside(value) or recording.is_made(value)):
        return False
    recording.class_has(kind, "__eq__")
    recording.class_has(kind, "__hash__")
    return True


def read_item(recording: Recording, container: Any, key: Any) -> Any:
    """`container[key]` of a list, tuple, dict or deque."""
    key = _looked_up(recording, container, key)
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


def _looked_up(recording: Recording, container: Any, key: Any) -> Any:
    if type(container) is not dict:
        return native_index(recording, key)
    is_state = not is_known(recording, container) and id(container) not in recording.written
    return hash_key(recording, key, among_state=is_state)


def _replaced(recording: Recording, container: Any, key: Any) -> Any:
    return hash_key(recording, key) if type(container) is dict else native_index(recording, key)


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
    key = _looked_up(recording, container, key)
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
    if not found or not recording.has_read(source.item(name)):
        recording.once(("in", source.identity, type(key), key), g.KeyIn(source, name, found))
    return found


def write_item(recording: Recording, container: Any, key: Any, value: Any) -> None:
    """`container[key] = value` of a list, dict or deque."""
    recording.changes += 1
    key = _replaced(recording, container, key)
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
    del container[_replaced(recording, container, key)]


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
