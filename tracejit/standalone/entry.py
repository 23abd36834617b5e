"""Calls as machine code: the records as lines of replay code, which ways are made of as they are of recordings.

    a0 = args[0]
    if not (type(a0) is ndarray and a0.dtype is d and a0.shape == (4,) and a0.flags.num & 257 == 257): return 1
    E[0] = wrap(a0)

    E[1], = run((E[0].address, ), (k0, k1, ))

    return array(E[1], d, (4,))

It does what `quick.py` does, of calls that change no state. Whatever else a call is given, and whatever goes otherwise than it
was recorded, is left to Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tracejit import dtypes
from tracejit._gate import late
from tracejit._records import dataclass
from tracejit.artifact import KernelSource
from tracejit.ir.aval import aval
from tracejit.runtime.buffer import Buffer
from tracejit.runtime.cpu.native import arrays
from tracejit.runtime.cpu.native.objects import native_source
from tracejit.runtime.cpu.native.runs import ArrayKind, can_run
from tracejit.runtime.cpu.native.stretches import Lines
from tracejit.runtime.cpu.native.ways import Language, Way, Ways, way_of
from tracejit.runtime.program import Program
from tracejit.standalone.functions import FUNCTIONS, TYPES
from tracejit.standalone.quick import BEHAVED
from tracejit.standalone.records import (
    ArrayArgument,
    Atom,
    Call,
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
    Operand,
    Require,
    Result,
    Run,
    SequenceResult,
    Step,
    TensorResult,
)
from tracejit.standalone.results import dense

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
    *,
    of_tensors: bool,
    wants: Callable[[KernelSource], bool],
) -> Way | None:
    """Calls that change no state as machine code; None for others, and where the text is not wanted.

    values       those of the state by slot, as they are at any time
    of_tensors   whether what is a tensor to the function is to be one; else all are arrays
    """
    try:
        writer = _Writer(call, programs, constants, values, of_tensors)
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
        way_of_call(call, programs, constants, {}, of_tensors=of_tensors, wants=noted)
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


_ARRAYS = Language(
    intrinsics={Buffer.wrap: arrays.wrap, _array: arrays.array_over},
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

    def written(self) -> Lines:
        end = self.call.body.end
        if not isinstance(end, Finish) or end.updates:
            raise _Unfit
        self.names |= {"ndarray": np.ndarray, "wrap": Buffer.wrap, "array": _array}
        self.names |= {"values": self.values}
        self.parameters()
        for state in self.call.state:
            if isinstance(state, NumberState) or state.is_read:
                self.enter.append(f"E[{state.slot}] = values[{state.slot}]")
        for step in self.call.body.steps:
            self.step(step)
        return Lines(self.enter, self.run, [f"return {self.result(end.result)}"])

    def name(self, kind: str, value: Any) -> str:
        """A name for an object: the same one for those that are equal, and of one type."""
        name = f"{kind}{len(self.names)}"
        for known, each in self.names.items():
            if type(each) is type(value) and (each is value or repr(each) == repr(value)):
                return known
        self.names[name] = value
        return name

    def unless(self, lines: list[str], claim: str) -> None:
        """What does not hold is left to Python."""
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
                content = self.constants[step.name]
                buffer = Buffer.allocate(content.nbytes)
                buffer.array(content.dtype, content.shape)[...] = content
                self.run.append(f"E[{step.slot}] = {self.name('c', buffer)}")
            case Compute():
                operands = ", ".join(map(self.number, step.operands))
                function = self.name("f", FUNCTIONS[step.function])
                self.run.append(f"E[{step.slot}] = {function}({operands})")
                if step.type is not None:
                    kind = self.name("t", TYPES[step.type])
                    self.unless(self.run, f"type(E[{step.slot}]) is {kind}")
            case Require():
                kind, found = self.name("t", type(step.value)), f"E[{step.slot}]"
                self.unless(self.run, f"type({found}) is {kind}")
                self.unless(self.run, f"repr({found}) == {repr(step.value)!r}")
            case _:
                raise _Unfit

    def program(self, step: Run) -> None:
        program = self.programs[step.program]
        if not isinstance(program, Program) or program.plan.written or not can_run(program):
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
