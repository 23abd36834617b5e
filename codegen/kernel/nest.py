"""The parts of a kernel under construction: task loops, and each value where it is needed."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import prod

from tracejit._records import dataclass
from tracejit.codegen.kernel.access import Access, Accesses, Axis, result_labels
from tracejit.codegen.kernel.builder import Element, ScalarBuilder, constant
from tracejit.codegen.kernel.cost import profile, widened
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.ir import (
    Address,
    Buffer,
    Extent,
    For,
    Kernel,
    Kind,
    Operand,
    Size,
    Stmt,
    Var,
)
from tracejit.dtypes import DType, int64
from tracejit.ir.cluster import Labels, Owner, Store
from tracejit.ir.dim import whole
from tracejit.ir.graph import Apply, Constant, Node
from tracejit.ops.op import Gather, Pointwise

TASK_NS = 5000.0
"""Work worth handing to a thread."""


@dataclass(frozen=True, slots=True, eq=False)
class Lowered:
    """A kernel and one launch of it. Each argument is the memory of its owner from an element on.

    `aligned` pairs what is read with what is written at the same places only, each element after it was last read: the
    two may be one memory.
    """

    kernel: Kernel
    arguments: tuple[tuple[Owner, int], ...]
    dims: tuple[int, ...]
    tasks: int
    grain: int
    scratch_bytes: int = 0
    aligned: frozenset[tuple[Owner, Owner]] = frozenset()
    is_flat: bool = False
    """Whether it is a map over one dimension, in chunks of whole cache lines."""

    def streaming(self, owners: Container[Owner]) -> Lowered:
        """With these owners written past the caches, where that can be: they begin with a cache line."""
        pairs = zip(self.kernel.buffers, self.arguments, strict=True)
        streamed = frozenset(
            buffer
            for buffer, (owner, offset) in pairs
            if buffer.written and not offset and owner in owners
        )
        if not self.is_flat or not streamed:
            return self
        return replace(self, kernel=replace(self.kernel, streamed=streamed))


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The part of a loop that one task does: `count` elements from `first` on."""

    first: Var
    count: Operand


