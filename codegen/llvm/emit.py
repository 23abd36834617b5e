"""A kernel as LLVM IR: loops of full vectors with masked tails, folds by their trees. It chooses nothing that changes bits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import assert_never

from tracejit.codegen.kernel.hoist import hoist
from tracejit.codegen.kernel.ir import Fold, For, Kernel, Kind, Let, Load, Stmt, Store, Tree
from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.division import divide
from tracejit.codegen.llvm.flow import I64, Values, loop
from tracejit.codegen.llvm.folds import fold_chain, fold_lanes
from tracejit.codegen.llvm.frame import Frame
from tracejit.codegen.llvm.functions import apply
from tracejit.codegen.llvm.memory import fence
from tracejit.codegen.llvm.schedule import unrolled, width_of
from tracejit.codegen.llvm.target import Target

PARAMETERS = "ptr %context, ptr %buffers, ptr %dims, i64 %begin, i64 %end, ptr %scratch"


def emit(kernel: Kernel, name: str, target: Target) -> str:
    """A module that defines `void name(ptr context, ptr buffers, ptr dims, i64 begin, i64 end, ptr scratch)`."""
    b = Builder(width_of(kernel, target), target)
    hoisted = hoist(kernel)
    writer = _Writer(Frame(hoisted, b))
    for tasks in hoisted.body:
        writer.serial_loop(tasks, b.value("%begin", I64), b.value("%end", I64))
    if kernel.streamed:
        fence(b)
    b.line("ret void")
    lines = "\n".join([*writer.frame.frame_lines, b.text()])
    b.module.define(
        name, f"define void @{name}({PARAMETERS}) {target.attributes} {{\nentry:\n{lines}\n}}"
    )
    return b.module.text()


class _Writer:
    """Writes statements one after another."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.b = frame.b

    def block(self, body: Sequence[Stmt]) -> None:
        for stmt in body:
            self.stmt(stmt)

    def stmt(self, stmt: Stmt) -> None:
        frame = self.frame
        match stmt:
            case Let():
                self.let(stmt)
            case Load():
                frame.load(stmt)
            case Store():
                frame.store(stmt)
            case For(kind=Kind.VECTOR):
                self.vector_loop(stmt)
            case For():
                self.serial_loop(stmt, frame.integer(0), frame.scalar(stmt.extent))
            case Fold(tree=Tree.LANES):
                fold_lanes(frame, stmt, partial(self.block, stmt.body))
            case Fold():
                fold_chain(frame, stmt, self.block)
            case _:
                assert_never(stmt)

    def let(self, stmt: Let) -> None:
        frame = self.frame
        if not frame.lanes.varies(stmt.var):
            args = [frame.scalar(arg) for arg in stmt.args]
            frame.define(
                stmt.var, apply(self.b, stmt.fn, stmt.args[-1].dtype, stmt.var.dtype, args)
            )
            return
        divisor = frame.divisors.get(stmt.args[-1])
        if divisor is None or not frame.lanes.is_division_by_one(stmt):
            frame.define_vectors(stmt.var, self.vector_let(stmt))
            return
        numerators = tuple(frame.vector(stmt.args[0], number) for number in frame.numbers())
        slowly = partial(self.vector_let, stmt)
        frame.define_vectors(stmt.var, divide(self.b, stmt.fn, numerators, divisor, slowly))

    def vector_let(self, stmt: Let) -> Values:
        source, to, vector = stmt.args[-1].dtype, stmt.var.dtype, self.frame.vector
        return tuple(
            apply(self.b, stmt.fn, source, to, [vector(arg, number) for arg in stmt.args])
            for number in self.frame.numbers()
        )

    def serial_loop(self, stmt: For, start: Value, stop: Value) -> None:
        def body(index: Value, _: Values) -> Values:
            self.frame.define(stmt.index, index)
            self.block(stmt.body)
            return ()

        loop(self.b, start, stop, 1, (), body)

    def vector_loop(self, stmt: For) -> None:
        """Several vectors at a time, and what is left in masked vectors."""
        extent = self.b.intrinsic("smax", self.frame.scalar(stmt.extent), self.frame.integer(0))
        count = unrolled(stmt.body, self.b.width)
        full = extent & -(count * self.b.width)

        def whole(start: Value, _: Values) -> Values:
            with self.frame.in_strip(stmt.index, start, count):
                self.block(stmt.body)
            return ()

        def rest(start: Value, _: Values) -> Values:
            with self.frame.in_strip(stmt.index, start, 1, stop=extent):
                self.block(stmt.body)
            return ()

        loop(self.b, self.frame.integer(0), full, count * self.b.width, (), whole)
        loop(self.b, full, extent, self.b.width, (), rest)
