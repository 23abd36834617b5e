"""Numbers of a recorded call that may be others in a replay."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

from tracejit.ir.aval import Aval
from tracejit.ir.dim import Dim, plain
from tracejit.symbols import (
    SYMBOLS,
    Symbol,
    SymbolicInt,
    concrete,
    derived,
    frozen,
    settled,
    symbol,
)
from tracejit.tensor import Tensor
from tracejit.tracing.arrays import Arrays
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.segments import Compute, Element
from tracejit.tracing.replay.tensors import Tensors
from tracejit.tracing.replay.varying import of_type

_OF_SIZES = frozenset({operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod})
LOOKED_AT = "a number that was looked at"
PLACE = "a number that says which part of a tensor is taken"
_ASKING_SIZES = frozenset({
    operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne, operator.truth,
})  # fmt: skip


class Numbers(Tensors):
    """Numbers that may change are symbols: expressions that a replay computes. Whatever looks at one decides."""

    def __init__(self, outermost: CodeType, definition: str, arrays: Arrays) -> None:
        super().__init__(outermost, definition, arrays)
        self.symbols = False
        """Whether there are any."""
        self.numbers: set[int] = set()
        """Slots of numbers that stand at a source: whoever reads it again gets the same symbol."""
        self.testing = False
        """Whether a loop is about to be told to go on: a decision there is one on data, so that any number of turns is alike."""
        self.unrolls = False
        """Whether loops are left as they are, as recordings of this function came to nothing where they were not."""
        self.computed: dict[tuple[Any, ...], int] = {}
        """Slots of early numbers, by how they are computed."""
        self.sizes_of: dict[int, Dim] = {}
        """Slot -> the open size that is there."""
        self._slots_of_sizes: dict[Dim, int] = {}
        self.trial: Any = None
        """The round of a loop whose numbers are open sizes for as long as it is recorded (`hooks.unrolling`)."""
        self.fixed: set[int] = set()
        """Slots of numbers that were open for a round, and from then on are what they are."""
        self.asking = LOOKED_AT
        """What guards call a number that is settled now."""
        self.looking = 0
        """Above 0 while library code may look at tensors, as its meaning is recorded another way."""

    def symbol(self, value: Any, slot: int, *, late: bool) -> Any:
        self.symbols = True
        return symbol(value, self, slot, late=late)

    def derive(self, function: Callable[..., Any], operands: tuple[Any, ...]) -> Any:
        """`function(*operands)`, whose expression is noted; a result that is no number is settled at once."""
        if self.fixed:
            operands = tuple(map(self.unless_fixed, operands))
            if not any(type(operand) in SYMBOLS for operand in operands):
                return function(*operands)
        try:
            value = function(*map(concrete, operands))
        except Exception:
            for operand in operands:  # it is their values that cannot be computed with
                settled(operand)
            raise
        if (
            not self.live
            or self.closed
            or not all(operand.owner is self for operand in operands if type(operand) in SYMBOLS)
        ):
            return value
        if type(value) is bool and not self.testing and self._is_of_sizes(function, operands):
            return value
        function, operands = of_type(function, type(value)), tuple(map(frozen, operands))
        late = any(operand.late for operand in operands if type(operand) in SYMBOLS)
        slot = self._late(function, operands) if late else self._early(function, operands)
        if type(value) in (int, float, str):
            self._note_size(slot, function, operands)
            return self.symbol(value, slot, late=late)
        if type(value) is not bool:
            self.deny(f"numbers that may change give a {type(value).__name__}")
            return value
        text = getattr(function, "__name__", "an expression")
        return self.decide(slot, value, late=late, text=text)

    def _late(self, function: Callable[..., Any], operands: tuple[Any, ...]) -> int:
        slot = self.slot()
        self.segment.instructions.append(Compute(slot, function, operands))
        return slot

    def _early(self, function: Callable[..., Any], operands: tuple[Any, ...]) -> int:
        """What is computed from numbers that are there before the call is computed once."""
        key = (function, *map(_told_apart, operands))
        slot = self.computed.get(key)
        if slot is None:
            slot = self.computed[key] = self.slot()
            self.guard(g.Computed(slot, function, operands))
        return slot

    def unless_fixed(self, number: Any) -> Any:
        """The plain number of a symbol that is what it is; anything else as it is."""
        return concrete(number) if type(number) in SYMBOLS and number.slot in self.fixed else number

    def settle(self, number: Symbol) -> None:
        if not self.live or self.closed or number.slot in self.fixed:
            return
        size = None if self.testing else self.sizes_of.get(number.slot)
        if size is not None and self.sizes.is_open:
            self.sizes.fix(size)
        else:
            self.decide(number.slot, concrete(number), late=number.late, text=self.asking)

    @contextmanager
    def taking_a_part(self) -> Iterator[None]:
        """Inside the block numbers are settled as they say which part of a tensor is taken."""
        before, self.asking = self.asking, PLACE
        try:
            yield
        finally:
            self.asking = before

    def decide(self, slot: int, value: Any, *, late: bool, text: str) -> Any:
        """What comes after depends on the value in `slot`; the value with which the call goes on, which is its own."""
        is_known = not late and ("decided", slot) in self._seen
        if late or (self.testing and not is_known):
            self.branch(slot, value)
        else:
            self.once(("decided", slot), g.ResultIs(slot, value, text))
        return value

    def widened(self, value: Any) -> Any:
        """A number that differs from one time round a loop to the next, as a symbol."""
        slot = self.slot()
        self.segment.instructions.append(Compute(slot, concrete, (value,)))
        return self.symbol(concrete(value), slot, late=True)

    # Open sizes as numbers of Python's

    def surface(self, value: Any) -> Any:
        """What the library has given, with symbols in the place of open sizes."""
        if type(value) is Dim:
            return self.number_of_size(value)
        if type(value) is tuple and any(type(part) is Dim for part in value):
            return tuple(map(self.surface, value))
        return value

    def number_of_size(self, size: Dim) -> Any:
        """The symbol of an open size."""
        if not (self.live and self.sizes.is_open):
            return size.value
        slot = self._slot_of_size(size)
        return self.symbol(size.value, slot, late=self.trial is not None)

    def size_of(self, number: Any) -> Any:
        """The open size that a symbol stands for; any other symbol settled."""
        found = self.sizes_of.get(number.slot) if type(number) is SymbolicInt else None
        return settled(number) if found is None or not self.sizes.is_open else found

    def _sizes_among(self, operands: tuple[Any, ...]) -> list[Any] | None:
        """The operands with open sizes in the place of their symbols; None where there are others, or no sizes."""
        if not self.sizes_of or not self.sizes.is_open:
            return None
        sizes = [
            self.sizes_of.get(each.slot) if type(each) is SymbolicInt else each for each in operands
        ]
        return sizes if all(type(size) in (int, Dim) for size in sizes) else None

    def _is_of_sizes(self, function: Callable[..., Any], operands: tuple[Any, ...]) -> bool:
        """Whether a comparison is one of open sizes, which then notes its outcome."""
        sizes = self._sizes_among(operands) if function in _ASKING_SIZES else None
        if sizes is not None:
            function(*sizes)
        return sizes is not None

    def _note_size(
        self, slot: int, function: Callable[..., Any], operands: tuple[Any, ...]
    ) -> None:
        """What is computed from open sizes is one, too."""
        sizes = self._sizes_among(operands) if function in _OF_SIZES else None
        found = None if sizes is None else function(*sizes)
        if type(found) is Dim:
            self.sizes_of[slot] = found

    def _slot_of_size(self, size: Dim) -> int:
        known = self._slots_of_sizes.get(size)
        if known is None:
            known = self._computed_slot(size)
            self._slots_of_sizes[size] = known
            self.sizes_of[known] = size
        return known

    def _computed_slot(self, size: Dim) -> int:
        if len(size.terms) == 1 and size.terms[0][1] == 1 and len(size.terms[0][0]) == 1:
            (atom,) = size.terms[0][0]
            made = self.sizes.made[atom]
            if made is None:
                return self.size_slots[self.sizes.variables.index(atom)]
            return self._derived_slot(made[0], *map(self.surface, made[1:]))
        total: Any = 0
        for monomial, by in size.terms:
            part: Any = by
            for atom in monomial:
                part = part * self.surface(self.sizes.of({(atom,): 1}))
            total = total + part
        return int(total.slot)

    def _derived_slot(self, function: Callable[..., Any], *operands: Any) -> int:
        return int(derived(function, *operands).slot)

    # Elements of tensors

    def element(self, tensor: Tensor) -> tuple[int, Any] | None:
        """The slot and the value of a tensor's one element, which is computed now; None if the recording has ended."""
        with self.allowed():
            value = Tensor.item(tensor)
        memory = self.memory_of(tensor)
        if memory is None:
            return None
        slot = self.slot()
        offset = self.surface(memory[1].offset * tensor.aval.dtype.itemsize)
        self.segment.instructions.append(Element(slot, memory[0], tensor.aval, frozen(offset)))
        return slot, value

    def elements(self, tensor: Tensor) -> Any:
        """Nested lists of a tensor's elements as symbols; None if the recording has ended."""
        if tensor.aval.open is not None:
            self.fix_sizes()
        with self.allowed():
            values = Tensor.tolist(tensor)
        memory = self.memory_of(tensor)
        if memory is None:
            return None
        slot, layout = memory
        return self._nested(tensor.aval, slot, layout.shape, layout.strides, layout.offset, values)

    def _nested(
        self, aval: Aval, memory: int, shape: Any, strides: Any, offset: int, values: Any
    ) -> Any:
        if not shape:
            slot = self.slot()
            place = plain(offset) * aval.dtype.itemsize
            self.segment.instructions.append(Element(slot, memory, aval, place))
            return self.symbol(values, slot, late=True)
        return [
            self._nested(aval, memory, shape[1:], strides[1:], offset + place * strides[0], value)
            for place, value in enumerate(values)
        ]

    def look(self, tensor: Tensor) -> None:
        """Code that is not instrumented looks at the elements of `tensor`."""
        if self.looking or not self.live:
            return
        if plain(tensor.aval.size) != 1:
            self.deny(f"the elements of {tensor.aval} are looked at")
            return
        found = self.element(tensor)
        if found is not None and self.live:
            self.branch(*found)

    def allowed(self) -> Looking:
        return Looking(self)


def _told_apart(operand: Any) -> tuple[Any, ...]:
    """A key of an operand: the slot of a symbol, or a constant, in which 0, 0.0 and -0.0 differ."""
    if type(operand) in SYMBOLS:
        return "slot", operand.slot
    is_number = type(operand) in (int, float, bool, str)
    return type(operand), repr(operand) if is_number else id(operand)


class Looking:
    """Inside the block library code may look at the elements of tensors."""

    __slots__ = ("_recording",)

    def __init__(self, recording: Numbers) -> None:
        self._recording = recording

    def __enter__(self) -> None:
        self._recording.looking += 1

    def __exit__(self, *error: object) -> None:
        self._recording.looking -= 1
