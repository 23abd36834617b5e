"""Calls with loops as machine code for Python, which binds arguments before, and builds results and changes the state after.

The code is that of a library for C up to the end of a way: there it gives the way's number, and has left all in its slots.
Python has to go on meanwhile: now and then a round lets other threads run, and asks for signals. Words before the frame tell
by which functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import assert_never

from tracejit._digest import digest
from tracejit._records import dataclass
from tracejit.artifact import KernelSource, LaunchSpec, Plan
from tracejit.runtime.program import LONG
from tracejit.runtime.workspace import aligned
from tracejit.standalone.machine.bodies import Bodies
from tracejit.standalone.machine.frame import Frame, frame_of, leaves_of
from tracejit.standalone.machine.steps import Placed
from tracejit.standalone.machine.writer import CallWriter, Kind, Unable, Why
from tracejit.standalone.raising import slots_told
from tracejit.standalone.records import (
    Again,
    Body,
    Call,
    Check,
    Compute,
    Constant,
    Copy,
    Element,
    Finish,
    Loop,
    Require,
    Run,
    Slot,
    TensorUpdate,
)
from tracejit.standalone.results import slots_of
from tracejit.standalone.ways import Way, bodies_of, inside

SAVE, RESTORE, CHECK, LEFT = -1, -2, -3, -4
"""Words before the frame: addresses of Python's functions, and after how many rounds they are called."""
BEFORE = 64
"""Bytes of these words."""
EVERY = 64
"""Rounds after which others run and signals are asked for, where a round takes little time."""
_NAME = "call_with_loops"


@dataclass(frozen=True, slots=True, eq=False)
class RoundsCode:
    """A call's text, its frame, where constants are in `constants` bytes, and of each way the numbers and the memory that are
    read at its end, by slot: their types, and the sizes in bytes.

    The status is minus the way's number, or more than 0 where Python has to make the call.
    """

    source: KernelSource
    frame: Frame
    placed: Placed
    constants: int
    ends: tuple[Mapping[int, Kind | int], ...]
    entered: Mapping[int, Kind | None]
    """What the frame's cells are filled with, by slot: numbers of these types, or memory."""


def rounds_code(call: Call, plans: Sequence[Plan], constants: Mapping[str, int]) -> RoundsCode:
    """The same wherever it is written; its name tells all of its text. `constants` has the sizes in bytes, by name.

    Raises Unable for what needs Python.
    """
    _check(call, plans)
    frame = frame_of(call, plans, constants, has_ends=False)
    placed, size = _placed(plans, constants)
    w = CallWriter()
    steps = _Rounds(w, call, plans, frame, placed)
    with w.call_function(_NAME):
        steps.begin()
        entered = steps.entered
        steps.body(call.body, (), ())
    name = f"call_{digest(w.text)[:32]}"
    source = KernelSource(name, w.text.replace(f"@{_NAME}(", f"@{name}(", 1))
    return RoundsCode(source, frame, placed, size, tuple(steps.ends), entered)


def _placed(plans: Sequence[Plan], constants: Mapping[str, int]) -> tuple[Placed, int]:
    """One piece after the other, each at a place that is aligned; and the bytes of all."""
    named, programs, size = {}, [], 0
    for name, nbytes in sorted(constants.items()):
        named[name], size = size, aligned(size + nbytes)
    for plan in plans:
        programs.append(size)
        size = aligned(size + len(plan.constants))
    return Placed(named, programs), size


def is_long(plan: Plan) -> bool:
    """Whether other threads run during its launches."""
    return sum(step.nbytes for step in plan.steps if isinstance(step, LaunchSpec)) >= LONG


def _check(call: Call, plans: Sequence[Plan]) -> None:
    """Python makes the call anew where this fails, so that until then nothing that others see is written."""
    filled = [slot for body in bodies_of(call.body) for slot in _filled(body)]
    if len(filled) > len({*filled}):
        raise Unable("a slot is filled in two places")
    _check_writes(call.body, plans, frozenset())


