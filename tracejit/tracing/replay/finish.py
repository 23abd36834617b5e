"""The end of a recorded call: late guards, effects and the result as code, and the path's place in the tree."""

from __future__ import annotations

from collections import deque
from types import FunctionType, MethodType
from typing import Any

from tracejit.symbols import SYMBOLS, View, concrete, rebuilt
from tracejit.tensor import Tensor
from tracejit.tracing.arrays import StandIn
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.code import Writer
from tracejit.tracing.replay.memory import settle
from tracejit.tracing.replay.recording import EffectOf, Recording
from tracejit.tracing.replay.sources import Source
from tracejit.tracing.replay.templates import Irreproducible, Template, slots
from tracejit.tracing.replay.tree import Tree, _last_risk

ONE_VALUE = frozenset({"attribute", "gradient", "class attribute", "item", "cell"})
"""Kinds of effects of which only the last counts."""


def finish(recording: Recording, tree: Tree, result: Any) -> None:
    """Adds the call to the tree, or ends the recording with the reason why it cannot be replayed."""
    _guard_memory(recording)
    _guard_objects(recording)
    _guard_classes(recording)
    with (
        tree.lock
    ):  # several threads may come here at once, and the names of constants are the tree's
        tree.make_room()
        try:
            body = _commit_lines(recording, tree, result, _copied_slots(recording))
            withheld = _withheld_lines(recording, tree, result)
        except Irreproducible as reason:
            recording.deny(str(reason))
        if not recording.live:
            return
        capacity = recording.most_slots + 2
        if not tree.add(recording.segments, recording.jumps, body, withheld, capacity):
            recording.deny("a loop over data is not the same each time round")


def _guard_memory(recording: Recording) -> None:
    """Memory that is written is apart from all other memory that is used."""
    storages, changed = recording.outside_storages, _written_slots(recording)
    written = [storage for storage, slot in storages.items() if slot in changed]
    if not written or len(storages) < 2:
        return
    ordered = [*written, *(s for s in storages if s not in written)]
    places = tuple(
        (
            recording.tensor_sources[storage],
            storages[storage] if storage in recording.array_storages else None,
        )
        for storage in ordered
    )
    recording.guard(g.MemoryApart(places, len(written)))


def _written_slots(recording: Recording) -> set[int]:
    return {slot for segment in recording.segments for _, slot in segment.writes()}


def _guard_objects(recording: Recording) -> None:
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
        if len(by_type[kind]) > 1:
            recording.guard(g.AllDistinct(tuple(by_type[kind])))


def _have_own_memory(recording: Recording, sources: list[Source]) -> bool:
    """Whether each of the tensors has a storage of its own: then those that are apart are different objects."""
    first = {source.identity for source in recording.tensor_sources.values()}
    return all(source.identity in first for source in sources)


def _guard_classes(recording: Recording) -> None:
    """What was not found on classes is still missing there."""
    for owner, names in recording.missing.items():
        recording.guard(g.ClassLacks(owner, tuple(names), owner.__mro__))


# The code of a commit


def _withheld_lines(recording: Recording, tree: Tree, result: Any) -> list[str] | None:
    """The commit after a speculation, where everything that was written is in new memory."""
    if len(recording.segments) == 1 or recording.jumps or recording.array_storages:
        return None
    return _commit_lines(recording, tree, result, _written_slots(recording))


def _commit_lines(recording: Recording, tree: Tree, result: Any, copied: set[int]) -> list[str]:
    writer = Writer(tree.pool)
    template = Template(recording, writer)
    effects = _lasting(recording)
    targets = [writer.read(effect.source) for effect in effects]
    contents = {key: writer.read(recording.outside[key]) for key in recording.taken}
    _memory_lines(recording, writer, copied)
    values = [_built(template, effect) for effect in effects]
    fillings = {
        key: _filling(template, writer, container) for key, container in recording.taken.items()
    }
    built = template.build(result)
    for effect, target, value in zip(effects, targets, values):
        writer.add(_effect_line(writer, effect, target, value))
    for key, (filled, container) in fillings.items():
        _refill(writer, contents[key], filled, container)
    return [*writer.lines, f"return {built}"]


def _lasting(recording: Recording) -> list[EffectOf]:
    """The effects, of several writes to one place the last; those to containers that were taken over are in their content."""
    taken = {recording.outside[key].identity for key in recording.taken}
    last: dict[Any, EffectOf] = {}
    deleted = {
        (effect.source.identity, effect.name)
        for effect in recording.effects
        if effect.kind == "no item"
    }
    for place, effect in enumerate(recording.effects):
        if effect.source.identity in taken and effect.kind in ("item", "append", "no item"):
            continue
        name = effect.name.identity if isinstance(effect.name, Source) else effect.name
        is_single = effect.kind in ONE_VALUE and (effect.source.identity, name) not in deleted
        key = (effect.source.identity, type(name), name) if is_single else (place,)
        last[key] = effect  # a dict keeps the place of the first
    return list(last.values())


def _memory_lines(recording: Recording, writer: Writer, copied: set[int]) -> None:
    """Copies of memory become the originals' content; the tape learns of every write."""
    pool = writer.pool
    for storage, slot in recording.outside_storages.items():
        if storage in recording.array_storages:
            continue
        count = storage.version - recording.versions[storage]
        if not count and slot not in copied:
            continue
        found = writer.read(recording.tensor_sources[storage].attribute("storage"))
        if slot in copied:
            writer.add(f"{pool.name(settle)}({found}, E[{slot}])")
        if count:
            writer.add(f"{found}.version += {count}")
            writer.add(f"{found}.written = {pool.name(storage.written)}")


