"""What a function reads and writes outside, on whichever way: arguments and state, each with the slot that it is in.

What one way finds by one path another may find by another one: tensors are told apart by their memory, and numbers by the object
that they stand in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import numpy as np

from tracejit import dtypes
from tracejit._errors import ExportError
from tracejit.ir.dim import is_open
from tracejit.standalone.arguments import Given
from tracejit.standalone.functions import TYPE_NAMES
from tracejit.standalone.naming import Names
from tracejit.standalone.records import Baked, Memory, NumberState, Operand, Slot, TensorState
from tracejit.storage import is_row_major
from tracejit.tensor import Tensor
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.sources import Source

ATOMS = (type(None), bool, int, float, str)


class Changed(Exception):
    """The next call would not go as those that were recorded, as numbers at these `sources` change."""

    def __init__(self, sources: set[Any]) -> None:
        super().__init__(sources)
        self.sources = sources


Guards = Iterable[tuple[g.Guard, str]]


class Reads:
    """The slots of what stands outside; `where` is the line at which the function is defined."""

    def __init__(self, given: Given, function: Any, guards: Guards, where: str) -> None:
        self.given = given
        self.where = where
        self.guards = [*guards]
        self.names = Names([guard for guard, _ in self.guards], function)
        self.slots = 0
        self.first: dict[Any, int] = {}
        """The slot of what stands at a place: the memory of a tensor, or a number."""
        self.tensors: dict[int, tuple[Source, str, tuple[int, ...], bool]] = {}
        """Slots of the state's memory that is all one tensor's: where it is found, dtype, shape, and whether it is an array."""
        self.numbers: dict[int, tuple[Source, NumberState]] = {}
        self.arguments: set[int] = set()
        """Slots of arguments that are data."""
        self.expressions: dict[int, str] = {}
        """What number a slot holds, for messages."""
        self.sources: dict[int, Source] = {}
        """Of each slot of memory the path by which it was found first."""
        self.places: dict[int, set[Any]] = {}
        """Of each slot of memory all places where it is found."""
        self._memories: dict[int, int] = {}
        self._known: dict[Any, Source] = {}
        """Places of numbers that are part of the artifact."""
        self._held: list[Any] = []
        """What is known by its id."""
        for guard, where in self.guards:
            self._meet(guard, where)

    def refuse(self, why: str, where: str = "") -> NoReturn:
        raise ExportError(f"{where or self.where}: export: {why}")

    def slot(self) -> int:
        self.slots += 1
        return self.slots - 1

    def _meet(self, guard: g.Guard, where: str) -> None:
        match guard:
            case g.TensorIs() | g.ArrayIs():
                self._meet_tensor(guard.source)
            case g.NumberIs(source=source, kind=kind) if kind not in TYPE_NAMES:
                self.refuse(f"{source} is a {kind.__name__} of NumPy's that changes", where)
            case g.NumberIs(source=source, kind=kind):
                self._meet_number(source, TYPE_NAMES[kind])
            case g.Equals(source=source, value=value) if type(value) in (int, float):
                self._known[self._place(source)] = source
            case g.SameObject(source=source, other=other) if self._are_data(source, other):
                self.refuse(f"it asks whether {source} is {other}", where)
            case g.Differ(sources=sources) if self._are_data(*sources):
                self.refuse("it asks whether arguments are one object", where)

    def _are_data(self, *sources: Source) -> bool:
        """Whether two of these are arguments that are data, which each call may give anew."""
        return sum(map(self.given.is_data, sources)) > 1

    def _meet_tensor(self, source: Source) -> None:
        value = self.value(source)
        memory = value.storage if isinstance(value, Tensor) else value
        self._held.append(memory)
        key = id(memory)
        if key not in self._memories:
            self._memories[key] = self.slot()
            self.sources[self._memories[key]] = source
        slot = self._memories[key]
        place = self._place(source)
        self.first[place] = slot
        self.places.setdefault(slot, set()).add(place)
        if self.given.is_data(source):
            self.arguments.add(slot)
        elif _is_whole(value):
            is_array = not isinstance(value, Tensor)
            dtype = dtypes.from_numpy(value.dtype) if is_array else value.aval.dtype
            shape = value.shape if is_array else value.aval.sizes
            self.tensors.setdefault(slot, (source, dtype.name, tuple(shape), is_array))

    def _meet_number(self, source: Source, kind: str | None) -> int:
        place = self._place(source)
        slot = self.first.get(place)
        if slot is None:
            slot = self.first[place] = self.slot()
            name = self.expressions[slot] = self.names.of(source)
            if not self.given.is_data(source):
                self.numbers[slot] = source, NumberState(name, slot, None, kind)
        return slot

    def value(self, source: Source) -> Any:
        """What stands there before the call."""
        return source.follow(self.given.args, self.given.kwargs)

    def slot_of(self, source: Source) -> int | None:
        """The slot of what a call has read there."""
        return self.first.get(self._place(source))

    def written_number(self, source: Source, value: Operand) -> int:
        """The slot of a number, or of another value without parts, that a call leaves there.

        Raises Changed for a number that was read, and now is computed: that it is what it was may be by chance.
        """
        known = self._known.get(self._place(source))
        if known is not None and (isinstance(value, Slot) or is_open(value.value)):
            raise Changed({known.identity})
        return self._meet_number(source, None)

    def written_tensor(self, source: Source, memory: Memory, *, is_array: bool) -> int:
        """The slot of a tensor that a call leaves there."""
        slot = self.slot_of(source)
        if slot is None:
            slot = self.first[self._place(source)] = self.slot()
            self.tensors[slot] = source, memory.dtype, memory.shape, is_array
        return slot

    def _place(self, source: Source) -> Any:
        """The same for two paths to one place: the object that it is in, and the name or key."""
        parent, name = source.parent, source.name
        if parent is None:
            return source.identity
        if isinstance(name, Source):
            name = id(self.value(name))
        holder = self.value(parent)
        self._held.append(holder)
        if source.step != "attribute":
            return id(holder), "item", type(name), name
        table = getattr(holder, "__dict__", None)
        if type(table) is dict and name in table:
            return id(table), "item", str, name
        return id(holder), "attribute", str, name

    def baked(self) -> Iterator[Baked]:
        """Values that a call has read, and that are part of what it does."""
        seen: set[Any] = set()
        for guard, where in self.guards:
            if isinstance(guard, g.ModeIs) and guard.name not in seen:
                seen.add(guard.name)
                yield Baked(guard.name, repr(guard.value), where)
            if not isinstance(guard, g.Equals) or self.given.is_data(guard.source):
                continue
            if guard.source.identity not in seen:
                seen.add(guard.source.identity)
                yield Baked(self.names.of(guard.source), repr(guard.value), where)

    def state_of(self, slot: int, *, is_read: bool) -> TensorState:
        source, dtype, shape, is_array = self.tensors[slot]
        return TensorState(self.names.of(source), slot, dtype, shape, is_array, is_read)


def _is_whole(value: Any) -> bool:
    """Whether all memory of a tensor is its elements, in row-major order."""
    if isinstance(value, np.ndarray):
        return value.flags.c_contiguous
    layout = value.layout
    is_in_order = is_row_major(layout) and layout.offset == 0
    return bool(is_in_order and value.storage.size == value.aval.size)
