"""Guards that only the whole of a recorded call can tell: what is written is reached in no other way."""

from __future__ import annotations

from typing import Any

from tracejit.tensor import Tensor
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import Source


def guard_memory(recording: Recording) -> None:
    """Memory that is written is apart from all other memory that is used."""
    storages, changed = recording.outside_storages, written_slots(recording)
    written = [storage for storage, slot in storages.items() if slot in changed]
    if not written or len(storages) < 2:
        return
    ordered = [*written, *(s for s in storages if s not in written)]
    arrays = recording.array_storages
    places = tuple((recording.tensor_sources[each], each in arrays) for each in ordered)
    recording.guard(g.MemoryApart(places, len(written)))


def written_slots(recording: Recording) -> set[int]:
    return {slot for segment in recording.segments for _, slot in segment.writes()}


def guard_objects(recording: Recording) -> None:
    """Objects that are written are reached in no other way: among those of a type, all sources lead to different ones."""
    targets = {
        effect.source.identity for effect in recording.effects if effect.kind != "class attribute"
    }
    targets |= {recording.outside[key].identity for key in recording.taken}
    by_type: dict[type, list[Source]] = {}
    written: set[type] = set()
    for key, source in recording.outside.items():
        value = recording.held(key)
        if value is None or source.step == "constant":
            continue
        by_type.setdefault(type(value), []).append(source)
        if source.identity in targets:
            written.add(type(value))
    has_apart = any(isinstance(guard, g.MemoryApart) for guard, _ in recording.segment.guards)
    for kind in written:
        if issubclass(kind, Tensor) and has_apart and _have_own_memory(recording, by_type[kind]):
            continue
        sources = by_type[kind]
        if kind is dict:
            sources = _not_told_apart_by_keys(recording, sources, targets)
        if len(sources) > 1:
            recording.guard(g.AllDistinct(tuple(sources)))
    _guard_globals(recording)


def _not_told_apart_by_keys(
    recording: Recording, sources: list[Source], targets: set[Any]
) -> list[Source]:
    """The dicts that are written, and those others that may be one of them for all that is known of their keys."""
    guards = [guard for segment in recording.segments for guard, _ in segment.guards]
    whole = {
        guard.source.identity: {key for key in guard.keys if type(key) is str}
        for guard in guards
        if type(guard) is g.KeysAre
    }
    written = [source.identity for source in sources if source.identity in targets]
    found = recording.keys_read()

    def may_be(source: Source, target: Any) -> bool:
        keys = whole.get(target)
        return keys is None or found.get(source.identity, set()) <= keys

    return [
        source
        for source in sources
        if source.identity in targets or any(may_be(source, target) for target in written)
    ]


def _guard_globals(recording: Recording) -> None:
    """Whether global variables that are written stand in a dict that is reached in another way as well."""
    scopes = {
        effect.source.identity: effect
        for effect in recording.effects
        if effect.kind == "item" and recording.outside.get(id(effect.target)) is not effect.source
    }
    for key, source in recording.outside.items():
        table = recording.held(key)
        for effect in scopes.values() if type(table) is dict else ():
            if effect.source.identity != source.identity:
                same = table is effect.target
                recording.guard(g.SameObject(source, effect.source, same))


def _have_own_memory(recording: Recording, sources: list[Source]) -> bool:
    """Whether each of the tensors has a storage of its own: then those that are apart are different objects."""
    first = {source.identity for source in recording.tensor_sources.values()}
    return all(source.identity in first for source in sources)


def guard_classes(recording: Recording) -> None:
    """What was not found on classes is still missing there."""
    for owner, names in recording.missing.items():
        recording.guard(g.ClassLacks(owner, tuple(names), owner.__mro__))
