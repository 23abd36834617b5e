"""What a caller gives, and what takes it. Tensors are known without their library: where that is not loaded there are none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

import numpy as np

from tracejit._gate import late

Tensor = Any
Slots = list[Any]
Quick = Callable[[tuple[Any, ...], Mapping[str, Any]], Any]
"""What takes some calls, all at once: from arguments by place and by name to the result, or LEFT."""
LEFT: Any = object()
"""Says that a call is left to the steps; nothing has been done."""


def is_tensor(value: object) -> TypeGuard[Tensor]:
    library = sys.modules.get("tracejit.tensor")
    kind = getattr(library, "Tensor", None)
    return kind is not None and isinstance(value, kind)


def array_behind(value: Any) -> np.ndarray | None:
    """The array that a value is or, in a compiled function, stands for; None for anything else."""
    if type(value) is np.ndarray:
        return value
    library = sys.modules.get("tracejit.tracing.stand_in")
    if library is None or type(value) is not library.StandIn or library.is_number(value):
        return None
    array: np.ndarray = late("tracejit.storage").as_array(value)
    return array


def is_followed() -> bool:
    """Whether a compiled call that runs on this thread has ops wait, which are to be done in their order."""
    session = sys.modules.get("tracejit.tracing.session")
    return session is not None and session.is_recording()


def array_of(value: Any) -> np.ndarray:
    """An array over the elements of a tensor or an array."""
    if not is_tensor(value):
        return np.asarray(value)
    array: np.ndarray = late("tracejit.standalone.tensors").array_of(value)
    return array
