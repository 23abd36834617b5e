"""The bodies of a call as functions of its slots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, assert_never

import numpy as np

from tracejit import dtypes
from tracejit._errors import RecompileError
from tracejit._gate import late
from tracejit.runtime.buffer import Buffer
from tracejit.standalone.functions import FUNCTIONS, TYPES
from tracejit.standalone.given import Slots
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
    Operand,
    Raise,
    Require,
    Run,
    Slot,
    Step,
)

if TYPE_CHECKING:
    from tracejit.backends import AnyProgram
    from tracejit.standalone.homes import Home

Act = Callable[[Slots], None]
T = TypeVar("T")


class Block(Generic[T]):
    """A body, ready to run: what its steps do, and where it goes on."""

    __slots__ = ("acts", "follow")

    def __init__(self, acts: list[Act]) -> None:
        self.acts = acts
        self.follow: Callable[[Slots], Block[T] | T]


def runner_of(
    call: Call,
    programs: Sequence[AnyProgram],
    tensors: Mapping[str, np.ndarray],
    ends: Iterable[T],
    home: Home,
) -> Callable[[Slots], T]:
    """What runs a call, of arguments and state that are in their slots; it gives that of the `ends`, one for each way, to
    which it has come."""
    first = _Maker(programs, tensors, iter(ends), home).block(call.body, ())

    def run(slots: Slots) -> T:
        block: Block[T] | T = first
        while type(block) is Block:
            for act in block.acts:
                act(slots)
            block = block.follow(slots)
        return block  # type: ignore[return-value]  # what is no block is an end

    return run


class _Maker(Generic[T]):
    def __init__(
        self,
        programs: Sequence[AnyProgram],
        tensors: Mapping[str, np.ndarray],
        ends: Iterator[T],
        home: Home,
    ) -> None:
        self.programs, self.tensors, self.ends, self.home = programs, tensors, ends, home

    def block(self, body: Body, loops: tuple[tuple[Loop, Block[T]], ...]) -> Block[T]:
        """`loops` are those around the body, with what their rounds begin with, from the outermost on."""
        block: Block[T] = Block([self.act(step) for step in body.steps])
        end = body.end
        match end:
            case Finish() | Raise():
                way = next(self.ends)
                block.follow = lambda slots: way
            case Decide(slot=slot):
                true, false = self.block(end.true, loops), self.block(end.false, loops)
                block.follow = lambda slots: true if slots[slot] else false
            case Loop(carried=carried):
                head: Block[T] = Block([])
                inner = self.block(end.body, (*loops, (end, head)))
                head.acts, head.follow = inner.acts, inner.follow
                block.follow = _moving(carried, head)
            case Again():
                loop, head = loops[-1 - end.loop]
                targets = [slot for slot, _ in loop.carried]
                block.follow = _moving(tuple(zip(targets, end.carried)), head)
            case _:
                assert_never(end)
        return block

    def act(self, step: Step) -> Act:
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
                return _constant(step, self.tensors[step.name], self.home)
            case Copy():
                return _copy(step, self.home)
            case Run():
                return _run(step, self.programs[step.program])
            case _:
                assert_never(step)


def _moving(pairs: tuple[tuple[int, int], ...], head: Block[T]) -> Callable[[Slots], Block[T]]:
    """Fills slots with what is in others, all at once."""

    def follow(slots: Slots) -> Block[T]:
        for (target, _), value in zip(pairs, [slots[source] for _, source in pairs]):
            slots[target] = value
        return head

    return follow


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


def _constant(step: Constant, content: np.ndarray, home: Home) -> Act:
    def made() -> Buffer:
        return home.sent(content)

    slot, shared = step.slot, made()

    def act(slots: Slots) -> None:
        slots[slot] = made() if step.is_private else shared

    return act


def _copy(step: Copy, home: Home) -> Act:
    slot = step.slot

    def act(slots: Slots) -> None:
        slots[slot] = home.copied(slots[slot])

    return act


def _run(step: Run, program: AnyProgram) -> Act:
    run, inputs, outputs = program.run, step.inputs, step.outputs
    values = _values(step.scalars)

    def act(slots: Slots) -> None:
        addresses = [slots[slot].address + offset for slot, offset in inputs]
        for slot, buffer in zip(outputs, run(addresses, values(slots))):
            slots[slot] = buffer

    return act
