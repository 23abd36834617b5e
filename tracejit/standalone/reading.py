"""Records as JSON and back. What is read is checked against the records' fields: none is missing, unknown or of another type.

A record is an object with its fields; one of several kinds has its kind in the field "is". Where sizes are open, an int may be
`{"size": "2*n0"}`.
"""

from __future__ import annotations

import builtins
import math
import sys
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any

from tracejit._errors import ArtifactError
from tracejit._gate import late
from tracejit._json import from_text

Read = Callable[[Any, str], Any]
"""A value of JSON's, and where it stands, to what it says."""

KIND = "is"
MOST = 1 << 62


def to_json(value: Any) -> bytes:
    """The record as text: the same for equal records."""
    text: str = late("json").dumps(_plain(value), indent=1, sort_keys=True, ensure_ascii=False)
    return text.encode()


def to_compact_json(value: Any) -> bytes:
    """The same for those that only machines read."""
    options = {"separators": (",", ":"), "sort_keys": True, "ensure_ascii": False}
    text: str = late("json").dumps(_plain(value), **options)
    return text.encode()


def from_json(data: bytes, kind: type, entry: str) -> Any:
    """The record of this kind that the text says. Raises ArtifactError, which names the entry and the field."""
    return record_of(value_of(data, entry), kind, entry)


def value_of(data: bytes, entry: str) -> Any:
    """What the text says, as values of JSON's. Raises ArtifactError, which names the entry."""
    try:
        return from_text(data.decode())
    except RecursionError:
        raise ArtifactError(f"entry {entry}: it is nested too deeply") from None
    except ValueError as error:
        raise ArtifactError(f"entry {entry}: it is no JSON: {error}") from None


def record_of(value: Any, kind: type, entry: str) -> Any:
    """The record of this kind that values of JSON's are. Raises ArtifactError, which names the entry and the field."""
    try:
        return reader_of(kind)(value, f"entry {entry}")
    except RecursionError:
        raise ArtifactError(f"entry {entry}: it is nested too deeply") from None


def _is_size(value: Any) -> bool:
    dims = sys.modules.get("tracejit.ir.dim")  # without which there are none
    return dims is not None and type(value) is dims.Dim


# Writing


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is tuple:
        return [*map(_plain, value)]
    if kind is dict:
        return {key: _plain(part) for key, part in value.items()}
    if kind is float and not math.isfinite(value):
        return {"float": repr(value)}
    if kind is int and abs(value) > MOST:
        return {"int": hex(value)}
    if kind is bytes:
        return value.hex()
    if _is_size(value):
        return {"size": value.name}
    if isinstance(value, Enum):
        return value.value
    if hasattr(kind, "__match_args__"):
        fields = {name: _plain(getattr(value, name)) for name in kind.__match_args__}
        return {KIND: kind.__name__, **fields}
    return value


# Reading


@cache
def reader_of(hint: Any) -> Read:
    """What reads values of a type: one of those that fields of records are declared with."""
    made = _SIMPLE.get(hint)
    if made is not None:
        return made
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return _pair(arguments) if arguments[-1] is not Ellipsis else _many(reader_of(arguments[0]))
    if origin is dict:
        return _named(reader_of(arguments[1]))
    if origin in (typing.Union, types.UnionType):
        return _one_of(arguments)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _member(hint)
    return _record(hint)


def _record(kind: Any) -> Read:
    readers: dict[str, Read] = {}
    # Set one by one, as `__init__` would: compiling that takes longer than reading all records of a small artifact.
    setters = [getattr(kind, name).__set__ for name in kind.__match_args__]

    def read(value: Any, where: str) -> Any:
        if not readers:  # now, as records may hold records of their own kind
            readers.update(zip(kind.__match_args__, map(reader_of, _hints(kind))))
        if type(value) is not dict or value.get(KIND) != kind.__name__:
            raise ArtifactError(f"{where}: it is no {kind.__name__}")
        if value.keys() != {KIND, *readers}:
            wrong = sorted(value.keys() ^ {KIND, *readers})
            raise ArtifactError(f"{where}: fields are missing or unknown: {', '.join(wrong)}")
        record = object.__new__(kind)
        for (name, each), assign in zip(readers.items(), setters):
            assign(record, each(value[name], f"{where}: {name}"))
        return record

    return read


