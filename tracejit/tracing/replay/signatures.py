"""What tells calls apart at once: the classes of the arguments, and the dtypes and shapes of those that are tensors or arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit.tensor import Tensor

Signature = tuple[Any, ...]
OPEN: Signature = ("any sizes",)
"""That of variants whose arguments may be of any size."""


def signature_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Signature:
    """The same for all calls that fit one variant: its guards say all of this, too."""
    sorts = [*map(_sort_of, args)]
    for name, value in kwargs.items():
        sorts += (name, _sort_of(value))
    return tuple(sorts)


def _sort_of(value: Any) -> Any:
    kind = type(value)
    name = id(kind)  # not the class, which may die: another one of that id fails a guard
    if kind is np.ndarray:
        return name, value.dtype, value.shape
    return (name, value.aval) if issubclass(kind, Tensor) else name
