"""Calls as one function: text that is generated from the records, then compiled.

It takes arrays that lie as programs read them, numbers of the right type, and tensors of the right kind; whatever else a call is
given, and whatever goes otherwise than it was recorded, it leaves to the steps one by one, before anything is written.

    def call(args, kwargs):
        if kwargs or len(args) != 1:
            return LEFT
        a0, = args
        if type(a0) is ndarray and a0.dtype is d5 and a0.shape == (4,) and a0.flags.num & 257 == 257:
            p0 = at(a0)
        else:
            ...  # a tensor, or LEFT
        b1 = empty((4,), d5)
        p1 = at(b1)
        fill8((p0, p1, ), (k9, k10, ))
        return b1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tracejit import dtypes
from tracejit._config import config
from tracejit._gate import late
from tracejit._native.arrays import reader
from tracejit._records import dataclass, field, replace
from tracejit.ir.aval import Aval, aval
from tracejit.runtime.buffer import Buffer
from tracejit.runtime.program import Program, Space
from tracejit.standalone.functions import FUNCTIONS, TYPES
from tracejit.standalone.given import LEFT, Quick, array_of, is_tensor
from tracejit.standalone.homes import CPU
from tracejit.standalone.records import (
    ArrayArgument,
    Atom,
    Body,
    Call,
    Check,
    Compute,
    Constant,
    Decide,
    DictResult,
    Finish,
    FixedArgument,
    GivenResult,
    Known,
    Memory,
    NumberArgument,
    NumberResult,
    NumberState,
    NumberUpdate,
    Operand,
    Raise,
    Require,
    Result,
    Run,
    SequenceResult,
    Step,
    TensorResult,
    TensorState,
    TensorUpdate,
)
from tracejit.standalone.results import dense
from tracejit.standalone.updates import adopted
from tracejit.standalone.ways import Way, ways_of

if TYPE_CHECKING:
    from tracejit.backends import AnyProgram

SMALL = 1 << 14
"""Bytes up to which a result's memory is NumPy's: larger ones are the pool's, and may be written past the caches."""
KEPT = 1 << 16
"""Bytes up to which a workspace is kept from call to call."""
BEHAVED = 0x101
"""NumPy's flags of arrays in row-major order, at addresses that fit their elements."""


class _Unfit(Exception):
    """The call needs more than is done here."""


def quick_call(
    call: Call,
    programs: Sequence[AnyProgram],
    constants: Mapping[str, np.ndarray],
    values: dict[int, Any],
) -> Quick | None:
    """The call as one function, which leaves what it does not do; None if that is all.

    `values` are those of the state by slot, as they are at any time. Calls that change them take turns.
    """
    try:
        return _Writer(call, programs, constants, values).function()
    except _Unfit:
        return None


def _allocate(nbytes: int) -> Buffer:
    return Buffer.allocate(nbytes)  # which native code may have put something else in the place of


def _tensor(buffer: Buffer, memory: Memory) -> Any:
    return late("tracejit.standalone.tensors").tensor_of(buffer, memory)


def _tensor_at(value: object, wanted: Aval) -> tuple[Buffer, int] | None:
    """The memory of a tensor of this kind whose elements lie in order, and where they begin."""
    if not is_tensor(value) or value.aval is not wanted:
        return None
    found = late("tracejit.standalone.tensors").memory_of(value)
    if found is None:
        return None
    buffer, offset = found
    return buffer, buffer.address + offset


def _are_within(value: Any, size: int) -> bool:
    """Whether all elements are places on an axis, counted from its beginning; there are others that are right, too."""
    array = array_of(value)
    return not array.size or (array.min() >= 0 and array.max() < size)


