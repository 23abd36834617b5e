"""Folds by their trees: 64 accumulators in vectors along the fold, or one per kept lane across it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import assert_never

from tracejit.codegen.kernel.folds import NO_INDEX
from tracejit.codegen.kernel.ir import (
    Carried,
    Fold,
    For,
    Let,
    Load,
    Operand,
    Stmt,
    Store,
    Tree,
    Var,
)
from tracejit.codegen.llvm import memory
from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.flow import Values, loop, when
from tracejit.codegen.llvm.frame import Frame, Strip
from tracejit.codegen.llvm.joins import Join, Joins
from tracejit.codegen.llvm.schedule import UNROLLED, is_light

ACCUMULATORS = 64
MOST_REGISTERS = 16
"""Vectors of accumulators that are kept in registers."""

Body = Callable[[], None]
Range = tuple[Value, Value]


def fold_lanes(frame: Frame, fold: Fold, body: Body) -> None:
    """The fold of Tree.LANES."""
    joins = Joins.of(frame.b, fold.results)
    lanes = _LanesBlock(frame, fold, joins, body)
    start, stop = frame.scalar(fold.start), frame.scalar(fold.stop)

    def by_blocks() -> Values:
        total = _by_blocks(frame, fold, joins.nothing(0), joins.follow, lanes.block)
        return joins.outcomes(total, partial(first_of, frame, fold))

    if lanes.is_light and fold.results and all(join.is_search for join in joins.joins):
        last = stop - start - 1  # none at all counts as many
        is_few = frame.b.compare("ult", last, frame.integer(ACCUMULATORS))
        none = tuple(frame.integer(0) for _ in fold.results)
        found = when(frame.b, is_few, none, partial(lanes.few, start, stop))
        outcomes = when(frame.b, ~is_few, found, by_blocks)
    else:
        outcomes = by_blocks()
    for result, value in zip(fold.results, outcomes, strict=True):
        frame.define(result.var, value)


def fold_chain(frame: Frame, fold: Fold, write: Callable[[Sequence[Stmt]], None]) -> None:
    """A fold of Tree.ROWS or Tree.SERIAL: each kept lane has its own accumulator."""
    states = _Chain(frame, fold, write)
    if fold.tree is Tree.SERIAL or not fold.results:
        total = states.block(frame.scalar(fold.start), frame.scalar(fold.stop))
    else:
        total = _by_blocks(frame, fold, states.nothing(), states.join, states.block)
    states.define(total)


def first_of(frame: Frame, fold: Fold) -> Value:
    """The index of the first value; of none, what stands for that."""
    start, stop = frame.scalar(fold.start), frame.scalar(fold.stop)
    return frame.b.select(start < stop, start, frame.integer(NO_INDEX))


def _by_blocks(
    frame: Frame,
    fold: Fold,
    nothing: Values,
    join: Callable[[Values, Values], Values],
    block: Callable[[Value, Value], Values],
) -> Values:
    """Blocks joined into superblocks, and those into the total; `block(first, end)` is the state of one block."""
    b, tree, size = frame.b, fold.tree, len(nothing)
    start, stop = frame.scalar(fold.start), frame.scalar(fold.stop)

    def one_block(first: Value, carried: Values) -> Values:
        total, superblock = carried[:size], carried[size:]
        following = first + tree.block
        superblock = join(superblock, block(first, b.intrinsic("smin", following, stop)))
        is_full = (following & (tree.superblock - 1)).eq(0)
        closed = join(total, superblock)
        total = _select(b, is_full, closed, total)
        return total + _select(b, is_full, nothing, superblock)

    carried = loop(b, start, stop, tree.block, nothing + nothing, one_block)
    return join(carried[:size], carried[size:])


def _select(b: Builder, condition: Value, yes: Values, no: Values) -> Values:
    return tuple(b.select(condition, x, y) for x, y in zip(yes, no, strict=True))


class _LanesBlock:
    """One block of Tree.LANES: value i joins accumulator i mod 64, and these are joined in halves.

    A light body is written for each vector of accumulators, which stay in registers: once for all of them, once for each of the
    last values. Otherwise it is written for one vector, whose accumulators are found in memory.
    """

    def __init__(self, frame: Frame, fold: Fold, joins: Joins, body: Body) -> None:
        self.frame = frame
        self.b = frame.b
        self.fold = fold
        self.joins = joins
        self.body = body
        self.count = ACCUMULATORS // frame.b.width
        self.spilled = [
            frame.alloca(f"[{ACCUMULATORS} x {memory.memory_type(dtype)}]")
            for dtype in joins.dtypes
        ]

    @property
    def is_light(self) -> bool:
        """Whether accumulators stay in registers."""
        return is_light(self.fold.body) and self.count <= MOST_REGISTERS

    def few(self, first: Value, end: Value) -> Values:
        """What searches find in no more values than there are accumulators, whose numbers tell where they are."""
        vectors = []
        for number in range(self.count):
            start = first + number * self.b.width
            nothing = tuple(join.nothing(self.b.width)[0] for join in self.joins.joins)
            vectors.append(when(self.b, start < end, nothing, partial(self.searched, start, end)))
        return tuple(
            first + self.first_best(join, [vector[place] for vector in vectors])
            for place, join in enumerate(self.joins.joins)
        )

    def searched(self, start: Value, end: Value) -> Values:
        """A vector of values for each search; nothing from `end` on."""
        with self.frame.in_strip(self.fold.index, start, 1, stop=end) as strip:
            self.body()
            return self.values_below(strip)[::2]

    def first_best(self, join: Join, vectors: list[Value]) -> Value:
        """The number of the first of the best values: the very first where none is better than nothing."""
        (best,) = self.halved([(vector,) for vector in vectors], join.better)
        wanted = self.b.splat(best)
        return self.b.first_lane([join.is_same(vector, wanted) for vector in vectors])

    def block(self, first: Value, end: Value) -> Values:
        nothing = self.joins.nothing(self.b.width) * self.count
        if not self.is_light:
            full = first + ((end - first) & -self.b.width)
            return self.in_halves(self.in_memory(nothing, (first, full), (full, end)))
        full = first + ((end - first) & -ACCUMULATORS)
        states = loop(self.b, first, full, ACCUMULATORS, nothing, self.in_registers)
        for number in range(self.count):
            start = full + number * self.b.width
            states = when(
                self.b, start < end, states, partial(self.tail, number, start, end, states)
            )
        return self.in_halves(states)

    def split(self, states: Values) -> list[Values]:
        """The state of each vector of accumulators."""
        size = len(self.joins.dtypes)
        return [states[size * n : size * (n + 1)] for n in range(self.count)]

    def in_registers(self, start: Value, carried: Values) -> Values:
        with self.frame.in_strip(self.fold.index, start, self.count):
            self.body()
            joined = [
                self.joins.follow(state, self.values(number))
                for number, state in enumerate(self.split(carried))
            ]
        return tuple(chain.from_iterable(joined))

    def tail(self, number: int, start: Value, end: Value, states: Values) -> Values:
        """The states after a vector of values for the accumulators of this number; those from `end` on are nothing."""
        split = self.split(states)
        with self.frame.in_strip(self.fold.index, start, 1, stop=end) as strip:
            self.body()
            split[number] = self.joins.follow(split[number], self.values_below(strip))
        return tuple(chain.from_iterable(split))

    def in_memory(self, states: Values, full: Range, rest: Range) -> Values:
        """The states after the full vectors of one range and the partial ones of another."""
        for number, state in enumerate(self.split(states)):
            self.spill(self.frame.integer(number * self.b.width), state)
        loop(self.b, *full, self.b.width, (), lambda start, _: self.one(start))
        _, end = rest
        loop(self.b, *rest, self.b.width, (), lambda start, _: self.one(start, end))
        numbers = range(0, ACCUMULATORS, self.b.width)
        return tuple(value for n in numbers for value in self.reload(self.frame.integer(n)))

    def one(self, start: Value, end: Value | None = None) -> Values:
        """One vector of values; those from `end` on are nothing."""
        with self.frame.in_strip(self.fold.index, start, 1, stop=end) as strip:
            self.body()
            place = start & (ACCUMULATORS - 1)
            self.spill(place, self.joins.follow(self.reload(place), self.values_below(strip)))
        return ()

    def values_below(self, strip: Strip) -> Values:
        """The strip's values; in lanes that are masked off nothing."""
        values = self.values(0)
        if strip.mask is None:
            return values
        return _select(self.b, strip.mask, values, self.joins.nothing(self.b.width))

    def values(self, number: int) -> Values:
        operands = self.joins.operands(self.fold.index)
        return tuple(self.frame.vector(operand, number) for operand in operands)

    def spill(self, place: Value, state: Values) -> None:
        for pointer, dtype, value in zip(self.spilled, self.joins.dtypes, state, strict=True):
            memory.store(
                self.b, memory.element_pointer(self.b, pointer, dtype, place), value, dtype
            )

    def reload(self, place: Value) -> Values:
        return tuple(
            memory.load(
                self.b, memory.element_pointer(self.b, pointer, dtype, place), dtype, self.b.width
            )
            for pointer, dtype in zip(self.spilled, self.joins.dtypes, strict=True)
        )

    def in_halves(self, states: Values) -> Values:
        vectors = self.split(states)
        outcome: list[Value] = []
        for join in self.joins.joins:
            at, end = len(outcome), len(outcome) + len(join.dtypes)
            own = [vector[at:end] for vector in vectors]
            outcome += self.found(join, own) if join.is_search else self.halved(own, join.join)
        return tuple(outcome)

    def halved(self, vectors: list[Values], join: Callable[[Values, Values], Values]) -> Values:
        """All lanes of all vectors joined, the upper half to the lower one, until one lane is left."""
        while len(vectors) > 1:
            half = len(vectors) // 2
            vectors = [join(vectors[k], vectors[k + half]) for k in range(half)]
        state, width = vectors[0], self.b.width
        while width > 1:
            width //= 2
            low, high = (self.part(state, first, width) for first in (0, width))
            state = join(low, high)
        return state

    def found(self, join: Join, pairs: list[Values]) -> Values:
        """What a search has found in all lanes: the best value, and then the first of the indices where it is."""
        (best,) = self.halved([(value,) for value, _ in pairs], join.better)
        wanted = self.b.splat(best)
        nowhere = join.nothing(self.b.width)[1]
        places: list[Values] = [
            (self.b.select(join.is_same(value, wanted), index, nowhere),) for value, index in pairs
        ]
        (first,) = self.halved(places, lambda a, c: (self.b.intrinsic("smin", *a, *c),))
        return best, first

    def part(self, state: Values, first: int, width: int) -> Values:
        if width == 1:
            return tuple(self.b.extract(value, first) for value in state)
        lanes = tuple(range(first, first + width))
        return tuple(self.b.shuffle(value, None, lanes) for value in state)


