"""What a way knows of the combinations of open sizes that calls have had: native code finds it by the sizes.

Whatever of a replay depends on sizes alone, and on no value, is in the record of their combination: whether the guards of sizes
hold, the programs made for these sizes, layouts, shapes, sizes that are returned. A record is words (`RECORD_SIZES_AT`):

    0 the object that holds it and all it refers to   8 whether the way is for these sizes   the sizes   what was asked for

A table is: the number of its places, a power of two, less 1; then for each place the address of a record, or 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit.runtime.cpu.native.lines import Values
from tracejit.runtime.cpu.native.sizes_ir import MIX

MOST_COMBINATIONS = 512
"""So many are known of one way; then it begins anew."""
_SPARE = 4
"""Places of a table for each record."""
_BITS = (1 << 64) - 1

Part = Callable[[Values], tuple[Sequence[int], Any]]
"""Words for a combination of sizes, and what holds all that they are the addresses of."""


class Unfit(Exception):
    """The way is not for such sizes; Python takes the call."""


class NotYet(Exception):
    """The way is not for such sizes for now."""


class _Record:
    __slots__ = ("_held", "words")

    def __init__(self, values: Values, parts: Sequence[int] | None, held: Sequence[Any]) -> None:
        """`parts`: None where the way is not for these sizes."""
        self._held = held
        fits = int(parts is not None)
        self.words = np.array([id(self), fits, *values, *(parts or ())], np.int64)


class Table:
    """Holds the records whose addresses are in its words. Threads that add at once may lose one, which `known` still has."""

    __slots__ = ("_mask", "known", "words")

    def __init__(self, places: int) -> None:
        self.known: dict[Values, _Record] = {}
        self._mask = places - 1
        self.words = np.zeros(1 + places, np.int64)
        self.words[0] = self._mask

    @property
    def is_full(self) -> bool:
        return len(self.known) * _SPARE > self._mask

    def add(self, values: Values, record: _Record) -> None:
        if self.known.setdefault(values, record) is not record:
            return
        place = _hash(values) & self._mask
        while self.words[1 + place]:
            place = (place + 1) & self._mask
        self.words[1 + place] = record.words.ctypes.data

    def copied(self) -> Table:
        """The same records, with more room."""
        made = Table(2 * (self._mask + 1))
        for values, record in list(self.known.items()):
            made.add(values, record)
        return made


def _hash(values: Values) -> int:
    """As native code computes it."""
    mixed = 0
    for value in values:
        product = ((mixed ^ value) * MIX) & _BITS
        mixed = product ^ (product >> 32)
    return mixed


class Combinations:
    """Called with sizes of which there is no record, it makes one, unless it is too early.

    table   what native code looks in, as it stands at any time
    """

    __slots__ = ("_conditions", "_holds", "_parts", "_slots", "_width", "table")

    def __init__(self, count: int) -> None:
        self._width = 2 + count
        self._parts: list[Part] = []
        self._conditions: list[str] = []
        self._holds: Callable[[Any], bool] = bool
        self._slots: Sequence[int] = ()
        self.table = Table(_SPARE)

    # While the way is written

    def part(self, width: int, part: Part) -> int:
        """Where records have the words, so many, of a part."""
        at = 8 * self._width
        self._width += width
        self._parts.append(part)
        return at

    def require(self, condition: str) -> None:
        """A guard that sizes alone decide, as Python text about `E`."""
        self._conditions.append(condition)

    def begin(self, slots: Sequence[int]) -> None:
        """All guards are known; the sizes are those of these slots of `E`."""
        self._slots = slots
        text = " and ".join(f"({each})" for each in self._conditions) or "True"
        self._holds = eval(f"lambda E: {text}", {})

    # While it is used

    def __call__(self, *values: int) -> None:
        if values in self.table.known:
            self.table = self.table.copied()  # it was lost there
            return
        try:
            record = self._made(values)
        except Unfit:
            record = _Record(values, None, ())
        except NotYet:
            return
        if len(self.table.known) >= MOST_COMBINATIONS:
            self.table = Table(_SPARE)
        self.table.add(values, record)
        if self.table.is_full:
            self.table = self.table.copied()

    def _made(self, values: Values) -> _Record:
        try:
            holds = self._holds(dict(zip(self._slots, values)))
        except ArithmeticError:  # as where a guard is asked by Python
            raise Unfit from None
        if not holds:
            raise Unfit
        found = [part(values) for part in self._parts]
        words = [word for part, _ in found for word in part]
        return _Record(values, words, [held for _, held in found])
