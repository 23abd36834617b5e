"""`a[mask] += 1`: all elements are computed, and those that the mask selects are kept, so that nobody looks at the mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit.symbols import SYMBOLS
from tracejit.tracing.replay.hooks import library
from tracejit.tracing.replay.kinds import is_numpy_number
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.stand_in import StandIn, raises_nothing


class Masked:
    """What stands for `array[mask]` from its reading to its writing in one statement."""

    def __init__(self, array: Any, mask: Any) -> None:
        self.values, self.mask = array.copy(), mask.copy()
        self._rank = array.aval.ndim - mask.aval.ndim
        self._key, self._version = mask, mask.storage.version

    def takes(self, operand: Any) -> bool:
        """Whether the operand is the same for all that the mask selects."""
        if type(operand) is StandIn:
            return operand.aval.ndim <= self._rank
        return (
            type(operand) in SYMBOLS
            or type(operand) in (bool, int, float)
            or is_numpy_number(operand)
        )

    def is_for(self, key: Any) -> bool:
        """Whether the mask is as it was read."""
        return key is self._key and key.storage.version == self._version

    def write(self, recording: Recording, array: Any) -> None:
        library.called(recording, _write, [array, self.mask, self.values], {})


def part_of(array: Any, key: Any) -> Masked | None:
    """`array[key]`, if the key is a mask and NumPy need not look for errors, which the other elements might make."""
    if not (type(array) is type(key) is StandIn and key.aval.dtype is dtypes.bool_):
        return None
    rank = key.aval.ndim
    is_mask = 0 < rank <= array.aval.ndim and key.aval.shape == array.aval.shape[:rank]
    return Masked(array, key) if is_mask and raises_nothing() else None


def _write(array: Any, mask: Any, values: Any) -> None:
    wide = mask[(..., *(None for _ in range(array.aval.ndim - mask.aval.ndim)))]
    array[...] = np.where(wide, values, array)
