"""The end of a recorded call: late guards, effects and the result as code, and the path's place in the tree."""

from __future__ import annotations

from collections import deque
from typing import Any

from tracejit.tracing.replay.apart import guard_classes, guard_memory, guard_objects, written_slots
from tracejit.tracing.replay.code import Writer
from tracejit.tracing.replay.memory import put_back, settle
from tracejit.tracing.replay.output import show
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.segments import last_risk
from tracejit.tracing.replay.signatures import OPEN
from tracejit.tracing.replay.sources import Source
from tracejit.tracing.replay.templates import Irreproducible, Template
from tracejit.tracing.replay.tree import Tree
from tracejit.tracing.replay.writes import EffectOf

ONE_VALUE = frozenset({"attribute", "gradient", "class attribute", "item", "cell"})
"""Kinds of effects of which only the last counts."""


def finish(recording: Recording, tree: Tree, result: Any) -> None:
    """Adds the call to the tree, or ends the recording with the reason why it cannot be replayed."""
    guard_memory(recording)
    guard_objects(recording)
    guard_classes(recording)
    with (
        tree.lock
    ):  # several threads may come here at once, and the names of constants are the tree's
        tree.make_room(recording.signature)
        try:
            body = _commit_lines(recording, tree, result, _copied_slots(recording))
            withheld = _withheld_lines(recording, tree, result)
        except Irreproducible as reason:
            recording.deny(str(reason))
        if not recording.live:
            return
        recording.guard_sizes()
        if recording.size_slots and not recording.sizes.is_fixed():
            recording.signature = OPEN
        capacity = recording.most_slots + 2
        path = recording.segments, recording.jumps
        kept = recording.signature, tuple(recording.size_slots)
        if tree.add(*path, body, withheld, capacity, *kept) is None:
            recording.has_failed_in_loops = True
            recording.deny("a loop over data is not the same each time round")


def _withheld_lines(recording: Recording, tree: Tree, result: Any) -> list[str] | None:
    """The commit after a speculation, where everything that was written is in new memory."""
    if len(recording.segments) == 1 or recording.jumps or recording.array_storages:
        return None
    return _commit_lines(recording, tree, result, written_slots(recording))


def _commit_lines(recording: Recording, tree: Tree, result: Any, copied: set[int]) -> list[str]:
    writer = Writer(tree.pool)
    template = Template(recording, writer, tree.gradients)
    effects = last_effects(recording)
    targets = [writer.read(_place_of(recording, effect)) for effect in effects]
    contents = {key: writer.read(recording.outside[key]) for key in recording.taken}
    _memory_lines(recording, writer, copied)
    values = [_built(template, effect) for effect in effects]
    fillings = {
        key: _filling(template, writer, container)
        for key, container in recording.taken.items()
        if type(container) is not set
    }
    steps = [
        f"{contents[key]}.{method}({''.join(f'{template.build(arg)}, ' for arg in args)})"
        for key, taken in recording.steps.items()
        for method, args in taken
    ]
    built = template.build(result)
    for effect, target, value in zip(effects, targets, values):
        writer.add(_effect_line(writer, effect, target, value))
    for key, (filled, container) in fillings.items():
        _refill(writer, contents[key], filled, container)
    for step in steps:
        writer.add(step)
    return [*writer.lines, f"return {built}"]


def last_effects(recording: Recording) -> list[EffectOf]:
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
        key = (effect.source.identity, name) if is_single else (place,)
        last[key] = effect  # a dict keeps the place of the first
    return list(last.values())


def _memory_lines(recording: Recording, writer: Writer, copied: set[int]) -> None:
    """Copies of memory become the originals' content; the tape learns of every write."""
    pool = writer.pool
    for storage, slot in recording.outside_storages.items():
        if storage in recording.array_storages:
            if slot in copied:
                array = writer.read(recording.tensor_sources[storage])
                writer.add(f"E[{slot}] = {pool.name(put_back)}({array}, E[{slot}])")
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


def _place_of(recording: Recording, effect: EffectOf) -> Source:
    """What is written: of a gradient the handle that holds it, where there was one before the call."""
    if effect.kind == "gradient":
        return recording.outside.get(id(effect.target.autograd), effect.source)
    return effect.source


def _copied_slots(recording: Recording) -> set[int]:
    """Slots of outside memory whose writes went to a copy, at least at first: from then on all do."""
    copied: set[int] = set()
    last = recording.segments[-1]
    for segment in recording.segments:
        risk = last_risk(segment) if segment is last else len(segment.instructions)
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
            name = writer.read(key) if isinstance(key, Source) else writer.literal(key)
            return f"{target}[{name}] = {value}"
        case "append":
            return f"{target}.append({value})"
        case "cell":
            return f"{target}.cell_contents = {value}"
        case "no item":
            return f"{target}.pop({writer.literal(effect.name)}, None)"
        case "print":
            options = "".join(f"{name}={text!r}, " for name, text in effect.name)
            return f"{pool.name(show)}({value}{options})"
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