class _Runs:
    """Runs of a program, in workspaces that are kept if they are small."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._spaces: list[Space] = []

    def fill(self, places: Sequence[int], scalars: Sequence[Any]) -> None:
        try:
            space = self._spaces.pop()
        except IndexError:
            space = self._program.space()
        if space.epoch != config.epoch:
            space = self._program.space()
        self._program.fill(space, places, scalars)
        if space.buffer.nbytes <= KEPT:
            self._spaces.append(space)


@dataclass(slots=True)
class _Writer:
    """Writes the function, line by line; `names` are what it refers to."""

    call: Call
    programs: Sequence[AnyProgram]
    constants: Mapping[str, np.ndarray]
    values: dict[int, Any]
    lines: list[str] = field(default_factory=list)
    names: dict[str, Any] = field(default_factory=dict)
    places: dict[int, str] = field(default_factory=dict)
    """Of slots that hold memory: its address as an expression."""
    numbers: dict[int, str] = field(default_factory=dict)
    """Of slots that hold numbers."""
    arguments: dict[int, ArrayArgument] = field(default_factory=dict)
    given: dict[int, str] = field(default_factory=dict)
    """Of slots that hold an argument's memory: the argument."""
    made: set[int] = field(default_factory=set)
    """Slots of programs' outputs."""
    has_written: bool = False
    """Whether memory of the state has been written so far."""
    results: dict[int, TensorResult] = field(default_factory=dict)
    """The parts of the result that are outputs of programs, by slot."""

    def function(self) -> Quick:
        self.names |= {"ndarray": np.ndarray, "at": reader(), "empty": np.empty}
        self.names |= {"LEFT": LEFT, "values": self.values, "allocate": _allocate}
        self.names |= {"tensor": _tensor, "tensor_at": _tensor_at}
        self.names |= {"are_within": _are_within}
        given = self.parameters()
        for state in self.call.state:
            self.state(state)
        for way in ways_of(self.call):
            if isinstance(way.end, Finish):
                self.note_results(way.end.result)
        self.body(self.call.body, ())
        head = [
            "def call(args, kwargs):",
            f"if kwargs or len(args) != {len(given)}:",
            " return LEFT",
            *([f"{', '.join(given)}, = args"] if given else []),
        ]
        exec(compile("\n ".join((*head, *self.lines)), "<artifact>", "exec"), self.names)
        made: Quick = self.names["call"]
        return made

    def note_results(self, result: Result) -> None:
        """Of one way; a program's output is the same part of the results of all that it is part of."""
        for slot, part in self.parts(result):
            if self.results.setdefault(slot, part) != part:
                raise _Unfit

    # Ways

    def body(self, body: Body, before: tuple[Step, ...]) -> None:
        for step in body.steps:
            self.step(step)
        steps, end = (*before, *body.steps), body.end
        match end:
            case Finish():
                self.finish(Way(steps, end))
            case Decide():
                self.lines.append(f"if {self.numbers[end.slot]}:")
                self.inside(end.true, steps)
                self.lines.append("else:")
                self.inside(end.false, steps)
            case Raise() if not self.has_written:
                self.lines.append("return LEFT")
            case _:
                raise _Unfit

    def inside(self, body: Body, before: tuple[Step, ...]) -> None:
        outside, self.lines = self.lines, []
        had_written = self.has_written
        self.body(body, before)
        self.lines = [*outside, *(f" {line}" for line in self.lines)]
        self.has_written = had_written

    def finish(self, way: Way) -> None:
        assert isinstance(way.end, Finish)
        self.lines.append(f"result = {self.result(way.end.result)}")
        if way.updates:  # at once: a signal may come between any two lines
            self.lines.append(f"values.update({{{self.updates(way)}}})")
        self.lines.append("return result")

    def name(self, kind: str, value: Any) -> str:
        """A name for an object."""
        for known, each in self.names.items():
            if each is value:
                return known
        name = f"{kind}{len(self.names)}"
        self.names[name] = value
        return name

    def unless(self, claim: str) -> None:
        """What does not hold is left to the steps."""
        if self.has_written:
            raise _Unfit
        self.lines += [f"if not ({claim}):", " return LEFT"]

    # Arguments and state

    def parameters(self) -> list[str]:
        """Names for the arguments by place; what is fixed comes last, and is left out."""
        names: list[str] = []
        for number, parameter in enumerate(self.call.parameters):
            match parameter.argument:
                case ArrayArgument(is_written=False):
                    self.array(f"a{number}", parameter.argument)
                case NumberArgument(slot=slot, type=kind):
                    self.unless(f"type(a{number}) is {self.name('t', TYPES[kind])}")
                    self.numbers[slot] = f"a{number}"
                case FixedArgument():
                    continue
                case _:
                    raise _Unfit
            if parameter.is_keyword or len(names) < number:
                raise _Unfit
            names.append(f"a{number}")
        return names

    def array(self, name: str, argument: ArrayArgument) -> None:
        dtype, place = dtypes.as_dtype(argument.dtype).numpy, f"p{argument.slot}"
        tests = [
            f"{name}.dtype is {self.name('d', dtype)}",
            f"{name}.shape == {argument.shape!r}",
            f"{name}.flags.num & {BEHAVED} == {BEHAVED}",
        ]
        wanted = self.name("v", aval(dtypes.as_dtype(argument.dtype), argument.shape))
        self.lines += [
            f"if type({name}) is ndarray and {' and '.join(tests)}:",
            f" {place} = at({name})",
            "else:",
            f" held_{place} = tensor_at({name}, {wanted})",
            f" if held_{place} is None:",
            "  return LEFT",
            f" {place} = held_{place}[1]",
        ]
        self.places[argument.slot] = place
        self.given[argument.slot] = name
        self.arguments[argument.slot] = argument

    def state(self, state: TensorState | NumberState) -> None:
        """It is held while the call runs: another thread may put something else in its place."""
        name = f"s{state.slot}"
        if isinstance(state, NumberState):
            self.lines.append(f"{name} = values[{state.slot}]")
            self.numbers[state.slot] = name
        elif state.is_read:
            self.lines.append(f"{name} = values[{state.slot}]")
            self.places[state.slot] = f"{name}.address"

    # Steps

    def step(self, step: Step) -> None:
        match step:
            case Run():
                self.run(step)
            case Constant(is_private=False):
                self.places[step.slot] = self.constant(step)
            case Compute():
                self.compute(step)
            case Require():
                self.require(step)
            case Check():
                self.check(step)
            case _:
                raise _Unfit

    def constant(self, step: Constant) -> str:
        return f"{self.name('c', CPU.sent(self.constants[step.name]))}.address"

    def compute(self, step: Compute) -> None:
        name = f"n{step.slot}"
        operands = ", ".join(map(self.number, step.operands))
        self.lines.append(f"{name} = {self.name('f', FUNCTIONS[step.function])}({operands})")
        if step.type is not None:
            self.unless(f"type({name}) is {self.name('t', TYPES[step.type])}")
        self.numbers[step.slot] = name

    def require(self, step: Require) -> None:
        name, kind = self.numbers[step.slot], self.name("t", type(step.value))
        self.unless(f"type({name}) is {kind} and repr({name}) == {repr(step.value)!r}")

    def check(self, step: Check) -> None:
        """Of a whole argument; errors are those of the steps."""
        memory, slot = step.memory, step.memory.slot
        wanted = self.arguments.get(slot)
        if wanted is None or memory != replace(dense(wanted.dtype, wanted.shape), slot=slot):
            raise _Unfit
        self.unless(f"are_within({self.given[slot]}, {step.size})")

    def updates(self, way: Way) -> str:
        whole = adopted(way)
        pairs = []
        for update in way.updates:
            match update:
                case NumberUpdate(slot=slot, value=value):
                    pairs.append(f"{slot}: {self.number(value)}")
                case TensorUpdate(slot=slot, memory=memory):
                    if slot not in whole:
                        raise _Unfit
                    pairs.append(f"{slot}: b{memory.slot}")
        return ", ".join(pairs)

    def number(self, operand: Operand) -> str:
        if isinstance(operand, Known):
            return self.known(operand.value)
        return self.numbers[operand.slot]

    def known(self, value: Atom) -> str:
        return self.name("k", value) if isinstance(value, float) else repr(value)

    def run(self, step: Run) -> None:
        program = self.programs[step.program]
        if not isinstance(program, Program):
            raise _Unfit
        states = {each.slot for each in self.call.state}
        if not {step.inputs[place][0] for place in program.plan.written} <= states:
            raise _Unfit
        for slot, nbytes, spec in zip(step.outputs, program.output_bytes, program.plan.outputs):
            made = self.results.get(slot)
            if made is not None and (made.memory.dtype, made.memory.shape) != (
                spec.dtype,
                spec.shape,
            ):
                raise _Unfit
            self.output(slot, nbytes, made)
        inputs = [
            f"{self.places[slot]} + {offset}" if offset else self.places[slot]
            for slot, offset in step.inputs
        ]
        outputs = [self.places[slot] for slot in step.outputs]
        places = "".join(f"{each}, " for each in (*inputs, *outputs))
        scalars = "".join(f"{self.number(each)}, " for each in step.scalars)
        fill = self.name("fill", _Runs(program).fill)
        self.lines.append(f"{fill}(({places}), ({scalars}))")
        self.has_written |= bool(program.plan.written)

    def output(self, slot: int, nbytes: int, made: TensorResult | None) -> None:
        """Memory for a program's output."""
        self.made.add(slot)
        if made is None or made.type == "tensor":
            self.lines.append(f"b{slot} = allocate({nbytes})")
            self.places[slot] = f"b{slot}.address"
            return
        if nbytes > SMALL:
            raise _Unfit
        memory = made.memory
        dtype = self.name("d", dtypes.as_dtype(memory.dtype).numpy)
        self.lines += [f"b{slot} = empty({memory.shape!r}, {dtype})", f"p{slot} = at(b{slot})"]
        self.places[slot] = f"p{slot}"

    # The result

    def parts(self, result: Result) -> list[tuple[int, TensorResult]]:
        """The arrays and tensors of a result by their slots, each of which is all of a program's output."""
        match result:
            case TensorResult(memory=memory):
                if memory != replace(dense(memory.dtype, memory.shape), slot=memory.slot):
                    raise _Unfit
                return [(memory.slot, result)]
            case SequenceResult(parts=parts) | DictResult(parts=parts):
                found = [each for part in parts for each in self.parts(part)]
                if len({slot for slot, _ in found}) < len(found):
                    raise _Unfit  # parts of one memory
                return found
            case GivenResult() | NumberResult():
                return []

    def result(self, result: Result) -> str:
        match result:
            case TensorResult(memory=memory) if memory.slot not in self.made:
                raise _Unfit  # it is no program's own
            case TensorResult(memory=memory, type="tensor"):
                return f"tensor(b{memory.slot}, {self.name('m', memory)})"
            case TensorResult(memory=memory, type=kind):
                return f"b{memory.slot}[()]" if kind == "scalar" else f"b{memory.slot}"
            case GivenResult(slot=slot):
                return self.given[slot]
            case NumberResult(value=value):
                return self.number(value)
            case SequenceResult(type=kind, parts=parts):
                listed = "".join(f"{self.result(part)}, " for part in parts)
                return f"[{listed}]" if kind == "list" else f"({listed})"
            case DictResult(keys=keys, parts=parts):
                return f"{{{''.join(f'{k!r}: {self.result(v)}, ' for k, v in zip(keys, parts))}}}"
