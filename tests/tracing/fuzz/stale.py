"""What is to be found wrong: a compiler that remembers results by argument values alone, and one that crashes."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import tracejit as tj


def compile(function: Callable[..., Any]) -> Callable[..., Any]:
    """Answers a call with the result of an earlier one with equal arguments, as if functions were pure."""
    results: dict[str, Any] = {}

    @functools.wraps(function)
    def compiled(*args: Any, **kwargs: Any) -> Any:
        key = repr([_content(arg) for arg in (*args, *kwargs.values())])
        if key not in results:
            results[key] = function(*args, **kwargs)
        return results[key]

    return compiled


def crash(function: Callable[..., Any]) -> Callable[..., Any]:
    """Ends the interpreter at the first call."""
    return lambda *args, **kwargs: os.abort()


def _content(value: Any) -> Any:
    return (value.dtype, value.tolist()) if isinstance(value, tj.Tensor) else (type(value), value)
