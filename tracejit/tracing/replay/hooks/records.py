"""Named tuples and dataclasses, whose methods are made from text: what these do is done here, step by step."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field
from types import FunctionType
from typing import Any

from tracejit.symbols import concrete
from tracejit.tracing.replay.hooks import containers, stores
from tracejit.tracing.replay.kinds import found_on
from tracejit.tracing.replay.recording import Recording

Make = Callable[..., Any]


# Named tuples


def named_tuple(recording: Recording, owner: type, new: Any) -> Make | None:
    """What is called in the place of the class; None if it is no named tuple, or is made in a way of its own."""
    is_generated = type(new) is FunctionType and new.__globals__.get("__name__", "").startswith(
        "namedtuple_"
    )
    if (
        not is_generated
        or not containers.is_named_tuple(owner)
        or found_on(owner, "__init__") is not object.__dict__["__init__"]
    ):
        return None
    recording.function(new)
    return owner


def new_tuple(hooks: Any, recording: Recording, owner: type, parts: Any = ()) -> Any:
    """`tuple.__new__(owner, parts)`"""
    return tuple.__new__(owner, [*hooks.iterate(parts)])


# Dataclasses


def dataclass(hooks: Any, recording: Recording, owner: Any, start: FunctionType) -> Make | None:
    """What is called in the place of the class; None if `start` is not the `__init__` that its fields tell of."""
    is_one = "__dataclass_fields__" in vars(owner)  # not a class that inherits from one
    fields: dict[str, Field[Any]] | None = owner.__dataclass_fields__ if is_one else None
    signature = inspect.signature(start, follow_wrapped=False)
    _, *names = signature.parameters
    if fields is None or {f.name for f in fields.values() if _is_given(f)} != set(names):
        return None
    recording.function(start)
    recording.class_has(owner, "__post_init__")

    def make(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(None, *args, **kwargs)
        except TypeError:
            return owner(*args, **kwargs)  # raises as Python does
        given.apply_defaults()
        made = recording.make(object.__new__(owner))
        for field in fields.values():
            _set(hooks, recording, made, field, given.arguments)
        if hasattr(owner, "__post_init__"):
            after = hooks.read_attribute(made, "__post_init__")
            hooks.callee(after)(
                *(given.arguments[f.name] for f in fields.values() if _kind(f) == "_FIELD_INITVAR")
            )
        return made

    return make


def _kind(field: Any) -> str:
    return str(field._field_type.name)


def _is_given(field: Any) -> bool:
    return field.init and _kind(field) != "_FIELD_CLASSVAR"


def _set(hooks: Any, recording: Recording, made: Any, field: Any, given: dict[str, Any]) -> None:
    """Gives the new object one of its fields."""
    if _kind(field) != "_FIELD":
        return
    if field.default_factory is not MISSING and not _was_given(field, given):
        value = hooks.callee(field.default_factory)()
    elif field.init:
        value = given[field.name]
    elif field.default is not MISSING and "__slots__" in type(made).__dict__:
        value = field.default
    else:
        return
    if not type(made).__dataclass_params__.frozen:
        hooks.write_attribute(value, made, field.name)
    elif recording.live:
        stores.write_plainly(recording, value, made, field.name, hooks.callee)
    else:
        object.__setattr__(made, field.name, concrete(value))


def _was_given(field: Any, given: dict[str, Any]) -> bool:
    """Whether an argument was given, and not the mark that stands for the factory."""
    return field.init and type(given[field.name]).__name__ != "_HAS_DEFAULT_FACTORY_CLASS"
