"""Arguments of a function that computes on a device of its own: what lies elsewhere is copied there."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.ops.arguments import moved
from tracejit.tensor import Tensor, from_array


def placed(value: Any, device: str) -> Any:
    """`value` with the tensors and arrays in it, also inside tuples, lists and dicts, on the device; itself where they are."""
    if isinstance(value, Tensor):
        return moved(value, device)
    kind = type(value)
    if kind is np.ndarray and value.dtype.kind in "biuf":
        return moved(from_array(value, copy=False), device)
    if kind is tuple or kind is list:
        parts = [placed(part, device) for part in value]
        return value if all(x is y for x, y in zip(parts, value)) else kind(parts)
    if kind is dict:
        values = {key: placed(part, device) for key, part in value.items()}
        return value if all(values[key] is value[key] for key in value) else values
    return value
