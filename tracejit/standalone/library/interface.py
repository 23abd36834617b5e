"""What a library takes, gives and keeps, one array or number after the other, as C sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import assert_never

from tracejit._errors import ExportError
from tracejit._records import dataclass
from tracejit.ir.dim import is_open
from tracejit.standalone.machine.frame import Frame, given_of, type_of
from tracejit.standalone.machine.writer import Kind
from tracejit.standalone.records import (
    Argument,
    ArrayArgument,
    Call,
    DictArgument,
    DictResult,
    Finish,
    FixedArgument,
    GivenResult,
    Known,
    Memory,
    NumberArgument,
    NumberResult,
    NumberState,
    Result,
    SequenceArgument,
    SequenceResult,
    TensorResult,
)
from tracejit.standalone.specs import named
from tracejit.standalone.ways import ways_of

_DTYPES = {"bool": "bool", "int": "int64", "float": "float64"}
"""What C sees of Python's types of numbers."""


@dataclass(frozen=True, slots=True)
class Item:
    """An array or a number; sizes that are open are text, and what is to be said of it in the header is `note`."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    is_number: bool
    is_written: bool = False
    note: str = ""

    def __str__(self) -> str:
        kind = (
            f"number, {self.dtype}"
            if self.is_number
            else f"{self.dtype}[{','.join(map(str, self.shape))}]"
        )
        return f"{kind}{self.note}"


@dataclass(frozen=True, slots=True)
class Input:
    item: Item
    slot: int


def _number(name: str, kind: str) -> Item:
    return Item(name, _DTYPES[kind], (), True)


def _array(
    name: str, dtype: str, shape: tuple[int, ...], *, is_written: bool = False, note: str = ""
) -> Item:
    return Item(name, dtype, tuple(map(named, shape)), False, is_written, note)


def inputs_of(call: Call) -> list[Input]:
    return [each for p in call.parameters for each in _inputs(p.argument, p.name)]


def _inputs(argument: Argument, name: str) -> Iterator[Input]:
    match argument:
        case ArrayArgument(slot=slot, dtype=dtype, shape=shape, is_written=is_written):
            note = ", which the call writes to" if is_written else ""
            yield Input(_array(name, dtype, shape, is_written=is_written, note=note), slot)
        case NumberArgument(slot=slot, type=kind):
            yield Input(_number(name, kind), slot)
        case SequenceArgument(parts=parts):
            for place, part in enumerate(parts):
                yield from _inputs(part, f"{name}.{place}")
        case DictArgument(keys=keys, parts=parts):
            for key, part in zip(keys, parts, strict=True):
                yield from _inputs(part, f"{name}.{key}")
        case FixedArgument():
            pass
        case _:
            assert_never(argument)


def outputs_of(call: Call, kinds: Mapping[int, Kind], where: str) -> list[Item]:
    """In the order of `results_of`. Raises ExportError where ways through the function, which is defined at `where`, differ."""
    given = given_of(call)
    found = [
        [*_outputs(way.end.result, "result", kinds, given)]
        for way in ways_of(call)
        if isinstance(way.end, Finish)
    ]
    for other in found[1:]:
        if other != found[0]:
            told = " and ".join(
                ", ".join(map(str, each)) or "nothing" for each in (found[0], other)
            )
            raise ExportError(f"{where}: export: for C: it returns {told} on different ways")
    return found[0] if found else []


def _outputs(
    result: Result, name: str, kinds: Mapping[int, Kind], given: Mapping[int, Memory]
) -> Iterator[Item]:
    match result:
        case TensorResult(memory=memory):
            yield _array(name, memory.dtype, memory.shape)
        case NumberResult(value=Known(value=value)):
            if is_open(value):
                yield _number(name, "int")
            elif isinstance(value, bool | int | float):
                yield _number(name, type(value).__name__)
        case NumberResult(value=value):
            slot = value.slot  # type: ignore[union-attr]  # the other kind of operand
            yield _number(name, kinds[slot].name.lower())
        case GivenResult(slot=slot):
            yield _array(name, given[slot].dtype, given[slot].shape)
        case SequenceResult(parts=parts):
            for place, part in enumerate(parts):
                yield from _outputs(part, f"{name}.{place}", kinds, given)
        case DictResult(keys=keys, parts=parts):
            for key, part in zip(keys, parts, strict=True):
                yield from _outputs(part, f"{name}.{key}", kinds, given)
        case _:
            assert_never(result)


def state_of(call: Call, frame: Frame) -> list[Item]:
    """The state that the library keeps, in the order of `frame.held`."""
    found = []
    for state in frame.held:
        if isinstance(state, NumberState):
            found.append(_number(state.name, type_of(call, state)))
        else:
            note = "" if state.is_read else ", which is not there before the first call"
            found.append(_array(state.name, state.dtype, state.shape, note=note))
    return found
