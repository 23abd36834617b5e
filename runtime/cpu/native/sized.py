"""What a way reads of the sizes of a call: which combination they are, and what is known of that (`combinations.py`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tracejit._native import abi
from tracejit._native.abi import offset_of
from tracejit.runtime.cpu.native.combinations import Combinations, Part, Table
from tracejit.runtime.cpu.native.lines import Values
from tracejit.runtime.cpu.native.reading import Reader
from tracejit.runtime.cpu.native.values import Kind, Value


class Sized(Reader):
    """Writes what depends on open sizes.

    size_slots   the slots of `E` that hold these; none where all sizes are fixed
    """

    size_slots: tuple[int, ...] = ()
    slots: dict[int, Value]

    _combinations: Combinations | None = None
    _record = ""
    """The record of the call's combination, once all guards of sizes have been read."""
    _places_of: dict[int, int]
    """By the id of something with open sizes: where records have what it is at their sizes."""

    def begin_sizes(self) -> None:
        self._places_of = {}
        if self.size_slots:
            self._combinations = Combinations(len(self.size_slots))

    def is_guard_of_sizes(self, names: set[str], slots: set[Any]) -> bool:
        """Whether what has these names and slots is for the combination to decide, rather than for each call."""
        is_open = self._combinations is not None and not self._record
        return is_open and names == {"E"} and slots <= {*self.size_slots}

    def leave_to_sizes(self, condition: str) -> None:
        assert self._combinations is not None
        self._combinations.require(condition)

    def find_combination(self) -> None:
        """Goes on where the sizes are ones that this way is for."""
        if self._combinations is None or self._record:
            return
        combinations = self._combinations
        combinations.begin(self.size_slots)
        given = [self.slots[slot] for slot in self.size_slots]
        sizes = [self.as_integer(each) for each in given]
        found, before = self._find(sizes), self.block
        ask, known = self.fresh("b"), self.fresh("b")
        self.branch(self.let(f"icmp eq ptr {found}, null"), ask, known)
        self.enter(ask)
        self.called(self.address_of(combinations), list(map(self.as_object, given)))
        again = self.checked(self._find(sizes))
        after = self.block
        self.jump(known)
        self.enter(known)
        self._record = self.let(f"phi ptr [ {found}, %{before} ], [ {again}, %{after} ]")
        self.require(self.let(f"icmp ne i64 {self.load(self._record, 8, 'i64')}, 0"))
        self.borrowed(self.load(self._record, 0))

    def _find(self, sizes: list[str]) -> str:
        table_at, words_at = offset_of(Combinations, "table"), offset_of(Table, "words")
        assert table_at is not None
        assert words_at is not None
        table = self.load(self.address_of(self._combinations), table_at)
        words = self.load(self.load(table, words_at), abi.ARRAY_DATA_AT)
        listed = self.array_of(sizes, "i64")
        count = f"i64 {len(sizes)}"
        return self.help("tracejit_find", "ptr", f"ptr {words}", f"ptr {listed}", count)

    # Shapes and strides of arrays

    def are_sizes(self, array: str, name: str, sizes: list[int]) -> str:
        """An array of this rank has these sizes; strides are only looked at after the shape, so the rank is right then."""
        at = abi.ARRAY_SHAPE_AT if name == "shape" else abi.ARRAY_STRIDES_AT
        ndim = self.load(array, abi.ARRAY_NDIM_AT, "i32")
        result = self.let(f"icmp eq i32 {ndim}, {len(sizes)}")

        def are_equal() -> str:
            first = self.load(array, at)
            equal = "true"
            for axis, size in enumerate(sizes):
                here = self.let(f"icmp eq i64 {self.load(first, 8 * axis, 'i64')}, {size}")
                equal = here if equal == "true" else self.let(f"and i1 {equal}, {here}")
            return equal

        return self.both(result, are_equal) if sizes else result

    # What is known of a combination

    @property
    def has_record(self) -> bool:
        return bool(self._record)

    def words_of(self, width: int, part: Part) -> Callable[[int], str]:
        """What reads the words of a part by their places."""
        assert self._combinations is not None
        first = self._combinations.part(width, part)
        return lambda place: self.load(self._record, first + 8 * place, "i64")

    def at_sizes(self, value: Any, convert: Callable[[Values], Any]) -> Value:
        """What `value`, which has open sizes, is at those of the call; `convert` makes it."""
        assert self._combinations is not None
        at = self._places_of.get(id(value))
        if at is None:
            at = self._places_of[id(value)] = self._combinations.part(1, _made_by(convert, value))
        return Value(Kind.OBJECT, self.load(self._record, at), parts=(value,))


def _made_by(convert: Callable[[Values], Any], value: Any) -> Part:
    def part(values: Values) -> tuple[Sequence[int], Any]:
        made = convert(values)
        return [id(made)], (made, value)

    return part
