"""What recordings may hold: what stands in a loaded module under its own name. All else is the user's, who may let it go."""

from __future__ import annotations

import enum
import functools
import sys
import weakref
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    ModuleType,
    NoneType,
)
from typing import Any

import numpy as np

from tracejit.dtypes import DType
from tracejit.ir.aval import Aval
from tracejit.ops.op import Layout, Op

NUMPY_FUNCTION = type(np.sum)


class Missing:
    """Stands for an attribute that is not there."""

    def __repr__(self) -> str:
        return "missing"


MISSING = Missing()
_PLAIN = (
    Missing, NoneType, bool, int, float, complex, str, bytes, range, slice, CodeType, np.generic, np.ufunc, np.dtype, DType, Aval,
    Layout, Op, NUMPY_FUNCTION,
)  # fmt: skip
"""Kinds of objects that lead to nothing of the user's."""
_HEAP_TYPE = 1 << 9
"""The flag of classes that can die."""
MOST_WRAPPERS = 16
MOST_REPLACED = 4096

_replaced: set[tuple[str, str]] = set()
"""(module, qualified name) under which another object stood before: what stands there now may be replaced as well."""


def is_lasting(value: Any) -> bool:
    """Whether `value` lives as long as its module, as far as is known, so that it does no harm to hold it."""
    kind = type(value)
    if kind is FunctionType:
        return _stands(value, value.__module__, value.__qualname__)
    if isinstance(value, type):
        return not value.__flags__ & _HEAP_TYPE or _stands(value, *_name_of_class(value))
    if isinstance(value, enum.Enum):
        return is_lasting(kind)
    if kind in (MemberDescriptorType, GetSetDescriptorType):
        return is_lasting(value.__objclass__)
    if kind is property:
        return all(map(is_lasting, (value.fget, value.fset, value.fdel)))
    if kind in (staticmethod, classmethod):
        return is_lasting(value.__func__)
    if kind is functools.cached_property:
        return is_lasting(value.func)
    if kind is ModuleType:
        return sys.modules.get(value.__name__) is value
    if kind is dict:
        return is_of_module(value)
    if kind is tuple:
        return all(map(is_lasting, value))
    if kind is BuiltinFunctionType:
        owner = value.__self__
        return owner is None or isinstance(owner, _PLAIN) or is_named(owner)
    return isinstance(value, _PLAIN)


def is_named(value: Any) -> bool:
    return isinstance(value, type | ModuleType) and is_lasting(value)


def is_of_module(names: dict[str, Any]) -> bool:
    """Whether these are the global variables of a loaded module."""
    name = names.get("__name__")
    module = sys.modules.get(name) if type(name) is str else None
    return isinstance(module, ModuleType) and module.__dict__ is names


def note_replaced(value: Any) -> None:
    """Another object stands where `value` stood: from now on that place is one that changes."""
    if len(_replaced) >= MOST_REPLACED:
        _replaced.clear()
    if type(value) is FunctionType:
        _replaced.add((value.__module__, value.__qualname__))
    elif isinstance(value, type):
        _replaced.add(_name_of_class(value))


def _name_of_class(owner: type) -> tuple[Any, str]:
    """Without asking its metaclass."""
    return type.__getattribute__(owner, "__module__"), type.__getattribute__(owner, "__qualname__")


def _stands(value: Any, module: Any, name: str) -> bool:
    """Whether `value`, or what wraps it, is found in its module under its qualified name; no user code runs."""
    if type(module) is not str or (module, name) in _replaced:
        return False
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        if not isinstance(found, ModuleType | type):
            return False
        names = (
            type.__getattribute__(found, "__dict__") if isinstance(found, type) else found.__dict__
        )
        found = names.get(part)
    return _leads_to(found, value)


def _leads_to(found: Any, value: Any) -> bool:
    for _ in range(MOST_WRAPPERS):
        if found is value:
            return True
        kind = type(found)
        if kind is property:
            return any(part is value for part in (found.fget, found.fset, found.fdel))
        if kind in (staticmethod, classmethod):
            found = found.__func__
        elif kind is functools.cached_property:
            found = found.func
        else:
            found = _wrapped_by(found)
        if found is None:
            return False
    return False


def _wrapped_by(found: Any) -> Any:
    """What `functools.wraps` notes, read without the attributes' own code."""
    try:
        names = object.__getattribute__(found, "__dict__")
    except AttributeError:
        return None
    return names.get("__wrapped__") if type(names) is dict else None


class Weak(weakref.ref[Any]):
    """A reference of tracejit's own: one of the user's would be a value."""

    __slots__ = ()


class Gone:
    """Stands for an object that has died."""

    def __repr__(self) -> str:
        return "an object that is gone"


GONE = Gone()


def hold(value: Any) -> Any:
    """`value` itself if it lasts, or cannot be referred to weakly; else a `Weak`."""
    if is_lasting(value):
        return value
    try:
        return Weak(value)
    except TypeError:
        return value


def found(holder: Any) -> Any:
    """What `hold` was given; GONE if it has died."""
    if type(holder) is not Weak:
        return holder
    value = holder()
    return GONE if value is None else value
