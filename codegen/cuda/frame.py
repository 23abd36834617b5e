"""The state of a kernel being written: the C name of each scalar and pointer, and accesses to memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tracejit._records import dataclass, field
from tracejit.codegen.cuda.builder import TYPES, CudaBuilder
from tracejit.codegen.cuda.functions import apply
from tracejit.codegen.cuda.schedule import Variant
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.ir import (
    Address,
    Buffer,
    Const,
    Extent,
    Kernel,
    Let,
    Load,
    Operand,
    Size,
    Store,
    Var,
)
from tracejit.codegen.llvm.builder import Value
from tracejit.codegen.llvm.casts import register
from tracejit.codegen.llvm.flow import I64
from tracejit.codegen.llvm.frame import ALIGNMENT, number_of
from tracejit.codegen.llvm.types import Type
from tracejit.dtypes import DType, bool_

I1 = Type("i1")


def memory_type(dtype: DType) -> str:
    """The C type of an element: a bool is a byte."""
    return "unsigned char" if dtype is bool_ else TYPES[register(dtype).element]


@dataclass(slots=True)
class Frame:
    """Names, and how the statement being written is shared among threads."""

    kernel: Kernel
    b: CudaBuilder
    scalars: dict[Var | Size, Value] = field(default_factory=dict)
    pointers: dict[Buffer, str] = field(default_factory=dict)
    elements: dict[Load | Store, str] = field(default_factory=dict)
    """Accesses that are made several elements at a time: the place of this one among them."""
    variant: Variant = Variant.LONG
    guard: str = ""
    """Which of the threads that all compute the same stores it; empty where each computes for itself."""

    # scalars

    def define(self, var: Var | Size, value: Value) -> None:
        self.scalars[var] = value

    def operand(self, operand: Operand) -> Value:
        if isinstance(operand, Const):
            return self.b.constant(register(operand.dtype), number_of(operand))
        return self.scalars[operand]

    def integer(self, value: str) -> Value:
        return self.b.value(value, I64)

    def extent(self, extent: Extent) -> str:
        return f"{extent}ll" if isinstance(extent, int) else self.scalars[extent].text

    def let(self, stmt: Let) -> None:
        args = [self.operand(arg) for arg in stmt.args]
        if stmt.fn is Fn.CAST and stmt.args[0].dtype is stmt.var.dtype:
            self.define(stmt.var, args[0])
            return
        self.define(stmt.var, apply(self.b, stmt.fn, stmt.args[-1].dtype, stmt.var.dtype, args))

    # memory

    def offset(self, address: Address, without: Var | None = None) -> str:
        """In elements; one index may be left out."""
        terms = [
            self.scalars[index].text
            if stride == 1
            else f"{self.scalars[index].text} * {self.extent(stride)}"
            for index, stride in address.terms
            if index is not without
        ]
        if address.offset != 0 or not terms:
            terms.append(self.extent(address.offset))
        return " + ".join(terms)

    def place(self, access: Load | Store) -> str:
        found = self.elements.get(access)
        return found or f"{self.pointers[access.buffer]}[{self.offset(access.address)}]"

    def load(self, stmt: Load) -> None:
        text, type = self.place(stmt), register(stmt.buffer.dtype)
        if stmt.buffer.dtype is bool_:
            text = f"{text} != 0"
        if stmt.where is not None and stmt.other is not None:
            text = f"{self.operand(stmt.where).text} ? {text} : {self.operand(stmt.other).text}"
        self.define(stmt.var, self.b.emit(text, type))

    def store(self, stmt: Store) -> None:
        place, value, dtype = self.place(stmt), self.operand(stmt.value), stmt.buffer.dtype
        where = [self.operand(stmt.where).text] if stmt.where is not None else []
        conditions = [text for text in (self.guard, *where) if text]
        with self.when(" && ".join(conditions)):
            if stmt.add:
                old = self.b.emit(f"{place} != 0" if dtype is bool_ else place, register(dtype))
                value = apply(self.b, Fn.ADD, dtype, dtype, [old, value])
            self.b.line(f"{place} = {value.text};")

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """A conditional, unless there is no condition."""
        if not condition:
            yield
            return
        with self.b.braces(f"if ({condition})"):
            yield

    @contextmanager
    def guarded(self, guard: str) -> Iterator[None]:
        outer, self.guard = self.guard, guard
        yield
        self.guard = outer

    def meet(self) -> None:
        self.b.line("meet();")

    # arguments

    def bind_arguments(self, buffers: int = 0, dims: int = 0) -> None:
        """The names of a segment's pointers and sizes, which come after so many others, and of the team's scratch."""
        for number, buffer in enumerate(self.kernel.buffers, buffers):
            c_type, name = memory_type(buffer.dtype), f"a{number}"
            const = "" if buffer.written else "const "
            self.b.line(f"{const}{c_type} *const {name} = ({c_type} *)segment.buffers[{number}];")
            self.pointers[buffer] = name
        for number, size in enumerate(self.kernel.sizes, dims):
            self.b.line(f"const long long n{number} = segment.dims[{number}];")
            self.define(size, self.integer(f"n{number}"))
        if self.variant is not Variant.NEAR:
            self.bind_scratch(self.kernel.scratch)

    def bind_scratch(self, buffers: Sequence[Buffer]) -> None:
        if not buffers:
            return
        offsets = ["0ll"]
        for number, buffer in enumerate(buffers):
            used = f"{self.extent(buffer.scratch or 0)} * {buffer.dtype.itemsize}"
            end = f"({offsets[-1]} + {used} + {ALIGNMENT - 1}) & -{ALIGNMENT}ll"
            self.b.line(f"const long long end{number} = {end};")
            offsets.append(f"end{number}")
        team = "((long long)blockIdx.x * blockDim.y + threadIdx.y)"
        far = f"segments.scratch + {team} * segments.scratch_bytes"
        near = f"shared + threadIdx.y * {offsets[-1]}"
        self.b.line(f"char *const scratch = {far if self.variant is Variant.FAR else near};")
        for number, buffer in enumerate(buffers):
            c_type = memory_type(buffer.dtype)
            self.b.line(f"{c_type} *const t{number} = ({c_type} *)(scratch + {offsets[number]});")
            self.pointers[buffer] = f"t{number}"
