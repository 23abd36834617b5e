"""Attributes: looked up as Python does, each step of the look-up guarded."""

from __future__ import annotations

import abc
import enum
import functools
import inspect
from collections.abc import Callable
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

from tracejit.symbols import SYMBOLS, settled, storable
from tracejit.tensor import Tensor
from tracejit.tracing.arrays import StandIn
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.hooks import containers
from tracejit.tracing.replay.hooks.containers import CONTAINERS
from tracejit.tracing.replay.iterators import ITERATORS
from tracejit.tracing.replay.recording import ATOMS, Recording, found_on, is_numpy_number
from tracejit.tracing.replay.sources import Source, constant

METACLASSES = (type, abc.ABCMeta)
NATIVE_METHODS = (WrapperDescriptorType, MethodDescriptorType, BuiltinFunctionType)
_FIELD = type(type(inspect.Parameter("x", inspect.Parameter.KEYWORD_ONLY)).name)
_NAMED_FIELD = type(__import__("collections").namedtuple("_Pair", "a").a)
_BUILTIN = (tuple, list, dict, set, str, int, float)
PLAIN_DESCRIPTORS = (
    FunctionType, property, staticmethod, classmethod, functools.cached_property, MemberDescriptorType,
    GetSetDescriptorType, *NATIVE_METHODS, _NAMED_FIELD, type, abc.ABCMeta,
)  # fmt: skip
"""Kinds of class attributes whose `__get__` is known."""
FUNCTION_FIELDS = frozenset(
    {"__name__", "__doc__", "__module__", "__qualname__", "__wrapped__", "__code__"}
)
CLASS_FIELDS = frozenset(
    {"__name__", "__qualname__", "__module__", "__doc__", "__setattr__", "__new__"}
)


def read_attribute(recording: Recording, target: Any, name: str, call: Callable[[Any], Any]) -> Any:
    """`target.name`; `call(function)` gives what is called in the place of a function of the user's."""
    kind = type(target)
    if isinstance(target, Tensor) or kind is StandIn:
        return _of_tensor(recording, target, name)
    if kind in SYMBOLS:
        return getattr(settled(target), name)
    if kind in ATOMS or kind in CONTAINERS or kind in ITERATORS or is_numpy_number(target):
        return getattr(target, name)
    if kind is ModuleType:
        return _of_module(recording, target, name)
    if isinstance(target, type):
        return _of_class(recording, target, name)
    if kind is super:
        return _of_super(recording, target, name)
    if isinstance(target, enum.Enum) and name in ("name", "value", "_value_", "_name_"):
        source = constant(target, str(target)).attribute(f"_{name.strip('_')}_")
        return recording.read(source, getattr(target, name))
    if isinstance(target, FunctionType | MethodType | BuiltinFunctionType | BaseException):
        return _of_function(recording, target, name)
    if isinstance(target, functools.partial):
        recording.deny("an attribute of a functools.partial is read")
        return getattr(target, name)
    if recording.is_library(kind):
        return _of_library_object(recording, target, name)
    return _of_object(recording, target, name, call)


def _of_tensor(recording: Recording, tensor: Any, name: str) -> Any:
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
    return getattr(tensor, name)


def _gradient(recording: Recording, tensor: Any) -> Any:
    if (id(tensor), "grad") in recording.overlay:
        return recording.overlay[id(tensor), "grad"]
    source = recording.outside.get(id(tensor))
    return tensor.grad if source is None else recording.read(source.attribute("grad"), tensor.grad)


def _of_module(recording: Recording, module: ModuleType, name: str) -> Any:
    names = module.__dict__
    if (id(names), name) in recording.overlay:
        return recording.overlay[id(names), name]
    if name in names:
        return recording.read(constant(names, module.__name__).item(name), names[name])
    if type(module) is ModuleType and "__getattr__" not in names:
        return getattr(module, name)  # raises
    recording.deny(f"module attribute {name} is made on demand")
    return getattr(module, name)


def written_on(recording: Recording, owner: type, name: str) -> Any:
    """What the call itself has set on a class, or on one that comes before the one that has the name."""
    for base in owner.__mro__:
        if (id(base), name) in recording.overlay:
            return recording.overlay[id(base), name]
        if name in base.__dict__:
            break
    return g.MISSING


