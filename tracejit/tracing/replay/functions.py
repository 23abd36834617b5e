"""Functions that a call has made: their code as the user wrote it, and the variables that they share."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from tracejit.tracing.instrument import is_instrumented, original

_NAMES = ("__name__", "__qualname__", "__doc__", "__module__")


def plain_code(function: FunctionType) -> CodeType | None:
    """The function's code without hooks; None where that has other variables."""
    code = function.__code__
    if not is_instrumented(code):
        return code
    found = original(code)
    return found if found.co_freevars == code.co_freevars else None


def without_hooks(function: FunctionType) -> None:
    """From here on the function runs as it was written: nobody records what it does."""
    code = plain_code(function)
    if code is not None and code is not function.__code__:
        function.__code__ = code


def own_names(function: FunctionType, code: CodeType) -> Iterator[tuple[str, Any]]:
    """Names that the function was given later, and not by its code."""
    fresh = FunctionType(code, function.__globals__, closure=function.__closure__)
    for name in _NAMES:
        value = getattr(function, name)
        if value != getattr(fresh, name):
            yield name, value
