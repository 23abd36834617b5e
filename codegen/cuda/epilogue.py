"""What a product's kernel does with its sums: a map over rows, of which each thread computes the elements whose sums it has.

The map is a kernel of the loop IR, which reads the product as it would from memory. Where it does, the thread's sum stands: the
product itself is in memory only if the map stores it. A thread does a run of neighbours in a row at a time, whose accesses are
of up to 16 bytes where memory allows.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from tracejit._records import dataclass
from tracejit.codegen.cuda.builder import CUDA, CudaBuilder
from tracejit.codegen.cuda.frame import Frame
from tracejit.codegen.cuda.launch import BOUNDS, HALVES
from tracejit.codegen.cuda.strips import ACCESS, Packs, bind, find_packs, pack_type
from tracejit.codegen.kernel.builder import ScalarBuilder
from tracejit.codegen.kernel.hoist import hoist
from tracejit.codegen.kernel.ir import (
    Address,
    Buffer,
    For,
    Kernel,
    Kind,
    Let,
    Load,
    Size,
    Stmt,
    Store,
)
from tracejit.codegen.kernel.nest import only_loop
from tracejit.codegen.llvm.flow import I64
from tracejit.dtypes import DType

SUMS: Final = "product"
"""The name of a thread's run of sums: a Pack."""


@dataclass(frozen=True, slots=True, eq=False)
class Epilogue:
    """A map over the rows of all matrices of a batch, along their columns, and the buffer that it reads the product from."""

    kernel: Kernel
    product: Buffer

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """Those that lie in memory."""
        return tuple(buffer for buffer in self.kernel.buffers if buffer is not self.product)


@dataclass(frozen=True, slots=True)
class Text:
    """The parts of an epilogue in C: what it calls, what is known of a segment, and what is done with a run of sums.

    The body stands where `at_row`, of all matrices, `at_column` and the sums are defined.
    """

    helpers: str
    functions: str
    bind: str
    body: str


def stored(dtype: DType) -> Epilogue:
    """The map that stores the product; its sizes are rows, columns and the stride from row to row."""
    builder = ScalarBuilder()
    product, out = Buffer(dtype, "a"), Buffer(dtype, "a", written=True)
    rows, columns, stride = Size("rows"), Size("columns"), Size("stride")
    with (
        builder.block() as body,
        builder.loop(rows, Kind.PARALLEL, "p") as row,
        builder.loop(columns, Kind.VECTOR, "v") as column,
    ):
        place = Address(((row, stride), (column, 1)))
        builder.store(out, place, builder.load(product, place))
    kernel = Kernel((product, out), (rows, columns, stride), (), only_loop(body))
    return Epilogue(kernel, product)


def epilogue_text(epilogue: Epilogue, run: int, buffers: int, dims: int) -> Text:
    """For threads that have runs of so many sums; its arguments come after so many buffers and dims of the product."""
    kernel = hoist(replace(epilogue.kernel, buffers=epilogue.buffers))
    builder = CudaBuilder(0, CUDA, depth=2)
    frame = Frame(kernel, builder)
    frame.bind_arguments(buffers, dims)
    known = builder.text()
    builder.lines.clear()
    builder.depth = 4
    _Writer(frame, epilogue.product, run).rows()
    body, functions = builder.text(), builder.module.text().strip()
    helpers = (BOUNDS if "least(" in body or "most(" in body else "") + (
        HALVES if re.search(r"half|bfloat", functions + body) else ""
    )
    return Text(helpers, functions, known, body)


@dataclass(slots=True)
class _Writer:
    frame: Frame
    product: Buffer
    run: int

    def rows(self) -> None:
        (loop,) = self.frame.kernel.body
        self.frame.define(loop.index, self.frame.integer("at_row"))
        for stmt in loop.body:
            if isinstance(stmt, For):
                self.columns(stmt)
            else:
                self.scalar(stmt)

    def columns(self, loop: For) -> None:
        """A run by wide accesses, or element by element at the end of a row and where memory is not aligned."""
        b, frame = self.frame.b, self.frame
        extent, packs = frame.operand(loop.extent).text, self.packs(loop)
        conditions = [f"at_column + {self.run} <= {extent}"]
        if packs:
            conditions.append(bind(frame, packs, " + at_column"))
        with b.braces(f"if ({' && '.join(conditions)})"):
            self.wide(loop, packs)
        each, inside = f"int l = 0; l < {self.run}; ++l", f"if (at_column + l < {extent})"
        with b.braces("else"), b.unrolled(each), b.braces(inside):
            self.element(loop, {})

    def packs(self, loop: For) -> Packs:
        """The accesses along a row that have a width of their own; the sums are no access."""
        packs = find_packs(loop.body, loop.index, self.run)

        def fits(access: Load | Store) -> bool:
            nbytes = access.buffer.dtype.itemsize * self.run
            return access.buffer is not self.product and nbytes <= ACCESS

        packs.loads = {load: "" for load in packs.loads if fits(load)}
        packs.stores = {store: "" for store in packs.stores if fits(store)}
        return packs

    def wide(self, loop: For, packs: Packs) -> None:
        b = self.frame.b
        names: dict[Load | Store, str] = {}
        for load, pointer in packs.loads.items():
            kind = pack_type(load, self.run)
            names[load] = b.fresh("q")
            b.line(f"const {kind} {names[load]} = {kind}::read({pointer});")
        for store in packs.stores:
            names[store] = b.fresh("q")
            b.line(f"{pack_type(store, self.run)} {names[store]};")
        with b.unrolled(f"int l = 0; l < {self.run}; ++l"):
            self.element(loop, {access: f"{name}.at[l]" for access, name in names.items()})
        for store, pointer in packs.stores.items():
            b.line(f"{names[store]}.write_global({pointer});")

    def element(self, loop: For, places: dict[Load | Store, str]) -> None:
        frame = self.frame
        frame.define(loop.index, frame.b.emit("at_column + l", I64))
        loads = (stmt for stmt in loop.body if isinstance(stmt, Load))
        frame.elements = {**places}
        frame.elements |= {load: f"{SUMS}.at[l]" for load in loads if load.buffer is self.product}
        for stmt in loop.body:
            self.scalar(stmt)
        frame.elements = {}

    def scalar(self, stmt: Stmt) -> None:
        match stmt:
            case Let():
                self.frame.let(stmt)
            case Load():
                self.frame.load(stmt)
            case Store():
                self.frame.store(stmt)
            case _:
                raise AssertionError(f"an epilogue has no loops of its own: {stmt}")