def _of_class(recording: Recording, owner: type, name: str) -> Any:
    written = written_on(recording, owner, name)
    if written is not g.MISSING:
        return written
    found = found_on(owner, name)
    if isinstance(owner, enum.EnumMeta):
        return recording.read(constant(owner, owner.__name__).attribute(name), getattr(owner, name))
    if type(owner) not in METACLASSES and not recording.is_library(owner):
        recording.deny(f"class {owner.__name__} has a metaclass of its own")
        return getattr(owner, name)
    if isinstance(found, classmethod):
        recording.class_has(owner, name)
        return getattr(owner, name)
    if name in CLASS_FIELDS:
        return getattr(owner, name)
    is_descriptor = hasattr(type(found), "__get__") and type(found) not in PLAIN_DESCRIPTORS
    if is_descriptor or found is g.MISSING or isinstance(found, property):
        recording.deny(f"class attribute {owner.__name__}.{name}")
        return getattr(owner, name)
    return recording.read(constant(owner, owner.__name__).attribute(name), getattr(owner, name))


def _of_super(recording: Recording, target: Any, name: str) -> Any:
    value = getattr(target, name)
    owner = target.__self_class__
    recording.once(("bases", id(owner)), g.BasesAre(owner, owner.__mro__))
    after = owner.__mro__[owner.__mro__.index(target.__thisclass__) + 1 :]
    for base in after:
        entry = base.__dict__.get(name, g.MISSING)
        if base is not object:
            recording.once(("entry", id(base), name), g.ClassEntry(base, name, entry))
        if entry is not g.MISSING:
            if not isinstance(entry, PLAIN_DESCRIPTORS) or isinstance(entry, property):
                recording.deny(f"super().{name} is no method")
            return value
    return value


def _of_function(recording: Recording, target: Any, name: str) -> Any:
    source = recording.outside.get(id(target))
    if isinstance(target, BaseException) and name in ("args", "__class__"):
        return getattr(target, name)
    if name in FUNCTION_FIELDS and not isinstance(target, BaseException):
        value = getattr(target, name)
        return value if source is None else recording.read(source.attribute(name), value)
    if type(target) is FunctionType and name in target.__dict__:
        names = names_of(recording, target)
        assert names is not None, "functions have one"
        return containers.read_item(recording, names, name)
    recording.deny(f"attribute {name} of a {type(target).__name__}")
    return getattr(target, name)


def _of_library_object(recording: Recording, target: Any, name: str) -> Any:
    """An attribute of a `DType`, `Aval` and the like, which never change."""
    value = getattr(target, name)
    if recording.is_fixed_object(target):
        return value
    source = recording.outside.get(id(target))
    if isinstance(value, MethodType):
        return value
    if source is None:
        if not recording.is_made(target):
            recording.deny(f"attribute {name} of a {type(target).__name__}")
        return value
    return recording.read(source.attribute(name), value) if not callable(value) else value


def is_plain_class(kind: type) -> bool:
    """Whether objects of the class have no slots, finalizers, or content of a builtin class."""
    return (
        type(kind) in METACLASSES
        and not hasattr(kind, "__del__")
        and all(base is object or base.__module__ != "builtins" for base in kind.__mro__)
        and not any(
            isinstance(member, MemberDescriptorType)
            for base in kind.__mro__
            for member in vars(base).values()
        )
    )


def names_of(recording: Recording, target: Any) -> dict[str, Any] | None:
    """The object's own `__dict__`, which is where its attributes are read and written; None if it has none."""
    names = getattr(target, "__dict__", None)
    if type(names) is not dict:
        return None
    source = recording.outside.get(id(target))
    if source is not None and id(names) not in recording.outside:
        recording.know(names, source.attribute("__dict__"))
    return names


def _of_object(recording: Recording, target: Any, name: str, call: Callable[[Any], Any]) -> Any:
    owner = type(target)
    source = recording.outside.get(id(target))
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
    if is_named and type(found) is _NAMED_FIELD:
        recording.class_has(owner, name)
        return containers.read_item(recording, target, found.__reduce__()[1][0])
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
        return containers.read_item(recording, names, name)
    if names is not None:
        containers.has_key(recording, names, name)
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
        return call(found.fget)(target) if found.fget is not None else getattr(target, name)
    if type(found) is MemberDescriptorType:
        if (id(target), name) in recording.overlay:
            return recording.overlay[id(target), name]
        value = getattr(target, name)
        return value if source is None else recording.read(source.attribute(name), value)
    recording.deny(f"attribute {name} is a descriptor of class {type(found).__name__}")
    return getattr(target, name)


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
            return _cached(recording, target, name, found, call)
    if isinstance(found, NATIVE_METHODS):
        return getattr(target, name)
    if hasattr(type(found), "__get__") and not isinstance(found, type):
        recording.deny(f"attribute {name} is a descriptor of class {type(found).__name__}")
        return getattr(target, name)
    written = written_on(recording, owner, name)
    if written is not g.MISSING:
        return written
    return recording.read(constant(owner, owner.__name__).attribute(name), found)


