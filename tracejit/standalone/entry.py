"""Calls as machine code: the records as lines of replay code, which ways are made of as they are of recordings.

    a0 = args[0]
    if not (type(a0) is ndarray and a0.dtype is d and a0.shape == (4,) and a0.flags.num & 257 == 257): return 1
    E[0] = wrap(a0)

    E[1], = run((E[0].address, ), (k0, k1, ))

    return array(E[1], d, (4,))

It does what `quick.py` does, but for decisions. Whatever else a call is given, and whatever goes otherwise than it was recorded,
is left to Python.

A call that changes a state looks first whether it is another's turn. From there until all is changed no other call comes in
between: no Python runs, the interpreter's lock is kept, nothing is made that would have garbage be collected, and what the state
was before is held.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import prod
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from tracejit import dtypes
from tracejit._gate import late
from tracejit._records import dataclass, field, replace
from tracejit.artifact import KernelSource
from tracejit.ir.aval import aval
from tracejit.runtime.buffer import Buffer
from tracejit.runtime.cpu.native import arrays
from tracejit.runtime.cpu.native.objects import native_source
from tracejit.runtime.cpu.native.runs import ArrayKind, can_run
from tracejit.runtime.cpu.native.stretches import Lines
from tracejit.runtime.cpu.native.values import Kind, Value
from tracejit.runtime.cpu.native.ways import Language, Ways, way_of
from tracejit.runtime.cpu.native.ways import Way as NativeWay
from tracejit.runtime.program import Program
from tracejit.standalone.check import updated_state
from tracejit.standalone.functions import FUNCTIONS, TYPES
from tracejit.standalone.homes import CPU
from tracejit.standalone.quick import BEHAVED
from tracejit.standalone.records import (
    ArrayArgument,
    Atom,
    Call,
    Check,
    Compute,
    Constant,
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
    Require,
    Result,
    Run,
    SequenceResult,
    Slot,
    Step,
    TensorResult,
    TensorUpdate,
)
from tracejit.standalone.results import dense
from tracejit.standalone.updates import adopted
from tracejit.standalone.ways import Way

if TYPE_CHECKING:
    from tracejit.backends import AnyProgram

__all__ = ["Ways", "kinds_of", "native_source", "texts_of", "way_of_call"]


class _Unfit(Exception):
    """The call needs more than is done here."""


def way_of_call(
    call: Call,
    programs: Sequence[AnyProgram],
    constants: Mapping[str, np.ndarray],
    values: dict[int, Any],
    locks: list[threading.Lock],
    *,
    of_tensors: bool,
    wants: Callable[[KernelSource], bool],
) -> NativeWay | None:
    """Calls as machine code; None for those that it does not take, and where the text is not wanted.

    values       those of the state by slot, as they are at any time
    locks        of whoever changes the state: the one that there is
    of_tensors   whether what is a tensor to the function is to be one; else all are arrays
    """
    try:
        writer = _Writer(call, programs, constants, values, locks, of_tensors)
        lines = writer.written()
    except _Unfit:
        return None
    return way_of(
        lines,
        writer.names,
        positional=writer.given,
        keywords=(),
        arrays=writer.arrays,
        on_break=_raise,
        language=_language() if writer.has_tensors else _ARRAYS,
        wants=wants,
    )


def texts_of(
    call: Call, programs: Sequence[AnyProgram], constants: Mapping[str, np.ndarray]
) -> list[KernelSource]:
    """What is compiled for the calls, with what all native code needs; nothing where it is not used, or takes none."""
    found: list[KernelSource] = []

    def noted(source: KernelSource) -> bool:
        found.append(source)
        return False

    for of_tensors in kinds_of(call):
        way_of_call(call, programs, constants, {}, [], of_tensors=of_tensors, wants=noted)
    return [native_source(), *found] if found else []


def kinds_of(call: Call) -> tuple[bool, ...]:
    """For which `of_tensors` there are ways."""
    given = [each.argument for each in call.parameters]
    is_of_tensors = any(isinstance(each, ArrayArgument) and not each.is_array for each in given)
    return (True, False) if is_of_tensors else (False,)


def _raise(error: BaseException) -> None:
    raise error


def _array(buffer: Buffer, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
    return buffer.array(dtype, shape)


def _are_within(
    buffer: Buffer, dtype: np.dtype[Any], count: int, offset: int, base: int, size: int
) -> bool:
    """Whether the integers there are in [-base, size)."""
    found = buffer.array(dtype, (count,), None, offset)
    return not count or bool(found.min() >= -base and found.max() < size)


def _look_within(code: Any, given: list[Value]) -> Value:
    """`_are_within`, without the call."""
    dtype, count, offset, base, size = (each.constant for each in given[1:])
    address = code.attribute(given[0], "address").text
    first = code.let(f"add i64 {address}, {offset}")
    found = arrays.in_range(code, first, str(count), dtype.itemsize, base, base + size)
    return Value(Kind.TRUTH, found)


_ARRAYS = Language(
    intrinsics={
        Buffer.wrap: arrays.wrap,
        _array: arrays.array_over,
        _are_within: _look_within,
    },
    hints={},
    equal=(),
    equalities={},
    parts={},
    resized={},
    run_at=None,
)


@cache
def _language() -> Language:
    """With tensors. Loaded where there are any."""
    whole: Language = late("tracejit.tracing.replay.translation").language()
    return replace(whole, intrinsics={**whole.intrinsics, **_ARRAYS.intrinsics})


@dataclass(slots=True)
class _Writer:
    """Writes the lines; `names` are what they refer to."""

    call: Call
    programs: Sequence[AnyProgram]
    constants: Mapping[str, np.ndarray]
    values: dict[int, Any]
    locks: list[threading.Lock]
    of_tensors: bool
    names: dict[str, Any] = field(default_factory=dict)
    given: int = 0
    """How many arguments there are."""
    has_tensors: bool = False
    enter: list[str] = field(default_factory=list)
    run: list[str] = field(default_factory=list)
    arguments: dict[int, str] = field(default_factory=dict)
    """Of slots that hold an argument's memory: the argument."""
    arrays: dict[int, ArrayKind] = field(default_factory=dict)
    """Of slots of new memory that only becomes an array."""
    read: set[int] = field(default_factory=set)
    """Slots that programs read."""
    outputs: set[int] = field(default_factory=set)
    """Slots that they fill."""
    changes: bool = False
    """Whether calls change the state."""
    has_written: bool = False
    """Whether a program has done so by now."""

    def written(self) -> Lines:
        end = self.call.body.end
        if not isinstance(end, Finish):
            raise _Unfit
        self.names |= {"ndarray": np.ndarray, "wrap": Buffer.wrap, "array": _array}
        self.names |= {"values": self.values, "locks": self.locks, "are_within": _are_within}
        plans = [each.plan for each in self.programs]
        self.changes = bool(updated_state(self.call, plans))
        self.parameters()
        if self.changes:
            self.enter.append("if locks[0].locked(): return 1")
        for state in self.call.state:
            if isinstance(state, NumberState) or state.is_read or self.changes:
                self.enter.append(f"E[{state.slot}] = values[{state.slot}]")
        for step in self.call.body.steps:
            self.step(step)
        updates = self.updates(Way(self.call.body.steps, end))
        return Lines(self.enter, self.run, [*updates, f"return {self.result(end.result)}"])

    def updates(self, way: Way) -> list[str]:
        """Each sets what is there already, or was once. They come before the result, for which memory is asked."""
        whole = adopted(way)
        lines = []
        for update in way.updates:
            match update:
                case NumberUpdate(slot=slot, value=value):
                    lines.append(f"values[{slot}] = {self.number(value)}")
                case TensorUpdate(slot=slot, memory=memory):
                    if slot not in whole:
                        raise _Unfit
                    lines.append(f"values[{slot}] = E[{memory.slot}]")
        return lines

    def name(self, kind: str, value: Any) -> str:
        """A name for an object; floats of one text have one, however they were made: equal records give equal code."""
        for known, each in self.names.items():
            is_same_float = type(value) is type(each) is float and repr(value) == repr(each)
            if each is value or is_same_float:
                return known
        name = f"{kind}{len(self.names)}"
        self.names[name] = value
        return name

    def unless(self, lines: list[str], claim: str) -> None:
        """What does not hold is left to Python."""
        if self.has_written:
            raise _Unfit
        lines.append(f"if not ({claim}): return 1")

    # Arguments

    def parameters(self) -> None:
        """What is fixed comes last, and is left out."""
        for place, parameter in enumerate(self.call.parameters):
            match parameter.argument:
                case FixedArgument():
                    continue
                case ArrayArgument(is_written=False):
                    self.memory(f"a{place}", parameter.argument, f"args[{place}]")
                case NumberArgument(slot=slot, type=kind):
                    self.enter.append(f"a{place} = args[{place}]")
                    self.unless(self.enter, f"type(a{place}) is {self.name('t', TYPES[kind])}")
                    self.enter.append(f"E[{slot}] = a{place}")
                case _:
                    raise _Unfit
            if parameter.is_keyword or self.given < place:
                raise _Unfit
            self.given += 1

    def memory(self, name: str, argument: ArrayArgument, given: str) -> None:
        self.enter.append(f"{name} = {given}")
        if self.of_tensors and not argument.is_array:
            self.tensor(name, argument)
        else:
            self.array(name, argument)
        self.arguments[argument.slot] = given

    def array(self, name: str, argument: ArrayArgument) -> None:
        dtype = self.name("d", dtypes.as_dtype(argument.dtype).numpy)
        self.unless(self.enter, f"type({name}) is ndarray")
        self.unless(self.enter, f"{name}.dtype is {dtype}")
        self.unless(self.enter, f"{name}.shape == {argument.shape!r}")
        self.unless(self.enter, f"{name}.flags.num & {BEHAVED} == {BEHAVED}")
        self.enter.append(f"E[{argument.slot}] = wrap({name})")

    def tensor(self, name: str, argument: ArrayArgument) -> None:
        self.has_tensors = True
        wanted = aval(dtypes.as_dtype(argument.dtype), argument.shape)
        layout = self.name("l", late("tracejit.storage").row_major(argument.shape))
        self.unless(self.enter, f"type({name}) is {self.name('t', _tensor_class())}")
        self.unless(self.enter, f"{name}.aval is {self.name('v', wanted)}")
        self.unless(self.enter, f"{name}.layout is {layout} or {name}.layout == {layout}")
        self.enter.append(f"s{name} = {name}.storage")
        self.unless(self.enter, f"s{name}.pending is None")
        self.enter.append(f"E[{argument.slot}] = s{name}.buffer")

    # Steps

    def step(self, step: Step) -> None:
        match step:
            case Run():
                self.program(step)
            case Constant(is_private=False):
                buffer = CPU.sent(self.constants[step.name])
                self.run.append(f"E[{step.slot}] = {self.name('c', buffer)}")
            case Compute():
                self.run.append(f"E[{step.slot}] = {self.computed(step)}")
                if step.type is not None:
                    kind = self.name("t", TYPES[step.type])
                    self.unless(self.run, f"type(E[{step.slot}]) is {kind}")
            case Require():
                kind, found = self.name("t", type(step.value)), f"E[{step.slot}]"
                self.unless(self.run, f"type({found}) is {kind}")
                self.unless(self.run, f"repr({found}) == {repr(step.value)!r}")
            case Check():
                self.check(step)
            case _:
                raise _Unfit

    def computed(self, step: Compute) -> str:
        operands = ", ".join(map(self.number, step.operands))
        _, _, rounded = step.function.partition("number_as.")
        if rounded in ("float32", "float64"):
            self.has_tensors = True
            as_ = self.name("as", late("tracejit.ops.arguments").number_as)
            return f"{as_}({operands}, {self.name('y', dtypes.as_dtype(rounded))})"
        function = FUNCTIONS[step.function]
        if self.changes and not isinstance(function, BuiltinFunctionType | type):
            raise _Unfit  # others run Python
        return f"{self.name('f', function)}({operands})"

    def check(self, step: Check) -> None:
        """Errors are those of the steps."""
        memory = step.memory
        own = replace(dense(memory.dtype, memory.shape), slot=memory.slot, offset=memory.offset)
        if memory != own or memory.dtype not in ("int32", "int64"):
            raise _Unfit
        base = 0 if step.check == "labels" else step.size
        dtype = self.name("d", dtypes.as_dtype(memory.dtype).numpy)
        given = f"E[{memory.slot}], {dtype}, {prod(memory.shape)}, {memory.offset}"
        self.unless(self.run, f"are_within({given}, {base}, {step.size})")

    def program(self, step: Run) -> None:
        program = self.programs[step.program]
        if not isinstance(program, Program) or not can_run(program):
            raise _Unfit
        states = {each.slot for each in self.call.state}
        written = {step.inputs[place][0] for place in program.plan.written}
        is_late = self.has_written and any(isinstance(each, Slot) for each in step.scalars)
        if not written <= states or (self.changes and program.is_long) or is_late:
            raise _Unfit
        self.outputs |= {*step.outputs}
        addresses = "".join(
            f"E[{slot}].address + {offset}, " if offset else f"E[{slot}].address, "
            for slot, offset in step.inputs
        )
        self.read |= {slot for slot, _ in step.inputs}
        scalars = "".join(f"{self.number(each)}, " for each in step.scalars)
        outputs = "".join(f"E[{slot}], " for slot in step.outputs)
        run = f"{self.name('run', program.run)}(({addresses}), ({scalars}))"
        self.run.append(f"{outputs.rstrip()} = {run}" if outputs else run)
        if written and not self.has_written:
            self.has_written = True
            self.run.append("E[-1] = True")  # there is no way back

    def number(self, operand: Operand) -> str:
        return f"E[{operand.slot}]" if not isinstance(operand, Known) else self.known(operand.value)

    def known(self, value: Atom) -> str:
        return self.name("k", value) if isinstance(value, float) else repr(value)

    # The result

    def result(self, result: Result) -> str:
        used = [each.memory.slot for each in _parts(result)]
        whole = {slot for slot in used if used.count(slot) == 1} - self.read
        kept = [each.memory for each in _parts(result) if each.type != "tensor"]
        self.arrays = {each.slot: _array_kind(each) for each in kept if each.slot in whole}
        return self.part(result, whole)

    def part(self, result: Result, whole: set[int]) -> str:
        """`whole`: the memory that is one part's alone."""
        match result:
            case TensorResult():
                return self.made(result, whole)
            case GivenResult(slot=slot):
                return self.arguments[slot]
            case NumberResult(value=value):
                return self.number(value)
            case SequenceResult(type=kind, parts=parts):
                listed = "".join(f"{self.part(each, whole)}, " for each in parts)
                return f"[{listed}]" if kind == "list" else f"({listed})"
            case DictResult(keys=keys, parts=parts):
                pairs = (f"{k!r}: {self.part(v, whole)}, " for k, v in zip(keys, parts))
                return f"{{{''.join(pairs)}}}"

    def made(self, result: TensorResult, whole: set[int]) -> str:
        memory = result.memory
        slot, dtype, shape = memory.slot, dtypes.as_dtype(memory.dtype), memory.shape
        own = replace(dense(memory.dtype, shape), slot=slot)
        if memory != own or slot not in whole & self.outputs:
            raise _Unfit
        if result.type != "tensor":
            text = f"array(E[{slot}], {self.name('d', dtype.numpy)}, {shape!r})"
            return f"{text}[()]" if result.type == "scalar" else text
        self.has_tensors = True
        known = aval(dtype, shape)
        storage = self.name("storage", late("tracejit.tracing.replay.templates").storage_over)
        make = self.name("make", late("tracejit.tensor").make)
        layout = self.name("l", late("tracejit.storage").row_major(shape))
        over = f"{storage}({self.name('y', dtype)}, {known.size}, E[{slot}], 0)"
        return f"{make}({over}, {layout}, {self.name('v', known)}, None)"


def _tensor_class() -> Any:
    return late("tracejit.tensor").Tensor


def _array_kind(memory: Memory) -> ArrayKind:
    shape = memory.shape
    return ArrayKind(dtypes.as_dtype(memory.dtype).numpy, len(shape), lambda values: shape)


def _parts(result: Result) -> list[TensorResult]:
    match result:
        case TensorResult():
            return [result]
        case SequenceResult(parts=parts) | DictResult(parts=parts):
            return [each for part in parts for each in _parts(part)]
        case GivenResult() | NumberResult():
            return []