class _Chain:
    """Values in ascending order. A result that differs from lane to lane has a state per vector of the strip round the fold;
    one that does not has a scalar state."""

    def __init__(self, frame: Frame, fold: Fold, write: Callable[[Sequence[Stmt]], None]) -> None:
        self.frame = frame
        self.fold = fold
        self.write = write
        varying = [result for result in fold.results if frame.lanes.varies(result.var)]
        uniform = [result for result in fold.results if not frame.lanes.varies(result.var)]
        self.varying = Joins.of(frame.b, varying)
        self.uniform = Joins.of(frame.b, uniform)
        self.numbers = frame.numbers() if varying else range(0)
        self.carried = [_Handed(frame, each) for each in fold.carried]

    def nothing(self) -> Values:
        vectors = self.varying.nothing(self.frame.b.width) * len(self.numbers)
        return vectors + self.uniform.nothing(0)

    def split(self, states: Values) -> tuple[list[Values], Values]:
        """The states of the vectors, and the scalar ones."""
        size = len(self.varying.dtypes)
        vectors = [states[size * n : size * (n + 1)] for n in self.numbers]
        return vectors, states[size * len(self.numbers) :]

    def join(self, first: Values, second: Values) -> Values:
        (old, old_scalars), (new, new_scalars) = self.split(first), self.split(second)
        joined = [self.varying.follow(a, b) for a, b in zip(old, new, strict=True)]
        return (*chain.from_iterable(joined), *self.uniform.follow(old_scalars, new_scalars))

    def block(self, first: Value, end: Value) -> Values:
        nothing = self.nothing()
        size = len(nothing)

        def one(index: Value, states: Values) -> Values:
            self.frame.define(self.fold.index, index)
            self.take(states[size:], [each.carried.var for each in self.carried])
            self.frame.down = None if is_light(self.fold.body) else self.fold.index
            values = self.vector_by_vector() if self.is_long() else self.all_at_once()
            self.frame.down = None
            following = chain.from_iterable(each.of(each.carried.next) for each in self.carried)
            return (*self.join(states[:size], values), *following)

        given = chain.from_iterable(each.of(each.carried.first) for each in self.carried)
        states = loop(self.frame.b, first, end, 1, (*nothing, *given), one)
        self.take(states[size:], [each.carried.last for each in self.carried])
        return states[:size]

    def take(self, states: Values, names: list[Var]) -> None:
        """What is carried, under these names."""
        for each, name in zip(self.carried, names, strict=True):
            each.define(name, states[: each.size])
            states = states[each.size :]

    def is_long(self) -> bool:
        """Whether more vectors go down than all values of theirs would have registers."""
        flat = all(isinstance(stmt, Let | Load | Store) for stmt in self.fold.body)
        return flat and not self.carried and len(self.numbers) > UNROLLED

    def all_at_once(self) -> Values:
        self.write(self.fold.body)
        vectors = [value for number in self.numbers for value in self.vector_values(number)]
        return (*vectors, *self.scalar_values())

    def vector_by_vector(self) -> Values:
        """What all lanes share is written with the first of them."""
        others = [stmt for stmt in self.fold.body if self.differs(stmt)]
        vectors: list[Value] = []
        for number in self.numbers:
            with self.frame.in_vector(number):
                self.write(others if number else self.fold.body)
                vectors += self.vector_values(number)
        return (*vectors, *self.scalar_values())

    def differs(self, stmt: Stmt) -> bool:
        """Whether a statement is another one for each vector."""
        match stmt:
            case Let(var=var) | Load(var=var):
                return self.frame.lanes.varies(var)
            case Store():
                return self.frame.lanes.is_vector_access(stmt)
            case For() | Fold():
                return True
            case _:
                assert_never(stmt)

    def vector_values(self, number: int) -> list[Value]:
        operands = self.varying.operands(self.fold.index)
        return [self.frame.vector(operand, number) for operand in operands]

    def scalar_values(self) -> list[Value]:
        return [self.frame.scalar(operand) for operand in self.uniform.operands(self.fold.index)]

    def define(self, states: Values) -> None:
        vectors, scalars = self.split(states)
        first = partial(first_of, self.frame, self.fold)
        outcomes = [self.varying.outcomes(state, first) for state in vectors]
        for number, join in enumerate(self.varying.joins):
            self.frame.define_vectors(join.result.var, tuple(values[number] for values in outcomes))
        for join, value in zip(
            self.uniform.joins, self.uniform.outcomes(scalars, first), strict=True
        ):
            self.frame.define(join.result.var, value)


class _Handed:
    """A scalar that iterations hand on: one for each vector of the strip round the fold, if it differs from lane to lane."""

    def __init__(self, frame: Frame, carried: Carried) -> None:
        self.frame = frame
        self.carried = carried
        self.numbers = frame.numbers() if frame.lanes.varies(carried.var) else None

    @property
    def size(self) -> int:
        return 1 if self.numbers is None else len(self.numbers)

    def of(self, operand: Operand) -> Values:
        if self.numbers is None:
            return (self.frame.scalar(operand),)
        return tuple(self.frame.vector(operand, number) for number in self.numbers)

    def define(self, name: Var, values: Values) -> None:
        if self.numbers is None:
            self.frame.define(name, *values)
        else:
            self.frame.define_vectors(name, values)
