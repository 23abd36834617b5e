"""The kernels of scans along an axis: running sums by blocks, all else one element after another.

A running sum is added up in blocks of 32 elements, each from its first element on. In a superblock of 32 blocks each block is
raised by what those before it add up to, one after another; a superblock is raised by what those before it add up to, which is
the running sum of their totals, by the same rule. So the length of the axis alone decides the order, and a long axis is work for
many.

Lanes are what lies side by side behind the axis, or rows; or else the blocks of a superblock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from math import prod

from tracejit._records import dataclass
from tracejit.codegen.kernel.access import Place
from tracejit.codegen.kernel.builder import Element, FoldBody, ScalarBuilder, constant
from tracejit.codegen.kernel.cost import widened
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.grain import CORES, Grain
from tracejit.codegen.kernel.ir import (
    Address,
    Buffer,
    Extent,
    Kernel,
    Kind,
    Operand,
    Size,
    Stmt,
    Tree,
    Var,
)
from tracejit.codegen.kernel.nest import TASK_NS, Lowered, only_loop, variable
from tracejit.dtypes import DType, int64
from tracejit.ir.cluster import Owner, Temporary
from tracejit.ir.graph import Apply
from tracejit.ops.op import Layout, Recurrence

BLOCK = 32
SUPERBLOCK = 1024
FEWEST = 8
"""Lanes that are worth vectors."""
ELEMENT_NS = 0.5

Terms = tuple[tuple[int, Var, int], ...]
"""A place: the sum of steps along dimensions, each a variable times so many elements."""
Skip = tuple[int, int]
"""So many elements along a dimension."""
NOTHING: Skip = (0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """Memory seen as an array."""

    owner: Owner
    dtype: DType
    layout: Layout

    @property
    def shape(self) -> tuple[int, ...]:
        return self.layout.shape

    def totals(self, axis: int) -> Array:
        """The last element of every superblock but the last one."""
        offset = self.layout.offset + (SUPERBLOCK - 1) * self.layout.strides[axis]
        count = -(-self.shape[axis] // SUPERBLOCK) - 1
        strides = _with(self.layout.strides, axis, SUPERBLOCK * self.layout.strides[axis])
        return replace(self, layout=Layout(_with(self.shape, axis, count), strides, offset))


def _with(numbers: tuple[int, ...], place: int, number: int) -> tuple[int, ...]:
    return (*numbers[:place], number, *numbers[place + 1 :])


def temporary(dtype: DType, shape: tuple[int, ...]) -> Array:
    strides = tuple(prod(shape[dim + 1 :]) for dim in range(len(shape)))
    return Array(Temporary(dtype, prod(shape)), dtype, Layout(shape, strides))


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
    totals = apart.totals(axis)
    before = temporary(dtype, totals.shape)
    yield from _launches(recipe, [totals], before, axis, grain)
    yield _Raise(apart, before, target, axis, grain).lowered()


def merged(arrays: Sequence[Array], axis: int) -> tuple[list[Array], int]:
    """The arrays, and the axis, with those of the other dimensions as one that all of them walk as one."""
    layouts = [array.layout for array in arrays]
    dims: list[int] = []
    kept: list[list[tuple[int, int]]] = [[] for _ in arrays]  # per array (extent, stride)
    for dim, extent in enumerate(layouts[0].shape):
        if extent == 1 and dim != axis:
            continue
        own = [(each.shape[dim], each.strides[dim]) for each in layouts]
        last = [each[-1] for each in kept if each]
        if last and axis not in (dim, dims[-1]) and _go_on(last, own):
            for each, (more, stride) in zip(kept, own, strict=True):
                each[-1] = (each[-1][0] * more, stride)
        else:
            dims.append(dim)
            for each, pair in zip(kept, own, strict=True):
                each.append(pair)
    found = []
    for array, pairs in zip(arrays, kept, strict=True):
        shape, strides = zip(*pairs, strict=True)
        found.append(replace(array, layout=Layout(shape, strides, array.layout.offset)))
    return found, dims.index(axis)


def _go_on(outer: list[tuple[int, int]], inner: list[tuple[int, int]]) -> bool:
    """Whether a step of each outer dimension is one round of the inner one."""
    return all(a == n * b for (_, a), (n, b) in zip(outer, inner, strict=True))


class _Lines:
    """A kernel over lines along an axis, under construction: a task has a part of one, or of several side by side."""

    def __init__(self, sources: list[Array], target: Array, axis: int, grain: Grain) -> None:
        (*self.sources, self.target), self.axis = merged([*sources, target], axis)
        self.grain = grain
        self.s = ScalarBuilder()
        self.sizes: dict[object, tuple[Size, int]] = {}
        self.scratch: tuple[Buffer, ...] = ()
        self.scratch_bytes = 0
        self.body: list[Stmt] = []
        self.here: Terms = ()  # the task's place in the other dimensions
        self.part: Var | None = None  # the number of the task's superblock
        self.buffers = {array: Buffer(array.dtype, "a") for array in self.sources}
        self.buffers[self.target] = Buffer(self.target.dtype, "a", written=True)

    @property
    def extent(self) -> int:
        return self.target.shape[self.axis]

    @property
    def parts(self) -> int:
        """Into how many superblocks lines are cut."""
        raise NotImplementedError

    @property
    def lane(self) -> int | None:
        """The dimension whose elements are lanes: the last one, if it is not the axis."""
        last = len(self.target.shape) - 1
        return last if last != self.axis and self.target.shape[last] >= FEWEST else None

    # loops

    @contextmanager
    def tasks(self) -> Iterator[Operand | None]:
        """A task for each line, or for so many lanes beside one another, and each superblock."""
        shape, lane, columns = self.target.shape, self.lane, self.grain.columns
        outer = [dim for dim in range(len(shape)) if dim not in (self.axis, lane)]
        digits: dict[object, int] = {dim: shape[dim] for dim in outer}
        if lane is not None:
            digits["chunk"] = -(-shape[lane] // columns)
        if self.parts > 1:
            digits["part"] = self.parts
        self.count = prod(digits.values())
        with (
            self.s.block() as self.body,
            self.s.loop(self.size("tasks", self.count), Kind.PARALLEL, "p") as task,
        ):
            found = self.decode(task, digits)
            self.here = tuple((dim, found[dim], 1) for dim in outer)
            self.part = found.get("part")
            if lane is None:
                yield None
                return
            length = constant(columns, int64)
            first = variable(self.s.let(Fn.MUL, int64, found["chunk"], length))
            left = self.s.let(Fn.SUB, int64, self.size("lanes", shape[lane]), first)
            self.here += ((lane, first, 1),)
            yield self.s.let(Fn.MIN, int64, left.operand, length).operand

    @contextmanager
    def vector(self, lanes: Operand | None) -> Iterator[None]:
        """A loop over a task's lanes; nothing for a task of one line."""
        if lanes is None:
            yield
            return
        assert self.lane is not None
        with self.s.loop(lanes, Kind.VECTOR, "v") as index:
            self.here += ((self.lane, index, 1),)
            yield

    def decode(self, number: Var, digits: dict[object, int]) -> dict[object, Var]:
        """A task's number as digits, the last one running fastest."""
        found: dict[object, Var] = {}
        for name, extent in list(reversed(digits.items()))[:-1]:
            size = self.size((name, "digit"), extent)
            found[name] = variable(self.s.let(Fn.FLOORMOD, int64, number, size))
            number = variable(self.s.let(Fn.FLOORDIV, int64, number, size))
        return found | dict.fromkeys(list(digits)[:1], number)

    def length(self) -> Element:
        """Of the task's part of each line."""
        extent = self.s.element(self.size("extent", self.extent))
        if self.part is None:
            return extent
        left = extent - self.s.element(self.part) * SUPERBLOCK
        return self.s.apply(Fn.MIN, left, SUPERBLOCK)

    # memory

    def address(self, array: Array, terms: Terms, skip: Skip = NOTHING) -> Address:
        """From the task's place on."""
        strides = array.layout.strides
        steps = [
            (var, self.step(array, dim, times))
            for dim, var, times in (*self.here, *terms)
            if strides[dim]
        ]
        dim, count = skip
        return Address(tuple(steps), self.step(array, dim, count) if count * strides[dim] else 0)

    def along(self, *places: tuple[Var, int]) -> Terms:
        return tuple((self.axis, var, times) for var, times in places)

    def in_part(self, terms: Terms) -> Terms:
        """From the beginning of the task's part of a line on."""
        return terms if self.part is None else (*self.along((self.part, SUPERBLOCK)), *terms)

    def step(self, array: Array, dim: int, times: int) -> Extent:
        """Of so many elements along a dimension. Stride 1 is known to the code; any other is a size."""
        stride = array.layout.strides[dim]
        key = (self.buffers[array], array.layout.offset, dim, times)
        return times if stride == 1 else self.size(key, times * stride)

    def size(self, key: object, value: int) -> Size:
        if key not in self.sizes:
            self.sizes[key] = (Size("n"), value)
        return self.sizes[key][0]

    def load(self, array: Array, terms: Terms, skip: Skip = NOTHING) -> Element:
        """In the dtype that scans compute in."""
        place = self.address(array, self.in_part(terms), skip)
        value = self.s.load(self.buffers[array], place)
        return self.s.cast(value, widened(array.dtype))

    def store(self, value: Element, terms: Terms, skip: Skip = NOTHING) -> None:
        place = self.address(self.target, self.in_part(terms), skip)
        self.s.store(self.buffers[self.target], place, self.s.cast(value, self.target.dtype))

    def finish(self) -> Lowered:
        elements = min(self.extent, SUPERBLOCK) if self.parts > 1 else self.extent
        elements *= self.grain.columns if self.lane is not None else 1
        arrays = (*self.sources, self.target)
        kernel = Kernel(
            tuple(self.buffers[array] for array in arrays),
            tuple(size for size, _ in self.sizes.values()),
            self.scratch,
            only_loop(self.body),
        )
        return Lowered(
            kernel,
            tuple((array.owner, array.layout.offset) for array in arrays),
            tuple(value for _, value in self.sizes.values()),
            self.count,
            max(1, int(TASK_NS / (ELEMENT_NS * elements))),
            self.scratch_bytes,
        )


