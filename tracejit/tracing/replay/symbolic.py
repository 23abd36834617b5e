"""Numbers of a recorded call that may be others in a replay."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import Any

from tracejit.ir.aval import Aval
from tracejit.ops.op import Layout
from tracejit.symbols import SYMBOLS, Symbol, concrete, frozen, settled, symbol
from tracejit.tensor import Tensor
from tracejit.tracing.arrays import Arrays
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.segments import Compute, Element
from tracejit.tracing.replay.tensors import Tensors
from tracejit.tracing.replay.varying import of_type


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
        self.looking = 0
        """Above 0 while library code may look at tensors, as its meaning is recorded another way."""

    def symbol(self, value: Any, slot: int, *, late: bool) -> Any:
        self.symbols = True
        return symbol(value, self, slot, late=late)

    def derive(self, function: Callable[..., Any], operands: tuple[Any, ...]) -> Any:
        """`function(*operands)`, whose expression is noted; a result that is no number is settled at once."""
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
        function, operands = of_type(function, type(value)), tuple(map(frozen, operands))
        late = any(operand.late for operand in operands if type(operand) in SYMBOLS)
        slot = self.slot()
        if late:
            self.segment.instructions.append(Compute(slot, function, operands))
        else:
            self.guard(g.Computed(slot, function, operands))
        if type(value) in (int, float, str):
            return self.symbol(value, slot, late=late)
        if type(value) is not bool:
            self.deny(f"numbers that may change give a {type(value).__name__}")
            return value
        self._decide(slot, value, late, getattr(function, "__name__", "an expression"))
        return value

    def settle(self, number: Symbol) -> None:
        if self.live and not self.closed:
            self._decide(number.slot, concrete(number), number.late, "a number that was looked at")

    def _decide(self, slot: int, value: Any, late: bool, text: str) -> None:
        is_known = not late and ("decided", slot) in self._seen
        if late or (self.testing and not is_known):
            self.branch(slot, value)
        else:
            self.once(("decided", slot), g.ResultIs(slot, value, text))

    def widened(self, value: Any) -> Any:
        """A number that differs from one time round a loop to the next, as a symbol."""
        slot = self.slot()
        self.segment.instructions.append(Compute(slot, concrete, (value,)))
        return self.symbol(concrete(value), slot, late=True)

    # Elements of tensors

    def element(self, tensor: Tensor) -> tuple[int, Any] | None:
        """The slot and the value of a tensor's one element, which is computed now; None if the recording has ended."""
        with self.allowed():
            value = Tensor.item(tensor)
        memory = self.memory_of(tensor)
        if memory is None:
            return None
        slot = self.slot()
        self.segment.instructions.append(Element(slot, memory[0], tensor.aval, memory[1]))
        return slot, value

    def elements(self, tensor: Tensor) -> Any:
        """Nested lists of a tensor's elements as symbols; None if the recording has ended."""
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
            self.segment.instructions.append(Element(slot, memory, aval, Layout((), (), offset)))
            return self.symbol(values, slot, late=True)
        return [
            self._nested(aval, memory, shape[1:], strides[1:], offset + place * strides[0], value)
            for place, value in enumerate(values)
        ]

    def look(self, tensor: Tensor) -> None:
        """Code that is not instrumented looks at the elements of `tensor`."""
        if self.looking or not self.live:
            return
        if tensor.aval.size != 1:
            self.deny(f"the elements of {tensor.aval} are looked at")
            return
        found = self.element(tensor)
        if found is not None and self.live:
            self.branch(*found)

    def allowed(self) -> Looking:
        return Looking(self)


class Looking:
    """Inside the block library code may look at the elements of tensors."""

    __slots__ = ("_recording",)

    def __init__(self, recording: Numbers) -> None:
        self._recording = recording

    def __enter__(self) -> None:
        self._recording.looking += 1

    def __exit__(self, *error: object) -> None:
        self._recording.looking -= 1
