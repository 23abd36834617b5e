"""Functions that can reach no memory but their arguments': nobody else reads or writes those while such a function runs.

Without that proof the memory of a NumPy array is read as of each op, from a copy, and written at once, because any Python code
may hold another array over it. What runs at any time, other threads and finalizers, is not looked at: it would race with plain
NumPy as well.
"""

from __future__ import annotations

import builtins
import dis
import functools
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType, NoneType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from tracejit.dtypes import DType
from tracejit.ops.op import Op
from tracejit.storage import Storage
from tracejit.tensor import Tensor
from tracejit.tracing.stand_in import StandIn

ATOMS = frozenset({bool, int, float, str, bytes, NoneType})
MODULES = frozenset({"numpy", "tracejit", "math"})
BUILTINS = frozenset({
    abs, bool, dict, enumerate, float, int, isinstance, len, list, max, min, pow, range, reversed, round, slice, sum,
    tuple, zip, ValueError, TypeError, IndexError, KeyError, RuntimeError, AssertionError,
})  # fmt: skip
_REACHING_OUT = frozenset({
    "DELETE_GLOBAL", "DELETE_NAME", "GET_AWAITABLE", "IMPORT_FROM", "IMPORT_NAME", "IMPORT_STAR", "LOAD_BUILD_CLASS",
    "LOAD_NAME", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_GLOBALS", "LOAD_LOCALS", "SEND", "STORE_ATTR", "STORE_GLOBAL",
    "STORE_NAME",
})  # fmt: skip

_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR")
_NUMPY_FUNCTION = type(np.sum)

Path = tuple[str, ...]
"""A global variable, and the attributes that are read from it: `np.linalg.norm`."""
Read = Callable[[], Any]
"""Gives what a path, or a closure variable, is now."""


def is_closed(function: Any) -> bool:
    """Whether a plain function, as things stand now, reaches nothing but its arguments, numbers, NumPy and tracejit."""
    return _is_closed(function, set())


def _is_closed(function: Any, above: set[FunctionType]) -> bool:
    if type(function) is not FunctionType:
        return False
    if function in above:
        return True
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    if any(type(default) not in ATOMS for default in defaults):
        return False
    reads = _reads_of(function)
    return reads is not None and all(_is_harmless(read(), {*above, function}) for read in reads)


def _is_harmless(value: Any, above: set[FunctionType]) -> bool:
    """Whether a value from outside leads to no memory. What it says of itself, as `functools.wraps` makes it, does not count."""
    kind = type(value)
    if kind in ATOMS or kind in (DType, _NUMPY_FUNCTION, Op):
        return True
    if kind is np.ufunc:
        return set("".join(value.types)) != set(
            "O->"
        )  # of objects only: `np.frompyfunc` made it of any function
    if kind is FunctionType:
        is_own = _is_library(value.__globals__.get("__name__", ""))
        return is_own or (not value.__dict__ and _is_closed(value, above))
    if kind is BuiltinFunctionType:
        return value in BUILTINS or value.__self__ is math or _is_library(value.__module__ or "")
    is_class = kind is type or kind is type(Tensor)
    return is_class and (value in (*BUILTINS, np.ndarray, Tensor) or issubclass(value, np.generic))


def _is_library(module: str) -> bool:
    return module.split(".")[0] in MODULES


_known: WeakKeyDictionary[CodeType, set[Path] | None] = WeakKeyDictionary()
"""What code reads, by name only: what stands there may lead back to the function, which would then never die."""


def _reads_of(function: FunctionType) -> list[Read] | None:
    """What a function reads from outside; None where its code does more than the list of instructions allows."""
    code = function.__code__
    if code not in _known:
        _known[code] = _paths(code)
    paths = _known[code]
    return None if paths is None else [*_globals(function, paths), *_cells(function)]


def _paths(code: CodeType) -> set[Path] | None:
    """All that starts at a global variable, in the function and those inside it."""
    paths: set[Path] = set()
    path: Path = ()
    for instruction in dis.get_instructions(code):
        name, argument = instruction.opname, instruction.argval
        if name in _REACHING_OUT or (name in _ATTRIBUTES and argument.startswith("_")):
            return None
        if path and name in _ATTRIBUTES:
            path = (*path, argument)
            continue
        paths.add(path)
        path = (argument,) if name == "LOAD_GLOBAL" else ()
    inner = [_paths(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    if None in inner:
        return None
    return paths.union([path], *filter(None, inner)) - {()}


def _globals(function: FunctionType, paths: set[Path]) -> Iterator[Read]:
    for path in paths:
        yield functools.partial(_at, function.__globals__, path)


def _at(scope: dict[str, Any], path: Path) -> Any:
    """What is reached by way of the library's modules: what further attributes give belongs to that."""
    value = scope.get(path[0], getattr(builtins, path[0], ...))
    for name in path[1:]:
        if type(value) is not ModuleType or not _is_library(value.__name__):
            return value
        value = getattr(value, name, ...)
    return value


def _cells(function: FunctionType) -> Iterator[Read]:
    for cell in function.__closure__ or ():
        yield functools.partial(_content, cell)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return ...


# The arguments


def are_plain(values: Iterable[Any]) -> bool:
    """Whether arguments are only numbers, text, stand-ins, and containers of these: nothing that leads to other memory."""
    return all(map(_is_plain, values))


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind in (tuple, list):
        return are_plain(value)
    if kind is dict:
        return are_plain(value.values())
    return kind is StandIn or kind in ATOMS or issubclass(kind, np.generic)


def lie_apart(arrays: list[np.ndarray]) -> bool:
    """Whether no two arrays share memory, judged by the stretches of memory that they lie in."""
    bounds = sorted(np.lib.array_utils.byte_bounds(array) for array in arrays)
    return all(end <= begin for (_, end), (begin, _) in pairwise(bounds))


class Sealed:
    """Inside the block the memory of some storages counts as nobody else's."""

    def __init__(self, storages: list[Storage]) -> None:
        self._storages = storages

    def __enter__(self) -> None:
        for storage in self._storages:
            storage.escaped = False

    def __exit__(self, *error: object) -> None:
        for storage in self._storages:
            storage.escaped = True
