"""The steps of a call as functions of its slots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np

from tracejit import dtypes
from tracejit._errors import RecompileError
from tracejit._gate import late
from tracejit.runtime.buffer import Buffer
from tracejit.standalone.functions import FUNCTIONS, TYPES
from tracejit.standalone.records import (
    Call,
    Check,
    Compute,
    Constant,
    Copy,
    Element,
    Known,
    Operand,
    Require,
    Run,
    Slot,
    Step,
)

if TYPE_CHECKING:
    from tracejit.backends import AnyProgram

Slots = list[Any]
Act = Callable[[Slots], None]
Quick = Callable[[tuple[Any, ...], Mapping[str, Any]], Any]
"""What takes some calls, all at once: from arguments by place and by name to the result, or LEFT."""
LEFT: Any = object()
"""Says that a call is left to the steps; nothing has been done."""


def runner_of(call: Call, programs: Sequence[AnyProgram], tensors: Mapping[str, np.ndarray]) -> Act:
    """What does the steps of a call, of arguments and state that are in their slots."""
    acts = [_act(step, programs, tensors) for step in call.steps]

    def run(slots: Slots) -> None:
        for act in acts:
            act(slots)

    return run


def _act(step: Step, programs: Sequence[AnyProgram], tensors: Mapping[str, np.ndarray]) -> Act:
    match step:
        case Compute():
            return _compute(step)
        case Require():
            return _require(step)
        case Element():
            return _element(step)
        case Check():
            return _check(step)
        case Constant():
            return _constant(step, tensors[step.name])
        case Copy():
            return _copy(step)
        case Run():
            return _run(step, programs[step.program])
        case _:
            assert_never(step)


def value_of(operand: Operand, slots: Slots) -> Any:
    return operand.value if isinstance(operand, Known) else slots[operand.slot]


def _values(operands: tuple[Operand, ...]) -> Callable[[Slots], list[Any]]:
    """The values of operands."""
    known = [each.value if isinstance(each, Known) else None for each in operands]
    places = [(n, each.slot) for n, each in enumerate(operands) if isinstance(each, Slot)]

    def values(slots: Slots) -> list[Any]:
        found = known.copy()
        for place, slot in places:
            found[place] = slots[slot]
        return found

    return values


def _compute(step: Compute) -> Act:
    function, values, slot = FUNCTIONS[step.function], _values(step.operands), step.slot
    kind = TYPES[step.type] if step.type else None

    def act(slots: Slots) -> None:
        made = slots[slot] = function(*values(slots))
        if kind is not None and type(made) is not kind:
            found = type(made).__name__
            raise RecompileError(
                f"{step.where}: {step.function} gave a {step.type}, and now a {found}"
            )

    return act


def _require(step: Require) -> Act:
    slot, wanted, kind = step.slot, step.value, type(step.value)

    def act(slots: Slots) -> None:
        found = slots[slot]
        if type(found) is not kind or repr(found) != repr(wanted):
            message = f"{step.where}: {step.text} was {wanted!r} when the function was exported, which holds for that only"
            raise RecompileError(f"{message}; now it is {found!r}")

    return act


def _element(step: Element) -> Act:
    memory = step.memory
    slot, dtype = step.slot, dtypes.as_dtype(memory.dtype).numpy

    def act(slots: Slots) -> None:
        slots[slot] = slots[memory.slot].array(dtype, (), None, memory.offset).item()

    return act


def _check(step: Check) -> Act:
    memory = step.memory

    def act(slots: Slots) -> None:
        tensor = late("tracejit.standalone.tensors").tensor_of(slots[memory.slot], memory)
        if step.check == "labels":
            late("tracejit.indexing").check_labels(step.name, tensor, step.size)
        else:
            op = late("tracejit.ops.registry").REGISTRY[step.name]
            late("tracejit.eager").check_indices(op, tensor, step.axis, step.size)

    return act


def _constant(step: Constant, content: np.ndarray) -> Act:
    def made() -> Buffer:
        buffer = Buffer.allocate(content.nbytes)
        buffer.array(content.dtype, content.shape)[...] = content
        return buffer

    slot, shared = step.slot, made()

    def act(slots: Slots) -> None:
        slots[slot] = made() if step.is_private else shared

    return act


def _copy(step: Copy) -> Act:
    slot, bytes_ = step.slot, np.dtype(np.uint8)

    def act(slots: Slots) -> None:
        before = slots[slot]
        copy = Buffer.allocate(before.nbytes)
        copy.array(bytes_, (copy.nbytes,))[...] = before.array(bytes_, (copy.nbytes,))
        slots[slot] = copy

    return act


def _run(step: Run, program: AnyProgram) -> Act:
    run, inputs, outputs = program.run, step.inputs, step.outputs
    values = _values(step.scalars)

    def act(slots: Slots) -> None:
        addresses = [slots[slot].address + offset for slot, offset in inputs]
        for slot, buffer in zip(outputs, run(addresses, values(slots))):
            slots[slot] = buffer

    return act
