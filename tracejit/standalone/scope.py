"""One piece of a recording as steps: its slots, which other recordings number in other ways, as those of the whole call.

Devices are left out: an artifact computes all on the one that it is loaded for, with the same bits.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, assert_never

import numpy as np

from tracejit.eager import check_indices
from tracejit.executable import foreign_op
from tracejit.indexing import check_labels
from tracejit.ir.aval import aval
from tracejit.ir.device import without_device
from tracejit.ir.dim import Dim
from tracejit.ir.graph import Apply, Graph, Input, params_key
from tracejit.ops.arguments import number_as
from tracejit.ops.op import Layout
from tracejit.ops.registry import REGISTRY
from tracejit.runtime.buffer import copy_of
from tracejit.standalone.drafts import Fresh, Program, Step
from tracejit.standalone.functions import NAMES, SAME, TYPE_NAMES, rounding_to
from tracejit.standalone.pieces import Piece
from tracejit.standalone.reads import ATOMS, Reads
from tracejit.standalone.records import (
    Atom,
    Check,
    Compute,
    Element,
    Known,
    Memory,
    Operand,
    Require,
    Slot,
    Text,
)
from tracejit.standalone.texts import text_of
from tracejit.storage import is_row_major
from tracejit.symbols import SYMBOLS, concrete
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay import segments as s


class Scope:
    """The slots of a piece's recording that are filled by its end."""

    def __init__(self, reads: Reads, piece: Piece, above: Scope | None) -> None:
        self.reads = reads
        self.piece = piece
        self.recording = piece.recording
        self.slots: dict[int, tuple[int, int]] = {} if above is None else {**above.slots}
        """The recording's slot -> the call's, and how many bytes from its beginning."""
        self.texts: dict[int, Text] = {} if above is None else {**above.texts}
        """What is in the recording's slots that hold text."""

    def fill(self, slot: int) -> int:
        """A slot of the call's for one that is filled here."""
        made = self.reads.slot()
        self.slots[slot] = made, 0
        return made

    def at(self, slot: int, offset: int = 0) -> tuple[int, int]:
        """The slot that the memory in a slot belongs to, and the bytes from its start."""
        base, begin = self.slots[slot]
        return base, begin + offset

    def number(self, slot: int) -> int:
        if slot in self.texts:
            why = "text of numbers that change is made for something else than an exception"
            self.reads.refuse(why, self.piece.where)
        return self.slots[slot][0]

    def rename(self, target: int, source: int) -> None:
        """What is in one of the recording's slots is in another one as well."""
        if source in self.texts:
            self.texts[target] = self.texts[source]
        else:
            self.slots[target] = self.slots[source]

    # Steps

    def steps(self) -> Iterator[Step]:
        """What the piece does, but for what it moves at its end."""
        for guard, where in self.piece.segment.guards:
            yield from self._guarded(guard, where)
        for instruction in self.piece.segment.instructions:
            match instruction:
                case s.Move(sources=sources):
                    yield from self._sizes_in(*sources)
                case s.Compute(slot=slot, function=function, operands=operands):
                    yield from self._computed(slot, function, operands, "")
                case _:
                    yield self._step(instruction)
        end = self.piece.segment.end
        if end is not None and end.kind == "branch":
            yield from self._sizes_in(end.slot)

    def _guarded(self, guard: g.Guard, where: str) -> Iterator[Step]:
        """What is computed from numbers that are there before the call, and what has to come out."""
        match guard:
            case g.TensorIs(source=source) | g.ArrayIs(source=source):
                slot = self.reads.slot_of(source)
                assert slot is not None
                self.slots[guard.slot] = slot, 0
                if isinstance(guard, g.TensorIs) and guard.window is not None:
                    begin = guard.layout.offset * guard.aval.dtype.itemsize
                    self.slots[guard.window] = slot, int(begin)
            case g.NumberIs(source=source, slot=local):
                slot = self.reads.slot_of(source)
                assert slot is not None
                self.slots[local] = slot, 0
            case g.Computed(slot=local) if local in self.recording.sizes_of:
                pass  # what is made of open sizes is one
            case g.Computed(slot=local, function=function, operands=operands):
                yield from self._computed(local, function, operands, where)
            case g.ResultIs(slot=local, value=value, text=text):
                yield from self._sizes_in(local)
                if type(value) not in ATOMS:
                    self.reads.refuse(f"it depends on {value!r}", where)
                yield self.require(local, value, text, where)

    def _sizes_in(self, *slots: int) -> Iterator[Compute]:
        """Fills slots of open sizes that are to be there as numbers."""
        for slot in slots:
            size: Any = self.recording.sizes_of.get(slot)
            if size is not None and slot not in self.slots:
                yield Compute(self.fill(slot), SAME, (Known(size),), None, "")

    def require(self, slot: int, value: Any, text: str, where: str) -> Require:
        found = self.number(slot)
        return Require(found, value, self.reads.expressions.get(found, text), where)

    def _step(self, instruction: s.Run | s.Element | s.Transfer | s.Check | s.Fresh) -> Step:
        match instruction:
            case s.Run():
                return self._program(instruction)
            case s.Element(slot=slot, memory=memory, aval=aval, offset=offset):
                base, begin = self.at(memory, self._extent(offset))
                return Element(self.fill(slot), Memory(base, aval.dtype.name, (), (), begin))
            case s.Transfer():
                return self._transfer(instruction)
            case s.Check():
                return self._check(instruction)
            case s.Fresh(slot=slot, template=template):
                own = copy_of(template)
                return Fresh(self.fill(slot), own.array(np.dtype(np.uint8), (own.nbytes,)))
            case _:
                assert_never(instruction)

    def _program(self, run: s.Run) -> Program:
        foreign = foreign_op(run.whole)
        if foreign is not None:
            where = str(foreign.loc or "")
            self.reads.refuse(f"{foreign.op} is an op that is not tracejit's own", where)
        inputs = tuple(self.at(slot, self._extent(offset)) for slot, offset in run.inputs)
        scalars = tuple(self.operand(each) for each in run.scalars)
        outside = frozenset(self.number(slot) for slot in run.written)
        outputs = tuple(self.fill(slot) for slot in run.outputs)
        return Program(without_device(run.whole), inputs, scalars, outputs, outside)

    def _transfer(self, transfer: s.Transfer) -> Program:
        """What moves to another device becomes a copy."""
        dtype, layout = transfer.aval.dtype, transfer.layout
        known = aval(dtype, layout.shape)
        source = Input(known, None if is_row_major(layout) else layout.strides)
        copy = Apply(REGISTRY["astype"], (source,), params_key({"dtype": dtype}), known)
        place = self.at(transfer.memory, layout.offset * dtype.itemsize)
        output = self.fill(transfer.slot)
        return Program(Graph((source,), (copy,)), (place,), (), (output,), frozenset())

    def _computed(
        self, slot: int, function: Any, operands: tuple[Any, ...], where: str
    ) -> Iterator[Step]:
        """A number is computed; text is noted, for exceptions that are made of it."""
        text = text_of(function, operands, self._part)
        if text is None:
            yield self._compute(slot, function, operands, where)
        else:
            self.texts[slot] = text

    def _part(self, value: Any) -> Text | Operand:
        """What text is made of."""
        if type(value) in SYMBOLS and value.slot in self.texts:
            return self.texts[value.slot]
        return self.operand(value)

    def told(self, value: Any, where: str) -> Atom | Slot | Text:
        """What an exception is made of."""
        if type(value) in SYMBOLS and value.slot in self.texts:
            return self.texts[value.slot]
        found = self.operand(value, where)
        return found if isinstance(found, Slot) else found.value

    def _compute(self, slot: int, function: Any, operands: tuple[Any, ...], where: str) -> Compute:
        function, kind = getattr(function, "checked", (function, None))
        if function is number_as:
            *operands_, dtype = operands
            name: str | None = rounding_to(dtype)
            operands = tuple(operands_)
        else:
            name = SAME if function is concrete else NAMES.get(function)
        if name is None:
            shown = getattr(function, "__name__", str(function))
            why = f"{shown} of numbers that change is not among what an artifact computes"
            self.reads.refuse(why, where or self.piece.where)
        found = tuple(self.operand(each, where) for each in operands)
        made, expressions = self.fill(slot), self.reads.expressions
        expressions[made] = _expression(name, [*map(self._shown, found)])
        return Compute(made, name, found, TYPE_NAMES.get(kind) if kind else None, where)

    def _shown(self, operand: Operand) -> str:
        if isinstance(operand, Known):
            size: Any = operand.value
            return size.text([*map(str, size.sizes.labels)]) if type(size) is Dim else repr(size)
        return self.reads.expressions.get(operand.slot, "an element")

    def _check(self, check: s.Check) -> Check:
        memory = self.memory(check.memory, check.aval.dtype, check.layout)
        if check.function is check_labels:
            return Check("labels", str(check.before[0]), memory, 0, self._extent(check.after[0]))
        if check.function is not check_indices:
            name = check.function.__name__
            self.reads.refuse(f"{name} looks at elements, which an artifact cannot")
        axis, size = operator.index(check.after[0]), self._extent(check.after[1])
        return Check("indices", check.before[0].name, memory, axis, size)

    # Values

    def _extent(self, value: Any) -> Any:
        """A number of the library's, which is an open size where a replay would compute it."""
        if type(value) in SYMBOLS:
            value = self.recording.sizes_of.get(value.slot, value)
        return value if type(value) is Dim else operator.index(value)

    def operand(self, value: Any, where: str = "") -> Operand:
        if type(value) in SYMBOLS and value.slot in self.recording.sizes_of:
            return Known(self.recording.sizes_of[value.slot])  # type: ignore[arg-type]  # see `Dim`
        if type(value) in SYMBOLS:
            if value.owner is not self.recording:
                self.reads.refuse("a number of another call is used", where)
            return Slot(self.number(value.slot))
        if type(value) not in ATOMS:
            self.reads.refuse(f"a {type(value).__name__} is computed with, or kept", where)
        return Known(value)

    def memory(self, slot: int, dtype: Any, layout: Layout) -> Memory:
        base, offset = self.at(slot, layout.offset * dtype.itemsize)
        return Memory(base, dtype.name, tuple(layout.shape), tuple(layout.strides), offset)


def _expression(name: str, operands: list[str]) -> str:
    """`rate * 2 < 1`, for messages."""
    sign = _SIGNS.get(name)
    if sign is None or len(operands) != 2:
        return f"{name.rpartition('.')[2]}({', '.join(operands)})"
    first, second = (f"({each})" if " " in each else each for each in operands)
    return f"{first} {sign} {second}"


_SIGNS = {
    "operator.add": "+", "operator.sub": "-", "operator.mul": "*", "operator.truediv": "/",
    "operator.floordiv": "//", "operator.mod": "%", "operator.pow": "**", "operator.lt": "<",
    "operator.le": "<=", "operator.gt": ">", "operator.ge": ">=", "operator.eq": "==", "operator.ne": "!=",
}  # fmt: skip
