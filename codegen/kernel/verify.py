"""Checks a kernel: names, dtypes, and where loops, folds and stores may stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn, assert_never

from tracejit._errors import CompileError
from tracejit.codegen.kernel.fn import COMPARISONS, Fn
from tracejit.codegen.kernel.folds import SEARCHES
from tracejit.codegen.kernel.ir import (
    Address,
    Buffer,
    Carried,
    Combine,
    Const,
    Extent,
    Fold,
    For,
    Kernel,
    Kind,
    Let,
    Load,
    Operand,
    Result,
    Size,
    Stmt,
    Store,
    Tree,
    Var,
)
from tracejit.codegen.kernel.lanes import find_lanes
from tracejit.codegen.kernel.printer import print_kernel, print_statement
from tracejit.codegen.kernel.scalars import takes
from tracejit.dtypes import DType, bool_, int64

PREDICATES = frozenset({Combine.ANY, Combine.ALL})


def verify(kernel: Kernel) -> Kernel:
    """`kernel` itself; raises CompileError, which quotes the statement, where it is not well formed."""
    _Verifier(kernel).kernel_is_sound()
    return kernel


class _Verifier:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.lanes = find_lanes(kernel)
        self.known: set[Var | Size] = set(kernel.sizes)
        self.defined: set[Var] = set()
        self.strip: For | Fold | None = None
        self.at: Stmt | None = None

    def fail(self, problem: str) -> NoReturn:
        where = f"`{print_statement(self.kernel, self.at)}`: " if self.at is not None else ""
        raise CompileError(f"kernel: {where}{problem}\n{print_kernel(self.kernel)}")

    def check(self, holds: bool, problem: str) -> None:
        if not holds:
            self.fail(problem)

    # the whole

    def kernel_is_sound(self) -> None:
        kernel = self.kernel
        one_loop = len(kernel.body) == 1 and kernel.body[0].kind is Kind.PARALLEL
        self.check(one_loop, "the body must be one PARALLEL loop")
        buffers = (*kernel.buffers, *kernel.scratch)
        self.check(len(set(buffers)) == len(buffers), "a buffer is given twice")
        self.check(len(set(kernel.sizes)) == len(kernel.sizes), "a size is given twice")
        self.check(
            all(b.scratch is None for b in kernel.buffers), "an argument is a scratch buffer"
        )
        self.check(
            all(b.scratch is not None for b in kernel.scratch), "a scratch buffer has no size"
        )
        for loop in kernel.body:
            self.at = loop
            self.operand(loop.extent, int64)
            self.block(loop.body, [loop.index])

    def block(
        self, body: tuple[Stmt, ...], indices: Iterable[Var], carried: Iterable[Var] = ()
    ) -> set[Var | Size]:
        """Checks the body of a loop; gives what is known at its end, which is not known after it."""
        outside = set(self.known)
        for index in indices:
            self.check(index.dtype is int64, "an index is an int64")
            self.define(index)
        for var in carried:
            self.define(var)
        for stmt in body:
            self.at = stmt
            self.stmt(stmt)
        inside, self.known = self.known, outside
        return inside

    def stmt(self, stmt: Stmt) -> None:
        match stmt:
            case Let():
                self.let(stmt)
            case Load():
                self.load(stmt)
            case Store():
                self.store(stmt)
            case For():
                self.loop(stmt)
            case Fold():
                self.fold(stmt)
            case _:
                assert_never(stmt)

    # names and dtypes

    def define(self, var: Var) -> None:
        self.check(var not in self.defined, f"{var.name} is defined twice")
        self.defined.add(var)
        self.known.add(var)

    def operand(self, operand: Operand, dtype: DType) -> None:
        if not isinstance(operand, Const):
            self.check(operand in self.known, f"{operand.name} is not defined here")
        self.check(operand.dtype is dtype, f"needs {dtype}, got {operand.dtype}")

    def extent(self, extent: Extent) -> None:
        if not isinstance(extent, int):
            self.operand(extent, int64)

    def let(self, stmt: Let) -> None:
        fn, args = stmt.fn, stmt.args
        self.check(len(args) == fn.arity, f"{fn.method} takes {fn.arity} arguments")
        dtype = args[-1].dtype
        self.check(takes(fn, dtype), f"{fn.method} is not defined on {dtype}")
        for position, arg in enumerate(args):
            is_condition = fn is Fn.SELECT and position == 0
            self.operand(arg, bool_ if is_condition else dtype)
        if fn is not Fn.CAST:
            result = bool_ if fn in COMPARISONS else dtype
            self.check(stmt.var.dtype is result, f"the result is a {result}")
        self.define(stmt.var)

    # memory

    def place(self, buffer: Buffer, address: Address, where: Operand | None) -> None:
        is_ours = buffer in self.kernel.buffers or buffer in self.kernel.scratch
        self.check(is_ours, f"{buffer.name} is not a buffer of the kernel")
        for index, stride in address.terms:
            self.operand(index, int64)
            self.extent(stride)
        self.extent(address.offset)
        if where is not None:
            self.operand(where, bool_)

    def load(self, stmt: Load) -> None:
        self.place(stmt.buffer, stmt.address, stmt.where)
        self.check(
            (stmt.where is None) == (stmt.other is None),
            "a mask needs another value, and that a mask",
        )
        if stmt.other is not None:
            self.operand(stmt.other, stmt.buffer.dtype)
        self.check(stmt.var.dtype is stmt.buffer.dtype, f"the buffer holds {stmt.buffer.dtype}")
        self.define(stmt.var)

    def store(self, stmt: Store) -> None:
        self.place(stmt.buffer, stmt.address, stmt.where)
        self.operand(stmt.value, stmt.buffer.dtype)
        is_writable = stmt.buffer.written or stmt.buffer.scratch is not None
        self.check(is_writable, f"{stmt.buffer.name} is not written to by this kernel")
        if stmt.add:
            self.check(takes(Fn.ADD, stmt.buffer.dtype), f"{stmt.buffer.dtype} cannot be added to")
        if stmt.add and self.strip is not None:
            varying = [index for index, _ in stmt.address.terms if self.lanes.varies(index)]
            apart = varying == [self.strip.index]
            self.check(apart, "lanes may add to one element at once")

    # loops

    def loop(self, stmt: For) -> None:
        self.check(stmt.kind is not Kind.PARALLEL, "a PARALLEL loop must be outermost")
        self.check(self.strip is None, "a loop stands in a vector loop or a LANES fold")
        self.operand(stmt.extent, int64)
        self.inside(stmt, [], stmt if stmt.kind is Kind.VECTOR else None)

    def fold(self, stmt: Fold) -> None:
        is_strip = stmt.tree is Tree.LANES
        self.check(
            not (is_strip and self.strip), "a LANES fold stands in a vector loop or another one"
        )
        for end in (stmt.start, stmt.stop):
            self.operand(end, int64)
            self.check(not self.lanes.varies(end), "the ends of a fold differ from lane to lane")
        self.check(
            stmt.tree is Tree.SERIAL or not stmt.carried, "only a SERIAL fold carries scalars"
        )
        for each in stmt.carried:
            self.operand(each.first, each.var.dtype)
        self.inside(stmt, stmt.results, stmt if is_strip else None, stmt.carried)
        for var in (
            *(result.var for result in stmt.results),
            *(each.last for each in stmt.carried),
        ):
            self.define(var)

    def inside(
        self,
        stmt: For | Fold,
        results: Iterable[Result],
        strip: For | Fold | None,
        carried: Sequence[Carried] = (),
    ) -> None:
        outer, self.strip = self.strip, strip or self.strip
        known = self.block(stmt.body, [stmt.index], [each.var for each in carried])
        self.strip, self.at = outer, stmt
        after, self.known = self.known, known
        for result in results:
            self.result(result)
        for each in carried:
            self.operand(each.next, each.var.dtype)
            self.check(each.last.dtype is each.var.dtype, f"the last is a {each.var.dtype}")
        self.known = after

    def result(self, result: Result) -> None:
        combine, dtype = result.combine, result.value.dtype
        self.operand(result.value, dtype)
        fits = (dtype is bool_) == (combine in PREDICATES) or combine not in PREDICATES | {
            Combine.SUM,
            Combine.PROD,
        }
        is_half = dtype.is_float and dtype.itemsize < 4
        self.check(fits and not is_half, f"{combine.value} is not defined on {dtype}")
        outcome = int64 if combine in SEARCHES else dtype
        self.check(result.var.dtype is outcome, f"{combine.value} of {dtype} is a {outcome}")
