"""Items of lists, dicts and deques from outside: read one by one, and written as effects of their own."""

from __future__ import annotations

from typing import Any

from tracejit.symbols import storable
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.hooks.containers import (
    SEQUENCES,
    expand,
    is_known,
    take_over,
)
from tracejit.tracing.replay.hooks.keys import hash_key, key_name, native_index
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import Source


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
        _, values = recording.appended[id(container)]
        if -len(values) <= place < 0:
            return values[place]  # however long the list was
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
    key = _replaced(recording, container, key)
    if _is_written_again(recording, container, key, value):
        return
    if not is_known(recording, container) and not _is_single(recording, container, key, value):
        take_over(recording, container)
    if not recording.live:
        container[key] = storable(value)
    elif is_known(recording, container):
        container[key] = value
    else:
        _write_one(recording, container, key, value)


def _is_written_again(recording: Recording, container: Any, key: Any, value: Any) -> bool:
    """Writes to a place that the call has written before, which is one effect; False where it is not."""
    if not recording.live or is_known(recording, container):
        return False
    if isinstance(container, SEQUENCES):
        if type(key) is not int:
            return False
        key += len(container) if key < 0 else 0
    effect = recording.placed.get((id(container), key))
    if effect is None or not _is_single(recording, container, key, value):
        return False
    container[key] = storable(value)
    recording.overlay[id(container), key] = effect.value = value
    effect.where = recording.line()
    return True


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
    _overwriting(recording, container, key)
    container[key] = storable(value)
    recording.written[id(container)] = container
    recording.put("item", source, key_name(recording, key), value, container, key)


def _overwriting(recording: Recording, container: Any, key: Any) -> None:
    kind = "entry" if type(container) is dict else "content"
    recording.overwriting(kind, container, key)


def delete_item(recording: Recording, container: Any, key: Any) -> None:
    take_over(recording, container)
    del container[_replaced(recording, container, key)]


def delete_key(recording: Recording, container: dict[Any, Any], key: Any) -> None:
    """`del container[key]` of a dict that has it: an effect of its own."""
    if is_known(recording, container):
        del container[key]
        return
    source = recording.outside[id(container)]
    has_key(recording, container, key)
    recording.overwriting("content", container)
    del container[key]
    recording.overlay[id(container), key] = g.MISSING
    recording.placed.pop((id(container), key), None)
    recording.written[id(container)] = container
    added = recording.added.get(id(container), [])
    if key in added:
        added.remove(key)
    else:
        recording.removed.setdefault(id(container), {})[key] = True
    recording.effect("no item", source, key, None, container, key)


def append(recording: Recording, container: Any, value: Any) -> None:
    """`container.append(value)` of a list or an unbounded deque, which reads nothing of it."""
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
    recording.overwriting("content", container)
    container.append(storable(value))
    recording.written[id(container)] = container
    recording.effect("append", recording.outside[id(container)], None, value, container)
