"""`dataclass` with slots, made several times faster than by `dataclasses`: there are some 150, and each import waits for its own.

Type checkers see `dataclasses`, and what is here behaves as that does for what the library uses of it. The time goes into
compiling text: here only an `__init__` is text, and it is compiled once many instances are made. `dataclasses` itself is loaded
by whoever asks it about a record.
"""

from __future__ import annotations

from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from tracejit._gate import late

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass, field, replace

__all__ = ["About", "dataclass", "field", "fields", "replace", "whole"]

MISSING: Any = object()
"""The default of a field that has none."""
PATIENCE = 32
"""Instances that are made before it is worth compiling an `__init__`."""


class About:
    """What is known of a field, under the names that `dataclasses.Field` has."""

    __slots__ = (
        "compare",
        "default",
        "default_factory",
        "init",
        "metadata",
        "name",
        "repr",
        "type",
    )

    name: str
    type: Any

    def __init__(
        self,
        *,
        default: Any = MISSING,
        default_factory: Any = MISSING,
        init: bool = True,
        repr: bool = True,
        compare: bool = True,
        metadata: Any = None,
    ) -> None:
        self.default, self.default_factory = default, default_factory
        self.init, self.repr, self.compare, self.metadata = init, repr, compare, metadata


def _dataclass(
    *, slots: Literal[True], frozen: bool = False, eq: bool = True, unsafe_hash: bool = False
) -> Callable[[type], type]:
    """As `dataclasses.dataclass`, which has more options."""
    return lambda owner: _record(owner, frozen=frozen, eq=eq, hashes=frozen or unsafe_hash)


def _replaced(record: Any, /, **changes: Any) -> Any:
    """As `dataclasses.replace`."""
    for about in fields(type(record)):
        if about.init:
            changes.setdefault(about.name, getattr(record, about.name))
        elif about.name in changes:
            raise ValueError(f"field {about.name} is declared with init=False, and cannot be given")
    return type(record)(**changes)


if not TYPE_CHECKING:
    dataclass, field, replace = _dataclass, About, _replaced


def fields(record: Any) -> tuple[About, ...]:
    """Those of a class of records, in their order, without asking `dataclasses`."""
    return tuple(record._record_fields.values())


Class = TypeVar("Class", bound=type)


def whole(owner: Class) -> Class:
    """Of a class whose values users keep in dataclasses of their own: `dataclasses.asdict` leaves them as they are."""
    del owner.__dataclass_fields__  # type: ignore[attr-defined]
    return owner


def _record(owner: type, *, frozen: bool, eq: bool, hashes: bool) -> type:
    namespace = {**vars(owner)}
    for name in ("__dict__", "__weakref__"):
        namespace.pop(name, None)
    declared = {
        name: annotation
        for name, annotation in namespace.get("__annotations__", {}).items()
        if not str(annotation).startswith("ClassVar")
    }
    given = {name: namespace.pop(name) for name in declared if name in namespace}
    fields = _Fields(owner, declared, given)
    added: dict[str, Any] = {
        "__slots__": tuple([name for name in declared if name not in fields.inherited]),
        "__match_args__": fields.names("init"),
        "__dataclass_fields__": fields.standard,
        "_record_fields": fields,
        "__qualname__": owner.__qualname__,
    }
    methods = _FROZEN if frozen else _OPEN
    if eq:
        comparison = _comparison(_content_of(fields.names("compare")), hashes=hashes)
        methods = {**methods, **comparison}
    kind: Any = type(owner)(owner.__name__, owner.__bases__, {**methods, **namespace, **added})
    if "__init__" not in namespace:
        kind.__init__ = _first_init(kind, frozen=frozen)
    return kind