class _Scan(_Lines):
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
                        self.run(self.length().operand)
        return self.finish()

    # one element after another

    def serial(self, stop: Operand | int) -> AbstractContextManager[FoldBody]:
        return self.s.fold(0, stop, Tree.SERIAL, "k")

    def run(self, stop: Operand, start: Terms = (), by: Element | None = None) -> Element:
        """So many running values from a place on, stored raised `by` a value; the last of them, not raised."""
        with self.serial(stop) as fold:
            place = (*start, *self.along((fold.index, 1)))
            running, last = self.follow(fold, place)
            self.store(running if by is None else by + running, place)
        return last

    def follow(self, fold: FoldBody, place: Terms, skip: Skip = NOTHING) -> tuple[Element, Element]:
        """The running value at a place, and what it is after the fold."""
        before = fold.carry(self.first)
        elements = [self.load(source, place, skip) for source in self.sources]
        self.s.axis_index = lambda _: fold.index
        running = self.recipe.scalar(self.s, before, *elements)
        return running, fold.hand_on(before, running)

    def side_by_side(self, count: Element) -> Iterator[tuple[tuple[tuple[Var, int], ...], int]]:
        """Loops over some of `count` at a time, and over the rest: the place of the first, and how many there are."""
        chains = self.grain.chains
        groups = self.s.apply(Fn.FLOORDIV, count, chains)
        with self.s.loop(groups.operand, Kind.SERIAL, "g") as group:
            yield ((group, chains),), chains
        done = groups * chains
        with self.s.loop((count - done).operand, Kind.SERIAL, "r") as one:
            yield ((variable(done), 1), (one, 1)), 1

    def rows(self, count: Element) -> None:
        """Several rows, one element of each at a time: while one value is on its way others are."""
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
        with self.serial(((length + (BLOCK - 1)) >> 5).operand) as blocks:
            by = blocks.carry(self.first)
            left = length - self.s.element(blocks.index) * BLOCK
            stop = self.s.apply(Fn.MIN, left, BLOCK).operand
            total = self.run(stop, self.along((blocks.index, BLOCK)), by)
            blocks.hand_on(by, by + total)

    def blocks(self, length: Element) -> None:
        """All blocks by themselves, kept in scratch, and then raised: those of 32 elements, and what is left."""
        whole, rest = length >> 5, (length & (BLOCK - 1)).operand
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


class _Raise(_Lines):
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
        return replace(self.finish(), aligned=self.aligned)

    @property
    def aligned(self) -> frozenset[tuple[Owner, Owner]]:
        apart, target = self.sources[0], self.target
        same = apart.dtype is target.dtype and apart.layout == target.layout
        return frozenset({(apart.owner, target.owner)} if same else ())

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
