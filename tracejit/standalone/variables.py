"""The variables around a function as they were before it was called: Python writes to them, and nobody is asked before."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import CellType, FunctionType, MethodType
from typing import Any

_MISSING = object()
_METHODS = ("forward", "__call__")
"""What is run where an object is called, the first that its class has."""


class Variables:
    """What the global variables of a function's module, and the variables of functions around it, held."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._holders: list[tuple[Any, dict[str, Any]]] = []
        inner = _inner(function)
        if inner is not None:
            self._holders.append((inner.__globals__, dict(inner.__globals__)))
            self._holders += [(cell, _content(cell)) for cell in inner.__closure__ or ()]

    def has(self, holder: Any) -> bool:
        return any(each is holder for each, _ in self._holders)

    def of(self, holder: Any, name: str) -> Any:
        """What stood under the name in a dict of global variables, or in a cell."""
        before = next(before for each, before in self._holders if each is holder)
        return before.get(name, _MISSING)


def put(holder: Any, name: str, value: Any) -> None:
    """Gives a variable a value that it had before, if it had one."""
    if isinstance(holder, dict):
        if value is _MISSING:
            holder.pop(name, None)
        else:
            holder[name] = value
    elif value is not _MISSING:
        holder.cell_contents = value
    else:
        del holder.cell_contents


def _content(cell: CellType) -> dict[str, Any]:
    try:
        return {"cell_contents": cell.cell_contents}
    except ValueError:  # not assigned yet
        return {}


def _inner(function: Any) -> FunctionType | None:
    """The function in Python that a call comes to."""
    while not isinstance(function, FunctionType):
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, MethodType):
            function = function.__func__
        else:
            ways = [inspect.getattr_static(type(function), name, None) for name in _METHODS]
            return next((each for each in ways if isinstance(each, FunctionType)), None)
    return function
