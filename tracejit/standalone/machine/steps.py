"""The steps of a call as LLVM text: what `tracejit.standalone.running` and `updates` do, as one function."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import assert_never

import numpy as np

from tracejit import dtypes
from tracejit._errors import ExportError
from tracejit._records import dataclass
from tracejit.artifact import HostCall, KernelSource, Plan
from tracejit.runtime.scalars import write_slots
from tracejit.runtime.workspace import Workspace, workspace_of
from tracejit.standalone.functions import ERRORS
from tracejit.standalone.machine.frame import (
    CONSTANTS,
    RUN,
    TABLES,
    THREADS,
    Frame,
    Returned,
    is_dense,
    leaves_of,
    results_of,
    taken_over,
    type_of,
)
from tracejit.standalone.machine.narrow import brain_bits, half_bits
from tracejit.standalone.machine.numbers import emit, truth
from tracejit.standalone.machine.writer import (
    CallWriter,
    Failure,
    Kind,
    Unable,
    Value,
    Why,
    as_float,
    as_int,
    known,
)
from tracejit.standalone.records import (
    Again,
    Body,
    Call,
    Check,
    Compute,
    Constant,
    Copy,
    Decide,
    Element,
    Finish,
    Known,
    Loop,
    Memory,
    NumberArgument,
    NumberState,
    NumberUpdate,
    Operand,
    Raise,
    Require,
    Run,
    Slot,
    Step,
    TensorUpdate,
)
from tracejit.standalone.results import dense
from tracejit.standalone.ways import Way, moved_slots

KINDS = {"int": Kind.INT, "float": Kind.FLOAT, "bool": Kind.BOOL}


@dataclass(frozen=True, slots=True, eq=False)
class CallCode:
    """A call's text; what its status means; and of which type the number in each slot is.

    The status is 0, or that of one of the failures: one more than its number.
    """

    source: KernelSource
    failures: tuple[Failure, ...]
    kinds: Mapping[int, Kind]


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Where constants are, in bytes from `CONSTANTS`: the call's by name, and those of each program."""

    named: Mapping[str, int]
    programs: Sequence[int]


def call_code(
    name: str, call: Call, plans: Sequence[Plan], frame: Frame, placed: Placed, where: str
) -> CallCode:
    """The function `name` that makes a call; `where` is the line at which it is defined.

    Raises ExportError for what needs Python, with the line.
    """
    w = CallWriter()
    steps = Steps(w, call, plans, frame, placed, where)
    with w.call_function(name):
        try:
            steps.begin()
            steps.body(call.body, (), ())
        except Unable as unable:
            raise ExportError(f"{w.where or where}: export: for C: {unable}") from None
    return CallCode(KernelSource(name, w.text), tuple(w.failures), steps.kinds)


@dataclass(slots=True, eq=False)
class _Head:
    """Where rounds of a loop begin; `made` are the slots that a round has filled with programs' results so far."""

    loop: Loop
    label: str
    made: frozenset[int] = frozenset()


