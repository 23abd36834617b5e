"""What a recorded call reads: arguments, state and numbers computed from them, each with the slot that it is in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from tracejit._errors import ExportError
from tracejit.ops.arguments import number_as
from tracejit.ops.op import Layout
from tracejit.standalone.arguments import Given
from tracejit.standalone.functions import NAMES, TYPE_NAMES, rounding_to
from tracejit.standalone.naming import Names
from tracejit.standalone.records import (
    Baked,
    Compute,
    Known,
    Memory,
    NumberState,
    Operand,
    Require,
    Slot,
    State,
    Step,
)
from tracejit.storage import is_row_major
from tracejit.symbols import SYMBOLS
from tracejit.tensor import Tensor
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.sources import Source

ATOMS = (type(None), bool, int, float, str)


class Reads:
    """What a recorded call reads, and by which slots."""

    def __init__(self, recording: Recording, given: Given, function: Any) -> None:
        self.recording = recording
        self.given = given
        (self.segment,) = recording.segments
        self.guards = self.segment.guards
        self.names = Names([guard for guard, _ in self.guards], function)
        self.slots = recording.most_slots
        self.views: dict[int, tuple[int, int]] = {}
        """Slots that hold memory of another one, from some byte on."""
        self.first: dict[Any, int] = {}
        """The slot of what stands at a source: the memory of a tensor, or a number."""
        self.tensors: dict[int, tuple[Source, Tensor]] = {}
        """Slots of the state's memory: a tensor that is all of it, and where it is found."""
        self.state: list[State] = []
        self.places: list[Source] = []
        self.expressions: dict[int, str] = {}
        """What number a slot holds, for messages."""
        for guard, where in self.guards:
            self.meet(guard, where)

    def refuse(self, why: str, where: str = "") -> NoReturn:
        where = where or self.recording._definition
        raise ExportError(f"{where}: export: {why}")

    def slot(self) -> int:
        self.slots += 1
        return self.slots - 1

    # What the call reads

    def meet(self, guard: g.Guard, where: str) -> None:
        match guard:
            case g.TensorIs() | g.ArrayIs():
                self.meet_tensor(guard, where)
            case g.NumberIs(source=source, slot=slot, kind=kind):
                self.first[source.identity] = slot
                name = self.expressions[slot] = self.names.of(source)
                if not self.given.is_data(source):
                    self.state.append(NumberState(name, slot, None, TYPE_NAMES[kind]))
                    self.places.append(source)
            case g.SameObject(source=source, other=other) if self.are_data(source, other):
                self.refuse(f"it asks whether {source} is {other}", where)
            case g.Differ(sources=sources) if self.are_data(*sources):
                self.refuse("it asks whether arguments are one object", where)
            case g.SizeIs():
                self.refuse("open sizes are not exported", where)

    def are_data(self, *sources: Source) -> bool:
        """Whether two of these are arguments that are data, which each call may give anew."""
        return sum(map(self.given.is_data, sources)) > 1

    def meet_tensor(self, guard: g.TensorIs | g.ArrayIs, where: str) -> None:
        source = guard.source
        tensor: Tensor = self.recording._seen[source.identity]
        storage = tensor.storage
        slot = self.recording.outside_storages[storage]
        self.views[guard.slot] = slot, 0
        if isinstance(guard, g.TensorIs) and guard.window is not None:
            self.views[guard.window] = slot, tensor.layout.offset * storage.dtype.itemsize
        self.first[source.identity] = slot
        if tensor.aval.device != "cpu":
            self.refuse(
                f"{source} is on {tensor.aval.device}: only what is on the CPU is exported", where
            )
        if self.given.is_data(source):
            return
        is_whole = (
            is_row_major(tensor.layout)
            and tensor.layout.offset == 0
            and storage.size == tensor.aval.size
        )
        if is_whole:
            self.tensors.setdefault(slot, (source, tensor))

    def baked(self) -> Iterator[Baked]:
        """Values that the call has read, and that are part of what it does."""
        seen = set()
        for guard, where in self.guards:
            if isinstance(guard, g.ModeIs):
                yield Baked(guard.name, repr(guard.value), where)
            if not isinstance(guard, g.Equals) or self.given.is_data(guard.source):
                continue
            if guard.source.identity not in seen:
                seen.add(guard.source.identity)
                yield Baked(self.names.of(guard.source), repr(guard.value), where)

    def early(self) -> Iterator[Step]:
        """What is computed from numbers that are there before the call, and what has to come out."""
        for guard, where in self.guards:
            match guard:
                case g.Computed(slot=slot, function=function, operands=operands):
                    yield self.compute(slot, function, operands, where)
                case g.ResultIs(slot=slot, value=value, text=text):
                    if type(value) not in ATOMS:
                        self.refuse(f"it depends on {value!r}", where)
                    yield Require(slot, value, self.expressions.get(slot, text), where)

    def compute(self, slot: int, function: Any, operands: tuple[Any, ...], where: str) -> Compute:
        function, kind = getattr(function, "checked", (function, None))
        if function is number_as:
            *operands_, dtype = operands
            name: str | None = rounding_to(dtype)
            operands = tuple(operands_)
        else:
            name = NAMES.get(function)
        if name is None:
            shown = getattr(function, "__name__", str(function))
            self.refuse(
                f"{shown} of numbers that change is not among what an artifact computes", where
            )
        found = tuple(self.operand(each, where) for each in operands)
        self.expressions[slot] = _expression(name, [*map(self.shown, found)])
        return Compute(slot, name, found, TYPE_NAMES.get(kind) if kind else None, where)

    def shown(self, operand: Operand) -> str:
        if isinstance(operand, Known):
            return repr(operand.value)
        return self.expressions.get(operand.slot, "an element")

    def operand(self, value: Any, where: str = "") -> Operand:
        if type(value) in SYMBOLS:
            if value.owner is not self.recording:
                self.refuse("a number of another call is used", where)
            return Slot(value.slot)
        if type(value) not in ATOMS:
            self.refuse(f"a {type(value).__name__} is computed with, or kept", where)
        return Known(value)

    # Memory

    def at(self, slot: int, offset: int) -> tuple[int, int]:
        """The slot that the memory in a slot belongs to, and the bytes from its start."""
        base, begin = self.views.get(slot, (slot, 0))
        return base, begin + offset

    def memory(self, slot: int, dtype: Any, layout: Layout) -> Memory:
        base, offset = self.at(slot, layout.offset * dtype.itemsize)
        return Memory(base, dtype.name, tuple(layout.shape), tuple(layout.strides), offset)

    def memory_of(self, tensor: Tensor, where: str) -> Memory:
        found = self.recording.memory_of(tensor)
        if found is None:
            self.refuse("a tensor of unknown origin is returned or kept", where)
        return self.memory(found[0], tensor.aval.dtype, found[1])


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
