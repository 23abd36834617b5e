"""What can be seen of a value, as plain data that is compared with what is seen in another world."""

from __future__ import annotations

import enum
import functools
import sys
import types
from collections import deque
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from tracejit.dtypes import DType
from tracejit.storage import as_array
from tracejit.tensor import Tensor
from tracejit.tracing.compile import Compiled

ATOMS = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    range,
    slice,
    *map(type, (None, ..., NotImplemented)),
)
NAMED = (
    *(enum.Enum, DType, np.dtype, BaseException),
    *(type, types.BuiltinFunctionType, types.ModuleType, np.ufunc),
)
HERE = str(Path(__file__).parent)


class Observer:
    """Numbers objects in the order in which it first sees them, and keeps them: an object that is seen again has its number.

    So identity and sharing are compared, within one observation and between observations. Atoms and tuples have no number.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []

    def look(self, value: Any) -> dict[str, Any]:
        """What is seen now: the value, and which tensors and arrays in it overlap in memory."""
        self._shown: set[int] = set()
        self._memory: list[tuple[int, np.ndarray]] = []
        return {"value": self._see(value), "overlap": list(self._overlaps())}

    def look_again(self) -> dict[str, Any]:
        """What has become of all tensors and arrays that were seen."""
        return self.look([x for x in self._kept if isinstance(x, Tensor | np.ndarray)])

    def _overlaps(self) -> Iterator[tuple[int, int]]:
        for (one, x), (other, y) in combinations(self._memory, 2):
            if np.may_share_memory(x, y):
                yield one, other

    def _see(self, value: Any) -> Any:
        kind = type(value)
        name = kind.__name__
        if kind in ATOMS:
            return name, repr(value)
        if isinstance(value, np.generic | np.ndarray) and kind.__module__ == "numpy":
            return self._see_array(value)
        if issubclass(kind, Tensor):
            return self._see_tensor(value)
        if isinstance(value, NAMED):
            return self._see_named(value)
        if issubclass(kind, tuple):
            return name, [self._see(part) for part in value]
        if kind is types.MethodType:
            return name, value.__name__, self._see(value.__self__)
        return self._see_object(value)

    def _see_array(self, value: Any) -> Any:
        name = type(value).__name__
        if isinstance(value, np.generic):
            return name, bits(np.asarray(value))
        number = self._number(value)
        self._memory.append((number, value))
        # Not its strides: what is computed is in row-major order, where NumPy keeps the operands'.
        return name, number, {"writeable": value.flags.writeable}, bits(value)

    def _see_tensor(self, value: Tensor) -> Any:
        number = self._number(value)
        if number in self._shown:
            return number
        self._shown.add(number)
        array = as_array(value)
        self._memory.append((number, array))
        about = {
            "strides": [
                s for size, s in zip(value.shape, value.strides) if size > 1 and value.size
            ],
            "requires_grad": value.requires_grad,
            "is_leaf": value.is_leaf,
            "grad": self._see(value.grad),
        }
        return type(value).__name__, number, about, bits(array)

    def _see_named(self, value: Any) -> Any:
        kind = type(value).__name__
        match value:
            case enum.Enum():
                return kind, value.name
            case BaseException():
                return kind, str(value), self._see(value.args), list(_lines(value)), _causes(value)
            case type() if issubclass(value, enum.Enum) or HERE not in str(_file_of(value)):
                return "class", value.__qualname__
            case type():
                state = {k: self._see(v) for k, v in vars(value).items() if _is_state(k, v)}
                return "class", value.__qualname__, state
            case _:
                return kind, getattr(value, "__name__", str(value))

    def _see_object(self, value: Any) -> Any:
        """An object with an identity; its content is shown once in an observation."""
        kind = type(value)
        if kind is Compiled and not hasattr(value.function, "__qualname__"):
            return self._see(value.function)
        number = self._number(value)
        if number in self._shown:
            return number
        self._shown.add(number)
        if kind is Compiled or kind is types.FunctionType:
            function = value.function if kind is Compiled else value
            return "function", function.__qualname__, number, self._see_items(vars(function))
        return kind.__name__, number, *self._content(value)

    def _content(self, value: Any) -> Iterator[Any]:
        if isinstance(value, list | deque):
            yield [self._see(part) for part in value]
        elif isinstance(value, dict):
            yield self._see_items(value)
        elif isinstance(value, set | frozenset):
            yield sorted(repr(self._see(part)) for part in value)
        elif isinstance(value, functools.partial):
            yield [self._see(part) for part in (value.func, value.args, value.keywords)]
        for name in _slots(type(value)):
            if hasattr(value, name):
                yield name, self._see(getattr(value, name))
        yield self._see_items(getattr(value, "__dict__", {}))

    def _see_items(self, items: Any) -> list[Any]:
        return [(self._see(key), self._see(part)) for key, part in dict(items).items()]

    def _number(self, value: Any) -> int:
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._kept)
            self._kept.append(value)
        return self._numbers[id(value)]


def bits(array: np.ndarray) -> Any:
    """Dtype, shape, values to read, and bits, in which all NaNs are alike."""
    array = np.array(array)
    if array.dtype.kind == "O":
        return str(array.dtype), array.shape, repr(array.tolist())
    if array.dtype.kind not in "biuMmSU":
        array[np.isnan(array)] = np.nan
    return str(array.dtype), array.shape, str(array.tolist()), array.tobytes().hex()


def _slots(kind: type) -> list[str]:
    names = [vars(base).get("__slots__", ()) for base in kind.__mro__]
    return [
        s
        for slots in names
        for s in ([slots] if isinstance(slots, str) else slots)
        if s[:2] != "__"
    ]


def _file_of(kind: type) -> Any:
    return getattr(sys.modules.get(kind.__module__), "__file__", None)


def _is_state(name: str, value: Any) -> bool:
    return name[:2] != "__" and not callable(value) and not hasattr(type(value), "__get__")


def _lines(error: BaseException) -> Iterator[tuple[str, int]]:
    """The functions and lines of the case that an exception came through."""
    trace = error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.name.startswith("cases_"):
            yield trace.tb_frame.f_code.co_name, trace.tb_lineno
        trace = trace.tb_next


def _causes(error: BaseException) -> list[Any]:
    linked = (error.__cause__, error.__context__)
    return [other and (type(other).__name__, str(other)) for other in linked]
