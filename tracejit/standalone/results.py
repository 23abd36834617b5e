"""A call's result, built from its slots. What it holds is its own, unless it is an argument itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, assert_never

from tracejit._gate import late
from tracejit.standalone.homes import array_in
from tracejit.standalone.records import (
    DictResult,
    GivenResult,
    Known,
    Memory,
    NumberResult,
    Raise,
    Result,
    SequenceResult,
    Slot,
    TensorResult,
)
from tracejit.standalone.ways import Way

if TYPE_CHECKING:
    from tracejit.standalone.homes import Home

Build = Callable[[list[Any], Mapping[int, Any], dict[Any, Any]], Any]
"""From the slots, what the caller gave, and what has been built of this result."""


def dense(dtype: str, shape: tuple[int, ...]) -> Memory:
    """All of a memory, in row-major order."""
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return Memory(0, dtype, shape, tuple(reversed(strides)))


def builder_of(way: Way, home: Home) -> Callable[[list[Any], Mapping[int, Any]], Any]:
    """What builds the result of a way, or the exception that it ends with."""
    end = way.end
    if isinstance(end, Raise):
        make: Callable[..., Exception] = late("tracejit.standalone.raising").maker_of(end)
        return lambda slots, given: make(slots)
    build = _build_of(end.result, way.outputs | way.constants, home)
    return lambda slots, given: build(slots, given, {})


def _build_of(result: Result, fresh: set[int], home: Home) -> Build:
    """`fresh` are the slots of memory that the call itself has made."""
    match result:
        case TensorResult():
            return _tensor(result, result.memory.slot in fresh, home)
        case GivenResult(slot=slot):
            return lambda slots, given, built: given[slot]
        case NumberResult(value=Known(value=value)):
            return lambda slots, given, built: value
        case NumberResult(value=value):
            place = value.slot  # type: ignore[union-attr]  # the other kind of operand
            return lambda slots, given, built: slots[place]
        case SequenceResult(type=kind, parts=parts):
            builds = [_build_of(part, fresh, home) for part in parts]
            make_ = list if kind == "list" else tuple
            return lambda slots, given, built: make_([each(slots, given, built) for each in builds])
        case DictResult(keys=keys, parts=parts):
            pairs = [(key, _build_of(part, fresh, home)) for key, part in zip(keys, parts)]
            return lambda slots, given, built: {
                key: each(slots, given, built) for key, each in pairs
            }
        case _:
            assert_never(result)


def _tensor(result: TensorResult, is_fresh: bool, home: Home) -> Build:
    memory, number = result.memory, result.number
    slot = memory.slot

    def build(slots: list[Any], given: Mapping[int, Any], built: dict[Any, Any]) -> Any:
        if number in built:
            return built[number]
        if is_fresh:
            buffer = slots[slot]
        else:
            buffer = built.get(("copy", slot)) or built.setdefault(
                ("copy", slot), home.copied(slots[slot])
            )
        if result.type == "tensor":
            storage = built.get(("storage", slot))
            tensor_of = late("tracejit.standalone.tensors").tensor_of
            made: Any = tensor_of(buffer, memory, storage, home.device)
            built["storage", slot] = made.storage
        else:
            near = built.get(("near", slot)) or built.setdefault(("near", slot), home.near(buffer))
            made = array_in(near, memory)
            made = made[()] if result.type == "scalar" else made
        built[number] = made
        return made

    return build


def tensors_in(result: Result) -> list[TensorResult]:
    """The tensors and arrays that a result is made of."""
    match result:
        case TensorResult():
            return [result]
        case SequenceResult(parts=parts) | DictResult(parts=parts):
            return [each for part in parts for each in tensors_in(part)]
        case GivenResult() | NumberResult():
            return []
        case _:
            assert_never(result)


def slots_of(result: Result) -> Iterator[int]:
    """The slots that a result is built from."""
    match result:
        case TensorResult(memory=memory):
            yield memory.slot
        case NumberResult(value=Slot(slot=slot)) | GivenResult(slot=slot):
            yield slot
        case NumberResult():
            pass
        case SequenceResult(parts=parts) | DictResult(parts=parts):
            for part in parts:
                yield from slots_of(part)
        case _:
            assert_never(result)
