"""A call as it was read, checked: every slot is filled before it is read, and no memory is read or written past its end."""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, assert_never

import numpy as np

from tracejit._errors import ArtifactError
from tracejit._gate import late
from tracejit.artifact import BufferSpec, Plan
from tracejit.standalone.functions import ERRORS, FUNCTIONS, TYPES
from tracejit.standalone.manifest import MANIFEST
from tracejit.standalone.plans import size_of
from tracejit.standalone.records import (
    Again,
    Argument,
    ArrayArgument,
    Body,
    Call,
    Check,
    Compute,
    Constant,
    Copy,
    Decide,
    DictArgument,
    DictResult,
    Element,
    End,
    Finish,
    FixedArgument,
    GivenResult,
    Loop,
    Memory,
    NumberArgument,
    NumberResult,
    NumberState,
    Operand,
    Raise,
    Require,
    Result,
    Run,
    SequenceArgument,
    SequenceResult,
    Slot,
    State,
    Step,
    TensorResult,
    TensorState,
    TensorUpdate,
    Text,
    Update,
    Written,
)
from tracejit.standalone.ways import steps_of, ways_of

MOST_SLOTS = 1 << 20
SEQUENCES = ("list", "tuple")
NUMBER = -1
"""Stands for the size of a slot that holds a number."""


def check_call(call: Call, programs: Sequence[Plan], tensors: Mapping[str, np.ndarray]) -> None:
    """Raises ArtifactError; `tensors` are those of the file."""
    _Checker(call, programs, tensors).run()


def is_name(text: str) -> bool:
    """Whether a parameter can be named so."""
    return text.isidentifier() and not keyword.iskeyword(text)


def updated_state(call: Call, programs: Sequence[Plan]) -> set[int]:
    """Slots of the state that a call changes."""
    changed = {
        step.inputs[place][0]
        for step in steps_of(call)
        if isinstance(step, Run)
        for place in programs[step.program].written
    }
    changed |= {each.slot for way in ways_of(call) for each in way.updates}
    return {each.slot for each in call.state} & changed


