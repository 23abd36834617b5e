"""`tracejit export`, `inspect` and `run`."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import tracejit as tj
from tracejit import dtypes
from tracejit.cli import in_units
from tracejit.standalone.functions import TYPES
from tracejit.standalone.overview import overview
from tracejit.standalone.records import (
    Argument,
    ArrayArgument,
    DictArgument,
    FixedArgument,
    NumberArgument,
    SequenceArgument,
)

_ARRAY = re.compile(r"\s*(\w+)\[([\d\s,]*)\]\s*(?:,|$)")
_LITERAL = re.compile(r"\s*([^,\[\]]+?)\s*(?:,|$)")
_DTYPES = {dtype.name: dtype for dtype in dtypes.ALL}


class Refusal(Exception):
    """A command that cannot be run; the message says why."""


def export(
    function: str,
    args: str,
    output: str | None,
    targets: list[str],
    *,
    arrays: bool,
    c: str | None,
    name: str | None,
) -> None:
    """Exports what is found in a module, called with arguments of these dtypes and shapes."""
    if output is None and c is None:
        raise Refusal(
            "export: say where to: -o FILE for an artifact, --c FOLDER for a library of C"
        )
    f = _found(function)
    tj.export(f, [*_values(args, arrays=arrays)], output, targets=targets, c=c, name=name)
    if output is not None:
        print(f"{output}: {in_units(Path(output).stat().st_size)}")
    if c is not None:
        print(f"{c}: a library for C")


def inspect(path: str) -> None:
    print(overview(Path(path)))


def run(path: str, inputs: str | None, output: str | None) -> None:
    """Calls an artifact once with the arrays of one file, and writes what it gives to another."""
    loaded = tj.load(path)
    given: dict[str, np.ndarray] = {}
    if inputs is not None:
        with np.load(inputs) as file:
            given = dict(file)
    parameters = loaded.manifest.call.parameters
    kwargs = {each.name: _argument(each.argument, each.name, given) for each in parameters}
    if given:
        raise Refusal(
            f"{inputs}: there is no argument {', '.join(given)}: it takes {loaded.signature}"
        )
    results = dict(_results(loaded(**kwargs), "result"))
    for name, array in results.items():
        print(f"{name}: {array.dtype}{[*array.shape]}")
    if output is not None:
        np.savez(output, **results)  # type: ignore[arg-type]  # its stubs take the arrays for its option


def _found(name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    if not attribute:
        raise Refusal(f"{name!r} is not of the form module:function")
    sys.path.insert(0, "")
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise Refusal(f"{name}: {error}") from None
    if not callable(found):
        raise Refusal(f"{name} is no function")
    return found


def _values(text: str, *, arrays: bool) -> Iterator[Any]:
    """The arguments that a text such as `float32[2,3], 0.5` describes: zeros, of these dtypes and shapes, and numbers."""
    at = 0
    while at < len(text):
        found = _ARRAY.match(text, at) or _LITERAL.match(text, at)
        if found is None:
            raise Refusal(f"--args: {text[at:]!r} is not of the form float32[2,3]")
        at = found.end()
        if found.re is _ARRAY:
            yield _zeros(found[1], found[2], arrays=arrays)
        else:
            yield _literal(found[1])


def _zeros(name: str, dims: str, *, arrays: bool) -> Any:
    if name not in _DTYPES:
        raise Refusal(f"--args: {name!r} is none of {', '.join(_DTYPES)}")
    shape = tuple(int(dim) for dim in dims.split(",") if dim.strip())
    zeros = tj.zeros(shape, dtype=_DTYPES[name])
    return zeros.numpy() if arrays else zeros


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise Refusal(
            f"--args: {text!r} is neither a number nor of the form float32[2,3]"
        ) from None


def _argument(argument: Argument, name: str, given: dict[str, np.ndarray]) -> Any:
    """The argument from the arrays of a file, which are used up; its parts are named `name.part`."""
    match argument:
        case FixedArgument(value=value):
            return value
        case SequenceArgument(parts=parts):
            found = [_argument(part, f"{name}.{n}", given) for n, part in enumerate(parts)]
            return found if argument.type == "list" else tuple(found)
        case DictArgument(keys=keys, parts=parts):
            return {key: _argument(part, f"{name}.{key}", given) for key, part in zip(keys, parts)}
        case ArrayArgument() | NumberArgument():
            if name not in given:
                raise Refusal(f"--inputs: the argument {name} is missing")
            array = given.pop(name)
            return TYPES[argument.type](array) if isinstance(argument, NumberArgument) else array


def _results(value: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays and numbers of a result; of its parts the names are `name.part`."""
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _results(part, f"{name}.{key}")
    elif value is not None:
        yield name, np.asarray(value.detach() if isinstance(value, tj.Tensor) else value)
