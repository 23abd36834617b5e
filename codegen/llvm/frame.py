"""The state of a kernel being written: where its scalars are, as scalars, splats and vectors, and its accesses to memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from tracejit._records import dataclass, replace
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.ir import (
    Address,
    Buffer,
    Const,
    Extent,
    Kernel,
    Load,
    Operand,
    Size,
    Store,
    Var,
)
from tracejit.codegen.kernel.lanes import find_lanes
from tracejit.codegen.llvm import memory
from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.casts import HALVES, register
from tracejit.codegen.llvm.division import Divisor, divisor_of
from tracejit.codegen.llvm.flow import I64, Values, when
from tracejit.codegen.llvm.functions import apply
from tracejit.dtypes import int64

ALIGNMENT = 64
"""Bytes: of scratch buffers and of what is spilled."""


@dataclass(frozen=True, slots=True)
class Strip:
    """The lanes being computed: vectors of `index` by number, lane 0 of number 0 being `start`; masked off where not `mask`."""

    index: Var
    start: Value
    numbers: range
    mask: Value | None = None


ROWS_AHEAD = 8
"""Far enough that memory has answered, near enough that the row is still in the first cache."""


def number_of(literal: Const) -> bool | int | float:
    """What a register holds for a literal: of half precision the bits."""
    if literal.dtype not in HALVES:
        return literal.value
    return int(np.array(literal.value, literal.dtype.numpy).view(np.uint16))


class Frame:
    """Where each scalar of the kernel is: as a scalar, in all lanes of a vector, or lane by lane in the vectors of the strip."""

    def __init__(self, kernel: Kernel, builder: Builder) -> None:
        self.kernel = kernel
        self.b = builder
        self.lanes = find_lanes(kernel)
        self.pointers: dict[Buffer, Value] = {}
        self.scalars: dict[Var | Size, Value] = {}
        self.splats: dict[Var | Size, Value] = {}
        self.divisors: dict[Operand, Divisor] = {}
        self.vectors: dict[Var, Mapping[int, Value]] = {}
        self.strip: Strip | None = None
        self.down: Var | None = None  # the index of a fold whose rows are fetched ahead
        self.frame_lines: list[str] = []
        self.bind_arguments()

    def bind_arguments(self) -> None:
        for number, buffer in enumerate(self.kernel.buffers):
            place = self.argument("%buffers", "ptr", number)
            self.pointers[buffer] = self.b.emit(f"load ptr, {place}", memory.POINTER)
        for number, size in enumerate(self.kernel.sizes):
            place = self.argument("%dims", "i64", number)
            self.define(size, self.b.emit(f"load i64, {place}", I64))
        offset = self.integer(0)
        for buffer in self.kernel.scratch:
            scratch = self.b.value("%scratch", memory.POINTER)
            self.pointers[buffer] = self.b.emit(
                f"getelementptr i8, {scratch}, {offset}", memory.POINTER
            )
            used = self.extent(buffer.scratch or 0) * buffer.dtype.itemsize
            offset = offset + ((used + ALIGNMENT - 1) & -ALIGNMENT)

    def argument(self, array: str, element: str, number: int) -> Value:
        base = self.b.value(array, memory.POINTER)
        return self.b.emit(f"getelementptr {element}, {base}, i64 {number}", memory.POINTER)

    def alloca(self, type: str) -> Value:
        """Memory of the function's frame: its place is the entry block, whatever loop asks for it."""
        pointer = self.b.value(f"%{self.b.fresh()}", memory.POINTER)
        self.frame_lines.append(f"  {pointer.text} = alloca {type}, align {ALIGNMENT}")
        return pointer

    # scalars

    def integer(self, value: int) -> Value:
        return self.b.constant(I64, value)

    def extent(self, extent: Extent) -> Value:
        return self.integer(extent) if isinstance(extent, int) else self.scalar(extent)

    def define(self, var: Var | Size, value: Value) -> None:
        self.scalars[var] = value
        if var in self.lanes.wide:
            self.splats[var] = self.b.splat(value)
        if var in self.lanes.divisors and (self.b.target.has_fma or not value.type.is_float):
            self.divisors[var] = divisor_of(self.b, value)

    def scalar(self, operand: Operand) -> Value:
        if isinstance(operand, Const):
            return self.b.constant(register(operand.dtype), number_of(operand))
        return self.scalars[operand]

    def vector(self, operand: Operand, number: int) -> Value:
        """The operand in vector `number` of the strip."""
        if isinstance(operand, Const):
            return self.b.constant(register(operand.dtype, self.b.width), number_of(operand))
        if isinstance(operand, Var) and operand in self.lanes.varying:
            return self.vectors[operand][number]
        return self.splats[operand]

    def define_vectors(self, var: Var, values: Values) -> None:
        """The scalar in the vectors that are being written."""
        self.vectors[var] = dict(zip(self.numbers(), values, strict=True))

    # strips

    def numbers(self) -> range:
        assert self.strip is not None
        return self.strip.numbers

    @contextmanager
    def in_strip(
        self, index: Var, start: Value, count: int, stop: Value | None = None
    ) -> Iterator[Strip]:
        """Lanes `start`, `start + 1` ... of `index`; those from `stop` on are masked off."""
        mask = None if stop is None else self.lanes_below(stop - start)
        outer, self.strip = self.strip, Strip(index, start, range(count), mask)
        if index in self.lanes.indices:
            first = self.b.splat(start)
            self.vectors[index] = {
                number: first + self.lane_numbers(number * self.b.width) for number in range(count)
            }
        yield self.strip
        self.strip = outer

    @contextmanager
    def in_vector(self, number: int) -> Iterator[None]:
        """That vector alone of the strip."""
        assert self.strip is not None
        outer, self.strip = self.strip, replace(self.strip, numbers=range(number, number + 1))
        yield
        self.strip = outer

    def lane_numbers(self, first: int = 0) -> Value:
        return self.b.constants("i64", tuple(range(first, first + self.b.width)))

    def lanes_below(self, left: Value) -> Value:
        """The mask of the first `left` lanes; `left` is less than 2 ** 31."""
        narrow = self.b.splat(self.b.convert("trunc", left, "i32"))
        return self.b.compare("ult", self.b.lane_numbers("i32"), narrow)

    # memory

    def uniform_offset(self, address: Address) -> Value:
        """The part of the address that all lanes share, in elements."""
        offset = self.extent(address.offset)
        for index, stride in address.terms:
            if self.is_lane_index(index):
                assert self.strip is not None
                offset = self.plus(offset, self.times(self.strip.start, stride))
            elif index not in self.lanes.varying:
                offset = self.plus(offset, self.times(self.scalar(index), stride))
        return offset

    def is_lane_index(self, index: Var) -> bool:
        return self.strip is not None and self.strip.index is index

    def times(self, value: Value, stride: Extent) -> Value:
        if isinstance(stride, int):
            return value if stride == 1 else value * stride
        factor = self.extent(stride)
        return value * (self.b.splat(factor) if value.type.width else factor)

    def plus(self, a: Value, b: Value) -> Value:
        return b if a.text == "0" else a + b

    def is_run(self, address: Address) -> bool:
        """Whether lane after lane lies one element further."""
        varying = [
            (index, stride) for index, stride in address.terms if index in self.lanes.varying
        ]
        return len(varying) == 1 and self.is_lane_index(varying[0][0]) and varying[0][1] == 1

    def lane_offsets(self, address: Address, number: int) -> Value:
        """Each lane's own part of the address in vector `number`."""
        offsets: Value | None = None
        for index, stride in address.terms:
            if index not in self.lanes.varying:
                continue
            first = number * self.b.width
            lanes = (
                self.lane_numbers(first)
                if self.is_lane_index(index)
                else self.vectors[index][number]
            )
            term = self.times(lanes, stride)
            offsets = term if offsets is None else offsets + term
        return self.b.constant(register(int64, self.b.width), 0) if offsets is None else offsets

    def place(self, access: Load | Store) -> Value:
        base = self.pointers[access.buffer]
        return memory.element_pointer(
            self.b, base, access.buffer.dtype, self.uniform_offset(access.address)
        )

    def run_pointer(self, access: Load | Store, base: Value, number: int) -> Value:
        if number == 0:
            return base
        skip = self.integer(number * self.b.width)
        return memory.element_pointer(self.b, base, access.buffer.dtype, skip)

    def lane_pointers(self, access: Load | Store, base: Value, number: int) -> Value:
        offsets = self.lane_offsets(access.address, number)
        return memory.element_pointer(self.b, base, access.buffer.dtype, offsets)

    def mask(self, access: Load | Store, number: int) -> Value | None:
        """The lanes of vector `number` that touch memory; None for all."""
        assert self.strip is not None
        if access.where is None:
            return self.strip.mask
        where = self.vector(access.where, number)
        return where if self.strip.mask is None else where & self.strip.mask

    def load(self, stmt: Load) -> None:
        if stmt.var not in self.lanes.varying:
            self.define(stmt.var, self.scalar_load(stmt))
            return
        base = self.place(stmt)
        self.define_vectors(
            stmt.var, tuple(self.vector_load(stmt, base, n) for n in self.numbers())
        )
        self.fetch_ahead(stmt, base)

    def fetch_ahead(self, stmt: Load, base: Value) -> None:
        """Asks for the same columns of a later row, which a processor does not foresee where rows are pages apart."""
        strides = [stride for index, stride in stmt.address.terms if index is self.down]
        if not strides or not self.is_run(stmt.address):
            return
        later = self.times(self.integer(ROWS_AHEAD), strides[0])
        row = memory.element_pointer(self.b, base, stmt.buffer.dtype, later)
        for number in self.numbers():
            memory.prefetch(self.b, self.run_pointer(stmt, row, number))

    def scalar_load(self, stmt: Load) -> Value:
        pointer = self.place(stmt)
        if stmt.where is None or stmt.other is None:
            return memory.load(self.b, pointer, stmt.buffer.dtype)
        where = self.scalar(stmt.where)
        # Where memory must not be touched the load reads the table of pointers, which is there: cheaper than a branch.
        harmless = self.b.value("%buffers", memory.POINTER)
        value = memory.load(self.b, self.b.select(where, pointer, harmless), stmt.buffer.dtype)
        return self.b.select(where, value, self.scalar(stmt.other))

    def vector_load(self, stmt: Load, base: Value, number: int) -> Value:
        value = self.read(stmt, base, number)
        if stmt.where is None or stmt.other is None:
            return value
        where = self.vector(stmt.where, number)
        return self.b.select(where, value, self.vector(stmt.other, number))

    def read(self, access: Load | Store, base: Value, number: int) -> Value:
        """Vector `number` of what lies there; zero where it is masked off."""
        dtype, mask = access.buffer.dtype, self.mask(access, number)
        if not self.is_run(access.address):
            return memory.gather(
                self.b, self.lane_pointers(access, base, number), dtype, self.full(mask)
            )
        pointer = self.run_pointer(access, base, number)
        if mask is None:
            return memory.load(self.b, pointer, dtype, self.b.width)
        return memory.load_masked(self.b, pointer, dtype, mask)

    def full(self, mask: Value | None) -> Value:
        return self.b.constant(self.b.vector("i1"), True) if mask is None else mask

    def store(self, stmt: Store) -> None:
        base = self.place(stmt)
        if not self.lanes.is_vector_access(stmt):
            self.scalar_store(stmt, base)
            return
        for number in self.numbers():
            self.vector_store(stmt, base, number)

    def scalar_store(self, stmt: Store, pointer: Value) -> None:
        def write() -> Values:
            value = self.scalar(stmt.value)
            if stmt.add:
                value = self.added(stmt, memory.load(self.b, pointer, stmt.buffer.dtype), value)
            memory.store(self.b, pointer, value, stmt.buffer.dtype)
            return ()

        if stmt.where is None:
            write()
        else:
            when(self.b, self.scalar(stmt.where), (), write)

    def vector_store(self, stmt: Store, base: Value, number: int) -> None:
        value, mask = self.vector(stmt.value, number), self.mask(stmt, number)
        if stmt.add:
            value = self.added(stmt, self.read(stmt, base, number), value)
        if not self.is_run(stmt.address):
            pointers = self.lane_pointers(stmt, base, number)
            memory.scatter(self.b, pointers, value, stmt.buffer.dtype, self.full(mask))
            return
        pointer = self.run_pointer(stmt, base, number)
        if mask is None and stmt.buffer in self.kernel.streamed:
            memory.stream(self.b, pointer, value)
        elif mask is None:
            memory.store(self.b, pointer, value, stmt.buffer.dtype)
        else:
            memory.store_masked(self.b, pointer, value, stmt.buffer.dtype, mask)

    def added(self, stmt: Store, old: Value, new: Value) -> Value:
        dtype = stmt.buffer.dtype
        return apply(self.b, Fn.ADD, dtype, dtype, [old, new])
