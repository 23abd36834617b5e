"""Guards of values: numbers, text, lengths and keys, and what is computed from them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tracejit._records import dataclass
from tracejit.tracing.replay.code import Writer, expression
from tracejit.tracing.replay.guards.guard import Guard, shown
from tracejit.tracing.replay.lasting import found, hold, is_lasting
from tracejit.tracing.replay.sources import Source


@dataclass(frozen=True, slots=True, eq=False)
class Equals(Guard):
    """An immutable value of exactly this type and value."""

    source: Source
    value: Any

    def conditions(self, writer: Writer) -> Iterator[str]:
        found, value, pool = writer.read(self.source), self.value, writer.pool
        kind = type(value)
        if value is None or value is True or value is False or value is Ellipsis:
            yield f"{found} is {value!r}"
        elif kind is float and value != value:
            yield f"type({found}) is float and {found} != {found}"
        elif kind is complex:
            yield f"type({found}) is complex and repr({found}) == {repr(value)!r}"
        elif kind is float and value == 0:
            sign = f"{pool.name(math.copysign)}(1.0, {found}) == {math.copysign(1.0, value)}"
            yield f"type({found}) is float and {found} == 0.0 and {sign}"
        elif kind in (int, str, float) and (kind is not float or math.isfinite(value)):
            yield f"type({found}) is {kind.__name__} and {found} == {value!r}"
        elif kind in (range, slice):
            parts = f"{pool.name(_places)}({found}) == {pool.name(_places(value))}"
            yield f"type({found}) is {kind.__name__} and {parts}"
        elif issubclass(kind, np.generic):
            bits = f"{pool.name(_bits)}({found}) == {pool.name(_bits(value))}"
            yield f"type({found}) is {pool.name(kind)} and {bits}"
        else:
            yield f"type({found}) is {pool.name(kind)} and {found} == {pool.name(value)}"

    def __str__(self) -> str:
        return f"{self.source} is {shown(self.value)}"


def _places(value: Any) -> tuple[Any, ...]:
    """What a range or slice is made of: equal ones may have been made of other numbers."""
    parts = value.start, value.stop, value.step
    return (*map(type, parts), *parts)


def _bits(number: Any) -> tuple[Any, ...]:
    """A NumPy number to the last bit: of another unit it may be equal."""
    return number.dtype, repr(number) if number.dtype.itemsize > 8 else number.tobytes()


@dataclass(frozen=True, slots=True, eq=False)
class LengthIs(Guard):
    source: Source
    length: int

    def conditions(self, writer: Writer) -> Iterator[str]:
        yield f"len({writer.read(self.source)}) == {self.length}"

    def __str__(self) -> str:
        return f"len of {self.source} is {self.length}"


@dataclass(frozen=True, slots=True, eq=False)
class KeysAre(Guard):
    """A dict's keys, or a set's elements, in their order; objects are compared by identity.

    size   of a set in bytes: on the room that it has depends where more elements come; 0 for a dict
    """

    source: Source
    keys: tuple[Any, ...]
    size: int = 0

    def conditions(self, writer: Writer) -> Iterator[str]:
        found = writer.read(self.source)
        if self.size:
            yield f"{found}.__sizeof__() == {self.size}"
        if all(map(is_lasting, self.keys)):
            yield from self._same_or_equal(writer, found)
        else:
            listed = writer.variable(f"[*{found}]")
            yield f"len({listed}) == {len(self.keys)}"
            for place, key in enumerate(self.keys):
                yield from _is_key(writer, f"{listed}[{place}]", key)

    def _same_or_equal(self, writer: Writer, found: str) -> Iterator[str]:
        """Keys are as a rule the very objects that they were, which is quickly seen."""
        pool = writer.pool
        equal = f"{pool.name(typed)}({found}) == {pool.name(typed(self.keys))}"
        if not 0 < len(self.keys) <= FEW:
            yield equal
            return
        names = [writer.fresh() for _ in self.keys]
        writer.add(
            f"{', '.join(names)}, = {found}"
        )  # another number of them fails, as a guard does
        same = " and ".join(f"{name} is {pool.name(key)}" for name, key in zip(names, self.keys))
        yield f"({same}) or {equal}"

    def kept(self) -> Guard:
        return KeysAre(self.source, tuple(map(hold, self.keys)), self.size)

    def __str__(self) -> str:
        return f"the keys of {self.source} are {_listed(self.keys)}"


FEW = 8
"""So many keys are compared one by one."""


def _is_key(writer: Writer, found: str, key: Any) -> Iterator[str]:
    if is_lasting(key):
        pool = writer.pool
        yield f"{pool.name(typed)}(({found},)) == {pool.name(typed((key,)))}"
    else:
        yield f"{found} is {writer.name(key)}"


def typed(keys: Any) -> tuple[tuple[type, Any], ...]:
    return tuple((type(key), repr(key) if type(key) in (float, complex) else key) for key in keys)


def _listed(keys: Sequence[Any]) -> str:
    shown = ", ".join(map(repr, map(found, keys[:6])))
    return shown + (", ..." if len(keys) > 6 else "")


@dataclass(frozen=True, slots=True, eq=False)
class KeyIn(Guard):
    """A key, or an attribute in an object's `__dict__`, is there or is not."""

    source: Source
    key: Any
    present: bool

    def conditions(self, writer: Writer) -> Iterator[str]:
        key = self.key
        text = writer.read(key) if isinstance(key, Source) else writer.literal(key)
        yield f"{text} {'in' if self.present else 'not in'} {writer.read(self.source)}"

    def kept(self) -> Guard:
        return KeyIn(self.source, hold(self.key), self.present)

    def __str__(self) -> str:
        key = str(self.key) if isinstance(self.key, Source) else repr(found(self.key))
        return f"{key} is {'' if self.present else 'not '}in {self.source}"


