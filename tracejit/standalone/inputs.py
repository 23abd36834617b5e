"""The arguments of one call of an artifact: from the arrays of a file, or made up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit.standalone.functions import TYPES
from tracejit.standalone.records import (
    Argument,
    ArrayArgument,
    Call,
    Check,
    DictArgument,
    FixedArgument,
    NumberArgument,
    SequenceArgument,
)
from tracejit.standalone.signature import signature_of
from tracejit.standalone.ways import steps_of


class Refusal(Exception):
    """A command that cannot be run; the message says why."""


def read_inputs(call: Call, path: str | Path | None) -> dict[str, Any]:
    """The arguments by name, from a file's arrays, whose parts are named `name.part`. Raises Refusal where they do not fit."""
    given: dict[str, np.ndarray] = {}
    if path is not None:
        with np.load(path) as file:
            given = dict(file)
    found = {each.name: _read(each.argument, each.name, given) for each in call.parameters}
    if given:
        raise Refusal(
            f"{path}: there is no argument {', '.join(given)}: it takes {signature_of(call)}"
        )
    return found


def _read(argument: Argument, name: str, given: dict[str, np.ndarray]) -> Any:
    """The argument, whose arrays are taken out of `given`."""
    match argument:
        case ArrayArgument() | NumberArgument():
            if name not in given:
                raise Refusal(f"--inputs: the argument {name} is missing")
            array = given.pop(name)
            return TYPES[argument.type](array) if isinstance(argument, NumberArgument) else array
        case _:
            parts = {key: _read(part, f"{name}.{key}", given) for key, part in _parts(argument)}
            return _whole(argument, parts)


def made_up(call: Call, seed: int = 0) -> dict[str, Any]:
    """Arguments by name: normal floats, ones for numbers, and integers that are within what the call checks, or zero."""
    rng = np.random.default_rng(seed)
    sizes: dict[int, int] = {}
    for step in steps_of(call):
        if isinstance(step, Check):
            slot = step.memory.slot
            sizes[slot] = min(step.size, sizes.get(slot, step.size))
    return {each.name: _made_up(each.argument, sizes, rng) for each in call.parameters}


def _made_up(argument: Argument, sizes: Mapping[int, int], rng: np.random.Generator) -> Any:
    match argument:
        case NumberArgument(type=kind):
            return TYPES[kind](1)
        case ArrayArgument(slot=slot, dtype=name, shape=shape):
            dtype = dtypes.as_dtype(name).numpy
            if dtype.kind in "iu":
                return rng.integers(0, max(sizes.get(slot, 1), 1), shape).astype(dtype)
            normal = rng.standard_normal(shape)
            return (normal > 0) if dtype.kind == "b" else np.asarray(normal).astype(dtype)
        case _:
            parts = {key: _made_up(part, sizes, rng) for key, part in _parts(argument)}
            return _whole(argument, parts)


Composite = FixedArgument | SequenceArgument | DictArgument


def _parts(argument: Composite) -> Iterator[tuple[str | int, Argument]]:
    match argument:
        case FixedArgument():
            yield from ()
        case SequenceArgument(parts=parts):
            yield from enumerate(parts)
        case DictArgument(keys=keys, parts=parts):
            yield from zip(keys, parts)


def _whole(argument: Composite, parts: dict[str | int, Any]) -> Any:
    match argument:
        case FixedArgument(value=value):
            return value
        case SequenceArgument(type=kind):
            return [*parts.values()] if kind == "list" else tuple(parts.values())
        case DictArgument():
            return parts
