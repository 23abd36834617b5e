"""Where attributes stand: the dict of an object, and what the call itself has set on classes."""

from __future__ import annotations

from types import (
    MemberDescriptorType,
)
from typing import Any

from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.hooks import classes
from tracejit.tracing.replay.recording import Recording


def written_on(recording: Recording, owner: type, name: str) -> Any:
    """What the call itself has set on a class, or on one that comes before the one that has the name."""
    for base in owner.__mro__:
        if (id(base), name) in recording.overlay:
            return recording.overlay[id(base), name]
        if name in base.__dict__:
            break
    return g.MISSING


def is_plain_class(kind: type) -> bool:
    """Whether objects of the class have no slots, finalizers, or content of a builtin class."""
    return (
        type(kind) in classes.METACLASSES
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
    if source is None:
        return names
    own, known = source.attribute("__dict__"), recording.outside.get(id(names))
    if known is None:
        recording.know(names, own)
    elif known.identity != own.identity:
        recording.once(("same", own.identity), g.SameObject(own, known, True))
    return names
