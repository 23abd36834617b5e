"""Arrays with a border around them."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from tracejit import ops
from tracejit.numpy_functions.arguments import array as as_array
from tracejit.numpy_functions.arguments import fitting, require
from tracejit.ops.arguments import copied

_FROM_WITHIN = frozenset({"edge", "reflect", "symmetric", "wrap"})
"""Borders of elements of the array itself."""


def pad(array: Any, pad_width: Any, mode: Any = "constant", *, constant_values: Any = 0) -> Any:
    x = as_array(array)
    given = np.asarray(pad_width)
    require(x.aval.ndim and given.dtype.kind in "iu" and (given >= 0).all())
    widths = np.broadcast_to(given, (x.aval.ndim, 2)).tolist()
    if mode == "constant":
        is_zero = type(constant_values) is int and constant_values == 0
        return ops.pad(x, widths, 0 if is_zero else fitting(constant_values, x.aval.dtype))
    require(mode in _FROM_WITHIN and constant_values == 0)
    padded = x
    for axis, width in enumerate(widths):
        if any(width):
            places = np.pad(np.arange(index(x.aval.shape[axis])), width, mode=mode)
            padded = ops.take(padded, places, axis=axis)
    return copied(padded) if padded is x else padded


__all__ = ["pad"]
