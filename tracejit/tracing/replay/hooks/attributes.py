"""Reading attributes: looked up as Python does, each step of the look-up guarded."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from types import (
    BuiltinFunctionType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np

from tracejit.symbols import SYMBOLS, settled
from tracejit.tensor import Tensor
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.hooks import containers, items
from tracejit.tracing.replay.hooks.containers import CONTAINERS
from tracejit.tracing.replay.hooks.namespaces import (
    NAMED_FIELD,
    NATIVE_METHODS,
    PLAIN_DESCRIPTORS,
    of_class,
    of_function,
    of_library_object,
    of_module,
    of_super,
    of_tensor,
)
from tracejit.tracing.replay.hooks.objects import names_of, written_on
from tracejit.tracing.replay.hooks.stores import write_own
from tracejit.tracing.replay.iterators import ITERATORS
from tracejit.tracing.replay.kinds import ATOMS, found_on, is_numpy_number
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import Source, constant
from tracejit.tracing.stand_in import StandIn

_BUILTIN = (tuple, list, dict, set, str, int, float)
_TOLD_BY_DTYPES = (np.dtype, np.finfo, np.iinfo)
"""What the dtypes of arrays, which are guarded, lead to; none of it changes."""


def read_attribute(recording: Recording, target: Any, name: str, call: Callable[[Any], Any]) -> Any:
    """`target.name`; `call(function)` gives what is called in the place of a function of the user's."""
    kind = type(target)
    if isinstance(target, Tensor) or kind is StandIn:
        return of_tensor(recording, target, name)
    if kind in SYMBOLS:
        return getattr(settled(target), name)
    if kind in ATOMS or kind in CONTAINERS or kind in ITERATORS or is_numpy_number(target):
        return getattr(target, name)
    if kind is ModuleType:
        return of_module(recording, target, name)
    if isinstance(target, type):
        return of_class(recording, target, name)
    if kind is super:
        return of_super(recording, target, name)
    if isinstance(target, enum.Enum) and _is_of_member(kind, name):
        recording.class_has(kind, name)
        source = constant(target, name).attribute(f"_{name.strip('_')}_")
        return recording.read(source, getattr(target, name))
    is_error = isinstance(target, BaseException) and recording.is_made(target)
    if is_error and name in vars(target):  # which an `__init__` of the user's has set
        return _of_object(recording, target, name, call)
    if isinstance(
        target, FunctionType | MethodType | BuiltinFunctionType | BaseException | np.ufunc
    ):
        return of_function(recording, target, name)
    if isinstance(target, functools.partial):
        recording.deny("an attribute of a functools.partial is read")
        return getattr(target, name)
    if recording.is_library(kind):
        return of_library_object(recording, target, name)
    if isinstance(target, _TOLD_BY_DTYPES) and id(target) not in recording.outside:
        return getattr(target, name)
    return _of_object(recording, target, name, call)


def _is_of_member(kind: type, name: str) -> bool:
    """Whether it is what every member of an enumeration has, and as the library tells it."""
    if name in ("_name_", "_value_"):
        return True
    return name in ("name", "value") and found_on(kind, name) is vars(enum.Enum)[name]