def _hints(kind: Any) -> list[Any]:
    """The types of a record's fields, which has them as text."""
    return [_evaluated(kind.__annotations__[name], kind.__module__) for name in kind.__match_args__]


@cache
def _evaluated(text: str, module: str) -> Any:
    names = vars(sys.modules[module])
    if text.startswith("tuple[") and text.endswith(", ...]"):
        return types.GenericAlias(tuple, (_evaluated(text[6:-6], module), ...))
    found = names.get(text) or vars(builtins).get(text)
    return found or eval(
        text, names
    )  # which takes longer than to read all records of a small artifact


def _one_of(kinds: tuple[Any, ...]) -> Read:
    records = {kind.__name__: kind for kind in kinds if hasattr(kind, "__match_args__")}
    others = tuple(kind for kind in kinds if kind not in records.values())

    def read(value: Any, where: str) -> Any:
        name = value.get(KIND) if type(value) is dict else None
        kind = records.get(name) if type(name) is str else None
        if kind is not None:
            return reader_of(kind)(value, where)
        if type(value) is dict and value.keys() == {"float"} and float in others:
            return _special(value["float"], where)
        if type(value) is dict and value.keys() == {"int"} and int in others:
            return _large(value["int"], where)
        if value is None and types.NoneType in others:
            return None
        for other in others:
            wanted = _JSON.get(typing.get_origin(other), other)
            if type(value) is wanted or (wanted is int and _is_size(value)):
                return reader_of(other)(value, where)
        names = ", ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
        raise ArtifactError(f"{where}: it is none of {names}")

    return read


_JSON = {tuple: list, dict: dict}
"""What is written in the place of a container."""


def _special(text: Any, where: str) -> float:
    found = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}.get(
        text if type(text) is str else ""
    )
    if found is None:
        raise ArtifactError(f"{where}: {text!r} is no number")
    return found


def _large(text: Any, where: str) -> int:
    try:
        return int(text, 16)
    except (TypeError, ValueError):
        raise ArtifactError(f"{where}: {text!r:.40} is no number") from None


def _many(each: Read) -> Read:
    def read(value: Any, where: str) -> tuple[Any, ...]:
        if type(value) is not list:
            raise ArtifactError(f"{where}: it is no list")
        return tuple([each(part, f"{where}[{place}]") for place, part in enumerate(value)])

    return read


def _pair(kinds: tuple[Any, ...]) -> Read:
    def read(value: Any, where: str) -> tuple[Any, ...]:
        if type(value) is not list or len(value) != len(kinds):
            raise ArtifactError(f"{where}: it is no list of {len(kinds)}")
        return tuple([reader_of(kind)(part, where) for kind, part in zip(kinds, value)])

    return read


def _named(each: Read) -> Read:
    def read(value: Any, where: str) -> Mapping[str, Any]:
        if type(value) is not dict:
            raise ArtifactError(f"{where}: it is no object")
        return {name: each(part, f"{where}: {name}") for name, part in value.items()}

    return read


def _member(kind: type[Enum]) -> Read:
    members = {each.value: each for each in kind}

    def read(value: Any, where: str) -> Any:
        found = members.get(value) if type(value) is str else None
        if found is None:
            raise ArtifactError(f"{where}: {value!r} is none of {', '.join(members)}")
        return found

    return read


def _plainly(kind: type) -> Read:
    def read(value: Any, where: str) -> Any:
        if type(value) is not kind:
            if kind is int and _is_size(value):
                return value
            raise ArtifactError(f"{where}: {value!r:.40} is no {kind.__name__}")
        if isinstance(value, int) and not -MOST <= value <= MOST:
            raise ArtifactError(f"{where}: the number is too large")
        return value

    return read


def _bytes(value: Any, where: str) -> bytes:
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        raise ArtifactError(f"{where}: it is no text of hexadecimal digits") from None


_SIMPLE: dict[Any, Read] = {
    **{kind: _plainly(kind) for kind in (bool, int, float, str)},
    bytes: _bytes,
    object: _plainly(str),  # whose text says more: whoever declares it reads that
}
