"""What native code asks of classes: whether an object is of one, can be called, and what its special methods are."""

from __future__ import annotations

import abc
import enum
from types import FunctionType, UnionType
from typing import Any

from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.hooks import containers
from tracejit.tracing.replay.kinds import found_on
from tracejit.tracing.replay.recording import Recording

METACLASSES = (type, abc.ABCMeta)
_SPECIAL = tuple(
    f"__{name}__"
    for name in (
        "eq ne lt le gt ge hash bool len iter next getitem contains index int float complex trunc round abs neg pos invert call "
        "add sub mul truediv floordiv mod divmod pow matmul lshift rshift and or xor str repr format bytes "
        "radd rsub rmul rtruediv rfloordiv rmod rdivmod rpow rmatmul rlshift rrshift rand ror rxor reversed fspath"
    ).split()
)
"""Methods that native code calls."""


def is_ordinary(recording: Recording, owner: type) -> bool:
    """Whether the class itself behaves as classes do: its metaclass is a known one."""
    kind = type(owner)
    return kind in METACLASSES or issubclass(kind, enum.EnumType) or recording.is_library(kind)


def is_tested(recording: Recording, value: Any) -> None:
    """Which class a value is of, and what that is made from, is asked."""
    kind = value if isinstance(value, type) else type(value)
    recording.bases(kind)
    if recording.is_library(kind):
        return
    if not isinstance(value, type) and type(found_on(kind, "__class__")) in (
        FunctionType,
        property,
    ):
        recording.deny(f"class {kind.__name__} says itself which class its objects are of")


def are_asked(recording: Recording, classes: Any) -> None:
    """Whether an object is of one of these is asked."""
    containers.expand(recording, classes)
    for owner in classes if type(classes) is tuple else (classes,):
        if type(owner) is tuple:
            are_asked(recording, owner)
        elif isinstance(owner, UnionType):
            are_asked(recording, owner.__args__)
        elif not isinstance(owner, type) or _decides(recording, owner):
            recording.deny("isinstance with a class that decides itself")
        elif isinstance(owner, abc.ABCMeta):
            token = abc.get_cache_token
            recording.once(("abc",), g.ModeIs("abc.get_cache_token()", token, token()))


def _decides(recording: Recording, owner: type) -> bool:
    kind = type(owner)
    if kind in METACLASSES or recording.is_library(kind):
        return False
    return not (issubclass(kind, enum.EnumType) and kind.__module__ == "enum")


def is_called(recording: Recording, value: Any) -> None:
    """Whether an object can be called is asked."""
    if not isinstance(value, type):
        recording.class_has(type(value), "__call__")


def has_plain_operators(recording: Recording, value: Any) -> bool:
    """Whether no function of a class of the user's says what native code finds: now, and as long as the recording holds."""
    kind = type(value)
    if not g.is_changeable(kind) or recording.is_library(kind):
        return True
    for name in _SPECIAL:
        found = found_on(kind, name)
        if type(found) is FunctionType and found.__module__ != "enum":
            return False
        recording.class_has(kind, name)
    return True
