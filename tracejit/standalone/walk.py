"""A call's records as lines of Python: what machine code (`entry.py`) and one Python function (`quick.py`) are made of.

    a0 = args[0]
    if not (type(a0) is ndarray): return LEFT
    if not (a0.dtype is d and a0.shape == (4,) and a0.flags.num & 257 == 257): return LEFT
    E[0] = at(a0)

    E[1], E[2], = run((E[0], ), (k0, k1, ))
    E[3] = element(E[2].address, d)
    E[4] = (E[3]) > (k2)
    E[5] = not not E[4]

Then comes one of two ways, by what is in `E[5]`:

    return E[1]

`E` are the call's slots, and more for decisions. Whatever else a call is given, and whatever goes otherwise than it was
recorded, is left to the steps one by one before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tracejit import dtypes
from tracejit._gate import late
from tracejit._records import replace
from tracejit.ir.aval import aval
from tracejit.runtime.cpu.native.lines import Lines
from tracejit.standalone.functions import TYPES
from tracejit.standalone.phrasing import Phrasing, Unfit
from tracejit.standalone.records import (
    Again,
    ArrayArgument,
    Body,
    Call,
    Decide,
    DictResult,
    Finish,
    FixedArgument,
    GivenResult,
    Loop,
    Memory,
    NumberArgument,
    NumberResult,
    NumberState,
    NumberUpdate,
    Raise,
    Result,
    SequenceResult,
    Step,
    TensorResult,
)
from tracejit.standalone.results import tensors_in
from tracejit.standalone.updates import adopted
from tracejit.standalone.ways import Way, has_loops
from tracejit.standalone.wholes import is_whole

if TYPE_CHECKING:
    from tracejit.backends import AnyProgram

BEHAVED = 0x101
"""NumPy's flags of arrays in row-major order, at addresses that fit their elements."""


