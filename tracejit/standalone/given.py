"""What a caller gives: tensors are known without loading their library, as there are none where that has not been loaded."""

from __future__ import annotations

import sys
from typing import Any, TypeGuard

import numpy as np

from tracejit._gate import late

Tensor = Any


def is_tensor(value: object) -> TypeGuard[Tensor]:
    library = sys.modules.get("tracejit.tensor")
    kind = getattr(library, "Tensor", None)
    return kind is not None and isinstance(value, kind)


def array_of(value: Any) -> np.ndarray:
    """An array over the elements of a tensor or an array."""
    if not is_tensor(value):
        return np.asarray(value)
    array: np.ndarray = late("tracejit.standalone.tensors").array_of(value)
    return array