def _cached(recording: Recording, target: Any, name: str, found: Any, call: Any) -> Any:
    value = call(found.func)(target)
    write_own(recording, target, name, value)
    return value


# Writing


def write_attribute(
    recording: Recording, value: Any, target: Any, name: str, call: Callable[[Any], Any]
) -> None:
    owner = type(target)
    if isinstance(target, Tensor):
        _write_tensor(recording, value, target, name)
        return
    if isinstance(target, type):
        _write_class(recording, value, target, name)
        return
    if isinstance(target, ModuleType) or owner in CONTAINERS:
        recording.deny(f"assignment to attribute {name} of a {owner.__name__}")
        setattr(target, name, storable(value))
        return
    setter = found_on(owner, "__setattr__")
    if type(setter) is FunctionType:
        recording.class_has(owner, "__setattr__")
        call(setter)(target, name, value)
        return
    write_plainly(recording, value, target, name, call)


def write_plainly(
    recording: Recording, value: Any, target: Any, name: str, call: Callable[[Any], Any]
) -> None:
    """As `object.__setattr__` does."""
    owner = type(target)
    found = found_on(owner, name)
    recording.class_has(owner, name)
    recording.class_has(owner, "__setattr__")
    if isinstance(found, property):
        if found.fset is None:
            setattr(target, name, storable(value))  # raises
        call(found.fset)(target, value)
        return
    if hasattr(type(found), "__set__") and type(found) is not MemberDescriptorType:
        recording.deny(f"{name} is a descriptor of class {type(found).__name__}")
        setattr(target, name, storable(value))
        return
    write_own(recording, target, name, value)


def write_own(recording: Recording, target: Any, name: str, value: Any) -> None:
    recording.changes += 1
    source = recording.outside.get(id(target))
    if source is None and not recording.is_made(target):
        recording.deny("an attribute is set of an object of unknown origin")
    is_slot = type(found_on(type(target), name)) is MemberDescriptorType
    names = None if is_slot else names_of(recording, target)
    if names is not None and recording.live:
        containers.write_item(recording, names, name, value)
        return
    if source is None or not recording.live:
        object.__setattr__(target, name, value if recording.live else storable(value))
        return
    object.__setattr__(target, name, storable(value))
    recording.overlay[id(target), name] = value
    recording.effect("attribute", source, name, value, target)


def _write_tensor(recording: Recording, value: Any, tensor: Any, name: str) -> None:
    source = recording.outside.get(id(tensor))
    if name == "grad" and source is not None:
        tensor.grad = value
        recording.overlay[id(tensor), "grad"] = value
        recording.effect("gradient", source, "grad", value, tensor)
        return
    if source is not None:
        recording.deny(f"assignment to .{name} of a tensor")
    setattr(tensor, name, storable(value))


def _write_class(recording: Recording, value: Any, owner: type, name: str) -> None:
    before = found_on(owner, name)
    plain = type(value) in ATOMS or type(value) in SYMBOLS or isinstance(value, Tensor)
    is_plain_before = before is g.MISSING or type(before) in ATOMS or isinstance(before, Tensor)
    if (
        type(owner) not in METACLASSES
        or not plain
        or not is_plain_before
        or recording.is_made(owner)
    ):
        recording.deny(f"assignment to {owner.__name__}.{name}")
        setattr(owner, name, storable(value))
        return
    recording.class_has(owner, name, exact=before is g.MISSING)
    setattr(owner, name, storable(value))
    recording.overlay[id(owner), name] = value
    recording.effect("class attribute", constant(owner, owner.__name__), name, value, owner)


def delete_attribute(recording: Recording, target: Any, name: str) -> None:
    owner = type(target)
    plain = type(found_on(owner, "__delattr__")) is WrapperDescriptorType and not hasattr(
        type(found_on(owner, name)), "__delete__"
    )
    if (
        isinstance(target, type | ModuleType | Tensor)
        or not plain
        or not hasattr(target, "__dict__")
    ):
        recording.deny(f"attribute {name} of a {owner.__name__} is deleted")
        delattr(target, name)
        return
    recording.class_has(owner, "__delattr__")
    names = names_of(recording, target)
    if names is None or name not in names:
        delattr(target, name)
    elif recording.live:
        containers.delete_key(recording, names, name)
