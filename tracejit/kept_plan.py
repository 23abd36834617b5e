"""Plans as bytes and back. The bytes hold numbers and texts only: reading them runs no code."""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any

from tracejit import dtypes
from tracejit.artifact import (
    Argument,
    BufferSpec,
    HostCall,
    LaunchShape,
    LaunchSpec,
    Place,
    Plan,
    Segment,
)
from tracejit.dtypes import DType

Kernels = Mapping[str, tuple[str, str]]
"""By what a plan calls a kernel: the kernel's name, and the key of its object."""

_RECORDS = (Plan, LaunchSpec, HostCall, Segment, Argument, BufferSpec, LaunchShape)
_PLACE, _DTYPE = len(_RECORDS), len(_RECORDS) + 1
_NUMBER = {record: number for number, record in enumerate(_RECORDS)}
_FIELDS = {record: attrgetter(*record.__match_args__) for record in _RECORDS}
_PLACES = {place.value: place for place in Place}
_ATOMS = {bool, int, float, str, bytes, type(None)}


class NotKept(Exception):
    """A plan holds an object that cannot be written."""


def packed(plan: Plan, kernels: Kernels) -> bytes:
    """The plan without the texts of its kernels. Raises NotKept."""
    return marshal.dumps((_packed(replace(plan, kernels=())), dict(kernels)))


def unpacked(content: bytes) -> tuple[Plan, Kernels]:
    plan, kernels = marshal.loads(content)
    return _unpacked(plan), kernels


def _packed(value: Any) -> Any:
    """A record as a list of its number and its fields."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is tuple:
        return tuple(map(_packed, value))
    if kind is Place:
        return [_PLACE, value.value]
    if kind is DType:
        return [_DTYPE, value.name]
    if kind not in _NUMBER:
        raise NotKept(f"{value!r} is neither a number nor a text")
    return [_NUMBER[kind], *map(_packed, _FIELDS[kind](value))]


def _unpacked(value: Any) -> Any:
    # Most of a plan is numbers: they are not worth a call each.
    parts = [part if type(part) in _ATOMS else _unpacked(part) for part in value]
    if type(value) is tuple:
        return tuple(parts)
    number, *fields = parts
    if number == _PLACE:
        return _PLACES[fields[0]]
    if number == _DTYPE:
        return dtypes.as_dtype(fields[0])
    return _RECORDS[number](*fields)