def _of_object(recording: Recording, target: Any, name: str, call: Callable[[Any], Any]) -> Any:
    owner = type(target)
    source = recording.outside.get(id(target))
    if source is None and isinstance(target, enum.Enum):
        source = constant(target, f"{owner.__name__}.{target._name_}")
        recording.know(target, source)
    is_named = isinstance(target, tuple) and containers.is_named_tuple(owner)
    if source is None and not recording.is_made(target) and not is_named:
        recording.deny(f"attribute {name} of an object (class {owner.__name__}) of unknown origin")
        return getattr(target, name)
    if type(found_on(owner, "__getattribute__")) is FunctionType:
        recording.deny(f"class {owner.__name__} has its own __getattribute__")
        return getattr(target, name)
    if isinstance(target, _BUILTIN) and not is_named and source is not None:
        recording.deny(f"{source} is of class {owner.__name__}, made from a builtin one")
        return getattr(target, name)
    found = found_on(owner, name)
    if is_named and type(found) is NAMED_FIELD:
        recording.class_has(owner, name)
        return items.read_item(recording, target, found.__reduce__()[1][0])
    kind = type(found)
    if hasattr(kind, "__get__") and kind not in PLAIN_DESCRIPTORS and found is not g.MISSING:
        recording.deny(f"attribute {name} is a descriptor of class {kind.__name__}")
        return getattr(target, name)
    if name in ("__dict__", "__class__", "__weakref__"):
        return _special(recording, target, name)
    recording.class_has(owner, name)
    if hasattr(kind, "__set__") or hasattr(kind, "__delete__"):
        return _data_descriptor(recording, target, source, name, found, call)
    names = names_of(recording, target)
    if names is not None and name in names:
        if source is not None and found is not g.MISSING:
            recording.class_has(owner, name, exact=True)
        return items.read_item(recording, names, name)
    if names is not None:
        items.has_key(recording, names, name)
    return _on_class(recording, target, name, found, call)


def _special(recording: Recording, target: Any, name: str) -> Any:
    if name == "__class__":
        return target.__class__
    names = names_of(recording, target) if name == "__dict__" else None
    if names is None:
        recording.deny(f"{name} of an object is read")
    return getattr(target, name) if names is None else names


def _data_descriptor(
    recording: Recording, target: Any, source: Source | None, name: str, found: Any, call: Any
) -> Any:
    if isinstance(found, property):
        if found.fget is None:
            return getattr(target, name)  # raises
        return _or_fallback(recording, target, name, lambda: call(found.fget)(target), call)
    if type(found) is MemberDescriptorType:
        if (id(target), name) in recording.overlay:
            return recording.overlay[id(target), name]
        slot = functools.partial(_slot, recording, target, source, name, found)
        return _or_fallback(recording, target, name, slot, call)
    recording.deny(f"attribute {name} is a descriptor of class {type(found).__name__}")
    return getattr(target, name)


def _slot(
    recording: Recording, target: Any, source: Source | None, name: str, found: MemberDescriptorType
) -> Any:
    try:
        value = found.__get__(target, type(target))
    except AttributeError:
        if source is not None:
            recording.deny(f"attribute {name} is a slot with nothing in it")
        raise
    return value if source is None else recording.read(source.attribute(name), value)


def _on_class(recording: Recording, target: Any, name: str, found: Any, call: Any) -> Any:
    owner = type(target)
    if found is g.MISSING:
        fallback = found_on(owner, "__getattr__")
        recording.class_has(owner, "__getattr__")
        if type(fallback) is FunctionType:
            return call(fallback)(target, name)
        return getattr(target, name)
    match found:
        case FunctionType():
            return MethodType(found, target)
        case staticmethod():
            return found.__func__
        case classmethod():
            return MethodType(found.__func__, owner)
        case functools.cached_property():
            cached = functools.partial(_cached, recording, target, name, found, call)
            return _or_fallback(recording, target, name, cached, call)
    if isinstance(found, NATIVE_METHODS):
        return getattr(target, name)
    if hasattr(type(found), "__get__") and not isinstance(found, type):
        recording.deny(f"attribute {name} is a descriptor of class {type(found).__name__}")
        return getattr(target, name)
    written = written_on(recording, owner, name)
    if written is not g.MISSING:
        return written
    return recording.read(constant(owner, owner.__name__).attribute(name), found)


def _or_fallback(
    recording: Recording, target: Any, name: str, read: Callable[[], Any], call: Any
) -> Any:
    """What `read()` gives, or `__getattr__` where it raises AttributeError."""
    try:
        return read()
    except AttributeError:
        fallback = found_on(type(target), "__getattr__")
        recording.class_has(type(target), "__getattr__")
        if type(fallback) is not FunctionType:
            raise
        return call(fallback)(target, name)


def _cached(recording: Recording, target: Any, name: str, found: Any, call: Any) -> Any:
    value = call(found.func)(target)
    write_own(recording, target, name, value)
    return value
