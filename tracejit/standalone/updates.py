"""What a call leaves behind: its state, and what it has written to arguments by way of a copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tracejit import dtypes
from tracejit._gate import late
from tracejit.standalone.check import arrays_in
from tracejit.standalone.given import is_followed, is_tensor
from tracejit.standalone.records import (
    ArrayArgument,
    Call,
    Finish,
    Memory,
    NumberUpdate,
    TensorUpdate,
)
from tracejit.standalone.results import dense, slots_of
from tracejit.standalone.running import value_of
from tracejit.standalone.ways import Way

if TYPE_CHECKING:
    from tracejit.standalone.homes import Home

Update = Callable[[list[Any], Mapping[int, Any]], dict[int, Any]]


def updater_of(call: Call, way: Way, home: Home) -> Update:
    """From the slots, and what the caller gave, to the new state by slot; everything is read before anything is written."""
    whole = adopted(way)
    copied = way.copied
    arrays = [each for p in call.parameters for each in arrays_in(p.argument)]
    written = {each.slot: each for each in arrays if each.is_written}
    states = {each.slot for each in call.state}
    numbers = [each for each in way.updates if isinstance(each, NumberUpdate)]
    tensors = [each for each in way.updates if isinstance(each, TensorUpdate)]

    def update(slots: list[Any], given: Mapping[int, Any]) -> dict[int, Any]:
        new = {slot: slots[slot] for slot in copied if slot in states}
        for number in numbers:
            new[number.slot] = value_of(number.value, slots)
        for tensor in tensors:
            buffer = slots[tensor.memory.slot]
            is_whole = tensor.slot in whole
            new[tensor.slot] = buffer if is_whole else home.gathered(buffer, tensor.memory)
        for slot, argument in written.items():
            if is_followed():
                _write(given[slot], home.near(slots[slot]), argument)
                continue
            if slot in copied:
                home.overwrite(given[slot], slots[slot])
            if is_tensor(given[slot]):
                late("tracejit.standalone.tensors").note_write(given[slot])
        return new

    return update


def _write(target: Any, buffer: Any, argument: ArrayArgument) -> None:
    """As an op, after those that wait for what is there now."""
    content = buffer.array(dtypes.as_dtype(argument.dtype).numpy, argument.shape)
    with late("tracejit.autograd.tape").no_grad():
        target[...] = content


def adopted(way: Way) -> set[int]:
    """State whose new memory is all of a program's result, which nobody else holds."""
    updates = [each for each in way.updates if isinstance(each, TensorUpdate)]
    sole = used_once(way)
    return {each.slot for each in updates if each.memory.slot in sole and _is_whole(each.memory)}


def used_once(way: Way) -> set[int]:
    """Slots of programs' results of which the state, or the call's result, has one part."""
    used = [*slots_of(way.end.result)] if isinstance(way.end, Finish) else []
    used += [each.memory.slot for each in way.updates if isinstance(each, TensorUpdate)]
    return {slot for slot in way.outputs if used.count(slot) == 1}


def _is_whole(memory: Memory) -> bool:
    own = dense(memory.dtype, memory.shape)
    return memory.offset == 0 and memory.strides == own.strides
