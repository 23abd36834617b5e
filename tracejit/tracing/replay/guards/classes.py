"""Guards of classes: what looking up a name on one gives."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any

from tracejit._records import dataclass
from tracejit.tracing.replay.code import Writer
from tracejit.tracing.replay.guards.guard import Guard, Was
from tracejit.tracing.replay.lasting import MISSING, is_lasting


@dataclass(frozen=True, slots=True, eq=False)
class ClassHas(Guard):
    """Looking up a name on a class finds this, before descriptors are asked: a function is not a static method of it.

    What it gives is read by a path of its own, where more than its kind counts.
    """

    owner: type | Was
    name: str
    value: Any

    def conditions(self, writer: Writer) -> Iterator[str]:
        assert isinstance(self.owner, type)
        if self.value is MISSING:
            raise AssertionError("what is missing is said of all names at once: ClassLacks")
        for base in filter(is_changeable, self.owner.__mro__):
            if self.name in base.__dict__:
                yield from _is_value(writer, f"{_entries(writer, base)}[{self.name!r}]", self.value)
                return
            yield f"{self.name!r} not in {_names(writer, base)}"

    def kept(self) -> Guard:
        return ClassHas(Was(self.owner.__name__), self.name, None)

    def __str__(self) -> str:
        return f"{self.owner.__name__}.{self.name} is as it was"


@dataclass(frozen=True, slots=True, eq=False)
class ClassLacks(Guard):
    """Looking up any of these names on a class gives nothing: a look-up that fails costs more than to ask each class for all."""

    owner: type | Was
    names: tuple[str, ...]
    order: tuple[type, ...]

    def conditions(self, writer: Writer) -> Iterator[str]:
        pool = writer.pool
        yield from _is_order(writer, self.owner, "is", self.order)
        for base in self.order:
            if is_changeable(base):
                yield f"{_names(writer, base)}.isdisjoint({pool.name(self.names)})"

    def kept(self) -> Guard:
        return ClassLacks(Was(self.owner.__name__), self.names, ())

    def __str__(self) -> str:
        return f"{self.owner.__name__} has no {', '.join(self.names)}"


@dataclass(frozen=True, slots=True, eq=False)
class ClassEntry(Guard):
    """The class's own `__dict__` holds this under a name, or nothing."""

    owner: type | Was
    name: str
    value: Any

    def conditions(self, writer: Writer) -> Iterator[str]:
        names = f"{writer.name(self.owner)}.__dict__"
        found = f"{names}.get({self.name!r}, {writer.pool.name(MISSING)})"
        yield from _is_value(writer, found, self.value)

    def kept(self) -> Guard:
        return ClassEntry(Was(self.owner.__name__), self.name, None)

    def __str__(self) -> str:
        return f"{self.owner.__name__}.__dict__[{self.name!r}] is as it was"


@dataclass(frozen=True, slots=True, eq=False)
class BasesAre(Guard):
    """The order in which a class is searched."""

    owner: type | Was
    order: tuple[type, ...]

    def conditions(self, writer: Writer) -> Iterator[str]:
        yield from _is_order(writer, self.owner, "==", self.order)

    def kept(self) -> Guard:
        return BasesAre(Was(self.owner.__name__), ())

    def __str__(self) -> str:
        return f"{self.owner.__name__} has the same bases"


def is_changeable(owner: type) -> bool:
    """Whether names can be set on the class."""
    return not owner.__flags__ & _IMMUTABLE


_IMMUTABLE = 1 << 8
"""Py_TPFLAGS_IMMUTABLETYPE"""


def entry_of(owner: type, name: str) -> Any:
    """What looking up the name on the class finds, before descriptors are asked; MISSING if nothing."""
    for base in owner.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return MISSING


def _names(writer: Writer, owner: type) -> str:
    """The names in a class's own `__dict__`."""
    # The view is one of the class's own dict, so that it shows what comes later.
    lasts = writer.pool.lasting(owner) is not None
    return writer.pool.names_on(owner) if lasts else f"{writer.name(owner)}.__dict__.keys()"


def _entries(writer: Writer, owner: type) -> str:
    lasts = writer.pool.lasting(owner) is not None
    return writer.pool.entries_on(owner) if lasts else f"{writer.name(owner)}.__dict__"


def _is_order(
    writer: Writer, owner: type | Was, relation: str, order: tuple[type, ...]
) -> Iterator[str]:
    found, known = f"{writer.name(owner)}.__mro__", writer.pool.lasting(order)
    if known is not None:
        yield f"{found} {relation} {known}"
        return
    found = writer.variable(found)
    yield f"len({found}) == {len(order)}"
    for place, base in enumerate(order[1:-1], 1):
        yield f"{found}[{place}] is {writer.name(base)}"


def _is_value(writer: Writer, found: str, value: Any) -> Iterator[str]:
    """That a class gives this: of what cannot be referred to weakly, that its parts are the same."""
    kind = type(value)
    if hasattr(value, "__func__") and hasattr(value, "__self__"):
        yield f"{found}.__func__ is {writer.name(value.__func__)}"
    elif kind in _CONTAINERS:
        yield f"type({found}) is {writer.pool.name(kind)}"
    elif kind not in _PARTS or is_lasting(value):
        yield f"{found} is {writer.name(value)}"
    else:
        found = writer.variable(found)
        yield f"type({found}) is {writer.pool.name(kind)}"
        for part in _PARTS[kind]:
            yield f"{found}.{part} is {writer.name(getattr(value, part))}"


_CONTAINERS = frozenset({list, tuple, dict, set, frozenset, deque})
_PARTS: dict[type, tuple[str, ...]] = {
    property: ("fget", "fset", "fdel"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    MemberDescriptorType: ("__objclass__", "__name__"),
    GetSetDescriptorType: ("__objclass__", "__name__"),
}
"""What makes up descriptors."""