def _copied_slots(recording: Recording) -> set[int]:
    """Slots of outside memory whose writes went to a copy, at least at first: from then on all do."""
    copied: set[int] = set()
    last = recording.segments[-1]
    for segment in recording.segments:
        risk = _last_risk(segment) if segment is last else len(segment.instructions)
        copied |= {slot for place, slot in segment.writes() if place < risk}
    return copied


def _built(template: Template, effect: EffectOf) -> str:
    if effect.kind == "print":
        return "".join(f"{template.build(value)}, " for value in effect.value)
    return "" if effect.kind == "no item" else template.build(effect.value)


def _effect_line(writer: Writer, effect: EffectOf, target: str, value: str) -> str:
    pool = writer.pool
    match effect.kind:
        case "attribute":
            return f"{pool.name(object.__setattr__)}({target}, {effect.name!r}, {value})"
        case "gradient":
            return f"{target}.grad = {value}"
        case "class attribute":
            return f"{pool.name(setattr)}({target}, {effect.name!r}, {value})"
        case "item":
            key = effect.name
            name = writer.read(key) if isinstance(key, Source) else pool.literal(key)
            return f"{target}[{name}] = {value}"
        case "append":
            return f"{target}.append({value})"
        case "cell":
            return f"{target}.cell_contents = {value}"
        case "no item":
            return f"{target}.pop({pool.literal(effect.name)}, None)"
        case "print":
            options = "".join(f"{name}={text!r}, " for name, text in effect.name)
            return f"{pool.name(print)}({value}{options})"
    raise AssertionError(effect.kind)


def _filling(template: Template, writer: Writer, container: Any) -> tuple[str, Any]:
    """A new container with what the old one is to hold."""
    filled = writer.variable(f"{writer.pool.name(type(container))}()")
    template.fill(filled, container)
    return filled, container


def _refill(writer: Writer, target: str, filled: str, container: Any) -> None:
    if type(container) is list:
        writer.add(f"{target}[:] = {filled}")
        return
    writer.add(f"{target}.clear()")
    writer.add(f"{target}.{'extend' if type(container) is deque else 'update'}({filled})")


# Numbers that went into real state while the call was recorded


def without_symbols(recording: Recording, result: Any) -> Any:
    """`result`, and all that the call has written, with plain numbers in the place of symbols, and arrays of stand-ins."""
    for effect in recording.effects:
        _restore_array(recording, effect)
    if not recording.symbols:
        return result
    seen: dict[int, Any] = {}
    for effect in recording.effects:
        plain(effect.value, seen)
    for container in recording.taken.values():
        plain(container, seen)
    for key in list(recording.made):
        held = recording.made_object(key)
        if held is not None:
            plain(held, seen)
    return plain(result, seen)


def _restore_array(recording: Recording, effect: EffectOf) -> None:
    """Puts the array itself where the call has stored what stands for it."""
    if type(effect.value) is not StandIn:
        recording.arrays.leave(effect.value)
        return
    array, target = recording.arrays.leave(effect.value), effect.target
    match effect.kind:
        case "item" if _holds(target, effect.key, effect.value):
            target[effect.key] = array
        case "attribute" if getattr(target, effect.name, None) is effect.value:
            object.__setattr__(target, effect.name, array)
        case "cell" if target.cell_contents is effect.value:
            target.cell_contents = array


def _holds(container: Any, key: Any, value: Any) -> bool:
    try:
        return type(container) in (list, dict, deque) and container[key] is value
    except (KeyError, IndexError):
        return False


def plain(value: Any, seen: dict[int, Any]) -> Any:
    """`value` with plain numbers: containers and objects are changed in place, tuples made anew."""
    kind = type(value)
    if kind in SYMBOLS:
        return concrete(value)
    if kind is View:
        return concrete(value)
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, tuple) and (kind is tuple or hasattr(kind, "_fields")):
        parts = [plain(part, seen) for part in value]
        return rebuilt(value, parts)
    seen[id(value)] = value
    if kind in (list, deque):
        for place, part in enumerate(value):
            _replace(value, place, part, seen)
    elif kind is dict:
        for key, part in list(value.items()):
            _replace(value, key, part, seen)
    elif kind.__module__ != "builtins" and type(getattr(value, "__dict__", None)) is dict:
        names = value.__dict__
        for name, part in list(names.items()):
            _replace(names, name, part, seen)
    if not kind.__module__.startswith(("builtins", "tracejit")):
        _replace_in_slots(value, kind, seen)
    if kind is FunctionType:
        _replace_in_function(value, seen)
    elif kind is MethodType:
        plain(value.__func__, seen)
    return value


def _replace_in_function(function: Any, seen: dict[int, Any]) -> None:
    """In what it has as attributes, as defaults, and as variables of functions around it."""
    plain(function.__dict__, seen)
    plain(function.__kwdefaults__, seen)
    defaults = plain(function.__defaults__, seen)
    if defaults is not function.__defaults__:
        function.__defaults__ = defaults
    for cell in function.__closure__ or ():
        try:
            content = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
        new = plain(content, seen)
        if new is not content:
            cell.cell_contents = new


def _replace_in_slots(value: Any, kind: type, seen: dict[int, Any]) -> None:
    for name in slots(kind):
        part = getattr(value, name, None)
        new = plain(part, seen)
        if new is not part:
            object.__setattr__(value, name, new)


def _replace(container: Any, key: Any, part: Any, seen: dict[int, Any]) -> None:
    new = plain(part, seen)
    if new is not part:
        container[key] = new