class Nest:
    """The kernel of one step under construction."""

    def __init__(self, accesses: Accesses, apart: int | None = None) -> None:
        self.accesses = accesses
        self.step = accesses.step
        self.axes = accesses.axes(apart)
        self.kept = [axis for axis in self.axes if not axis.folded]
        self.folded = [axis for axis in self.axes if axis.folded]
        self.folded_extent = prod(axis.extent for axis in self.folded)
        self.builder = ScalarBuilder()
        self.body: list[Stmt] = []
        self.count = 0
        self.buffers: dict[tuple[Owner, int, bool], Buffer] = {}
        self.sizes: dict[object, tuple[Size, int]] = {}
        self.scratch: dict[Apply, Buffer] = {}
        self.kept_reads: dict[tuple[Node, Labels], Buffer] = {}
        self.filled: set[object] = set()
        self.scopes: list[dict[object, Element]] = [{}]  # members' values, a scope per open loop
        self.indices: dict[Axis, list[Var]] = {}  # the variables whose sum is an axis's coordinate
        self.row_index: Var | None = None  # along the folded axes taken as one
        self.part: Var | None = None  # which part of a shared fold the task does

    # loops

    @contextmanager
    def scope(self) -> Iterator[None]:
        self.scopes.append({})
        try:
            yield
        finally:
            self.scopes.pop()

    @contextmanager
    def tasks(
        self, outer: list[Axis], inner: Axis | None = None, chunk: int = 0, parts: int = 1
    ) -> Iterator[Columns | None]:
        """The parallel loop: one task per element of the outer axes, per chunk of the inner one, per part of a fold."""
        chunks = -(-inner.extent // chunk) if inner and chunk else 1
        self.count = prod(axis.extent for axis in outer) * chunks * parts
        extent = self.size("tasks", self.count)
        digits: list[tuple[object, int]] = [(axis, axis.extent) for axis in outer]
        digits += [("chunk", chunks)] if chunk else []
        digits += [("part", parts)] if parts > 1 else []
        with (
            self.builder.block() as self.body,
            self.builder.loop(extent, Kind.PARALLEL, "p") as task,
            self.scope(),
        ):
            found = self.decode(task, digits)
            for axis in outer:
                self.indices[axis] = [found[axis]]
            self.part = found.get("part")
            yield self.columns_of(found["chunk"], inner, chunk) if inner and chunk else None

    def decode(self, number: Var, digits: list[tuple[object, int]]) -> dict[object, Var]:
        """A task's number as digits, the last one running fastest."""
        lengths = [self.size((name, "extent"), extent) for name, extent in digits[1:]]
        names = (name for name, _ in digits)
        return dict(zip(names, decoded(self.builder, number, lengths), strict=False))

    def columns_of(self, number: Var, inner: Axis, chunk: int) -> Columns:
        length = constant(chunk, int64)
        first = self.builder.let(Fn.MUL, int64, number, length)
        left = self.builder.let(
            Fn.SUB, int64, self.size((inner, "extent"), inner.extent), first.operand
        )
        count = self.builder.let(Fn.MIN, int64, left.operand, length)
        return Columns(variable(first), count.operand)

    @contextmanager
    def vector(self, axis: Axis | None, part: Columns | None = None) -> Iterator[None]:
        """A loop over lanes; nothing for no axis, whose body is scalar."""
        if axis is None:
            yield
            return
        extent = part.count if part else self.size((axis, "extent"), axis.extent)
        with self.builder.loop(extent, Kind.VECTOR, "v") as index, self.scope():
            self.indices[axis] = [part.first, index] if part else [index]
            yield

    @contextmanager
    def one_by_one(self, axis: Axis | None) -> Iterator[None]:
        """A loop of a task's own; nothing for no axis."""
        if axis is None:
            yield
            return
        extent = self.size((axis, "extent"), axis.extent)
        with self.builder.loop(extent, Kind.SERIAL, "r") as index, self.scope():
            self.indices[axis] = [index]
            yield

    # values

    def value(self, node: Node, labels: Labels) -> Element:
        if isinstance(node, Constant):
            return self.builder.element(constant(node.value, node.aval.dtype))
        behind = self.accesses.member_behind(node, labels)
        if behind is not None:
            member, seen = behind
            own = result_labels(self.step, member)
            assert all(a == b or None in (a, b) for a, b in zip(seen, own, strict=True)), node
            return self.member(member)
        if (node, labels) in self.kept_reads:
            return self.kept_read(node, labels)
        return self.read(node, labels)

    def read(self, node: Node, labels: Labels) -> Element:
        access = self.accesses.reads[node, labels]
        buffer = self.buffer(access.root, access.offset, node.aval.dtype)
        return self.builder.load(buffer, self.address(access))

    def kept_read(self, node: Node, labels: Labels) -> Element:
        """An element of an array that the first loop which reads it keeps in scratch for the others."""
        key = (node, labels)
        for scope in reversed(self.scopes):
            if key in scope:
                return scope[key]
        self.scopes[-1][key] = self.kept_element(key, self.kept_reads[key], lambda: self.read(*key))
        return self.scopes[-1][key]

    def kept_element(self, key: object, buffer: Buffer, first: Callable[[], Element]) -> Element:
        """`first()`, which is stored, and read back by the loops after this one."""
        assert self.row_index is not None
        place = Address(((self.row_index, 1),))
        if key in self.filled:
            return self.builder.load(buffer, place)
        element = first()
        self.builder.store(buffer, place, element)
        self.filled.add(key)
        return element

    def member(self, node: Apply) -> Element:
        for scope in reversed(self.scopes):
            if node in scope:
                return scope[node]
        buffer = self.scratch.get(node)
        if buffer is None:
            element = self.compute(node)
        else:
            element = self.kept_element(node, buffer, lambda: self.compute(node))
        self.scopes[-1][node] = element
        return element

    def compute(self, node: Apply) -> Element:
        """One element of a member. Half precision is widened, and rounded once after the op."""
        if isinstance(node.op.recipe, Gather):
            return self.gather(node)
        assert isinstance(node.op.recipe, Pointwise)
        operands = [self.value(source, labels) for source, labels in self.accesses.operands(node)]
        wide = [self.builder.cast(operand, widened(operand.dtype)) for operand in operands]
        self.builder.axis_index = lambda axis: self.coordinate(self.step.labels[node][axis])
        result = node.op.recipe.scalar(self.builder, *wide, **node.kwargs)
        dtype = node.aval.dtype
        if not isinstance(result, Element):
            return self.builder.element(constant(result, dtype))
        return self.builder.cast(result, dtype)

    def coordinate(self, label: int | None) -> Operand:
        axis = next((axis for axis in self.axes if label in axis.dims), None)
        if axis is None:
            return constant(0, int64)
        first, *rest = self.indices[axis]
        total: Operand = first
        for var in rest:
            total = self.builder.let(Fn.ADD, int64, total, var).operand
        return total

    def gather(self, node: Apply) -> Element:
        """The element that an index names."""
        ((indices, labels),) = self.accesses.operands(node)
        access = self.accesses.gathered(node)
        s, extent = self.builder, node.inputs[0].aval.sizes[node.kwargs["axis"]]
        index = s.cast(self.value(indices, labels), int64)
        place = clamped(s, index, self.size((node, "gathered"), extent))
        address = self.address(access)
        stride = self.stride((access.root, access.offset, node, "gather"), access.gather)
        terms = (*address.terms, (place, stride))
        buffer = self.buffer(access.root, access.offset, node.aval.dtype)
        return s.load(buffer, Address(terms))

    def store(self, stores: Sequence[Store]) -> None:
        """All values, and only then the stores: one may write over what another reads."""
        values = [
            self.value(store.value, self.accesses.value_labels(store.value, store.layout))
            for store in stores
        ]
        for store, value in zip(stores, values, strict=True):
            access = self.accesses.writes[store]
            dtype = store.target.aval.dtype
            buffer = self.buffer(access.root, access.offset, dtype, written=True)
            self.builder.store(buffer, self.address(access), self.builder.cast(value, dtype))

    @property
    def last_stores(self) -> Sequence[Store]:
        """Stores after which a task reads nothing more."""
        return self.step.stores

    # operands of the kernel

    def address(self, access: Access) -> Address:
        terms: list[tuple[Var, Extent]] = []
        for axis in self.axes:
            stride = access.strides[axis.dims[-1]]
            if stride:
                key = (access.root, access.offset, access.strides, axis)
                terms += [(var, self.stride(key, stride)) for var in self.indices[axis]]
        return Address(tuple(terms))

    def linear_address(self, folds: int) -> Address:
        """Of a partial result: the superblock's number, then the kept axes, row-major."""
        terms: list[tuple[Var, Extent]] = []
        if self.part is not None:
            terms.append((self.part, self.size("folds", folds)))
        stride = folds
        for axis in self.kept:
            stride //= axis.extent
            terms += [(var, self.stride((axis, "linear"), stride)) for var in self.indices[axis]]
        return Address(tuple(terms))

    def stride(self, key: object, value: int) -> Extent:
        """Stride 1 is known to the code; any other is a size."""
        return 1 if value == 1 else self.size(key, value)

    def size(self, key: object, value: int) -> Size:
        if key not in self.sizes:
            self.sizes[key] = (Size("n"), value)
        return self.sizes[key][0]

    def buffer(self, root: Owner, offset: int, dtype: DType, written: bool = False) -> Buffer:
        key = (root, offset, written)
        if key not in self.buffers:
            self.buffers[key] = Buffer(dtype, "a", written)
        return self.buffers[key]

    def finish(self, elements: int) -> Lowered:
        """The kernel; `elements` is how many evaluations of the members a task makes."""
        cost = sum(profile(member).nanoseconds for member in self.step.members)
        cost += 0.1 * len(self.buffers)
        scratch = sum(
            -(-self.folded_extent * buffer.dtype.itemsize // 64) * 64
            for buffer in self.scratch_buffers
        )
        return Lowered(
            self.kernel(),
            tuple((root, offset) for root, offset, _ in self.buffers),
            tuple(value for _, value in self.sizes.values()),
            self.count,
            max(1, whole(TASK_NS / (cost * max(elements, 1)))),
            scratch,
            self.aligned(self.last_stores),
        )

    def aligned(self, stores: Sequence[Store]) -> frozenset[tuple[Owner, Owner]]:
        """What is read at the very places that one of the stores writes, and nowhere else, with what it writes."""
        reads: dict[Owner, set[object]] = {}
        for access in self.accesses.every_read():
            reads.setdefault(access.root, set()).add((access.offset, access.strides, access.gather))
        writes = [self.accesses.writes[store] for store in stores]
        return frozenset(
            (root, write.root)
            for write in writes
            for root, places in reads.items()
            if places == {(write.offset, write.strides, 0)}
        )

    @property
    def scratch_buffers(self) -> tuple[Buffer, ...]:
        """Each once: values that are not needed at the same time share one."""
        return tuple(dict.fromkeys((*self.kept_reads.values(), *self.scratch.values())))

    def kernel(self) -> Kernel:
        return Kernel(
            tuple(self.buffers.values()),
            tuple(size for size, _ in self.sizes.values()),
            self.scratch_buffers,
            only_loop(self.body),
        )


def variable(element: Element) -> Var:
    assert isinstance(element.operand, Var)
    return element.operand


def decoded(s: ScalarBuilder, number: Var, lengths: Sequence[Size]) -> list[Var]:
    """A row-major number's digits. The first runs slowest; the lengths are those of the others."""
    found: list[Var] = []
    for length in reversed(lengths):
        found.append(variable(s.let(Fn.FLOORMOD, int64, number, length)))
        number = variable(s.let(Fn.FLOORDIV, int64, number, length))
    return [number, *reversed(found)]


def clamped(s: ScalarBuilder, index: Element, length: Size) -> Var:
    """An int64 index counted from the end if negative; one outside is clamped, so that no other memory is touched."""
    extent = s.element(length)
    index = s.select(index < 0, index + extent, index)
    return variable(s.apply(Fn.MIN, s.apply(Fn.MAX, index, 0), extent - 1))


def only_loop(body: list[Stmt]) -> tuple[For]:
    """A kernel's body: the parallel loop."""
    (loop,) = body
    assert isinstance(loop, For)
    return (loop,)
