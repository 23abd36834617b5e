"""Kernels over the lines of arrays along an axis, under construction: tasks, lanes and places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import prod

from tracejit._records import dataclass
from tracejit.codegen.kernel.builder import Element, ScalarBuilder, constant
from tracejit.codegen.kernel.cost import widened
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.grain import Grain
from tracejit.codegen.kernel.ir import (
    Address,
    Buffer,
    Extent,
    Kernel,
    Kind,
    Operand,
    Size,
    Stmt,
    Var,
)
from tracejit.codegen.kernel.nest import TASK_NS, Lowered, decoded, only_loop, variable
from tracejit.dtypes import DType, int64
from tracejit.ir.cluster import Owner
from tracejit.ir.dim import whole
from tracejit.ops.op import Layout

PART = 1024
"""Elements of a line that a task does, where lines are cut."""
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

    def is_at(self, other: Array) -> bool:
        """Whether each element of the two lies at the same place in memory of its own."""
        return self.dtype.itemsize == other.dtype.itemsize and self.layout == other.layout


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


class Lines:
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
        self.part: Var | None = None  # the number of the task's part
        self.buffers = {array: Buffer(array.dtype, "a") for array in self.sources}
        self.buffers[self.target] = Buffer(self.target.dtype, "a", written=True)

    @property
    def extent(self) -> int:
        return self.target.shape[self.axis]

    @property
    def parts(self) -> int:
        """Into how many parts lines are cut, each a task's."""
        return 1

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
        lengths = [self.size((name, "digit"), extent) for name, extent in [*digits.items()][1:]]
        return dict(zip(digits, decoded(self.s, number, lengths), strict=False))

    def length(self) -> Element:
        """Of the task's part of each line."""
        extent = self.s.element(self.size("extent", self.extent))
        if self.part is None:
            return extent
        left = extent - self.s.element(self.part) * PART
        return self.s.apply(Fn.MIN, left, PART)

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
        return terms if self.part is None else (*self.along((self.part, PART)), *terms)

    def step(self, array: Array, dim: int, times: int) -> Extent:
        """Of so many elements along a dimension. Stride 1 is known to the code; any other is a size."""
        stride = array.layout.strides[dim]
        key = (self.buffers[array], dim, times)
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
        elements = min(self.extent, PART) if self.parts > 1 else self.extent
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
            max(1, whole(TASK_NS / (ELEMENT_NS * elements))),
            self.scratch_bytes,
            self.aligned,
        )

    @property
    def aligned(self) -> frozenset[tuple[Owner, Owner]]:
        """What is read at the places that are written, and nowhere else, with what is written: an element is read first."""
        elsewhere = {source.owner for source in self.sources if not source.is_at(self.target)}
        return frozenset(
            (source.owner, self.target.owner)
            for source in self.sources
            if source.owner not in elsewhere
        )
