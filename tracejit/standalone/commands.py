"""`tracejit export`, `inspect`, `run`, and `bench` of an artifact."""

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
from tracejit.standalone.bench import bench as lines_of_bench
from tracejit.standalone.inputs import Refusal, read_inputs
from tracejit.standalone.overview import overview
from tracejit.standalone.page import page_of
from tracejit.standalone.putting import put

_ARRAY = re.compile(r"\s*((\w+)\[[\w\s,]*\])\s*(?:,|$)")
_LITERAL = re.compile(r"\s*([^,\[\]]+?)\s*(?:,|$)")
_DTYPES = [dtype.name for dtype in dtypes.ALL]
_SIZES = re.compile(r"\s*(\w+)\s*=\s*(\d+(?:\s*,\s*\d+)*)\s*(?:[,;\s]|$)")


def export(
    function: str,
    args: str,
    output: str | None,
    targets: list[str],
    *,
    arrays: bool,
    sizes: str,
    c: str | None,
    name: str | None,
) -> None:
    """Exports what is found in a module, called with arguments of these dtypes and shapes."""
    if output is None and c is None:
        raise Refusal(
            "export: say where to: -o FILE for an artifact, --c FOLDER for a library of C"
        )
    f = _found(function)
    how: dict[str, Any] = {"targets": targets, "arrays": arrays, "c": c, "name": name}
    tj.export(f, [*_values(args)], output, sizes=_sizes(sizes), **how)
    if output is not None:
        print(f"{output}: {in_units(Path(output).stat().st_size)}")
    if c is not None:
        print(f"{c}: a library for C")


def inspect(path: str, html: str | None) -> None:
    """Tells what is in an artifact, or writes a page that does."""
    if html is None:
        print(overview(Path(path)))
        return
    put(Path(html), [page_of(Path(path)).encode()])
    print(f"{html}: {in_units(Path(html).stat().st_size)}")


def run(path: str, inputs: str | None, output: str | None, *, device: str) -> None:
    """Calls an artifact once with the arrays of one file, and writes what it gives to another."""
    loaded = tj.load(path, device=device)
    results = dict(_results(loaded(**read_inputs(loaded.manifest.call, inputs)), "result"))
    for name, array in results.items():
        print(f"{name}: {array.dtype}{[*array.shape]}")
    if output is not None:
        np.savez(output, **results)  # type: ignore[arg-type]  # its stubs take the arrays for its option


def bench(path: str, inputs: str | None, seconds: float, sizes: str) -> None:
    one = {name: given[0] for name, given in _sizes(sizes).items()}
    for line in lines_of_bench(Path(path), inputs, seconds, one):
        print(line, flush=True)


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


def _sizes(text: str) -> dict[str, tuple[int, ...]]:
    """`batch=1,8,128 length=16`"""
    found: dict[str, tuple[int, ...]] = {}
    at = 0
    while at < len(text):
        part = _SIZES.match(text, at)
        if part is None:
            raise Refusal(f"--sizes: {text[at:]!r} is not of the form batch=1,8,128")
        at = part.end()
        found[part[1]] = tuple(map(int, part[2].split(",")))
    return found


def _values(text: str) -> Iterator[Any]:
    """The arguments that a text such as `float32[2,3], 0.5` describes: arrays, as `tj.export` takes them, and numbers."""
    at = 0
    while at < len(text):
        found = _ARRAY.match(text, at) or _LITERAL.match(text, at)
        if found is None:
            raise Refusal(f"--args: {text[at:]!r} is not of the form float32[2,3]")
        at = found.end()
        if found.re is _ARRAY:
            if found[2] not in _DTYPES:
                raise Refusal(f"--args: {found[2]!r} is none of {', '.join(_DTYPES)}")
            yield found[1]
        else:
            yield _literal(found[1])


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise Refusal(
            f"--args: {text!r} is neither a number nor of the form float32[2,3]"
        ) from None


def _results(value: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays and numbers of a result; of its parts the names are `name.part`."""
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _results(part, f"{name}.{key}")
    elif value is not None:
        yield name, np.asarray(value.detach().cpu() if isinstance(value, tj.Tensor) else value)
