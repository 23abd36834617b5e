"""What the translation of replay code deals in: values as LLVM operands, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from tracejit._records import dataclass


class Unsupported(Exception):
    """Code that has no translation; it stays in Python."""


class Kind(Enum):
    """How a value is held."""

    OBJECT = "a reference to an object, which somebody holds for as long as it is used"
    TRUTH = "i1"
    INTEGER = "i64"
    SIZE = "i64, with which the caller's code may go on to compute: arithmetic is that of integers of any size"
    SIZES = "the shape or the strides of an array, of which single ones are read"
    MEMORY = "a reference to an array, of which only the address is asked for"
    LATE = "a call that is made only if its result is needed: the function and the arguments"


class _Unknown:
    def __repr__(self) -> str:
        return "unknown"


UNKNOWN = _Unknown()


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """An operand; `constant` is the object that it is known to be.

    parts   of what is made later, what it is made of; of what was made for the sizes of the call, what it is with open ones
    """

    kind: Kind
    text: str
    constant: Any = UNKNOWN
    parts: tuple[Any, ...] = ()

    @property
    def is_constant(self) -> bool:
        return self.constant is not UNKNOWN


def known_to(table: Mapping[Any, Any], function: Value) -> Any:
    """What a table has of a function; None where it has nothing."""
    if not function.is_constant:
        return None
    try:
        return table.get(function.constant)
    except TypeError:  # of an object that cannot be a key
        return None
