"""Text: what becomes of it is recorded, so that the text of a number that changes does so, too."""

from __future__ import annotations

import enum
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from tracejit.dtypes import DType
from tracejit.symbols import SYMBOLS, SymbolicStr, derived, settled
from tracejit.tensor import Tensor
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.hooks import containers, library, namespaces
from tracejit.tracing.replay.kinds import ATOMS, found_on, is_numpy_number
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.stand_in import StandIn

_TAKING_ATOMS = frozenset({
    "format", "ljust", "rjust", "center", "replace", "strip", "lstrip", "rstrip", "removeprefix", "removesuffix",
})  # fmt: skip
"""Methods of text that give text, and of whose arguments they read nothing but the value."""
_TELLING = ("__str__", "__repr__", "__format__")
_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "": lambda value: value,
    "s": str,
    "r": repr,
    "a": ascii,
}


def is_atom(value: Any) -> bool:
    return type(value) in ATOMS or type(value) in SYMBOLS


def written(value: Any, conversion: str, spec: str) -> str:
    """What stands for `{value!conversion:spec}`."""
    return format(_CONVERSIONS[conversion](value), spec)


def formatted(recording: Recording, value: Any, conversion: str, spec: Any) -> Any:
    """A part of an f-string."""
    is_tensor = isinstance(value, Tensor) or type(value) is StandIn
    if is_tensor and value.aval.size == 1 and spec and type(spec) is str and not conversion:
        value = library.number_of(recording, value, "item")
    if is_atom(value):
        return derived(written, value, conversion, spec)
    become_text(recording, value)
    return written(value, conversion, settled(spec))


def joined(*parts: str) -> str:
    return "".join(parts)


def become_text(recording: Recording, value: Any) -> None:
    """Native code makes text of `value`: what it reads is guarded, or the recording ends."""
    containers.expand(recording, value)
    if recording.live and not _is_readable(recording, value, 0):
        what = (
            "tensor"
            if isinstance(value, Tensor) and type(value) is not StandIn
            else type(value).__name__
        )
        recording.deny(f"a {what} becomes text")


def _is_readable(recording: Recording, value: Any, depth: int) -> bool:
    kind = type(value)
    if is_numpy_number(value):
        options = np.get_printoptions
        recording.once(("printing",), g.ModeIs("np.get_printoptions()", options, options()))
        return True
    if kind in ATOMS or isinstance(value, DType):
        return True
    if kind in SYMBOLS:
        settled(value)
        return True
    if isinstance(value, enum.Enum):
        for name in _TELLING:
            recording.class_has(kind, name)
        return all(_is_of_library(kind, name) for name in _TELLING)
    if isinstance(value, BaseException):
        recording.exception_is_read(value)
        parts = value.args
        if FunctionType in [type(found_on(kind, name)) for name in _TELLING]:
            return False
        for name in _TELLING:
            recording.class_has(kind, name)
        namespaces.name_of_class(recording, kind, "__name__")
    elif containers.is_container(value) and not (isinstance(value, tuple) and kind is not tuple):
        parts = tuple(containers.parts(value))
    elif isinstance(value, type) and type(value) is type:
        for name in ("__module__", "__qualname__"):
            namespaces.name_of_class(recording, value, name)
        return True
    else:
        return False
    return depth < 20 and all(_is_readable(recording, part, depth + 1) for part in parts)


def _is_of_library(kind: type, name: str) -> bool:
    found = found_on(kind, name)
    return getattr(found, "__module__", None) == "enum" or type(found) is not FunctionType


# Operators and methods


def percent(text: str, *parts: Any) -> str:
    return text % parts


def call(text: str, name: str, names: tuple[str, ...], *values: Any) -> Any:
    """`text.name(...)`, where the last of the values are those of the keywords `names`."""
    split = len(values) - len(names)
    return getattr(text, name)(*values[:split], **dict(zip(names, values[split:])))


def of_symbols(text: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A method of text with symbols among its arguments, as an expression; NotImplemented where it is none."""
    values = (*args, *kwargs.values())
    if name == "join" and len(args) == 1 and type(args[0]) in (list, tuple) and not kwargs:
        values = tuple(args[0])
        if not any(type(value) is SymbolicStr for value in values):
            return NotImplemented
        return derived(joined_by, text, *values) if all(map(is_atom, values)) else NotImplemented
    if name not in _TAKING_ATOMS or type(text) is not str or not all(map(is_atom, values)):
        return NotImplemented
    return derived(call, text, name, tuple(kwargs), *values)


def joined_by(separator: str, *parts: str) -> str:
    return separator.join(parts)
