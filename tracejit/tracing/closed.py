"""Functions that can reach no memory but their arguments': nobody else reads or writes those while such a function runs.

Without that proof the memory of a NumPy array is read as of each op, from a copy, and written at once, because any Python code
may hold another array over it. What runs at any time, other threads and finalizers, is not looked at: it would race with plain
NumPy as well.
"""

from __future__ import annotations

import builtins
import dis
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from types import CellType, CodeType, FunctionType, ModuleType, NoneType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from tracejit.storage import Storage
from tracejit.tensor import Tensor
from tracejit.tracing.arrays import StandIn

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

_TELLING = frozenset({"builtins", "ctypes", "gc", "inspect", "os", "sys"})
"""Modules that could be reached as attributes of others."""

Read = Callable[[], Any]
"""Reads a global or closure variable as it is now."""


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
    """Whether a value from outside leads to no memory."""
    if type(value) in ATOMS:
        return True
    if isinstance(value, ModuleType):
        return value.__name__.split(".")[0] in MODULES
    if isinstance(value, np.ufunc):
        return True
    if isinstance(value, type):
        return value in (*BUILTINS, np.ndarray, Tensor) or issubclass(value, np.generic)
    if type(value) is FunctionType and value.__module__.split(".")[0] not in MODULES:
        return _is_closed(value, above)
    module = getattr(value, "__module__", None) or ""
    is_function = callable(value) and hasattr(value, "__name__")
    return is_function and (module.split(".")[0] in MODULES or _is_builtin(value))


def _is_builtin(value: Any) -> bool:
    return getattr(value, "__self__", None) in (builtins, math) and (
        value in BUILTINS or value.__self__ is math
    )


_known: WeakKeyDictionary[FunctionType, tuple[CodeType, list[Read] | None]] = WeakKeyDictionary()


def _reads_of(function: FunctionType) -> list[Read] | None:
    """What a function reads from outside; None where its code does more than the list of instructions allows."""
    code, reads = _known.get(function, (None, None))
    if code is not function.__code__:
        names = _global_names(function.__code__)
        reads = None if names is None else [*_globals(function, names), *_cells(function)]
        _known[function] = function.__code__, reads
    return reads


def _global_names(code: CodeType) -> set[str] | None:
    names: set[str] = set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in _REACHING_OUT or _is_telling(instruction):
            return None
        if instruction.opname == "LOAD_GLOBAL":
            names.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = _global_names(constant)
            if inner is None:
                return None
            names |= inner
    return names


def _is_telling(instruction: dis.Instruction) -> bool:
    """Whether an attribute is read that leads from a value to the world: `f.__globals__`, `np.lib.sys`."""
    if instruction.opname not in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"):
        return False
    return instruction.argval.startswith("_") or instruction.argval in _TELLING


def _globals(function: FunctionType, names: set[str]) -> Iterator[Read]:
    scope = function.__globals__
    for name in names:
        yield lambda name=name: scope.get(name, getattr(builtins, name, ...))  # type: ignore[misc]  # bound early


def _cells(function: FunctionType) -> Iterator[Read]:
    for cell in function.__closure__ or ():
        yield lambda cell=cell: _content(cell)  # type: ignore[misc]  # bound early


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
