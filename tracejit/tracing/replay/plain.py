"""Numbers and arrays that went into real state while a call was recorded, in the place of what stood for them."""

from __future__ import annotations

from collections import deque
from types import FunctionType, MethodType
from typing import Any

from tracejit.symbols import SYMBOLS, View, concrete, rebuilt
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.templates import slots
from tracejit.tracing.replay.writes import EffectOf
from tracejit.tracing.stand_in import StandIn


def without_symbols(recording: Recording, result: Any) -> Any:
    """`result`, and all that the call has written, with plain numbers in the place of symbols, and arrays of stand-ins."""
    for effect in recording.effects:
        _restore_array(recording, effect)
    if not recording.symbols:
        return result
    seen: dict[int, Any] = {}
    for effect in recording.effects:
        _plain(effect.value, seen)
    for container in recording.taken.values():
        _plain(container, seen)
    for key in list(recording.made):
        held = recording.made_object(key)
        if held is not None:
            _plain(held, seen)
    return _plain(result, seen)


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


def _plain(value: Any, seen: dict[int, Any]) -> Any:
    """`value` with plain numbers: containers and objects are changed in place, tuples made anew."""
    kind = type(value)
    if kind in SYMBOLS:
        return concrete(value)
    if kind is View:
        return concrete(value)
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, tuple) and (kind is tuple or hasattr(kind, "_fields")):
        parts = [_plain(part, seen) for part in value]
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
        _plain(value.__func__, seen)
    return value


def _replace_in_function(function: Any, seen: dict[int, Any]) -> None:
    """In what it has as attributes, as defaults, and as variables of functions around it."""
    _plain(function.__dict__, seen)
    _plain(function.__kwdefaults__, seen)
    defaults = _plain(function.__defaults__, seen)
    if defaults is not function.__defaults__:
        function.__defaults__ = defaults
    for cell in function.__closure__ or ():
        try:
            content = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
        new = _plain(content, seen)
        if new is not content:
            cell.cell_contents = new


def _replace_in_slots(value: Any, kind: type, seen: dict[int, Any]) -> None:
    for name in slots(kind):
        part = getattr(value, name, None)
        new = _plain(part, seen)
        if new is not part:
            object.__setattr__(value, name, new)


def _replace(container: Any, key: Any, part: Any, seen: dict[int, Any]) -> None:
    new = _plain(part, seen)
    if new is not part:
        container[key] = new
