"""What a call calls the inputs of its programs: arguments and state by name."""

from __future__ import annotations

from tracejit.standalone.records import (
    Argument,
    ArrayArgument,
    Call,
    Constant,
    DictArgument,
    FixedArgument,
    Known,
    NumberArgument,
    Operand,
    Run,
    SequenceArgument,
)
from tracejit.standalone.ways import steps_of

Names = dict[tuple[str, int], str]
"""By kind of input, "input" or "scalar", and number."""


def names_of(call: Call, program: int) -> Names:
    """The inputs of a program, where the call runs it first; those that have no name are missing."""
    runs = (step for step in steps_of(call) if isinstance(step, Run) and step.program == program)
    first = next(runs, None)
    if first is None:
        return {}
    slots = _slots(call)
    names: Names = {}
    for number, (slot, _) in enumerate(first.inputs):
        if slot in slots:
            names["input", number] = slots[slot]
    for number, operand in enumerate(first.scalars):
        if (name := _number(operand, slots)) is not None:
            names["scalar", number] = name
    return names


def _number(operand: Operand, slots: dict[int, str]) -> str | None:
    if not isinstance(operand, Known):
        return slots.get(operand.slot)
    value = operand.value
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def _slots(call: Call) -> dict[int, str]:
    names: dict[int, str] = {}
    for parameter in call.parameters:
        _argument(parameter.argument, parameter.name, names)
    names |= {state.slot: state.name for state in call.state}
    names |= {
        step.slot: f"constant {step.name}" for step in steps_of(call) if isinstance(step, Constant)
    }
    for step in steps_of(call):
        if isinstance(step, Run):
            names |= {
                slot: f"result {number} of program {step.program}"
                for number, slot in enumerate(step.outputs)
            }
    return names


def _argument(argument: Argument, name: str, names: dict[int, str]) -> None:
    match argument:
        case ArrayArgument(slot=slot) | NumberArgument(slot=slot):
            names[slot] = name
        case SequenceArgument(parts=parts):
            for number, part in enumerate(parts):
                _argument(part, f"{name}[{number}]", names)
        case DictArgument(keys=keys, parts=parts):
            for key, part in zip(keys, parts):
                _argument(part, f"{name}[{key!r}]", names)
        case FixedArgument():
            pass
