"""`dataclass` with slots, made five times faster than by `dataclasses`: there are some 150, and each import waits for its own.

Type checkers see `dataclasses`, and what is here behaves as that does for what the library uses of it. The time goes into
compiling text: here only an `__init__` is text, and it is compiled when the first instance is made.
"""

from __future__ import annotations

from dataclasses import _FIELD, MISSING, Field, FrozenInstanceError, field  # type: ignore[attr-defined]
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass

__all__ = ["dataclass", "whole"]


def _dataclass(
    *, slots: Literal[True], frozen: bool = False, eq: bool = True, unsafe_hash: bool = False
) -> Callable[[type], type]:
    """As `dataclasses.dataclass`, which has more options."""
    return lambda owner: _record(owner, frozen=frozen, eq=eq, hashes=frozen or unsafe_hash)


if not TYPE_CHECKING:
    dataclass = _dataclass


Class = TypeVar("Class", bound=type)


def whole(owner: Class) -> Class:
    """Of a class whose values users keep in dataclasses of their own: `dataclasses.asdict` leaves them as they are."""
    del owner.__dataclass_fields__  # type: ignore[attr-defined]
    return owner


def _record(owner: type, *, frozen: bool, eq: bool, hashes: bool) -> type:
    fields = dict(getattr(owner, "_record_fields", {}))
    inherited = set(fields)
    namespace = dict(vars(owner))
    for name, annotation in namespace.get("__annotations__", {}).items():
        if not str(annotation).startswith("ClassVar"):
            fields[name] = _field(name, annotation, namespace.pop(name, MISSING))
    for name in ("__dict__", "__weakref__"):
        namespace.pop(name, None)
    names = tuple(fields)
    added: dict[str, Any] = {
        "__slots__": tuple(name for name in names if name not in inherited),
        "__match_args__": tuple(name for name in names if fields[name].init),
        "__dataclass_fields__": fields,
        "_record_fields": fields,
        "__qualname__": owner.__qualname__,
    }
    methods: dict[str, Any] = {"__repr__": _shown, "__getstate__": _state, "__setstate__": _restore}
    if eq:
        content = _content_of([name for name in names if fields[name].compare])
        methods |= _comparison(content, hashes=hashes)
    if frozen:
        methods |= {"__setattr__": _refuse_setting, "__delattr__": _refuse_deleting}
    kind: Any = type(owner)(owner.__name__, owner.__bases__, methods | namespace | added)
    if "__init__" not in namespace:
        kind.__init__ = _first_init(kind, frozen=frozen)
    return kind


def _field(name: str, annotation: Any, value: Any) -> Any:
    about: Any = value if isinstance(value, Field) else field(default=value)
    about.kw_only = False
    about.name, about.type, about._field_type = name, annotation, _FIELD  # as `dataclasses` would
    return about


# Making instances


def _first_init(kind: Any, *, frozen: bool) -> Callable[..., None]:
    """Stands for the `__init__` that the first call compiles."""

    def init(self: Any, /, *args: Any, **kwargs: Any) -> None:
        if kind.__init__ is init:
            kind.__init__ = _init(kind, frozen=frozen)
        kind.__init__(self, *args, **kwargs)

    return init


def _init(kind: Any, *, frozen: bool) -> Callable[..., None]:
    """`def __init__(self, a, b=_default_b): ...`, where each field is set by its slot."""
    names: dict[str, Any] = {"_MISSING": MISSING}
    parameters, lines = ["self"], []
    for name, about in kind._record_fields.items():
        names[f"_set_{name}"] = getattr(kind, name).__set__
        names[f"_default_{name}"], names[f"_make_{name}"] = about.default, about.default_factory
        made = f"_make_{name}()" if about.default_factory is not MISSING else None
        default = f"_default_{name}" if about.default is not MISSING else None
        if about.init:
            parameters.append(
                f"{name}={'_MISSING' if made else default}" if made or default else name
            )
            value = f"{made} if {name} is _MISSING else {name}" if made else name
        else:
            value = made or default or ""
        if value:
            lines.append(f"_set_{name}(self, {value})" if frozen else f"self.{name} = {value}")
    if hasattr(kind, "__post_init__"):
        lines.append("self.__post_init__()")
    body = "\n ".join(lines or ["pass"])
    exec(f"def __init__({', '.join(parameters)}):\n {body}", names)
    init: Callable[..., None] = names["__init__"]
    init.__qualname__ = f"{kind.__qualname__}.__init__"
    return init


# What all records share


@recursive_repr()
def _shown(self: Any) -> str:
    names = [name for name, about in self._record_fields.items() if about.repr]
    values = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
    return f"{type(self).__qualname__}({values})"


def _content_of(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda record: tuple(getattr(record, name) for name in names)


def _comparison(content: Callable[[Any], tuple[Any, ...]], *, hashes: bool) -> dict[str, Any]:
    def equals(self: Any, other: Any) -> Any:
        return content(self) == content(other) if type(self) is type(other) else NotImplemented

    def hashed(self: Any) -> int:
        return hash(content(self))

    return {"__eq__": equals, "__hash__": hashed if hashes else None}


def _state(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self._record_fields]


def _restore(self: Any, state: list[Any]) -> None:
    for name, value in zip(self._record_fields, state):
        object.__setattr__(self, name, value)


def _refuse_setting(self: Any, name: str, value: Any) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deleting(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")
