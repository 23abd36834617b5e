"""Functions of numbers that take or give several at once, so that of symbols they give symbols."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from tracejit.symbols import NUMBERS, derived, is_number, settled
from tracejit.tracing.replay.hooks import containers, walking
from tracejit.tracing.replay.iterators import ITERATORS
from tracejit.tracing.replay.recording import Recording


def quotient(a: Any, b: Any) -> Any:
    return divmod(a, b)[0]


def remainder(a: Any, b: Any) -> Any:
    return divmod(a, b)[1]


def mantissa(a: Any) -> float:
    return math.frexp(a)[0]


def exponent(a: Any) -> int:
    return math.frexp(a)[1]


def fraction(a: Any) -> float:
    return math.modf(a)[0]


def whole(a: Any) -> float:
    return math.modf(a)[1]


PARTS: dict[Any, tuple[Callable[..., Any], ...]] = {
    divmod: (quotient, remainder),
    math.frexp: (mantissa, exponent),
    math.modf: (fraction, whole),
}
"""Functions that give a tuple, and what gives its parts."""
ASKING = frozenset({any, all})
"""They ask whether one is true, which is part of what is recorded."""


def in_parts(function: Any, args: tuple[Any, ...]) -> Any:
    """`function(*args)` of symbols, for a function that gives a tuple."""
    return tuple(derived(part, *args) for part in PARTS[function])


def total(start: Any, *values: Any) -> Any:
    return sum(values, start)


def sum_of(recording: Recording, values: Any, start: Any = 0) -> Any:
    """`sum(values, start)` as one expression; NotImplemented where there are no symbols, or not only numbers."""
    if not containers.is_container(values):
        return NotImplemented
    parts = [*walking.walk(recording, values)]
    if not all(map(is_number, (start, *parts))) or not any(
        type(part) in NUMBERS for part in (start, *parts)
    ):
        return NotImplemented
    return derived(total, start, *parts)


def asked(recording: Recording, values: Any, read: Callable[[Any], Any]) -> Any:
    """What is iterated in the place of `values` by a function that asks, and looks at nothing more of numbers; what `read` gives
    of others has their truth."""
    if type(values) in ITERATORS:
        return _each(recording, values, read)
    return _each(recording, walking.walk(recording, values), read)


def _each(recording: Recording, values: Any, read: Callable[[Any], Any]) -> Iterator[Any]:
    for value in values:
        found = value if type(value) in NUMBERS else read(value)
        yield found if recording.live else settled(found)