class Steps:
    """Writes them. Each method raises Unable for what needs Python, at the line that the writer holds."""

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

    # The call

    def begin(self) -> None:
        """Slots are filled with what is given, and with the state."""
        for leaf in leaves_of(self.call):
            if isinstance(leaf, NumberArgument):
                self.kinds[leaf.slot] = KINDS[leaf.type]
            self.fill(leaf.slot)
        for state in self.frame.held:
            if isinstance(state, NumberState):
                self.kinds[state.slot] = KINDS[type_of(self.call, state)]
            self.fill(state.slot)

    def fill(self, slot: int) -> None:
        self.w.set_word(self.slot(slot), self.w.word(self.frame.cells[slot]))

    # Ways

    def body(self, body: Body, before: tuple[Step, ...], heads: tuple[_Head, ...]) -> None:
        """All of it, and the bodies within; `before` are the steps of those around it, `heads` the loops."""
        for step in body.steps:
            self.at(getattr(step, "where", ""))
            self.step(step)
        steps = (*before, *body.steps)
        made = {slot for each in body.steps if isinstance(each, Run) for slot in each.outputs}
        heads = tuple(_Head(each.loop, each.label, each.made | made) for each in heads)
        end = body.end
        match end:
            case Finish() | Raise():
                self.at(end.where if isinstance(end, Raise) else "")
                self.over(Way(steps, end))
            case Decide():
                self.at(end.where)
                self.decide(end, steps, heads)
            case Loop():
                self.loop(end, steps, heads)
            case Again():
                self.again(end, heads[-1 - end.loop])
            case _:
                assert_never(end)

    def at(self, where: str) -> None:
        self.w.where = where or self.where

    def over(self, way: Way) -> None:
        """The end of a way."""
        self.finish(way)
        if isinstance(way.end, Raise):
            self.w.fail(Why.RAISED, _shown(way.end))
        else:
            self.w.do("ret i64 0")

    def decide(self, end: Decide, steps: tuple[Step, ...], heads: tuple[_Head, ...]) -> None:
        true, false = self.w.fresh("true"), self.w.fresh("false")
        holds = truth(self.w, self.value(Slot(end.slot)))
        self.w.do(f"br i1 {holds.text}, label %{true}, label %{false}")
        for label, inner in ((true, end.true), (false, end.false)):
            self.w.enter(label)
            self.body(inner, steps, heads)

    def loop(self, loop: Loop, steps: tuple[Step, ...], heads: tuple[_Head, ...]) -> None:
        """What is carried has memory of its own from the beginning: rounds never write to what is read elsewhere."""
        w = self.w
        for slot, source in loop.carried:
            if slot in self.frame.turns:
                own = w.word(self.frame.cells[slot], "ptr")
                w.copy(own, self.address(source), self.frame.sizes[slot])
                w.set_word(self.slot(slot), own, "ptr")
            else:
                self.put(slot, self.value(Slot(source)))
        head = _Head(loop, w.fresh("round"))
        w.do(f"br label %{head.label}")
        w.enter(head.label)
        self.begin_round()
        self.body(loop.body, steps, (*heads, head))

    def begin_round(self) -> None:
        """What else is done before each round."""

    def again(self, end: Again, head: _Head) -> None:
        """All is moved at once. Memory that this round has made trades places with that of the round before, other is copied."""
        w, pairs = self.w, [*zip([slot for slot, _ in head.loop.carried], end.carried)]
        memory = [pair for pair in pairs if pair[0] in self.frame.turns]
        numbers = [pair for pair in pairs if pair[0] not in self.frame.turns]
        values = [self.value(Slot(source)) for _, source in numbers]
        sources = [source for _, source in memory]
        traded = [source in head.made and sources.count(source) == 1 for source in sources]
        for (slot, source), is_traded in zip(memory, traded):
            if not is_traded and slot != source:
                w.copy(
                    w.word(self.frame.turns[slot], "ptr"),
                    self.address(source),
                    self.frame.sizes[slot],
                )
        for (slot, source), is_traded in zip(memory, traded):
            if slot != source:
                self.swap(
                    self.frame.cells[slot],
                    (self.frame.cells[source] if is_traded else self.frame.turns[slot]),
                )
                self.fill(slot)
        for (slot, _), value in zip(numbers, values):
            if value.kind is not self.kinds[slot]:
                raise Unable("a number becomes one of another type in a round of a loop")
            w.set_number(self.slot(slot), value)
        w.do(f"br label %{head.label}")

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

    def finish(self, way: Way) -> None:
        """What is returned is found in its words, and what changes is changed: from here on nothing fails."""
        for result, place in zip(results_of(self.call, way), self.frame.returned):
            self.result(result, place)
        for slot in way.copied:
            if slot in self.frame.changed:
                self.swap(self.frame.cells[slot], self.frame.copies[slot])
            else:
                given = self.w.word(self.frame.cells[slot], "ptr")
                self.w.copy(given, self.address(slot), self.frame.sizes[slot])
        tensors = [each for each in way.updates if isinstance(each, TensorUpdate)]
        taken = taken_over(way, self.frame.sizes)
        for update in tensors:
            if update.slot not in taken:
                self.gather(self.w.word(self.frame.spares[update.slot], "ptr"), update.memory)
        for update in tensors:
            spare = self.frame.spares if update.slot not in taken else None
            self.swap(
                self.frame.cells[update.slot],
                self.frame.cells[update.memory.slot] if spare is None else spare[update.slot],
            )
            if update.slot in self.frame.there:
                self.w.set_word(self.frame.there[update.slot], "1")
        for number in way.updates:
            if isinstance(number, NumberUpdate) and number.slot in self.kinds:
                self.update(number)

    def result(self, result: Memory | Operand, place: Returned) -> None:
        if not isinstance(result, Memory):
            self.w.set_number(place.found, self.value(result))
            return
        pointer = self.pointer(result)
        if place.area is not None:
            pointer = self.w.word(place.area, "ptr")
            self.gather(pointer, result)
        self.w.set_word(place.found, pointer, "ptr")

    def update(self, update: NumberUpdate) -> None:
        value = self.value(update.value)
        if value.kind is not self.kinds[update.slot]:
            raise Unable("a number of the state becomes one of another type")
        self.w.set_number(self.frame.cells[update.slot], value)

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


def _shown(end: Raise) -> str:
    """As Python shows an exception."""
    told = str(ERRORS[end.error](*end.args))
    return f"{end.error}: {told}" if told else end.error


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
