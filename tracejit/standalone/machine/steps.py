"""The steps of a call as LLVM text: what `tracejit.standalone.running` does."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import assert_never

import numpy as np

from tracejit import dtypes
from tracejit._records import dataclass
from tracejit.artifact import HostCall, Plan
from tracejit.runtime.scalars import write_slots
from tracejit.runtime.workspace import Workspace, workspace_of
from tracejit.standalone.machine.frame import (
    CONSTANTS,
    RUN,
    TABLES,
    THREADS,
    Frame,
    is_dense,
)
from tracejit.standalone.machine.narrow import brain_bits, half_bits
from tracejit.standalone.machine.numbers import emit
from tracejit.standalone.machine.writer import (
    CallWriter,
    Kind,
    Unable,
    Value,
    Why,
    as_float,
    as_int,
    known,
)
from tracejit.standalone.records import (
    Call,
    Check,
    Compute,
    Constant,
    Copy,
    Element,
    Known,
    Memory,
    Operand,
    Require,
    Run,
    Slot,
    Step,
)
from tracejit.standalone.results import dense
from tracejit.standalone.ways import moved_slots

KINDS = {"int": Kind.INT, "float": Kind.FLOAT, "bool": Kind.BOOL}


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Where constants are, in bytes from `CONSTANTS`: the call's by name, and those of each program."""

    named: Mapping[str, int]
    programs: Sequence[int]


