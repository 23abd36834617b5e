"""What ways are made of: a call as lines of Python, and how they lead on to others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from tracejit._records import dataclass

Values = tuple[int, ...]
"""Of open sizes."""
Outcome = tuple[type, Any]
"""The class and value of what decides, a float's by its text."""


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """A stretch of a replay's code in Python: guards, programs, and how it ends.

    commit     effects and result, where it ends the call
    again      else the loop, of those around it, that goes round once more
    decision   else the slot of what decides how it goes on
    following  by outcome, or by None where nothing decides, the ways to go on, of which the first is taken whose guards hold
    loop       the number of the loop whose rounds begin with `run`
    """

    enter: Sequence[str]
    run: Sequence[str]
    commit: Sequence[str] = ()
    again: int | None = None
    decision: int = -1
    following: tuple[tuple[Outcome | None, tuple[Lines, ...]], ...] = ()
    loop: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ArrayKind:
    """What an output's memory is that only becomes an array.

    shape_at   at the sizes of a call: the shape of what lies there in order, or None
    """

    dtype: np.dtype[Any]
    rank: int
    shape_at: Callable[[Values], tuple[int, ...] | None]

    def shape(self, values: Values, nbytes: int) -> tuple[int, ...] | None:
        """None where these bytes are not all of the array."""
        shape = self.shape_at(values)
        is_all = shape is not None and prod(shape) * self.dtype.itemsize == nbytes
        return shape if is_all else None