@dataclass(frozen=True, slots=True, eq=False)
class TruthIs(Guard):
    """A container is empty, or is not."""

    source: Source
    truth: bool

    def conditions(self, writer: Writer) -> Iterator[str]:
        found = writer.read(self.source)
        yield found if self.truth else f"not {found}"

    def __str__(self) -> str:
        return f"{self.source} is {'not ' if self.truth else ''}empty"


@dataclass(frozen=True, slots=True, eq=False)
class NumberIs(Guard):
    """A number of Python's or NumPy's of this type, whose value, as a number of Python's, is an input of the replay."""

    source: Source
    kind: type
    slot: int

    def conditions(self, writer: Writer) -> Iterator[str]:
        found, is_plain = writer.read(self.source), self.kind in (bool, int, float)
        yield f"type({found}) is {self.kind.__name__ if is_plain else writer.pool.name(self.kind)}"
        writer.add(f"E[{self.slot}] = {found}{'' if is_plain else '.item()'}")

    def __str__(self) -> str:
        return f"{self.source} is any {self.kind.__name__}"


@dataclass(frozen=True, slots=True, eq=False)
class Computed(Guard):
    """Not a condition: the value of an expression of numbers. What it raises, Python is to raise."""

    slot: int
    function: Any
    operands: tuple[Any, ...]

    def conditions(self, writer: Writer) -> Iterator[str]:
        function, kind = getattr(self.function, "checked", (self.function, None))
        writer.add(f"E[{self.slot}] = {expression(writer.pool, function, self.operands)}")
        if kind is not None:
            yield f"type(E[{self.slot}]) is {kind.__name__}"

    def kept(self) -> Guard:
        return Computed(self.slot, self.function, ())

    def __str__(self) -> str:
        return f"{getattr(self.function, '__name__', self.function)} of numbers can be computed"


@dataclass(frozen=True, slots=True, eq=False)
class ResultIs(Guard):
    """A number that was computed from others is this one, or a comparison of them has this outcome."""

    slot: int
    value: Any
    text: str

    def conditions(self, writer: Writer) -> Iterator[str]:
        found, value, pool = f"E[{self.slot}]", self.value, writer.pool
        if value is True or value is False:
            yield f"{found} is {value!r}"
        else:
            yield f"type({found}) is {pool.name(type(value))} and repr({found}) == {repr(value)!r}"

    def __str__(self) -> str:
        return f"{self.text} is {self.value!r}"
