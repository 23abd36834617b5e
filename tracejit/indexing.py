"""Reading and writing parts of tensors, and showing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tracejit import dtypes
from tracejit._config import config

if TYPE_CHECKING:
    from tracejit.tensor import Tensor


def shown(tensor: Tensor) -> str:
    """`tensor([1., 2.], dtype=float64, requires_grad=True)`; the dtype where it is not what the text alone would give."""
    array = as_array(tensor)
    text = np.array2string(array, separator=", ", prefix="tensor(")
    parts = [text]
    implied = {bool: dtypes.bool_, int: dtypes.int64, float: config.default_dtype}
    python = {"b": bool, "i": int, "u": int, "f": float}[tensor.dtype.kind]
    if implied[python] is not tensor.dtype or not tensor.size:
        parts.append(f"dtype={tensor.dtype.name}")
    if tensor.requires_grad:
        parts.append("requires_grad=True")
    return f"tensor({', '.join(parts)})"
