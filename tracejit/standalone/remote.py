"""Calls on a GPU as lines, the same for machine code and for one Python function.

In a slot of `E` is a number, or a buffer whose elements the host does not see. Whoever changes the state has its lock while the
lines run: Python may run on the way, where the host looks at elements, and where a program has no graph for its memory yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from tracejit import dtypes
from tracejit._gate import late
from tracejit._records import replace
from tracejit.ir.aval import aval
from tracejit.runtime.cpu.native.lines import Lines
from tracejit.runtime.program import RemoteProgram
from tracejit.standalone.phrasing import Unfit
from tracejit.standalone.records import (
    Again,
    ArrayArgument,
    Call,
    Check,
    Constant,
    Element,
    Loop,
    Memory,
    NumberUpdate,
    Run,
    Slot,
    Step,
    Update,
)
from tracejit.standalone.updates import adopted
from tracejit.standalone.walk import Walk
from tracejit.standalone.ways import Way, bodies_of
from tracejit.standalone.wholes import is_whole

if TYPE_CHECKING:
    from tracejit.backends import AnyProgram
    from tracejit.standalone.homes import Home


class RemoteWalk(Walk):
    """`of_tensors`: whether what is a tensor to the function is to be one; else all are arrays, which are sent."""

    programs_are = RemoteProgram
    has_rounds = True

    def __init__(
        self,
        call: Call,
        programs: Sequence[AnyProgram],
        constants: Mapping[str, np.ndarray],
        values: dict[int, Any],
        home: Home,
        of_tensors: bool,
    ) -> None:
        super().__init__(call, programs, constants, values)
        self.home, self.device, self.of_tensors = home, home.device, of_tensors
        self.arrays = {}  # they are made of copies on the host
        self.names |= {"sent": home.sent, "twin": home.twin, "near": home.near, "seen": _seen}
        self._loops: list[tuple[int, dict[int, bool]]] = []
        """Those around what is being written: the number of each, and which of its carried slots hold memory of the call's."""
        self._rounds = 0
        self._carried: set[int] = set()

    # Arguments

    def memory(self, name: str, argument: ArrayArgument) -> None:
        if self.of_tensors and not argument.is_array:
            self.tensor(name, argument)
            return
        for test in self.array_tests(name, argument):
            self.unless(self.enter, test)
        self.fill(self.enter, argument.slot, f"sent({name})")

    def fill(self, lines: list[str], slot: int, text: str) -> None:
        lines.append(f"E[{slot}] = {text}")
        self.places[slot] = f"E[{slot}].address"

    # Steps

    def constant(self, step: Constant) -> None:
        known = self.name("c", self.home.sent(self.constants[step.name]))
        nbytes = self.constants[step.name].nbytes
        self.fill(self.run, step.slot, f"twin({known}, {nbytes})" if step.is_private else known)
        if step.is_private:
            self.fresh |= {step.slot}

    def make_copy(self, slot: int, address: str, nbytes: int) -> None:
        self.fill(self.run, slot, f"twin(E[{slot}], {nbytes})")

    def element(self, step: Element) -> None:
        memory = step.memory
        self.run.append(
            f"E[{step.slot}] = seen(E[{memory.slot}], {self.dtype(memory.dtype)}, {memory.offset})"
        )

    def check(self, step: Check) -> None:
        """It raises, as it does where steps are taken one by one."""
        memory = step.memory
        if not is_whole(memory, 0):
            raise Unfit
        kind = aval(dtypes.as_dtype(memory.dtype), memory.shape, self.device)
        layout = late("tracejit.storage").row_major(memory.shape)
        over = self.name("o", late("tracejit.tracing.replay.segments").tensor_over)
        tensor = f"{over}(E[{memory.slot}], {self.name('v', kind)}, {self.name('l', layout)})"
        if step.check == "labels":
            function = self.name("f", late("tracejit.indexing").check_labels)
            self.run.append(f"{function}({step.name!r}, {tensor}, {step.size})")
        else:
            function = self.name("f", late("tracejit.eager").check_indices)
            op = self.name("p", late("tracejit.ops.registry").REGISTRY[step.name])
            self.run.append(f"{function}({op}, {tensor}, {step.axis}, {step.size})")

    def check_program(self, program: Any, step: Run) -> None:
        if self.has_written and any(isinstance(each, Slot) for each in step.scalars):
            raise Unfit  # a number may not fit its dtype

    def runner(self, program: Any, step: Run) -> Any:
        return program.run

    # Loops

    def loop(self, end: Loop, run: list[str], steps: tuple[Step, ...]) -> Lines:
        if self._writes_in(end) and not self.has_written:
            self.has_written = True
            run.append("E[-1] = True")  # from a later round there is no way back
        of_own = {target: source in self.fresh for target, source in end.carried}
        self._move(run, dict(end.carried))
        self.fresh |= {target for target, is_own in of_own.items() if is_own}
        self._carried |= of_own.keys()
        number, self._rounds = self._rounds, self._rounds + 1
        self._loops.append((number, of_own))
        rounds = self.body(end.body, steps)
        self._loops.pop()
        return Lines((), run, following=((None, (replace(rounds, loop=number),)),))

    def again(self, end: Again, run: list[str]) -> Lines:
        number, of_own = self._loops[-1 - end.loop]
        moves = dict(zip(of_own, end.carried))
        if any(of_own[target] and source not in self.fresh for target, source in moves.items()):
            raise Unfit  # a round might write to what is not the call's
        self._move(run, moves)
        return Lines((), run, again=number)

    def _move(self, run: list[str], sources: Mapping[int, int]) -> None:
        left = "".join(f"E[{target}], " for target in sources)
        right = "".join(f"E[{source}], " for source in sources.values())
        if sources:
            run.append(f"{left}= {right}")
        for target, source in sources.items():
            if source in self.places:
                self.places[target] = f"E[{target}].address"

    def _writes_in(self, loop: Loop) -> bool:
        """Whether rounds write to the state."""
        runs = (step for each in bodies_of(loop.body) for step in each.steps)
        return any(
            step.inputs[place][0] in self.states.keys() - self.copied
            for step in runs
            if isinstance(step, Run)
            for place in self.programs[step.program].plan.written
        )

    # The end

    def updates(self, way: Way) -> list[str]:
        whole = adopted(way)
        pairs = [f"{slot}, E[{slot}]" for slot in way.copied if slot in self.states]
        pairs += [f"{each.slot}, {self._new(each, whole)}" for each in way.updates]
        return [f"put(values, {', '.join(pairs)})"] if pairs else []

    def _new(self, update: Update, whole: set[int]) -> str:
        if isinstance(update, NumberUpdate):
            return self.number(update.value)
        if not is_whole(update.memory, 0):
            raise Unfit
        is_own = update.slot in whole
        return f"E[{update.memory.slot}]" if is_own else self._twin(update.memory)

    def own(self, memory: Memory) -> str:
        is_own = memory.slot in self.fresh - self._carried
        return f"E[{memory.slot}]" if is_own else self._twin(memory)

    def seen(self, memory: Memory) -> str:
        return f"near(E[{memory.slot}])"

    def _twin(self, memory: Memory) -> str:
        nbytes = prod(memory.shape) * dtypes.as_dtype(memory.dtype).itemsize
        return f"twin(E[{memory.slot}], {nbytes})"

    def over(self, updates: list[str], result: str) -> list[str]:
        return [f"result = {result}", *updates, "return result"]


def _seen(buffer: Any, dtype: np.dtype[Any], offset: int) -> bool | int | float:
    """The element there as a Python number."""
    found: bool | int | float = buffer.array(dtype, (), None, offset).item()
    return found
