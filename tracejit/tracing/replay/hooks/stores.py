"""Writing and deleting attributes: as effects, each after what Python would call for it."""

from __future__ import annotations

from collections.abc import Callable
from types import (
    FunctionType,
    MemberDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from tracejit.symbols import SYMBOLS, storable
from tracejit.tensor import Tensor
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.hooks import classes, items
from tracejit.tracing.replay.hooks.containers import CONTAINERS
from tracejit.tracing.replay.hooks.objects import names_of
from tracejit.tracing.replay.kinds import ATOMS, found_on
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import constant


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
    source = recording.outside.get(id(target))
    if source is None and not recording.is_made(target):
        recording.deny("an attribute is set of an object of unknown origin")
    is_slot = type(found_on(type(target), name)) is MemberDescriptorType
    names = None if is_slot else names_of(recording, target)
    if names is not None and recording.live:
        items.write_item(recording, names, name, value)
        return
    if source is None or not recording.live:
        object.__setattr__(target, name, value if recording.live else storable(value))
        return
    recording.overwriting("attribute", target, name)
    object.__setattr__(target, name, storable(value))
    recording.put("attribute", source, name, value, target)


def _write_tensor(recording: Recording, value: Any, tensor: Any, name: str) -> None:
    source = recording.outside.get(id(tensor))
    if name == "grad" and source is not None:
        recording.overwriting("gradient", tensor)
        tensor.grad = value
        recording.put("gradient", source, "grad", value, tensor)
        return
    if source is not None:
        recording.deny(f"assignment to .{name} of a tensor")
    setattr(tensor, name, storable(value))


def _write_class(recording: Recording, value: Any, owner: type, name: str) -> None:
    before = found_on(owner, name)
    plain = type(value) in ATOMS or type(value) in SYMBOLS or isinstance(value, Tensor)
    is_plain_before = before is g.MISSING or type(before) in ATOMS or isinstance(before, Tensor)
    if (
        type(owner) not in classes.METACLASSES
        or not plain
        or not is_plain_before
        or recording.is_made(owner)
    ):
        recording.deny(f"assignment to {owner.__name__}.{name}")
        setattr(owner, name, storable(value))
        return
    if (id(owner), name) not in recording.placed:
        recording.class_has(owner, name, exact=before is g.MISSING)
    recording.overwriting("class attribute", owner, name)
    setattr(owner, name, storable(value))
    recording.put("class attribute", constant(owner, owner.__name__), name, value, owner)


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
        items.delete_key(recording, names, name)
