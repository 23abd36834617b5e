"""Iteration and unpacking: what native code is about to walk through is guarded, and iterators of the user's are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FunctionType, MethodType
from typing import Any

from tracejit.symbols import SYMBOLS, settled
from tracejit.tensor import Tensor
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.hooks import containers, walking
from tracejit.tracing.replay.iterators import ITERATORS
from tracejit.tracing.replay.kinds import ATOMS, found_on
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


def walked(recording: Recording, value: Any, call: Call, *, by_list: bool) -> Any:
    """What a list, or another container, may walk through in the place of `value`: an object of the user's as a list."""
    kind = type(value)
    is_known = kind in ATOMS or kind in SYMBOLS or kind in ITERATORS or kind is StandIn
    if (
        not recording.live
        or is_known
        or isinstance(value, Tensor)
        or containers.is_container(value)
    ):
        return value
    elements = iterate(recording, value, call)
    if by_list:
        ask_length(recording, value, call)
    return list(elements)


def ask_length(recording: Recording, value: Any, call: Call) -> None:
    """What lists and tuples ask of an object before they walk through it, to know how much room to make."""
    kind = type(value)
    for name in ("__len__", "__length_hint__"):
        recording.class_has(kind, name)
    length = found_on(kind, "__len__")
    if type(length) is FunctionType:
        with suppress(TypeError):  # as they do
            call(MethodType(length, value))()
    elif found_on(kind, "__length_hint__") is not g.MISSING:
        recording.deny(f"class {kind.__name__} gives a hint of its length")


def is_users(value: Any) -> bool:
    """Whether a class of the user's says what the elements are."""
    if isinstance(value, Tensor) or type(value) is StandIn:
        return False
    found = (found_on(type(value), name) for name in ("__iter__", "__reversed__", "__getitem__"))
    return any(type(method) is FunctionType for method in found)


def backwards(recording: Recording, value: Any, call: Call) -> Any:
    """`reversed(value)` of an object of the user's."""
    kind = type(value)
    for name in ("__reversed__", "__len__", "__getitem__"):
        recording.class_has(kind, name)
    method = found_on(kind, "__reversed__")
    if type(method) is FunctionType:
        return _stepped(recording, call(MethodType(method, value))(), call)
    length, item = found_on(kind, "__len__"), found_on(kind, "__getitem__")
    are_users = type(length) is type(item) is FunctionType
    if method is not g.MISSING or not are_users:
        recording.deny(f"reversed of a {kind.__name__}")
        return reversed(value)
    last = int(settled(call(MethodType(length, value))())) - 1
    return _down(MethodType(item, value), last, call)


def _down(item: MethodType, last: int, call: Call) -> Iterator[Any]:
    for place in range(last, -1, -1):
        yield call(item)(place)


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
