"""The steps of a call as lines of Python, for which `phrases.py` has the functions.

What is in a slot of `E` is a number; or of memory a buffer, an array, or the address.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from tracejit import dtypes
from tracejit._native.arrays import reader
from tracejit.runtime.program import Program
from tracejit.standalone import phrases
from tracejit.standalone.functions import FUNCTIONS, SAME, TYPES
from tracejit.standalone.homes import CPU
from tracejit.standalone.records import (
    Atom,
    Call,
    Check,
    Compute,
    Constant,
    Copy,
    Element,
    Known,
    NumberState,
    Operand,
    Require,
    Run,
    Step,
)
from tracejit.standalone.wholes import arrays_of, is_whole
from tracejit.symbols import INFIX

if TYPE_CHECKING:
    from tracejit.backends import AnyProgram


class Unfit(Exception):
    """The call needs more than lines say."""


class Phrasing:
    """Writes steps; `names` are what the lines refer to.

    `values` are those of the state by slot, as they are at any time. Methods raise Unfit.
    """

    programs_are: type[Any] = Program
    """What runs on the device that the lines are for."""

    def __init__(
        self,
        call: Call,
        programs: Sequence[AnyProgram],
        constants: Mapping[str, np.ndarray],
        values: dict[int, Any],
    ) -> None:
        self.call, self.programs, self.constants = call, programs, constants
        self.names: dict[str, Any] = {
            "ndarray": np.ndarray,
            "at": reader(),
            "values": values,
            **phrases.NAMES,
        }
        self.arrays = arrays_of(call, programs)
        self.run: list[str] = []
        self.states = {each.slot: each for each in call.state}
        self.places: dict[int, str] = {}
        """Of slots that hold memory by now: its address as an expression."""
        self.fresh: frozenset[int] = frozenset()
        """Slots of memory that the call itself has made by now."""
        self.copied: frozenset[int] = frozenset()
        """Slots of the state that hold copies by now."""
        self.has_written = False
        """Whether memory of the state has been written by now."""
        self._known: dict[Any, str] = {}

    def name(self, kind: str, value: Any) -> str:
        """A name for an object; floats of one text have one, however they were made: equal records give equal lines."""
        key = (float, repr(value)) if type(value) is float else id(value)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = f"{kind}{len(self.names)}"
            self.names[found] = value
        return found

    def dtype(self, name: str) -> str:
        return self.name("d", dtypes.as_dtype(name).numpy)

    def unless(self, lines: list[str], claim: str) -> None:
        """What does not hold is left to the steps."""
        if self.has_written:
            raise Unfit
        lines.append(f"if not ({claim}): return LEFT")

    # Steps

    def step(self, step: Step) -> None:
        match step:
            case Run():
                self.program(step)
            case Constant():
                self.constant(step)
            case Compute():
                self.compute(step)
            case Require():
                self.require(step)
            case Element():
                self.element(step)
            case Check():
                self.check(step)
            case Copy():
                self.copy(step)

    def address(self, slot: int, offset: int = 0) -> str:
        return f"{self.places[slot]} + {offset}" if offset else self.places[slot]

    def element(self, step: Element) -> None:
        memory = step.memory
        address = self.address(memory.slot, memory.offset)
        self.run.append(f"E[{step.slot}] = element({address}, {self.dtype(memory.dtype)})")

    def constant(self, step: Constant) -> None:
        content = self.constants[step.name]
        shared = self.name("c", CPU.sent(content))
        if step.is_private:
            self.make_copy(step.slot, f"{shared}.address", content.nbytes)
            self.fresh |= {step.slot}
        else:
            self.places[step.slot] = f"{shared}.address"

    def copy(self, step: Copy) -> None:
        """Of memory of the state, which is what calls that do not write to arguments write."""
        state = self.states.get(step.slot)
        if state is None or isinstance(state, NumberState):
            raise Unfit
        nbytes = prod(state.shape) * dtypes.as_dtype(state.dtype).itemsize
        self.make_copy(step.slot, self.places[step.slot], nbytes)
        self.copied |= {step.slot}

    def make_copy(self, slot: int, address: str, nbytes: int) -> None:
        self.run.append(f"E[{slot}] = copied({address}, {nbytes})")
        self.places[slot] = f"E[{slot}].address"

    def compute(self, step: Compute) -> None:
        self.run.append(f"E[{step.slot}] = {self.computed(step)}")
        if step.type is not None:
            kind = self.name("t", TYPES[step.type])
            self.unless(self.run, f"type(E[{step.slot}]) is {kind}")

    def computed(self, step: Compute) -> str:
        texts, function = list(map(self.number, step.operands)), FUNCTIONS[step.function]
        if step.function == SAME:
            return texts[0]
        if function in INFIX and len(texts) == 2:
            return f"({texts[0]}) {INFIX[function]} ({texts[1]})"
        return f"{self.name('f', self.function(function))}({', '.join(texts)})"

    def function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What computes with numbers."""
        return function

    def require(self, step: Require) -> None:
        kind, found = self.name("t", type(step.value)), f"E[{step.slot}]"
        self.unless(self.run, f"type({found}) is {kind}")
        self.unless(self.run, f"repr({found}) == {repr(step.value)!r}")

    def check(self, step: Check) -> None:
        """Errors are those of the steps."""
        memory = step.memory
        if not is_whole(memory) or memory.dtype not in ("int32", "int64"):
            raise Unfit
        base = 0 if step.check == "labels" else step.size
        first = self.address(memory.slot, memory.offset)
        given = f"{first}, {self.dtype(memory.dtype)}, {prod(memory.shape)}, {base}, {step.size}"
        self.unless(self.run, f"are_within({given})")

    def program(self, step: Run) -> None:
        program: Any = self.programs[step.program]
        if not isinstance(program, self.programs_are):
            raise Unfit
        written = {step.inputs[place][0] for place in program.plan.written}
        written -= self.fresh | self.copied
        if not written <= self.states.keys():
            raise Unfit
        self.check_program(program, step)
        addresses = "".join(f"{self.address(*each)}, " for each in step.inputs)
        scalars = "".join(f"{self.number(each)}, " for each in step.scalars)
        outputs = "".join(f"E[{slot}], " for slot in step.outputs)
        run = f"{self.name('run', self.runner(program, step))}(({addresses}), ({scalars}))"
        self.run.append(f"{outputs.rstrip()} = {run}" if outputs else run)
        for slot in step.outputs:
            self.places[slot] = f"at(E[{slot}])" if slot in self.arrays else f"E[{slot}].address"
        self.fresh |= {*step.outputs}
        if written and not self.has_written:
            self.has_written = True
            self.run.append("E[-1] = True")  # there is no way back

    def check_program(self, program: Any, step: Run) -> None:
        """Raises Unfit for a program that is not for this kind of call."""

    def runner(self, program: Any, step: Run) -> Any:
        """What runs a program: from addresses and numbers to the outputs, of which some are `arrays`."""
        raise NotImplementedError

    def number(self, operand: Operand) -> str:
        return self.known(operand.value) if isinstance(operand, Known) else f"E[{operand.slot}]"

    def known(self, value: Atom) -> str:
        return self.name("k", value) if isinstance(value, float) else repr(value)
