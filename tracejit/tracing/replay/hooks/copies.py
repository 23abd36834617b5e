"""`copy.copy` and `copy.deepcopy` of containers, tensors and plain objects."""

from __future__ import annotations

import copy
import copyreg
from collections.abc import Callable
from types import FunctionType
from typing import Any

from tracejit.symbols import SYMBOLS
from tracejit.tensor import Tensor
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.hooks import attributes, objects, walking
from tracejit.tracing.replay.kinds import ATOMS, found_on, is_numpy_number
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import constant
from tracejit.tracing.stand_in import StandIn

Part = Callable[[Any], Any]
_CUSTOM = (
    "__copy__",
    "__deepcopy__",
    "__getstate__",
    "__setstate__",
    "__reduce__",
    "__reduce_ex__",
    "__new__",
)
_CONTAINERS = (list, dict, tuple, set, frozenset)


def shallow_copy(recording: Recording, value: Any) -> Any:
    """`copy.copy(value)`"""
    if not recording.live or type(value) in (tuple, frozenset) or _is_atomic(recording, value):
        return copy.copy(value)
    made = _made(recording, value, lambda part: part, {})
    return made if recording.dead is None else copy.copy(value)


def deep_copy(recording: Recording, value: Any) -> Any:
    """`copy.deepcopy(value)`"""
    if not recording.live:
        return copy.deepcopy(value)
    known: dict[int, Any] = {}
    held: list[Any] = []

    def part(value: Any) -> Any:
        if _is_atomic(recording, value) or not recording.live:
            return value
        if id(value) not in known:
            held.append(value)
            recording.compare(value)
            known[id(value)] = _made(recording, value, part, known)
        return known[id(value)]

    made = part(value)
    return made if recording.dead is None else copy.deepcopy(value)


def _is_atomic(recording: Recording, value: Any) -> bool:
    kind = type(value)
    if kind in ATOMS or kind in SYMBOLS or kind is FunctionType or is_numpy_number(value):
        return True
    return recording.is_fixed_object(value)


def _made(recording: Recording, value: Any, part: Part, known: dict[int, Any]) -> Any:
    """A copy of `value` with `part(each)` for each of its parts; it is known before its parts are."""
    kind = type(value)
    if isinstance(value, Tensor) or kind is StandIn:
        return _tensor(recording, value)
    if kind not in _CONTAINERS:
        return _object(recording, value, part, known)
    if kind is dict:
        table = known[id(value)] = {}
        for key, each in walking.walk_pairs(recording, value, "items"):
            table[part(key)] = part(each)
        return table
    if kind is list:
        row = known[id(value)] = []
        row.extend(part(each) for each in walking.walk(recording, value))
        return row
    parts = [part(each) for each in walking.walk(recording, value)]
    if kind is tuple and all(new is old for new, old in zip(parts, value)):
        return value
    return kind(parts)


def _tensor(recording: Recording, tensor: Any) -> Any:
    if type(tensor) is StandIn:
        return tensor.copy()
    attributes.read_attribute(recording, tensor, "grad", lambda function: function)
    return copy.deepcopy(tensor)


def _object(recording: Recording, value: Any, part: Part, known: dict[int, Any]) -> Any:
    """An object whose attributes are all in its `__dict__`, and that has no way of its own to be copied."""
    kind = type(value)
    names = objects.names_of(recording, value)
    is_known = recording.is_outside(value) or recording.is_made(value)
    plain = all(found_on(kind, name) in (found_on(object, name), g.MISSING) for name in _CUSTOM)
    plain = plain and kind not in copyreg.dispatch_table
    if names is None or not is_known or not plain or not objects.is_plain_class(kind):
        recording.deny(f"a {kind.__name__} is copied")
        return value
    for name in _CUSTOM:
        recording.class_has(kind, name)
    table = constant(copyreg.dispatch_table, "copyreg.dispatch_table")
    recording.once(("copied", id(kind)), g.KeyIn(table, kind, False))
    made = known[id(value)] = recording.make(object.__new__(kind))
    for name, each in walking.walk_pairs(recording, names, "items"):
        made.__dict__[name] = part(each)
    return made
