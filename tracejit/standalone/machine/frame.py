"""The frame of a call in machine code: one block of memory, in which the code finds all that a call needs.

It begins with words of 8 bytes:

    0 threads that may take part  1 address of what runs launches  2 address of the constants
    the programs' tables of launches | slots | cells, and the results' words

*Slots* are those of the call. *Cells* are what whoever calls gives, and what stays from call to call: of each array that is an
argument the address, of each number the number; the same of the state; and the addresses of areas, which are the memory of
results and copies. A call fills its slots from the cells. Only when nothing can fail any more are cells of the state changed:
those of tensors trade places with cells of areas, so that nothing is copied; the first memory of the state is the caller's
business. More words tell where each result is. After the words come the areas, then the workspace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from math import prod
from typing import assert_never

from tracejit import dtypes
from tracejit._records import dataclass
from tracejit.artifact import Plan
from tracejit.runtime.workspace import aligned, array_bytes, workspace_of
from tracejit.standalone.check import updated_state
from tracejit.standalone.machine.writer import Unable
from tracejit.standalone.records import (
    Argument,
    ArrayArgument,
    Body,
    Call,
    Constant,
    Copy,
    DictArgument,
    DictResult,
    Finish,
    FixedArgument,
    GivenResult,
    Known,
    Loop,
    Memory,
    NumberArgument,
    NumberResult,
    NumberState,
    Operand,
    Result,
    Run,
    SequenceArgument,
    SequenceResult,
    State,
    Step,
    TensorResult,
    TensorState,
    TensorUpdate,
)
from tracejit.standalone.results import dense
from tracejit.standalone.updates import adopted, used_once
from tracejit.standalone.ways import Way, inside, only_way, ways_of

THREADS, RUN, CONSTANTS, TABLES = range(4)
"""Words at the frame's begin."""
Leaf = ArrayArgument | NumberArgument


@dataclass(frozen=True, slots=True)
class Area:
    """Memory of the frame's: the word that holds its address at first, the bytes from the frame's begin, and its size."""

    word: int
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Returned:
    """Where an array or a number that a call returns is found.

    found   the word of the number, or of the address of the elements, which lie in row-major order
    wanted  the word of the address at which the caller wants them, or of 0; None where no program can write them there
    area    the word of an area, if they have to be put in order
    """

    found: int
    wanted: int | None
    area: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Where in the frame of a call everything is.

    slots       the word of the call's first slot
    cells       by slot the word of the cell that fills it, or that its memory comes from
    copies      by slot that is copied the word of the copy's area
    spares      by slot of state that becomes another tensor the word of an area for the elements, where no program has written
                them to memory that can take its place
    turns       by slot of memory that is carried round a loop the word of an area that takes turns with that of its cell
    there       by slot of state that is not there before the first call the word that tells whether it is
    sizes       of the memory in slots, in bytes
    returned    of each array and number that is returned
    straight    by slot of what a program makes the word of the address at which the caller wants it
    held        the state that has cells: tensors and numbers
    changed     slots of the state that calls change
    workspace   where it begins, in bytes
    """

    slots: int
    cells: Mapping[int, int]
    copies: Mapping[int, int]
    spares: Mapping[int, int]
    turns: Mapping[int, int]
    there: Mapping[int, int]
    sizes: Mapping[int, int]
    areas: tuple[Area, ...]
    returned: tuple[Returned, ...]
    straight: Mapping[int, int]
    held: tuple[State, ...]
    changed: frozenset[int]
    words: int
    workspace: int


def frame_of(
    call: Call, plans: Sequence[Plan], constants: Mapping[str, int], *, has_ends: bool = True
) -> Frame:
    """Plans for other levels of instructions give the same frame; `constants` has the sizes in bytes, by name.

    Without `has_ends` there is no room for what ways end with, results and new values of the state, which is then the caller's
    business. Raises Unable for results that C cannot have.
    """
    return _Layout(call, plans, constants, has_ends).frame


def workspace_bytes(plans: Sequence[Plan]) -> tuple[int, int]:
    """What the workspace takes, and what it takes more for each thread."""
    layouts = [*map(workspace_of, plans)]
    fixed = max((each.scratch_at for each in layouts), default=0)
    return aligned(fixed), max((each.scratch_bytes for each in layouts), default=0)


def leaves_of(call: Call) -> Iterator[Leaf]:
    """The arrays and numbers that a call is given, in the order of its arguments."""
    return chain.from_iterable(_leaves(each.argument) for each in call.parameters)


def _leaves(argument: Argument) -> Iterator[Leaf]:
    match argument:
        case ArrayArgument() | NumberArgument():
            yield argument
        case SequenceArgument(parts=parts) | DictArgument(parts=parts):
            yield from chain.from_iterable(map(_leaves, parts))
        case FixedArgument():
            pass
        case _:
            assert_never(argument)


def results_of(call: Call, way: Way) -> Iterator[Memory | Operand]:
    """The arrays and numbers that a call returns that has come this way; arguments, too, but neither None nor text."""
    return _results(way.end.result, given_of(call)) if isinstance(way.end, Finish) else iter(())


def taken_over(way: Way, sizes: Mapping[int, int]) -> set[int]:
    """The state that the memory of a program's result becomes."""
    updates = [each for each in way.updates if isinstance(each, TensorUpdate)]
    whole = adopted(way)
    return {
        each.slot
        for each in updates
        if each.slot in whole and sizes[each.slot] == sizes[each.memory.slot]
    }


