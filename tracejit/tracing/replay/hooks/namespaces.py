"""Attributes of tensors, modules, classes, functions and of what `super()` gives."""

from __future__ import annotations

import abc
import enum
import functools
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np

from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.hooks import classes, items
from tracejit.tracing.replay.hooks.objects import names_of, written_on
from tracejit.tracing.replay.kinds import found_on, is_own_module
from tracejit.tracing.replay.lasting import is_of_module
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import constant
from tracejit.tracing.stand_in import StandIn, as_array_of, root_of

NATIVE_METHODS = (WrapperDescriptorType, MethodDescriptorType, BuiltinFunctionType)
NAMED_FIELD = type(__import__("collections").namedtuple("_Pair", "a").a)
PLAIN_DESCRIPTORS = (
    FunctionType, property, staticmethod, classmethod, functools.cached_property, MemberDescriptorType,
    GetSetDescriptorType, *NATIVE_METHODS, NAMED_FIELD, type, abc.ABCMeta,
)  # fmt: skip
"""Kinds of class attributes whose `__get__` is known."""
_METHODS = (FunctionType, staticmethod, classmethod, *NATIVE_METHODS)
FUNCTION_FIELDS = frozenset(
    {"__name__", "__doc__", "__module__", "__qualname__", "__wrapped__", "__code__"}
)
UFUNC_FIELDS = frozenset(
    {"__name__", "accumulate", "at", "identity", "nin", "nout", "outer", "reduce"}
)
CLASS_FIELDS = frozenset({"__name__", "__qualname__", "__module__", "__doc__"})


def of_tensor(recording: Recording, tensor: Any, name: str) -> Any:
    if name == "grad" and type(tensor) is not StandIn:
        return _gradient(recording, tensor)
    if name in (
        "storage",
        "layout",
        "origin",
        "autograd",
        "grad_fn",
        "ctypes",
        "data",
        "flat",
        "flags",
    ):
        recording.deny(f".{name} of a tensor is read")
    if name == "base" and type(tensor) is StandIn:
        return _base(recording, tensor)
    return recording.surface(getattr(tensor, name))


def _base(recording: Recording, stand_in: StandIn) -> Any:
    """The array that owns the memory; of an array from outside it is part of what was found there."""
    root = root_of(stand_in)
    source = recording.outside.get(id(root))
    if source is None:
        return stand_in.base
    owner = recording.read(source.attribute("base"), as_array_of(root).base)
    return root if owner is None and root is not stand_in else owner


def _gradient(recording: Recording, tensor: Any) -> Any:
    if (id(tensor), "grad") in recording.overlay:
        return recording.overlay[id(tensor), "grad"]
    source = recording.outside.get(id(tensor))
    return tensor.grad if source is None else recording.read(source.attribute("grad"), tensor.grad)


def of_module(recording: Recording, module: ModuleType, name: str) -> Any:
    names = module.__dict__
    if (id(names), name) in recording.overlay:
        return recording.overlay[id(names), name]
    label = module.__name__
    lasts = is_of_module(names)
    source = constant(names, label) if lasts else constant(module, label).attribute("__dict__")
    if name in names and type(module) is ModuleType:
        if not is_own_module(label):
            kind = g.TypeIs(constant(module, label), ModuleType)
            recording.once(("kind", id(module)), kind)
        return recording.read(source.item(name), names[name])
    if type(module) is not ModuleType or hasattr(ModuleType, name) or "__getattr__" in names:
        recording.deny(f"module attribute {name} is made on demand")
    else:
        for each in (name, "__getattr__"):
            recording.once(("in", source.identity, str, each), g.KeyIn(source, each, False))
    return getattr(module, name)


def of_class(recording: Recording, owner: type, name: str) -> Any:
    written = written_on(recording, owner, name)
    if written is not g.MISSING:
        return written
    found = found_on(owner, name)
    if isinstance(owner, enum.EnumMeta):
        return recording.read(constant(owner, owner.__name__).attribute(name), getattr(owner, name))
    if type(owner) not in classes.METACLASSES and not recording.is_library(owner):
        recording.deny(f"class {owner.__name__} has a metaclass of its own")
        return getattr(owner, name)
    if isinstance(found, classmethod):
        recording.class_has(owner, name)
        return getattr(owner, name)
    if name in CLASS_FIELDS:
        return name_of_class(recording, owner, name)
    is_descriptor = hasattr(type(found), "__get__") and type(found) not in PLAIN_DESCRIPTORS
    if is_descriptor or found is g.MISSING or isinstance(found, property):
        recording.deny(f"class attribute {owner.__name__}.{name}")
        return getattr(owner, name)
    return recording.read(constant(owner, owner.__name__).attribute(name), getattr(owner, name))


def name_of_class(recording: Recording, owner: type, name: str) -> Any:
    """How a class is called, and what its text says, which can be set."""
    value = getattr(owner, name)
    if not g.is_changeable(owner) or recording.is_library(owner):
        return value
    return recording.read(constant(owner, owner.__name__).attribute(name), value)


def of_super(recording: Recording, target: Any, name: str) -> Any:
    owner = target.__self_class__
    recording.once(("bases", id(owner)), g.BasesAre(owner, owner.__mro__))
    after = owner.__mro__[owner.__mro__.index(target.__thisclass__) + 1 :]
    for base in after:
        entry = base.__dict__.get(name, g.MISSING)
        if base is not object:
            recording.once(("entry", id(base), name), g.ClassEntry(base, name, entry))
        if entry is not g.MISSING:
            if type(entry) not in _METHODS:
                recording.deny(f"super().{name} is no method")
            break
    return getattr(target, name)


def of_function(recording: Recording, target: Any, name: str) -> Any:
    source = recording.outside.get(id(target))
    if isinstance(target, np.ufunc) and name in UFUNC_FIELDS:
        return getattr(target, name)
    if isinstance(target, BaseException) and name in ("args", "__class__"):
        return recording.made_of(target) if name == "args" else target.__class__
    if name in FUNCTION_FIELDS and not isinstance(target, BaseException):
        value = getattr(target, name)
        return value if source is None else recording.read(source.attribute(name), value)
    if type(target) is FunctionType and name in target.__dict__:
        names = names_of(recording, target)
        assert names is not None, "functions have one"
        return items.read_item(recording, names, name)
    recording.deny(f"attribute {name} of a {type(target).__name__}")
    return getattr(target, name)


def of_library_object(recording: Recording, target: Any, name: str) -> Any:
    """An attribute of a `DType`, `Aval` and the like, which never change."""
    value = getattr(target, name)
    if recording.is_fixed_object(target):
        return recording.surface(value)
    source = recording.outside.get(id(target))
    if isinstance(value, MethodType):
        return value
    if source is None:
        if not recording.is_made(target):
            recording.deny(f"attribute {name} of a {type(target).__name__}")
        return value
    return recording.read(source.attribute(name), value) if not callable(value) else value
