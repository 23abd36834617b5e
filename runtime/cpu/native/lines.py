"""What ways are made of: a call as lines of Python, and how they lead on to others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracejit._records import dataclass

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