class Walk(Phrasing):
    """Goes through the records; `given` is how many arguments the lines take. Methods raise Unfit."""

    device = "cpu"
    has_rounds = False
    """Whether lines go round loops."""

    def __init__(
        self,
        call: Call,
        programs: Sequence[AnyProgram],
        constants: Mapping[str, np.ndarray],
        values: dict[int, Any],
    ) -> None:
        super().__init__(call, programs, constants, values)
        self.given = 0
        self.slots = call.slots
        """How many slots the lines have; decisions have some of their own."""
        self.enter: list[str] = []
        self.arguments: dict[int, str] = {}
        """Of slots that hold an argument's memory: the argument."""

    @property
    def is_plain(self) -> bool:
        """Whether there are no tensors in the lines."""
        return False

    def lines(self) -> Lines:
        if has_loops(self.call) and not self.has_rounds:
            raise Unfit  # they are machine code of another kind (`loops.py`)
        self.parameters()
        self.begin()
        for state in self.call.state:
            if isinstance(state, NumberState) or state.is_read:
                self.hold(state.slot)
        body = self.body(self.call.body, ())
        return replace(body, enter=self.enter)

    def begin(self) -> None:
        """What comes before the state is read."""

    def hold(self, slot: int) -> None:
        """The state is held while the call runs: another thread may put something else in its place."""
        self.enter.append(f"E[{slot}] = values[{slot}]")
        self.places[slot] = f"E[{slot}].address"

    # Arguments

    def parameters(self) -> None:
        """What is fixed comes last, and is left out."""
        for place, parameter in enumerate(self.call.parameters):
            name = f"a{place}"
            match parameter.argument:
                case FixedArgument():
                    continue
                case ArrayArgument(is_written=False, slot=slot):
                    self.enter.append(f"{name} = args[{place}]")
                    self.memory(name, parameter.argument)
                    self.arguments[slot] = f"args[{place}]"
                case NumberArgument(slot=slot, type=kind):
                    self.enter.append(f"{name} = args[{place}]")
                    self.unless(self.enter, f"type({name}) is {self.name('t', TYPES[kind])}")
                    self.enter.append(f"E[{slot}] = {name}")
                case _:
                    raise Unfit
            if parameter.is_keyword or self.given < place:
                raise Unfit
            self.given += 1

    def memory(self, name: str, argument: ArrayArgument) -> None:
        """Puts the memory of an argument into its slot."""
        raise NotImplementedError

    def tensor(self, name: str, argument: ArrayArgument) -> None:
        """Puts the memory of a tensor into its slot, if the tensor is all of it, and no gradient goes to it."""
        wanted = aval(dtypes.as_dtype(argument.dtype), argument.shape, self.device)
        layout = self.name("l", late("tracejit.storage").row_major(argument.shape))
        kind = self.name("t", late("tracejit.tensor").Tensor)
        self.unless(self.enter, f"type({name}) is {kind}")
        self.unless(self.enter, f"{name}.aval is {self.name('v', wanted)}")
        self.unless(self.enter, f"{name}.layout is {layout} or {name}.layout == {layout}")
        self.enter.append(f"g{name} = {name}.autograd")
        has_none = f"g{name} is None or (g{name}.node is None and not g{name}.requires_grad)"
        is_untied = self.name("u", late("tracejit.standalone.tensors").is_untied)
        claim = f"({name}.origin is None and ({has_none})) or {is_untied}({name})"
        self.unless(self.enter, claim)
        self.enter.append(f"s{name} = {name}.storage")
        self.unless(self.enter, f"s{name}.pending is None")
        self.enter.append(f"E[{argument.slot}] = s{name}.buffer")
        self.places[argument.slot] = f"E[{argument.slot}].address"

    def array_tests(self, name: str, argument: ArrayArgument) -> list[str]:
        """What holds of an array that lies as programs read it."""
        return [
            f"type({name}) is ndarray",
            f"{name}.dtype is {self.dtype(argument.dtype)}",
            f"{name}.shape == {argument.shape!r}",
            f"{name}.flags.num & {BEHAVED} == {BEHAVED}",
        ]

    # Bodies

    def body(self, body: Body, before: tuple[Step, ...]) -> Lines:
        """A body and those within; `before` are the steps of those around it."""
        run = self.run = []
        for step in body.steps:
            self.step(step)
        steps, end = (*before, *body.steps), body.end
        match end:
            case Finish(result=result):
                updates = self.updates(Way(steps, end))
                return Lines((), run, self.over(updates, self.result(result)))
            case Raise():
                raising = late("tracejit.standalone.raising")
                args = raising.same_always(end)
                if args is None:
                    raise Unfit
                listed = "".join(f"{self.known(each)}, " for each in args)
                raised = f"return throw({self.name('x', raising.class_of(end))}, ({listed}))"
                return Lines((), run, [*self.updates(Way(steps, end)), raised])
            case Decide():
                return self.decision(end, run, steps)
            case Loop():
                return self.loop(end, run, steps)
            case Again():
                return self.again(end, run)

    def loop(self, end: Loop, run: list[str], steps: tuple[Step, ...]) -> Lines:
        """What leads to the rounds of a loop, and these."""
        raise NotImplementedError

    def again(self, end: Again, run: list[str]) -> Lines:
        """What ends a round."""
        raise NotImplementedError

    def decision(self, end: Decide, run: list[str], steps: tuple[Step, ...]) -> Lines:
        decided, self.slots = self.slots, self.slots + 1
        run.append(f"E[{decided}] = not not E[{end.slot}]")
        true, false = (self.inside(each, steps) for each in (end.true, end.false))
        if not true and not false:
            raise Unfit
        return Lines(
            (), run, decision=decided, following=(((bool, True), true), ((bool, False), false))
        )

    def inside(self, body: Body, before: tuple[Step, ...]) -> tuple[Lines, ...]:
        """One of two ways to go on; none where that is left to the steps, who begin anew."""
        known = self.places.copy(), self.fresh, self.copied, self.has_written
        try:
            return (self.body(body, before),)
        except Unfit:
            if known[-1]:
                raise
            return ()
        finally:
            self.places, self.fresh, self.copied, self.has_written = known

    def over(self, updates: list[str], result: str) -> list[str]:
        """The end of a call that gives a result."""
        raise NotImplementedError

    # The end

    def updates(self, way: Way) -> list[str]:
        """All at once. Each sets what is there already, or was once."""
        whole = adopted(way)
        pairs = [f"{slot}, E[{slot}]" for slot in way.copied]
        for update in way.updates:
            if isinstance(update, NumberUpdate):
                pairs.append(f"{update.slot}, {self.number(update.value)}")
            elif update.slot in whole:
                pairs.append(f"{update.slot}, E[{update.memory.slot}]")
            else:
                raise Unfit
        return [f"put(values, {', '.join(pairs)})"] if pairs else []

    def result(self, result: Result) -> str:
        used = [each.memory.slot for each in tensors_in(result)]
        return self.part(result, {slot for slot in used if used.count(slot) == 1})

    def part(self, result: Result, whole: set[int]) -> str:
        """`whole`: the memory that is one part's alone."""
        match result:
            case TensorResult():
                if result.memory.slot not in whole or not is_whole(result.memory, 0):
                    raise Unfit
                return self.made(result)
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

    def made(self, result: TensorResult) -> str:
        """A tensor or an array over all of the memory in a slot."""
        slot, dtype, shape = result.memory.slot, result.memory.dtype, result.memory.shape
        if result.type == "tensor":
            known = aval(dtypes.as_dtype(dtype), shape, self.device)
            self.names["tensor"] = late("tracejit.standalone.tensors").tensor_over
            layout = self.name("l", late("tracejit.storage").row_major(shape))
            kinds = (
                f"{self.name('y', known.dtype)}, {known.size}, {layout}, {self.name('v', known)}"
            )
            return f"tensor({self.own(result.memory)}, {kinds})"
        seen = self.seen(result.memory)
        is_array = slot in self.arrays
        text = seen if is_array else f"array({seen}, {self.dtype(dtype)}, {shape!r})"
        return f"{text}[()]" if result.type == "scalar" else text

    def own(self, memory: Memory) -> str:
        """All of a slot's memory, as one that nobody else has."""
        if memory.slot not in self.fresh:
            raise Unfit
        return f"E[{memory.slot}]"

    def seen(self, memory: Memory) -> str:
        """The same, as NumPy sees it."""
        return self.own(memory)


def kinds_of(call: Call) -> tuple[bool, ...]:
    """For which `of_tensors` there are lines: whether what is a tensor to the function is to be one, or all are arrays."""
    given = [each.argument for each in call.parameters]
    is_of_tensors = any(isinstance(each, ArrayArgument) and not each.is_array for each in given)
    return (True, False) if is_of_tensors else (False,)