class _Checker:
    def __init__(
        self, call: Call, programs: Sequence[Plan], tensors: Mapping[str, np.ndarray]
    ) -> None:
        self.call = call
        self.programs = programs
        self.tensors = dict(tensors)
        self.where = f"entry {MANIFEST}: call"
        self.sizes: dict[int, int] = {}
        """Of the slots that are filled, in bytes; or NUMBER."""
        self.filled: list[int] = []
        """The same slots in the order in which they were filled."""
        self.arguments: set[int] = set()
        """Slots of memory that is the caller's."""
        self.states = {each.slot: each for each in call.state}
        self.shared = {
            each.slot
            for each in steps_of(call)
            if isinstance(each, Constant) and not each.is_private
        }
        """Slots of memory that no call may write."""
        self.written = {each.slot for each in _arrays(call) if each.is_written}
        self.way: list[Copy | Loop] = []
        """The loops around what is checked, and the copies that have been made by then."""

    def require(self, claim: bool, why: str) -> None:
        if not claim:
            raise ArtifactError(f"{self.where}: {why}")

    def run(self) -> None:
        call = self.call
        self.require(0 <= call.slots <= MOST_SLOTS, "it has too many slots")
        names = [each.name for each in call.parameters]
        self.require(all(map(is_name, names)), "a parameter's name is no name")
        kinds = [each.is_keyword for each in call.parameters]
        self.require(kinds == sorted(kinds), "parameters by place come after those by name")
        self.require(len({*names}) == len(names), "two parameters have one name")
        for parameter in call.parameters:
            self.argument(parameter.argument)
        self.require(
            len({each.name for each in call.state}) == len(call.state), "state of one name"
        )
        for state in call.state:
            self.state(state)
        self.body(call.body)
        self.require(not self.tensors, f"tensors of no use: {', '.join(sorted(self.tensors))}")

    # Ways

    def body(self, body: Body) -> None:
        """A body, and all within; what they fill is none of the others'."""
        filled, length = len(self.filled), len(self.way)
        for step in body.steps:
            self.step(step)
        self.end(body.end)
        for slot in self.filled[filled:]:
            del self.sizes[slot]
        del self.filled[filled:], self.way[length:]

    def end(self, end: End) -> None:
        match end:
            case Finish(updates=updates):
                for update in updates:
                    self.update(update)
                self.result(end.result)
            case Raise(updates=updates):
                for update in updates:
                    self.update(update)
                self.error(end)
            case Decide():
                self.number(Slot(end.slot))
                self.body(end.true)
                self.body(end.false)
            case Loop():
                self.loop(end)
            case Again():
                self.again(end)
            case _:
                assert_never(end)

    def error(self, end: Raise) -> None:
        are_known = bool(end.bases) and all(each in ERRORS for each in end.bases)
        self.require(are_known, f"{', '.join(end.bases)!r:.40} is no exception of Python's")
        module, _, own = end.name.partition(":")
        names = [each.strip("<>") for each in (*module.split("."), *own.split("."))]
        is_named = not end.name or all(each.isidentifier() for each in names)
        self.require(is_named, f"{end.name!r:.40} is no class")
        raising = late("tracejit.standalone.raising")
        try:
            raising.class_of(end)
        except TypeError as error:
            self.require(False, f"there is no class {end.name}: {error}")
        for arg in end.args:
            if isinstance(arg, Slot):
                self.number(arg)
            for part in arg.parts if isinstance(arg, Text) else ():
                if isinstance(part, Written):
                    is_right = part.conversion in raising.CONVERSIONS
                    is_right &= raising.is_modest(part.spec)
                    self.require(is_right, f"a number is not written as {part.spec!r:.40}")
                    self.number(part.value)

    def loop(self, loop: Loop) -> None:
        sizes = [self.carried(value) for _, value in loop.carried]
        for (slot, _), size in zip(loop.carried, sizes):
            self.fill(slot, size)
        self.way.append(loop)
        self.body(loop.body)

    def again(self, end: Again) -> None:
        loops = [place for place, each in enumerate(self.way) if isinstance(each, Loop)]
        self.require(0 <= end.loop < len(loops), f"there is no loop {end.loop} around a round")
        place = loops[-1 - end.loop]
        loop, *since = self.way[place:]
        assert isinstance(loop, Loop)
        self.require(
            not any(isinstance(each, Copy) for each in since), "a round of a loop makes copies"
        )
        sizes = [self.carried(slot) for slot in end.carried]
        wanted = [self.sizes[slot] for slot, _ in loop.carried]
        self.require(sizes == wanted, "a round leaves other slots than the loop carries")

    def carried(self, slot: int) -> int:
        """The size of what is carried round a loop: a number, or memory that the call itself has made."""
        size = self.sizes.get(slot)
        is_own = slot not in self.arguments and slot not in self.states and slot not in self.shared
        self.require(size is not None and (is_own or size == NUMBER), f"slot {slot} is not carried")
        assert size is not None
        return size

    # Slots

    def fill(self, slot: int, size: int) -> None:
        self.require(0 <= slot < self.call.slots, f"slot {slot} is none of its slots")
        self.require(slot not in self.sizes, f"slot {slot} is filled twice")
        self.sizes[slot] = size
        self.filled.append(slot)

    def bytes_in(self, slot: int) -> int:
        size = self.sizes.get(slot, NUMBER)
        self.require(size != NUMBER, f"slot {slot} holds no memory")
        return size

    def number(self, operand: Operand) -> None:
        if isinstance(operand, Slot):
            is_number = self.sizes.get(operand.slot) == NUMBER
            self.require(is_number, f"slot {operand.slot} holds no number")

    def nbytes(self, dtype: str, shape: tuple[int, ...]) -> int:
        return size_of(BufferSpec(dtype, shape), self.where)[1]

    def within(self, slot: int, spec: BufferSpec, offset: int) -> None:
        low, high = size_of(spec, self.where)
        is_inside = 0 <= offset + low and offset + high <= self.bytes_in(slot)
        self.require(is_inside, f"an array outside the memory in slot {slot}")

    def memory(self, memory: Memory) -> None:
        spec = BufferSpec(memory.dtype, memory.shape, memory.strides)
        self.within(memory.slot, spec, memory.offset)

    # Arguments and state

    def argument(self, argument: Argument) -> None:
        match argument:
            case ArrayArgument():
                self.fill(argument.slot, self.nbytes(argument.dtype, argument.shape))
                self.arguments.add(argument.slot)
            case NumberArgument():
                self.require(argument.type in TYPES, f"{argument.type!r} is no type of numbers")
                self.fill(argument.slot, NUMBER)
            case FixedArgument():
                pass
            case SequenceArgument():
                self.require(argument.type in SEQUENCES, f"{argument.type!r} is no sequence")
                for part in argument.parts:
                    self.argument(part)
            case DictArgument():
                self.keys(argument.keys, argument.parts)
                for part in argument.parts:
                    self.argument(part)
            case _:
                assert_never(argument)

    def keys(self, keys: tuple[str | int, ...], parts: tuple[Any, ...]) -> None:
        self.require(len({*keys}) == len(keys) == len(parts), "a dict has one part for each key")

    def state(self, state: State) -> None:
        if isinstance(state, NumberState):
            is_right = state.type is None or type(state.value) is TYPES.get(state.type)
            self.require(is_right, f"state {state.name}: its value is not of its type")
            self.fill(state.slot, NUMBER)
            return
        size = self.nbytes(state.dtype, state.shape)
        if state.is_read:
            self.fill(state.slot, size)
            self.stored(state)
        else:
            self.require(
                0 <= state.slot < self.call.slots, f"slot {state.slot} is none of its slots"
            )

    def stored(self, state: TensorState) -> None:
        tensor = self.tensors.pop(state.name, None)
        self.require(tensor is not None, f"state {state.name}: the file does not hold it")
        assert tensor is not None
        is_right = (tensor.dtype.name, tensor.shape) == (state.dtype, state.shape)
        self.require(is_right, f"state {state.name}: the file holds another dtype or shape")

    # Steps

    def step(self, step: Step) -> None:
        match step:
            case Compute():
                self.require(step.function in FUNCTIONS, f"there is no function {step.function!r}")
                self.require(step.type is None or step.type in TYPES, f"{step.type!r} is no type")
                for operand in step.operands:
                    self.number(operand)
                self.fill(step.slot, NUMBER)
            case Require():
                self.number(Slot(step.slot))
            case Element():
                self.require(step.memory.shape == (), "an element of no number")
                self.memory(step.memory)
                self.fill(step.slot, NUMBER)
            case Check():
                self.require(step.check in ("labels", "indices"), f"{step.check!r} is no check")
                self.require("int" in step.memory.dtype, "a check of what are no integers")
                self.memory(step.memory)
            case Constant():
                tensor = self.tensors.pop(step.name, None)
                is_right = tensor is not None and tensor.dtype == np.uint8 and tensor.ndim == 1
                self.require(is_right, f"{step.name}: the file holds no such bytes")
                assert tensor is not None
                self.fill(step.slot, len(tensor))
            case Copy():
                self.bytes_in(step.slot)
                self.way.append(step)
            case Run():
                self.program(step)
            case _:
                assert_never(step)

    def program(self, run: Run) -> None:
        self.require(0 <= run.program < len(self.programs), f"there is no program {run.program}")
        program = self.programs[run.program]
        counts = len(run.inputs), len(run.scalars), len(run.outputs)
        wanted = len(program.inputs), len(program.scalars), len(program.outputs)
        self.require(counts == wanted, f"program {run.program} is given other inputs than it has")
        for spec, (slot, offset) in zip(program.inputs, run.inputs):
            self.within(slot, spec, offset)
        for place in program.written:
            self.writes(run.inputs[place][0])
        for operand in run.scalars:
            self.number(operand)
            is_number = isinstance(operand, Slot) or isinstance(operand.value, int | float)
            self.require(is_number, f"program {run.program} is given what is no number")
        for spec, slot in zip(program.outputs, run.outputs):
            self.fill(slot, self.nbytes(spec.dtype, spec.shape))

    def writes(self, slot: int) -> None:
        """Memory is written: that of an argument only if it is said to be, that of a constant only if it is a copy."""
        allowed = slot not in self.arguments - self.written and slot not in self.shared
        self.require(allowed, f"the memory in slot {slot} is written, which is not said")

    # The end

    def update(self, update: Update) -> None:
        state = self.states.get(update.slot)
        self.require(state is not None, f"there is no state in slot {update.slot}")
        if isinstance(update, TensorUpdate):
            assert state is not None
            self.require(isinstance(state, TensorState), f"state {state.name} is no tensor")
            assert isinstance(state, TensorState)
            self.memory(update.memory)
            is_same = (state.dtype, state.shape) == (update.memory.dtype, update.memory.shape)
            self.require(is_same, f"state {state.name} becomes another dtype or shape")
        else:
            self.require(isinstance(state, NumberState), "a tensor becomes a number")
            self.number(update.value)

    def result(self, result: Result) -> None:
        match result:
            case TensorResult():
                self.memory(result.memory)
                self.require(
                    result.type in ("tensor", "array", "scalar"),
                    f"{result.type!r} is no kind of result",
                )
                self.require(
                    result.type != "scalar" or result.memory.shape == (),
                    "a scalar of several elements",
                )
            case GivenResult():
                self.require(result.slot in self.arguments, "what is returned is no argument")
            case NumberResult():
                self.number(result.value)
            case SequenceResult():
                self.require(result.type in SEQUENCES, f"{result.type!r} is no sequence")
                for part in result.parts:
                    self.result(part)
            case DictResult():
                self.keys(result.keys, result.parts)
                for part in result.parts:
                    self.result(part)
            case _:
                assert_never(result)


def _arrays(call: Call) -> list[ArrayArgument]:
    return [*chain.from_iterable(arrays_in(each.argument) for each in call.parameters)]


def arrays_in(argument: Argument) -> list[ArrayArgument]:
    """The tensors and arrays of an argument."""
    if isinstance(argument, ArrayArgument):
        return [argument]
    if isinstance(argument, SequenceArgument | DictArgument):
        return [*chain.from_iterable(map(arrays_in, argument.parts))]
    return []