def _filled(body: Body) -> Iterator[int]:
    for step in body.steps:
        match step:
            case Run(outputs=outputs):
                yield from outputs
            case Compute(slot=slot) | Element(slot=slot) | Constant(slot=slot):
                yield slot
            case Require() | Check() | Copy():
                pass
            case _:
                assert_never(step)
    if isinstance(body.end, Loop):
        yield from (slot for slot, _ in body.end.carried)


def _check_writes(body: Body, plans: Sequence[Plan], own: frozenset[int]) -> None:
    """`own` are slots of memory of the call's own."""
    for place, step in enumerate(body.steps):
        match step:
            case Run():
                written = {step.inputs[number][0] for number in plans[step.program].written}
                if not written <= own and _may_fail(body, place + 1):
                    raise Unable("memory that others see is written before what may fail")
                own |= {*step.outputs}
            case Copy(slot=slot) | Constant(slot=slot):
                own |= {slot}
            case _:
                pass
    for inner in inside(body):
        _check_writes(inner, plans, own)


def _may_fail(body: Body, place: int) -> bool:
    """Whether anything may from this step on."""
    steps, end = body.steps[place:], body.end
    fail = any(not isinstance(each, Run | Constant | Copy | Element) for each in steps)
    asks = any(
        isinstance(scalar, Slot)
        for each in steps
        if isinstance(each, Run)
        for scalar in each.scalars
    )
    return (
        fail
        or asks
        or isinstance(end, Loop | Again)
        or any(_may_fail(inner, 0) for inner in inside(body))
    )


class _Rounds(Bodies):
    """Writes the steps, and asks for signals. `ends` is what is read at the end of each way so far."""

    def __init__(
        self, w: CallWriter, call: Call, plans: Sequence[Plan], frame: Frame, placed: Placed
    ) -> None:
        super().__init__(w, call, plans, frame, placed, "")
        self.ends: list[Mapping[int, Kind | int]] = []
        self.given = {each.slot for each in (*leaves_of(call), *call.state)}
        self.every = 1 if any(map(is_long, plans)) else EVERY

    @property
    def entered(self) -> dict[int, Kind | None]:
        """Once they are there: what is in the slots that cells fill."""
        filled = (*leaves_of(self.call), *self.frame.held)
        return {each.slot: self.kinds.get(each.slot) for each in filled}

    def over(self, way: Way) -> None:
        read = {*_read_at(way)} - self.given | {*way.copied}
        sizes, kinds = self.frame.sizes, self.kinds
        self.ends.append({slot: sizes[slot] if slot in sizes else kinds[slot] for slot in read})
        self.w.do(f"ret i64 {1 - len(self.ends)}")

    def begin_round(self) -> None:
        w = self.w
        left = w.let(f"sub i64 {w.word(LEFT)}, 1")
        w.set_word(LEFT, left)
        with w.when(w.let(f"icmp sle i64 {left}, 0")):
            w.set_word(LEFT, str(self.every))
            self.restore(self.save())
            raised = w.let(f"call i32 {w.word(CHECK, 'ptr')}()")
            w.fail_when(w.let(f"icmp ne i32 {raised}, 0"), Why.RAISED, "a signal")

    def launch(self, plan: Plan, table: str, base: str) -> None:
        state = self.save() if is_long(plan) else None
        super().launch(plan, table, base)
        if state is not None:
            self.restore(state)

    def save(self) -> str:
        """Other threads may run Python from here on."""
        return self.w.let(f"call ptr {self.w.word(SAVE, 'ptr')}()")

    def restore(self, state: str) -> None:
        self.w.do(f"call void {self.w.word(RESTORE, 'ptr')}(ptr {state})")


def _read_at(way: Way) -> Iterator[int]:
    """The slots that results and changes are made of."""
    if isinstance(way.end, Finish):
        yield from slots_of(way.end.result)
    else:
        yield from slots_told(way.end)
    for update in way.updates:
        if isinstance(update, TensorUpdate):
            yield update.memory.slot
        elif isinstance(update.value, Slot):
            yield update.value.slot
