"""The kernels of scans along an axis: running sums by blocks, all else one element after another.

A running sum is added up in blocks of 32 elements, each from its first element on. In a superblock of 32 blocks each block is
raised by what those before it add up to, one after another; a superblock is raised by what those before it add up to, which is
the running sum of their totals, by the same rule. So the length of the axis alone decides the order, and a long axis is work for
many.

Lanes are what lies side by side behind the axis, or rows; or else the blocks of a superblock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from math import prod
from typing import cast

from tracejit.codegen.kernel.access import Place
from tracejit.codegen.kernel.builder import Element, FoldBody, constant
from tracejit.codegen.kernel.cost import widened
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.grain import CORES, Grain
from tracejit.codegen.kernel.ir import Address, Buffer, Kind, Operand, Tree, Var
from tracejit.codegen.kernel.lines import FEWEST, NOTHING, PART, Array, Lines, Skip, Terms
from tracejit.codegen.kernel.nest import Lowered, variable
from tracejit.dtypes import DType
from tracejit.ir.cluster import Temporary
from tracejit.ir.graph import Apply
from tracejit.ops.op import Layout, Recurrence

BLOCK = 32
SUPERBLOCK = PART


def lower_scan(node: Apply, place: Place, grain: Grain = CORES) -> list[Lowered]:
    """The launches that compute a scan: one; or superblocks by themselves, their totals, and both added; none of no elements."""
    if not node.aval.size:
        return []
    assert isinstance(node.op.recipe, Recurrence)
    *sources, target = (
        Array(owner, value.aval.dtype, layout)
        for value in (*node.inputs, node)
        for owner, layout in (place(value),)
    )
    return list(_launches(node.op.recipe, sources, target, node.kwargs["axis"], grain))


def _launches(
    recipe: Recurrence, sources: list[Array], target: Array, axis: int, grain: Grain
) -> Iterator[Lowered]:
    if not recipe.is_sum or target.shape[axis] <= SUPERBLOCK:
        yield _Scan(recipe, sources, target, axis, grain).lowered()
        return
    dtype = widened(target.dtype)
    apart = temporary(dtype, target.shape)
    yield _Scan(recipe, sources, apart, axis, grain).lowered()
    ends = totals(apart, axis)
    before = temporary(dtype, ends.shape)
    yield from _launches(recipe, [ends], before, axis, grain)
    yield _Raise(apart, before, target, axis, grain).lowered()


def totals(array: Array, axis: int) -> Array:
    """The last element of every superblock but the last one."""
    offset = array.layout.offset + (SUPERBLOCK - 1) * array.layout.strides[axis]
    count = -(-array.shape[axis] // SUPERBLOCK) - 1
    strides = _with(array.layout.strides, axis, SUPERBLOCK * array.layout.strides[axis])
    return replace(array, layout=Layout(_with(array.shape, axis, count), strides, offset))


def _with(numbers: tuple[int, ...], place: int, number: int) -> tuple[int, ...]:
    return (*numbers[:place], number, *numbers[place + 1 :])


def temporary(dtype: DType, shape: tuple[int, ...]) -> Array:
    strides = tuple(prod(shape[dim + 1 :]) for dim in range(len(shape)))
    return Array(Temporary(dtype, prod(shape)), dtype, Layout(shape, strides))


class _Scan(Lines):
    """Running values: of whole lines, or of each superblock by itself."""

    def __init__(
        self, recipe: Recurrence, sources: list[Array], target: Array, axis: int, grain: Grain
    ) -> None:
        super().__init__(sources, target, axis, grain)
        self.recipe = recipe
        self.first = constant(recipe.first, widened(self.target.dtype))

    @property
    def parts(self) -> int:
        return -(-self.extent // SUPERBLOCK) if self.recipe.is_sum else 1

    @property
    def has_blocks(self) -> bool:
        return self.recipe.is_sum and self.extent > BLOCK

    @property
    def are_rows(self) -> bool:
        """Whether the lanes are rows: there is nothing else."""
        few = super().lane is None and not self.has_blocks
        return few and self.axis > 0 and self.target.shape[self.axis - 1] >= FEWEST

    @property
    def lane(self) -> int | None:
        return self.axis - 1 if self.are_rows else super().lane

    @property
    def pitch(self) -> int:
        """Of blocks in scratch: lanes that each write to a block of their own do so in banks of their own."""
        return BLOCK if self.grain.chains else BLOCK + 1

    def lowered(self) -> Lowered:
        in_scratch = self.has_blocks and self.lane is None
        if in_scratch:
            dtype, elements = self.first.dtype, BLOCK * self.pitch
            self.scratch = (Buffer(dtype, "t", written=True, scratch=elements),)
            self.scratch_bytes = -(-elements * dtype.itemsize // 64) * 64
        with self.tasks() as lanes:
            if in_scratch:
                self.blocks(self.length())
            elif lanes is not None and self.are_rows and self.grain.chains:
                self.rows(self.s.element(lanes))
            else:
                with self.vector(lanes):
                    if self.has_blocks:
                        self.columns_of_blocks(self.length())
                    else:
                        self.run(self.length())
        return self.finish()

    # one element after another

    def serial(self, stop: Operand | int) -> AbstractContextManager[FoldBody]:
        return self.s.fold(0, stop, Tree.SERIAL, "k")

    def run(self, stop: Element, start: Terms = (), by: Element | None = None) -> Element:
        """So many running values from a place on, stored raised `by` a value; the last of them, not raised."""
        ahead = self.grain.ahead
        if ahead == 1:
            return self.several(self.first, stop.operand, start, by, 1)
        groups = stop // ahead
        done = groups * ahead
        last = self.several(self.first, groups.operand, start, by, ahead)
        start = (*start, *self.along((variable(done), 1)))
        return self.several(last.operand, (stop - done).operand, start, by, 1)

    def several(
        self, first: Operand, groups: Operand, start: Terms, by: Element | None, count: int
    ) -> Element:
        """Groups of so many elements each, all read before the first is written."""
        with self.serial(groups) as fold:
            place = (*start, *self.along((fold.index, count)))
            skips = [(self.axis, number) for number in range(count)]
            read = [self.elements(place, skip) for skip in skips]
            before = running = fold.carry(first)
            values = []
            for skip, elements in zip(skips, read, strict=True):
                running = self.following(running, elements, place, skip)
                values.append(running if by is None else by + running)
            for skip, value in zip(skips, values, strict=True):
                self.store(value, place, skip)
            return fold.hand_on(before, running)

    def elements(self, place: Terms, skip: Skip) -> list[Element]:
        return [self.load(source, place, skip) for source in self.sources]

    def following(
        self, before: Element, elements: list[Element], place: Terms, skip: Skip
    ) -> Element:
        """The running value after the elements at a place."""
        self.s.axis_index = lambda _: self.coordinate(place, skip)
        return cast(Element, self.recipe.scalar(self.s, before, *elements))

    def coordinate(self, place: Terms, skip: Skip) -> Operand:
        """Along the axis."""
        along = [(self.s.element(var), times) for dim, var, times in place if dim == self.axis]
        total, *others = [var if times == 1 else var * times for var, times in along]
        for other in others:
            total = total + other
        skipped = skip[1] if skip[0] == self.axis else 0
        return (total + skipped if skipped else total).operand

    def follow(self, fold: FoldBody, place: Terms, skip: Skip = NOTHING) -> tuple[Element, Element]:
        """The running value at a place, and what it is after the fold."""
        before = fold.carry(self.first)
        running = self.following(before, self.elements(place, skip), place, skip)
        return running, fold.hand_on(before, running)

    def side_by_side(self, count: Element) -> Iterator[tuple[tuple[tuple[Var, int], ...], int]]:
        """Loops over some of `count` at a time, and over the rest: the place of the first, and how many there are."""
        chains = self.grain.chains
        groups = count // chains
        with self.s.loop(groups.operand, Kind.SERIAL, "g") as group:
            yield ((group, chains),), chains
        done = groups * chains
        with self.s.loop((count - done).operand, Kind.SERIAL, "r") as one:
            yield ((variable(done), 1), (one, 1)), 1

    def rows(self, count: Element) -> None:
        """Several rows side by side, element after element: while one value is on its way others are."""
        row = self.axis - 1
        for first, chains in self.side_by_side(count):
            start = tuple((row, var, times) for var, times in first)
            with self.serial(self.length().operand) as fold:
                place = (*start, *self.along((fold.index, 1)))
                for chain in range(chains):
                    running, _ = self.follow(fold, place, (row, chain))
                    self.store(running, place, (row, chain))

    # by blocks

    def columns_of_blocks(self, length: Element) -> None:
        """Block after block, whose elements are raised at once."""
        with self.serial(((length + (BLOCK - 1)) // BLOCK).operand) as blocks:
            by = blocks.carry(self.first)
            left = length - self.s.element(blocks.index) * BLOCK
            stop = self.s.apply(Fn.MIN, left, BLOCK)
            total = self.run(stop, self.along((blocks.index, BLOCK)), by)
            blocks.hand_on(by, by + total)

    def blocks(self, length: Element) -> None:
        """All blocks by themselves, kept in scratch, and then raised: those of 32 elements, and what is left."""
        whole, rest = length // BLOCK, (length % BLOCK).operand
        end = variable(whole)
        if self.grain.chains:
            for first, chains in self.side_by_side(whole):
                self.apart(BLOCK, first, chains)
        else:
            with self.s.loop(end, Kind.VECTOR, "v") as lane:
                self.apart(BLOCK, ((lane, 1),))
        self.apart(rest, ((end, 1),))
        with self.serial(end) as blocks:
            by = blocks.carry(self.first)
            self.raise_block(blocks.index, BLOCK, by)
            total = Address(((blocks.index, self.pitch),), BLOCK - 1)
            by_all = blocks.hand_on(by, by + self.s.load(self.scratch[0], total))
        self.raise_block(end, rest, by_all)

    def apart(
        self, stop: Operand | int, block: tuple[tuple[Var, int], ...], chains: int = 1
    ) -> None:
        """The running sums of neighbouring blocks, in scratch."""
        start = self.along(*((var, times * BLOCK) for var, times in block))
        kept = tuple((var, times * self.pitch) for var, times in block)
        with self.serial(stop) as fold:
            place = (*start, *self.along((fold.index, 1)))
            for chain in range(chains):
                running, _ = self.follow(fold, place, (self.axis, chain * BLOCK))
                address = Address((*kept, (fold.index, 1)), chain * self.pitch)
                self.s.store(self.scratch[0], address, running)

    def raise_block(self, block: Var, count: Operand | int, by: Element) -> None:
        with self.s.loop(count, Kind.VECTOR, "v") as lane:
            kept = self.s.load(self.scratch[0], Address(((block, self.pitch), (lane, 1))))
            self.store(by + kept, self.along((block, BLOCK), (lane, 1)))


class _Raise(Lines):
    """Superblocks, each raised by what those before it add up to."""

    def __init__(self, apart: Array, before: Array, target: Array, axis: int, grain: Grain) -> None:
        super().__init__([apart, before], target, axis, grain)

    @property
    def parts(self) -> int:
        return -(-self.extent // SUPERBLOCK)

    def lowered(self) -> Lowered:
        apart, before = self.sources
        with self.tasks() as lanes, self.vector(lanes):
            length, by = self.length().operand, self.sum_before(before)
            with self.elements(length) as index:
                place = self.along((index, 1))
                self.store(by + self.load(apart, place), place)
        return self.finish()

    def sum_before(self, before: Array) -> Element:
        """Of the first superblock nothing."""
        assert self.part is not None
        address = self.address(before, self.along((self.part, 1)), (self.axis, -1))
        is_later = self.s.element(self.part) > 0
        return self.s.load(self.buffers[before], address, is_later, -0.0)

    @contextmanager
    def elements(self, length: Operand) -> Iterator[Var]:
        """A loop along the axis, which is in vectors unless there are lanes beside it."""
        if self.lane is None:
            with self.s.loop(length, Kind.VECTOR, "v") as index:
                yield index
        else:
            with self.s.fold(0, length, Tree.SERIAL, "k") as fold:
                yield fold.index