class Steps:
    """Writes steps. Each method raises Unable for what needs Python, at the line that the writer holds."""

    def __init__(
        self,
        w: CallWriter,
        call: Call,
        plans: Sequence[Plan],
        frame: Frame,
        placed: Placed,
        where: str,
    ) -> None:
        self.w, self.call, self.plans, self.frame, self.placed = w, call, plans, frame, placed
        self.where = where
        self.moved = frozenset(moved_slots(call))
        self.kinds: dict[int, Kind] = {}
        """Of numbers in slots."""

    # Slots

    def slot(self, slot: int) -> int:
        """The word of a slot."""
        return self.frame.slots + slot

    def address(self, slot: int) -> str:
        return self.w.word(self.slot(slot), "ptr")

    def pointer(self, memory: Memory) -> str:
        """To the first element."""
        return self.w.at(self.address(memory.slot), str(memory.offset))

    def value(self, operand: Operand) -> Value:
        if isinstance(operand, Known):
            if type(operand.value) not in (bool, int, float):
                raise Unable(f"{operand.value!r} is no number")
            return known(operand.value)  # type: ignore[arg-type]  # a number
        if operand.slot not in self.kinds:
            raise Unable("a number whose type may be another one in each call")
        return self.w.number(self.slot(operand.slot), self.kinds[operand.slot])

    def put(self, slot: int, value: Value) -> None:
        self.w.set_number(self.slot(slot), value)
        self.kinds[slot] = value.kind

    def fill(self, slot: int) -> None:
        self.w.set_word(self.slot(slot), self.w.word(self.frame.cells[slot]))

    # Steps

    def step(self, step: Step) -> None:
        match step:
            case Compute():
                self.compute(step)
            case Require():
                self.require(step)
            case Element():
                self.element(step)
            case Check():
                self.check(step)
            case Constant():
                self.constant(step)
            case Copy(slot=slot):
                target = self.w.word(self.frame.copies[slot], "ptr")
                self.w.copy(target, self.address(slot), self.frame.sizes[slot])
                self.w.set_word(self.slot(slot), target, "ptr")
            case Run():
                self.run(step)
            case _:
                assert_never(step)

    def swap(self, one: int, other: int) -> None:
        first, second = self.w.word(one), self.w.word(other)
        self.w.set_word(one, second)
        self.w.set_word(other, first)

    def gather(self, target: str, memory: Memory) -> None:
        """The elements in row-major order."""
        w, source = self.w, self.pointer(memory)
        size, own = itemsize(memory), dense(memory.dtype, memory.shape)
        if is_dense(memory):
            w.copy(target, source, size * _count(memory))
        elif 0 not in memory.shape:
            strides = in_bytes(own), in_bytes(memory)
            w.each(memory.shape, (target, source), strides, lambda to: w.copy(to[0], to[1], size))

    # Steps

    def compute(self, step: Compute) -> None:
        made = emit(self.w, step.function, tuple(map(self.value, step.operands)))
        if step.type is not None and made.kind is not KINDS[step.type]:
            name, kind = step.function.rpartition(".")[2], made.kind.name.lower()
            raise Unable(f"{name} gave a {step.type}, and gives a {kind} here")
        self.put(step.slot, made)

    def require(self, step: Require) -> None:
        found, wanted = self.value(Slot(step.slot)), self.value(Known(step.value))
        message = f"{step.text} was {step.value!r} when the function was exported, which holds for that only"
        self.w.fail_when(self.differs(found, wanted), Why.CHANGED, message)

    def differs(self, found: Value, wanted: Value) -> str:
        """Whether they are other numbers, as one sees them printed: 0.0 and -0.0 are two, and all NaNs are one."""
        w = self.w
        if found.kind is not wanted.kind:
            return "true"
        if found.kind is not Kind.FLOAT:
            return w.let(f"icmp ne {found.kind.value} {found.text}, {wanted.text}")
        bits = [w.let(f"bitcast double {each.text} to i64") for each in (found, wanted)]
        other = w.let(f"icmp ne i64 {bits[0]}, {bits[1]}")
        one = [w.let(f"fcmp ord double {each.text}, 0.0") for each in (found, wanted)]
        return w.let(f"and i1 {other}, {w.let(f'or i1 {one[0]}, {one[1]}')}")

    def element(self, step: Element) -> None:
        self.put(step.slot, self.loaded(step.memory))

    def loaded(self, memory: Memory) -> Value:
        w, pointer = self.w, self.pointer(memory)
        match memory.dtype:
            case "float64":
                return Value(Kind.FLOAT, w.let(f"load double, ptr {pointer}, align 8"))
            case "float32" | "float16":
                narrow = "float" if memory.dtype == "float32" else "half"
                found = w.let(f"load {narrow}, ptr {pointer}, align {itemsize(memory)}")
                return Value(Kind.FLOAT, w.let(f"fpext {narrow} {found} to double"))
            case "bfloat16":
                found = w.let(f"load i16, ptr {pointer}, align 2")
                bits = w.let(f"shl i32 {w.let(f'zext i16 {found} to i32')}, 16")
                single = w.let(f"bitcast i32 {bits} to float")
                return Value(Kind.FLOAT, w.let(f"fpext float {single} to double"))
            case "bool":
                found = w.let(f"load i8, ptr {pointer}, align 1")
                return Value(Kind.BOOL, w.let(f"icmp ne i8 {found}, 0"))
            case "uint64":
                raise Unable(f"an element of {memory.dtype} becomes a number")
            case _:
                return Value(Kind.INT, self.integer(pointer, memory.dtype))

    def integer(self, pointer: str, dtype: str) -> str:
        bits = 8 * dtypes.as_dtype(dtype).itemsize
        found = self.w.let(f"load i{bits}, ptr {pointer}, align {bits // 8}")
        if bits == 64:
            return found
        return self.w.let(f"{'z' if dtype[0] == 'u' else 's'}ext i{bits} {found} to i64")

    def check(self, step: Check) -> None:
        memory = step.memory
        if 0 in memory.shape:
            return
        w = self.w
        message = (
            f"{step.name}: an index is out of bounds for axis {step.axis} with size {step.size}"
        )
        if step.check == "labels":
            message = f"{step.name}: a label is out of bounds for {step.size} classes"
        negative = step.size if step.check == "indices" and memory.dtype[0] != "u" else 0

        def look(pointers: tuple[str, ...]) -> None:
            moved = w.let(f"add i64 {self.integer(pointers[0], memory.dtype)}, {negative}")
            outside = w.let(f"icmp uge i64 {moved}, {negative + step.size}")
            w.fail_when(outside, Why.INDEX, message)

        w.each(memory.shape, (self.pointer(memory),), (in_bytes(memory),), look)

    def constant(self, step: Constant) -> None:
        w = self.w
        content = w.at(w.word(CONSTANTS, "ptr"), str(self.placed.named[step.name]))
        if step.is_private:
            own = w.word(self.frame.cells[step.slot], "ptr")
            w.copy(own, content, self.frame.sizes[step.slot])
            content = own
        w.set_word(self.slot(step.slot), content, "ptr")

    def run(self, run: Run) -> None:
        plan = self.plans[run.program]
        if any(run.inputs[place][0] in self.moved for place in plan.written):
            raise Unable("memory that goes round a loop is written in place")
        for step in plan.steps:
            if isinstance(step, HostCall):
                raise Unable(f"{step.op} is computed by NumPy ({step.note})")
        for slot in run.outputs:
            self.output(slot)
        if not plan.steps:
            return
        w, layout = self.w, workspace_of(plan)
        base = w.at("%frame", str(self.frame.workspace))
        addresses = [w.at(self.address(slot), str(offset)) for slot, offset in run.inputs]
        addresses += [self.address(slot) for slot in run.outputs]
        addresses += [w.at(base, str(layout.scalars_at)), w.at(base, str(layout.arena_at))]
        addresses += [w.at(w.word(CONSTANTS, "ptr"), str(self.placed.programs[run.program]))]
        w.do(f"store i64 {self.threads(plan)}, ptr {base}, align 8")
        for number, address in enumerate(addresses):
            w.do(f"store ptr {address}, ptr {w.at(base, str(8 + 8 * number))}, align 8")
        self.scalars(plan, run.scalars, base, layout)
        self.launch(plan, w.word(TABLES + run.program), base)

    def launch(self, plan: Plan, table: str, base: str) -> None:
        self.w.do(f"call void {self.w.word(RUN, 'ptr')}(i64 {table}, ptr {base})")

    def output(self, slot: int) -> None:
        """A program's result lies where the caller wants it, if that is said, or else in its area."""
        address = self.w.word(self.frame.cells[slot])
        if slot in self.frame.straight:
            wanted = self.w.word(self.frame.straight[slot])
            is_wanted = self.w.let(f"icmp ne i64 {wanted}, 0")
            address = self.w.let(f"select i1 {is_wanted}, i64 {wanted}, i64 {address}")
        self.w.set_word(self.slot(slot), address)

    def threads(self, plan: Plan) -> str:
        found = self.w.word(THREADS)
        if plan.threads is None:
            return found
        self.w.declare("declare i64 @llvm.umin.i64(i64, i64)")
        return self.w.let(f"call i64 @llvm.umin.i64(i64 {found}, i64 {plan.threads})")

    def scalars(
        self, plan: Plan, operands: Sequence[Operand], base: str, layout: Workspace
    ) -> None:
        for number, (dtype, operand) in enumerate(zip(plan.scalars, operands, strict=True)):
            pointer = self.w.at(base, str(layout.scalars_at + 8 * number))
            if isinstance(operand, Known):
                kind, text = "i64", _known_scalar(dtype, operand)
            else:
                kind, text = self.scalar(dtype, self.value(operand))
            self.w.do(f"store {kind} {text}, ptr {pointer}, align 8")

    def scalar(self, dtype: str, value: Value) -> tuple[str, str]:
        """A number as the kernels read it: the type and the text of what is stored."""
        w = self.w
        match dtype:
            case "float64":
                return "double", as_float(w, value).text
            case "float32":
                return "float", w.let(f"fptrunc double {as_float(w, value).text} to float")
            case "float16":
                return "i16", half_bits(w, as_float(w, value))
            case "bfloat16":
                return "i16", brain_bits(w, as_float(w, value))
            case _:
                found = emit(w, f"number_as.{dtype}", (value,))
                return "i64", as_int(w, found).text


def itemsize(memory: Memory) -> int:
    return dtypes.as_dtype(memory.dtype).itemsize


def in_bytes(memory: Memory) -> tuple[int, ...]:
    """The strides."""
    return tuple(stride * itemsize(memory) for stride in memory.strides)


def _count(memory: Memory) -> int:
    return int(np.prod(memory.shape, dtype=np.int64))


def _known_scalar(dtype: str, operand: Known) -> str:
    """The word that the run time would write."""
    word = np.zeros(8, np.uint8)
    write_slots(word, 0, [dtype], [operand.value])  # type: ignore[list-item]  # a number
    return str(struct.unpack("<q", word.tobytes())[0])
