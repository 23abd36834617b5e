"""NumPy's functions that make arrays of sizes alone: as calls of tracejit's, which take open sizes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tracejit import ops
from tracejit.numpy_functions.arguments import LeftToNumPy, as_dtype, is_number, require, signature


def _zeros(shape: Any, dtype: Any = np.float64) -> Any:
    return partial(ops.zeros, shape, dtype=as_dtype(dtype))


def _ones(shape: Any, dtype: Any = np.float64) -> Any:
    return partial(ops.ones, shape, dtype=as_dtype(dtype))


def _full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    require(is_number(fill_value))
    wanted = np.dtype(type(fill_value)) if dtype is None else dtype
    return partial(ops.full, shape, fill_value, dtype=as_dtype(wanted))


def _eye(N: Any, M: Any = None, k: int = 0, dtype: Any = np.float64) -> Any:  # NumPy's names
    return partial(ops.eye, N, M, k=k, dtype=as_dtype(dtype))


def _identity(n: Any, dtype: Any = np.float64) -> Any:
    return partial(ops.eye, n, dtype=as_dtype(dtype))


def _arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Any:
    numbers = (start, stop, step)
    require(dtype is not None or not any(isinstance(x, float | np.generic) for x in numbers))
    return partial(ops.arange, *numbers, dtype=as_dtype(np.int64 if dtype is None else dtype))


SIZED: dict[Callable[..., Any], Callable[..., Any]] = {
    np.arange: _arange,
    np.empty: _zeros,
    np.eye: _eye,
    np.full: _full,
    np.identity: _identity,
    np.ones: _ones,
    np.zeros: _zeros,
}
"""By the function, with parameters of NumPy's names in NumPy's order."""


def translated(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> partial[Any] | None:
    """The call of tracejit's function; None where it has no such arguments."""
    made = SIZED[function]
    try:
        call = signature(made).bind(*args, **kwargs)
        found: partial[Any] = made(*call.args, **call.kwargs)
    except (TypeError, LeftToNumPy):
        return None
    return found