class _Fields:
    """The fields of a class of records, which are looked at one by one when somebody asks for them."""

    __slots__ = ("_declared", "_given", "_made", "_special", "inherited", "standard")

    def __init__(self, owner: type, declared: dict[str, Any], given: dict[str, Any]) -> None:
        self.inherited: dict[str, About] = getattr(owner, "_record_fields", {})
        self.standard = _StandardFields(self)
        self._declared, self._given = declared, given
        self._special = [name for name, value in given.items() if type(value) is About]
        self._made: dict[str, About] | None = None
        for name, value in given.items():
            if type(value).__module__ == "dataclasses":
                raise TypeError(f"{name}: a field of a record is made by `field` of this module")

    def names(self, flag: str) -> tuple[str, ...]:
        """Those of the fields that have a flag, as all have that are no more than a name and a default."""
        if self.inherited or self._special:
            made = self.__get__(None)
            return tuple([name for name, about in made.items() if getattr(about, flag)])
        return tuple(self._declared)

    def __get__(self, record: object, owner: type | None = None) -> dict[str, About]:
        if self._made is None:
            made = {**self.inherited}
            for name, annotation in self._declared.items():
                value = self._given.get(name, MISSING)
                about = made[name] = value if type(value) is About else About(default=value)
                about.name, about.type = name, annotation
            self._made = made
        return self._made


class _StandardFields:
    """The same as `dataclasses` has them."""

    __slots__ = ("_fields", "_made")

    def __init__(self, fields: _Fields) -> None:
        self._fields = fields
        self._made: dict[str, Any] | None = None

    def __get__(self, record: object, owner: type | None = None) -> dict[str, Any]:
        if self._made is None:
            abouts = self._fields.__get__(None)
            self._made = {name: _standard(about) for name, about in abouts.items()}
        return self._made


def _standard(about: About) -> Any:
    dataclasses = late("dataclasses")
    default, factory = (
        dataclasses.MISSING if value is MISSING else value
        for value in (about.default, about.default_factory)
    )
    flags = {"init": about.init, "repr": about.repr, "compare": about.compare}
    field = dataclasses.field(
        default=default, default_factory=factory, metadata=about.metadata, kw_only=False, **flags
    )
    field.name, field.type, field._field_type = about.name, about.type, dataclasses._FIELD
    return field


# Making instances


def _first_init(kind: Any, *, frozen: bool) -> Callable[..., None]:
    """An `__init__` that is slow, but there at once. When it has made some instances another one is compiled in its place."""
    count = 0

    def init(self: Any, /, *args: Any, **kwargs: Any) -> None:
        nonlocal count
        count += 1
        if count < PATIENCE and (values := _bound(kind, args, kwargs)) is not None:
            write = object.__setattr__ if frozen else setattr
            for name, value in values.items():
                write(self, name, value)
            if hasattr(kind, "__post_init__"):
                self.__post_init__()
            return
        if kind.__init__ is init:
            kind.__init__ = _init(kind, frozen=frozen)
        kind.__init__(self, *args, **kwargs)

    return init


def _bound(kind: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """The values of the fields; None where something is missing or too much, which a function that is compiled can tell."""
    names = kind.__match_args__
    if len(args) == len(names) == len(kind._record_fields) and not kwargs:
        return dict(zip(names, args))
    given = {**dict(zip(names, args)), **kwargs}
    values: dict[str, Any] = {}
    for name, about in kind._record_fields.items():
        if about.init and name in given:
            values[name] = given.pop(name)
        elif about.default_factory is not MISSING:
            values[name] = about.default_factory()
        elif about.default is not MISSING:
            values[name] = about.default
        elif about.init:
            return None
    is_right = not given and len(args) <= len(names) and not {*names[: len(args)]} & {*kwargs}
    return values if is_right else None


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


def _content_of(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
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
    raise late("dataclasses").FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deleting(self: Any, name: str) -> None:
    raise late("dataclasses").FrozenInstanceError(f"cannot delete field {name!r}")


_OPEN = {"__repr__": _shown, "__getstate__": _state, "__setstate__": _restore}
_FROZEN = {**_OPEN, "__setattr__": _refuse_setting, "__delattr__": _refuse_deleting}
