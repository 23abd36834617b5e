"""Iteration and unpacking: what native code is about to walk through is guarded, and iterators of the user's are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import FunctionType, MethodType
from typing import Any

from tracejit.symbols import settled
from tracejit.tensor import Tensor
from tracejit.tracing.replay.hooks import containers, walking
from tracejit.tracing.replay.iterators import ITERATORS
from tracejit.tracing.replay.kinds import found_on
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.stand_in import StandIn

Call = Callable[[Any], Any]


def iterate(recording: Recording, value: Any, call: Call) -> Any:
    """What has the elements of `value`."""
    value = settled(value)
    kind = type(value)
    if kind in ITERATORS:
        if recording.is_outside(value):
            recording.deny(f"iteration over a {kind.__name__} that the call did not make")
        return value
    if containers.is_container(value):
        return walking.walk(recording, value)
    if kind in (str, bytes, range) or isinstance(value, Tensor) or kind is StandIn:
        return value
    recording.class_has(kind, "__iter__")
    method = found_on(kind, "__iter__")
    if type(method) is FunctionType:
        made = call(MethodType(method, value))()
        return _stepped(recording, made, call)
    if type(found_on(kind, "__getitem__")) is FunctionType:
        recording.class_has(kind, "__getitem__")
        return _by_index(value, call)
    recording.deny(f"iteration over a {kind.__name__}")
    return value


def _stepped(recording: Recording, iterator: Any, call: Call) -> Any:
    if type(iterator) in ITERATORS and not recording.is_outside(iterator):
        return iterator
    step = found_on(type(iterator), "__next__")
    if type(step) is FunctionType:
        recording.class_has(type(iterator), "__next__")
        return _steps(iterator, step, call)
    recording.deny(f"iteration by a {type(iterator).__name__}")
    return iterator


def _steps(iterator: Any, step: FunctionType, call: Call) -> Iterator[Any]:
    while True:
        try:
            value = call(MethodType(step, iterator))()
        except StopIteration:
            return
        yield value


def _by_index(value: Any, call: Call) -> Iterator[Any]:
    place = 0
    method = type(value).__getitem__
    while True:
        try:
            item = call(MethodType(method, value))(place)
        except IndexError:
            return
        yield item
        place += 1


def unpack(recording: Recording, value: Any, call: Call) -> Any:
    """What is about to be taken apart natively."""
    found = iterate(recording, value, call)
    return list(found) if type(value) is list else found
