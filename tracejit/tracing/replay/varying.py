"""Functions of numbers whose result is of a type that depends on their values, as `2 ** -1` is no int."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

_VARYING = frozenset({operator.pow, operator.ipow, pow, min, max})


class OtherType(Exception):
    """The result is of another type than it was in the recorded call: Python is to run."""


def of_type(function: Callable[..., Any], kind: type) -> Callable[..., Any]:
    """`function`, which raises `OtherType` for a result that is not exactly of the type."""
    return _checked(function, kind) if function in _VARYING else function


@functools.cache
def _checked(function: Callable[..., Any], kind: type) -> Callable[..., Any]:
    def call(*operands: Any) -> Any:
        result = function(*operands)
        if type(result) is not kind:
            raise OtherType(f"{function.__name__} gives a {type(result).__name__}")
        return result

    call.checked = function, kind  # type: ignore[attr-defined]  # for code that checks the type itself
    return call
