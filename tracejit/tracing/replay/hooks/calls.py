"""Calls: Python functions are instrumented in turn, the library's are leaves, C functions come from a list, others are denied."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import (
    BuiltinFunctionType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np

from tracejit.ops.op import Op
from tracejit.random import Generator
from tracejit.symbols import SYMBOLS, concrete, settled
from tracejit.tensor import Tensor
from tracejit.tracing.instrument import NotInstrumentable, instrumented, is_instrumented
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.hooks import (
    containers,
    known,
    library,
    making,
    natives,
    operator_module,
    ordering,
    printing,
    records,
    stores,
)
from tracejit.tracing.replay.iterators import ITERATORS, VIEWS
from tracejit.tracing.replay.kinds import ATOMS, found_on
from tracejit.tracing.replay.lasting import NUMPY_FUNCTION
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.stand_in import StandIn

Call = Callable[[Any], Any]
NATIVE = (BuiltinFunctionType, MethodWrapperType, WrapperDescriptorType, MethodDescriptorType)


def callee(hooks: Any, recording: Recording, function: Any) -> Any:
    """What is called in the place of `function`."""
    kind = type(function)
    if kind is FunctionType:
        return _of_python(hooks, recording, function)
    if kind is MethodType:
        return _of_method(hooks, recording, function)
    if isinstance(function, Op):
        return library.leaf(recording, function)
    if kind.__name__ == "Compiled" and library.is_library(kind):
        return hooks.callee(function.function)
    if kind.__name__ in ("Artifact", "OpenArtifact") and library.is_library(kind):
        return library.artifact(recording, function)
    if isinstance(function, type):
        return making.construct(hooks, recording, function)
    if kind is functools.partial:
        return _partial(hooks, recording, function)
    if isinstance(function, np.ufunc) or kind is NUMPY_FUNCTION:
        return library.numpy_leaf(recording, function)
    if kind in operator_module.GETTERS:
        return operator_module.getter(hooks, recording, function)
    if isinstance(function, NATIVE):
        return _native(hooks, recording, function)
    method = found_on(kind, "__call__")
    if type(method) is FunctionType:
        recording.class_has(kind, "__call__")
        return MethodType(hooks.callee(method), function)
    return natives.unknown(recording, function)


def _of_python(hooks: Any, recording: Recording, function: FunctionType) -> Any:
    if is_instrumented(function.__code__):
        if recording.is_made(function):
            return function
        recording.deny(f"{function.__qualname__} was made during an earlier recording")
        return function
    if (known_rule := known.rule(recording, function)) is not None:
        return known_rule
    if library.is_library(function) and not library.in_modules(function, library.LIKE_USER_CODE):
        if library.in_modules(function, library.LEAVES) and function not in library.NO_LEAVES:
            return library.leaf(recording, function)
        return natives.unknown(recording, function)
    if library.is_numpy(function):
        return library.numpy_leaf(recording, function)
    recording.function(function)
    recording.around(function)
    try:
        called = instrumented(function, hooks)
    except NotInstrumentable as refusal:
        recording.deny(f"call of {function.__module__}.{function.__qualname__}: {refusal}")
        return function
    recording.runs(called.__code__)
    return called


def _of_method(hooks: Any, recording: Recording, method: MethodType) -> Any:
    owner = method.__self__
    if isinstance(owner, Tensor) or type(owner) is StandIn:
        return library.method_leaf(recording, method)
    if isinstance(owner, Generator):
        return library.generator_leaf(recording, method)
    source = recording.outside.get(id(method))
    if source is not None:
        recording.read(source.attribute("__self__"), owner)
        recording.read(source.attribute("__func__"), method.__func__)
    return MethodType(hooks.callee(method.__func__), owner)


def _partial(hooks: Any, recording: Recording, partial: functools.partial[Any]) -> Any:
    source = recording.outside.get(id(partial))
    args, kwargs = partial.args, partial.keywords
    if source is not None:
        recording.read(source.attribute("func"), partial.func)
        fixed, named = source.attribute("args"), source.attribute("keywords")
        recording.once(("partial", source.identity), g.LengthIs(fixed, len(args)))
        recording.once(("named", source.identity), g.KeysAre(named, tuple(kwargs)))
        args = tuple(recording.read(fixed.item(i), value) for i, value in enumerate(args))
        kwargs = {key: recording.read(named.item(key), value) for key, value in kwargs.items()}
    function = hooks.callee(partial.func)
    places = sum(part is _PLACEHOLDER for part in args)

    def call(*more: Any, **others: Any) -> Any:
        if len(more) < places:
            return partial(*more, **others)  # raises
        first = iter(more)
        given = [next(first) if part is _PLACEHOLDER else part for part in args]
        return function(*given, *first, **{**kwargs, **others})

    return call


_PLACEHOLDER = getattr(functools, "Placeholder", object())
"""What a partial function has in the place of an argument to come, from Python 3.14 on."""


# C functions


def _native(hooks: Any, recording: Recording, function: Any) -> Any:
    name = function.__name__
    special = _SPECIAL.get(function) if _is_hashable(function) else None
    if special is not None:
        return functools.partial(special, hooks, recording)
    if (
        by_syntax := operator_module.rule(hooks, function) if _is_hashable(function) else None
    ) is not None:
        return by_syntax
    if natives.is_pure(function):
        return natives.call_native(recording, function, hooks.callee)
    owner = getattr(function, "__self__", None)
    if name == "__setattr__" and type(function) is MethodWrapperType:
        return lambda name, value: stores.write_plainly(recording, value, owner, name, hooks.callee)
    if name == "__init__" and isinstance(owner, BaseException):
        return functools.partial(recording.exception_again, owner, function)
    if name == "__init__" and function is object.__init__:
        return function
    if owner is not None and not isinstance(owner, ModuleType | type):
        if recording.is_outside(function):
            recording.deny(f"{name} is kept as a function, apart from the object that it is of")
        return _method_of_builtin(hooks, recording, function, owner, name)
    if library.is_numpy(function):
        return library.numpy_leaf(recording, function)
    if (
        isinstance(function, MethodDescriptorType)
        and function.__objclass__ in containers.CONTAINERS
    ):
        return functools.partial(_through_class, hooks, recording, function)
    return natives.unknown(recording, function)


def _through_class(
    hooks: Any, recording: Recording, method: Any, owner: Any, *args: Any, **kwargs: Any
) -> Any:
    """`list.append(owner, ...)`"""
    if type(owner) is method.__objclass__:
        return hooks.callee(getattr(owner, method.__name__))(*args, **kwargs)
    return natives.unknown(recording, method)(owner, *args, **kwargs)


def _is_hashable(function: Any) -> bool:
    try:
        hash(function)
    except TypeError:
        return False
    return True


def _method_of_builtin(hooks: Any, recording: Recording, method: Any, owner: Any, name: str) -> Any:
    kind = type(owner)
    if isinstance(owner, Tensor) or kind is StandIn:
        return library.method_leaf(recording, method)
    if name[:2] == "__" and containers.is_container(owner):
        if name in _BY_SYNTAX:
            return functools.partial(_BY_SYNTAX[name], hooks, owner)
        return natives.unknown(recording, method)
    if kind in containers.CONTAINERS or kind in ATOMS or kind in SYMBOLS:
        return natives.call_method(recording, method, owner, name, hooks.callee)
    if kind in ITERATORS and kind not in VIEWS and not recording.is_outside(owner):
        return method
    if isinstance(owner, tuple) and hasattr(owner, "_fields"):
        containers.expand(recording, owner)
        return natives.call_method(recording, method, owner, name, hooks.callee)
    if isinstance(owner, BaseException):
        recording.exception_is_read(owner)
        return method
    if kind is np.ufunc:
        return library.numpy_leaf(recording, method)
    return natives.unknown(recording, method)


_BY_SYNTAX: dict[str, Callable[..., Any]] = {
    "__getitem__": lambda hooks, owner, key: hooks.read_item(owner, key),
    "__setitem__": lambda hooks, owner, key, value: hooks.write_item(value, owner, key),
    "__delitem__": lambda hooks, owner, key: hooks.delete_item(owner, key),
    "__contains__": lambda hooks, owner, item: hooks.compare("In", item, owner),
    "__len__": lambda hooks, owner: hooks.callee(len)(owner),
    "__iter__": lambda hooks, owner: iter(hooks.iterate(owner)),
}
"""Special methods of containers, as what calls them otherwise."""


def _getattr(hooks: Any, recording: Recording, target: Any, name: str, *default: Any) -> Any:
    try:
        return hooks.read_attribute(target, name)
    except AttributeError:
        if default:
            return default[0]
        raise


def _hasattr(hooks: Any, recording: Recording, target: Any, name: str) -> bool:
    return _getattr(hooks, recording, target, name, g.MISSING) is not g.MISSING


def _setattr(hooks: Any, recording: Recording, target: Any, name: str, value: Any) -> None:
    hooks.write_attribute(value, target, name)


def _delattr(hooks: Any, recording: Recording, target: Any, name: str) -> None:
    hooks.delete_attribute(target, name)


def _plain_setattr(hooks: Any, recording: Recording, target: Any, name: str, value: Any) -> None:
    if recording.live:
        stores.write_plainly(recording, value, target, name, hooks.callee)
    else:
        object.__setattr__(target, name, concrete(value))


def _len(hooks: Any, recording: Recording, value: Any) -> int:
    value = settled(value)
    if recording.live and containers.is_container(value):
        if not containers.is_known(recording, value):
            if containers.is_rearranged(recording, value):
                containers.take_over(recording, value)
            else:
                source = recording.outside[id(value)]
                recording.once(("whole length", source.identity), g.LengthIs(source, len(value)))
    elif type(value) in ITERATORS:
        if recording.is_outside(value):
            recording.deny(f"len of a {type(value).__name__}")
    elif (
        recording.live
        and type(value) not in ATOMS
        and not isinstance(value, Tensor)
        and type(value) is not StandIn
    ):
        method = found_on(type(value), "__len__")
        recording.class_has(type(value), "__len__")
        if type(method) is FunctionType:
            return int(settled(hooks.callee(MethodType(method, value))()))
        recording.deny(f"len of a {type(value).__name__}")
    if (isinstance(value, Tensor) or type(value) is StandIn) and value.aval.shape:
        return recording.surface(value.aval.shape[0])
    return len(value)


def _reduce(
    hooks: Any, recording: Recording, function: Any, values: Any, *start: Any, **named: Any
) -> Any:
    call = hooks.callee(function)
    join = lambda total, value: call(total, value)  # without names, which `function` may have
    return functools.reduce(join, hooks.iterate(values), *start, **named)


_SPECIAL: dict[Any, Any] = {
    functools.reduce: _reduce,
    getattr: _getattr,
    hasattr: _hasattr,
    setattr: _setattr,
    delattr: _delattr,
    object.__setattr__: _plain_setattr,
    len: _len,
    print: printing.print_,
    sorted: ordering.sorted_,
    min: ordering.extreme(min),
    max: ordering.extreme(max),
    tuple.__new__: records.new_tuple,
}
