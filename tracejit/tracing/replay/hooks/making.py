"""Calls of classes: conversions, what the library and native code make, and objects of the user's classes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import (
    FunctionType,
    MethodType,
)
from typing import Any

import numpy as np

from tracejit.ir.aval import Aval
from tracejit.numpy_functions.arguments import is_ours
from tracejit.random import Generator
from tracejit.symbols import KINDS, SYMBOLS, View, concrete, settled
from tracejit.tensor import Tensor
from tracejit.tracing.replay.hooks import (
    classes,
    library,
    natives,
    operator_module,
    records,
)
from tracejit.tracing.replay.kinds import found_on
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.stand_in import StandIn, is_number


def construct(hooks: Any, recording: Recording, owner: type) -> Any:
    if owner in _CONVERSIONS:
        return functools.partial(_CONVERSIONS[owner], hooks, recording)
    if owner is filter:
        return functools.partial(_filter, hooks, recording)
    if natives.is_pure(owner):
        return natives.call_native(recording, owner, hooks.callee)
    if issubclass(owner, BaseException):
        return _exception(hooks, recording, owner)
    if owner in operator_module.GETTERS:
        return lambda *args: recording.make(owner(*map(settled, args)))
    if owner is object:
        return lambda: recording.make(object())
    if owner in library.CONTEXTS:
        return lambda: recording.make(owner())
    if owner is Generator or owner is Tensor:
        return _made_by_library(recording, owner)
    if issubclass(owner, np.datetime64):
        return natives.unknown(recording, owner)  # it reads the clock
    if owner in (np.finfo, np.iinfo):
        return library.numpy_leaf(recording, owner)
    if issubclass(owner, np.floating) and is_ours(np.dtype(owner)):
        return functools.partial(_numpys_float, hooks, recording, owner)
    if issubclass(owner, np.generic) or owner is np.dtype:
        return natives.call_native(recording, owner, hooks.callee)
    if owner in (functools.partial, super, staticmethod, classmethod, property):
        return owner
    if owner is Aval or (type(owner) not in classes.METACLASSES and not library.is_library(owner)):
        return natives.unknown(recording, owner)
    return _of_class(hooks, recording, owner)


def _numpys_float(hooks: Any, recording: Recording, owner: type, *args: Any, **kwargs: Any) -> Any:
    """A float of NumPy's: of a number that has been computed, what is computed of it."""
    if recording.live and len(args) == 1 and not kwargs:
        (value,) = args
        if type(value) is StandIn and is_number(value):
            return library.called(recording, StandIn.astype, [value, owner], {})
    return natives.call_native(recording, owner, hooks.callee)(*args, **kwargs)


def _filter(hooks: Any, recording: Recording, function: Any, values: Any) -> Any:
    """The elements for which `function`, or their own truth, says so."""
    if not recording.live:
        return filter(function, values)
    test = hooks.truth
    if function is not None:
        call = hooks.callee(function)
        test = lambda value: hooks.truth(call(value))  # the other way to test
    recording.viewed.add(id(values))
    return filter(test, hooks.iterate(values))


def _made_by_library(recording: Recording, owner: type) -> Any:
    make = library.leaf(recording, owner)
    return lambda *args, **kwargs: recording.make(make(*args, **kwargs))


def _of_class(hooks: Any, recording: Recording, owner: type) -> Any:
    """An object of a user's class: made natively, its `__init__` run as instrumented code."""
    recording.class_has(owner, "__init__")
    recording.class_has(owner, "__new__")
    new = found_on(owner, "__new__")
    new_function = new.__func__ if isinstance(new, staticmethod) else new
    start = found_on(owner, "__init__")
    if issubclass(owner, tuple):
        return records.named_tuple(recording, owner, new_function) or natives.unknown(
            recording, owner
        )
    recording.class_has(owner, "__del__")
    if hasattr(owner, "__del__"):
        recording.deny(f"class {owner.__name__} has a finalizer")
    if new_function is object.__new__ and start is vars(object)["__init__"]:
        return lambda: recording.make(owner())
    is_own_new = type(new_function) is FunctionType and library.is_library(new_function)
    if type(start) is not FunctionType or not (new_function is object.__new__ or is_own_new):
        return natives.unknown(recording, owner)
    if start.__code__.co_filename == "<string>":
        return records.dataclass(hooks, recording, owner, start) or natives.unknown(
            recording, owner
        )

    def make(*args: Any, **kwargs: Any) -> Any:
        made = owner.__new__(owner)
        if recording.live:
            recording.make(made)
        hooks.callee(start)(made, *args, **kwargs)
        return made

    return make


def _exception(hooks: Any, recording: Recording, owner: type[BaseException]) -> Any:
    """Made natively; an `__init__` of the user's is run as instrumented code."""
    for name in ("__init__", "__new__", "__setattr__"):
        recording.class_has(owner, name)
    if library.is_library(owner):
        return functools.partial(recording.exception, owner)
    start = found_on(owner, "__init__")
    if type(owner.__new__) is FunctionType:
        recording.deny(f"exception class {owner.__name__} has a __new__ of its own")
    if type(start) is not FunctionType or not recording.live:
        return functools.partial(recording.exception, owner)

    def make(*args: Any, **kwargs: Any) -> Any:
        made = recording.exception(functools.partial(owner.__new__, owner), *args, **kwargs)
        if recording.live:
            recording.make(made)
        hooks.callee(start)(made, *args, **kwargs)
        return made

    return make


def _to_number(kind: type) -> Callable[..., Any]:
    method = f"__{kind.__name__}__"

    def convert(hooks: Any, recording: Recording, *args: Any) -> Any:
        (value,) = args if len(args) == 1 else (None,)
        if isinstance(value, Tensor) or type(value) is StandIn:
            return library.number_of(recording, value, method)
        if type(value) in SYMBOLS and recording.live:
            return value if KINDS[type(value)] is kind else recording.derive(kind, (value,))
        if value is not None and type(found_on(type(value), method)) is FunctionType:
            recording.class_has(type(value), method)
            return hooks.callee(MethodType(found_on(type(value), method), value))()
        return natives.call_native(recording, kind, hooks.callee)(*args)

    return convert


def _bool(hooks: Any, recording: Recording, value: Any = False) -> bool:
    return bool(hooks.truth(value))


def _type(hooks: Any, recording: Recording, *args: Any) -> Any:
    if len(args) != 1:
        recording.deny("type() makes a class")
        return type(*args)
    (value,) = args
    if type(value) is StandIn or isinstance(value, Tensor):
        return value.__class__
    if type(value) is View:
        return type(concrete(value))
    return KINDS.get(type(value), type(value))


def _str(hooks: Any, recording: Recording, *args: Any) -> str:
    is_users = len(args) == 1 and type(args[0]) not in SYMBOLS and not isinstance(args[0], Tensor)
    if is_users and type(found_on(type(args[0]), "__str__")) is FunctionType:
        owner = type(args[0])
        if not isinstance(args[0], BaseException):
            recording.class_has(owner, "__str__")
            return hooks.callee(MethodType(found_on(owner, "__str__"), args[0]))()
    return natives.call_native(recording, str, hooks.callee)(*args)


_CONVERSIONS: dict[type, Any] = {
    bool: _bool,
    float: _to_number(float),
    int: _to_number(int),
    type: _type,
    str: _str,
}