def given_of(call: Call) -> dict[int, Memory]:
    """The arrays that are arguments, by their slots."""
    arrays = [each for each in leaves_of(call) if isinstance(each, ArrayArgument)]
    return {each.slot: replace(dense(each.dtype, each.shape), slot=each.slot) for each in arrays}


def _results(result: Result, given: Mapping[int, Memory]) -> Iterator[Memory | Operand]:
    match result:
        case TensorResult(memory=memory):
            yield memory
        case GivenResult(slot=slot):
            yield given[slot]
        case NumberResult(value=Known(value=None | str())):
            pass
        case NumberResult(value=value):
            yield value
        case SequenceResult(parts=parts) | DictResult(parts=parts):
            for part in parts:
                yield from _results(part, given)
        case _:
            assert_never(result)


def type_of(call: Call, state: NumberState) -> str:
    """The type that a value of the state always has; "" where it is no number, or may be of another type after each call.

    With such state no call computes, and machine code does not keep it.
    """
    if state.type is not None:
        return state.type
    is_updated = any(each.slot == state.slot for way in ways_of(call) for each in way.updates)
    is_number = type(state.value) in (bool, int, float)
    return type(state.value).__name__ if is_number and not is_updated else ""


class _Layout:
    """Hands out words and areas."""

    def __init__(
        self, call: Call, plans: Sequence[Plan], constants: Mapping[str, int], has_ends: bool
    ) -> None:
        self.call, self.plans, self.constants = call, plans, constants
        slots = TABLES + len(plans)
        self.words = slots + call.slots
        self.cells: dict[int, int] = {}
        self.copies: dict[int, int] = {}
        self.spares: dict[int, int] = {}
        self.turns: dict[int, int] = {}
        self.there: dict[int, int] = {}
        self.straight: dict[int, int] = {}
        self.sizes: dict[int, int] = {}
        """Of memory in slots."""
        self.wanted: list[tuple[int, int]] = []
        """Words that hold areas' addresses, and the areas' sizes."""
        self.changed = frozenset(updated_state(call, plans))
        held = tuple(
            each for each in call.state if isinstance(each, TensorState) or type_of(call, each)
        )
        self.arguments()
        for state in held:
            self.state(state)
        self.body(call.body)
        returned = tuple(self.ends()) if has_ends else ()
        offset = aligned(8 * self.words)
        areas = []
        for word, nbytes in self.wanted:
            areas.append(Area(word, offset, nbytes))
            offset += aligned(nbytes)
        self.frame = Frame(
            slots,
            self.cells,
            self.copies,
            self.spares,
            self.turns,
            self.there,
            self.sizes,
            tuple(areas),
            returned,
            self.straight,
            held,
            self.changed,
            self.words,
            offset,
        )

    def word(self) -> int:
        self.words += 1
        return self.words - 1

    def area(self, nbytes: int) -> int:
        word = self.word()
        self.wanted.append((word, nbytes))
        return word

    def arguments(self) -> None:
        for leaf in leaves_of(self.call):
            self.cells[leaf.slot] = self.word()
            if isinstance(leaf, ArrayArgument):
                self.sizes[leaf.slot] = nbytes_of(leaf.dtype, leaf.shape)

    def state(self, state: State) -> None:
        self.cells[state.slot] = self.word()
        if isinstance(state, NumberState):
            return
        self.sizes[state.slot] = nbytes_of(state.dtype, state.shape)
        if not state.is_read:
            self.there[state.slot] = self.word()

    def body(self, body: Body) -> None:
        for step in body.steps:
            self.step(step)
        if isinstance(body.end, Loop):
            for slot, source in body.end.carried:
                if source in self.sizes:
                    self.sizes[slot] = self.sizes[source]
                    self.cells[slot] = self.area(self.sizes[slot])
                    self.turns[slot] = self.area(self.sizes[slot])
        for inner in inside(body):
            self.body(inner)

    def ends(self) -> Iterator[Returned]:
        """Room for what ways end with: for what they change, and for what they return."""
        ways = [*ways_of(self.call)]
        for way in ways:
            self.updates(way)
        only = only_way(self.call)
        self.sole = used_once(only) if only else set()
        results = [[*results_of(self.call, way)] for way in ways if isinstance(way.end, Finish)]
        if len({*map(len, results)}) > 1:
            raise Unable("what it returns has more parts on one way than on another")
        return map(self.returned, zip(*results, strict=True))

    def updates(self, way: Way) -> None:
        taken = taken_over(way, self.sizes)
        for update in way.updates:
            if isinstance(update, TensorUpdate) and update.slot not in taken | {*self.spares}:
                self.spares[update.slot] = self.area(self.sizes[update.slot])

    def returned(self, results: Sequence[Memory | Operand]) -> Returned:
        """Of one array or number, as the ways have it."""
        found = self.word()
        result = results[0]
        if not isinstance(result, Memory):
            return Returned(found, None, None)
        size, slot = nbytes_of(result.dtype, result.shape), result.slot
        if not all(isinstance(each, Memory) and is_dense(each) for each in results):
            return Returned(found, None, self.area(size))
        if slot in self.sole and result.offset == 0 and size == self.sizes[slot]:
            self.straight[slot] = self.word()
        return Returned(found, self.straight.get(slot), None)

    def step(self, step: Step) -> None:
        match step:
            case Run(program=program, outputs=outputs):
                for spec, slot in zip(self.plans[program].outputs, outputs, strict=True):
                    self.sizes[slot] = array_bytes(spec)
                    self.cells[slot] = self.area(self.sizes[slot])
            case Constant(slot=slot, name=name, is_private=is_private):
                self.sizes[slot] = self.constants[name]
                if is_private:
                    self.cells[slot] = self.area(self.sizes[slot])
            case Copy(slot=slot):
                if slot not in self.copies:
                    self.copies[slot] = self.area(self.sizes[slot])
            case _:
                pass


def is_dense(memory: Memory) -> bool:
    """Whether the elements lie in row-major order."""
    return memory.strides == dense(memory.dtype, memory.shape).strides


def nbytes_of(dtype: str, shape: tuple[int, ...]) -> int:
    return prod(shape) * dtypes.as_dtype(dtype).itemsize
