"""Which scalars of a kernel differ from lane to lane of the vector loop round them."""

from __future__ import annotations

from typing import assert_never

from tracejit._records import dataclass, field
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.folds import SEARCHES
from tracejit.codegen.kernel.hoist import address_operands
from tracejit.codegen.kernel.ir import (
    Const,
    Fold,
    For,
    Kernel,
    Kind,
    Let,
    Load,
    Operand,
    Size,
    Stmt,
    Store,
    Tree,
    Var,
)
from tracejit.dtypes import int64


@dataclass(slots=True)
class Lanes:
    """`varying` scalars are vectors; `wide` ones are uniform but used beside vectors, so they are also kept as a splat."""

    varying: set[Var] = field(default_factory=set)
    wide: set[Var | Size] = field(default_factory=set)
    indices: set[Var] = field(default_factory=set)
    """Indices of vector loops that are used as values, so that a vector of them is needed."""
    divisors: set[Operand] = field(default_factory=set)
    """Uniform scalars that varying ones are divided by."""

    def varies(self, operand: Operand | None) -> bool:
        return operand in self.varying

    def is_division_by_one(self, let: Let) -> bool:
        """Whether vectors of floats or of int64 are divided by one run-time scalar."""
        dtype, divisor = let.var.dtype, let.args[-1]
        divides = let.fn is Fn.DIV if dtype.is_float else let.fn in (Fn.FLOORDIV, Fn.FLOORMOD)
        is_constant = isinstance(divisor, Const)
        fits = dtype.is_float or dtype is int64
        return divides and fits and not is_constant and not self.varies(divisor)

    def is_vector_access(self, access: Load | Store) -> bool:
        """Whether lanes access memory each for itself. All lanes may store to one element only in a loop of one iteration,
        whose index has lost its stride."""
        operands = [*address_operands(access.address), access.where]
        operands += [access.value] if isinstance(access, Store) else []
        return any(self.varies(operand) for operand in operands)


def find_lanes(kernel: Kernel) -> Lanes:
    """The kernel's scalars by what becomes of them in vector code."""
    finder = _Finder()
    for loop in kernel.body:
        finder.block(loop.body)
    return finder.lanes


class _Finder:
    def __init__(self) -> None:
        self.lanes = Lanes()
        self.loop_indices: set[Var] = set()

    def block(self, body: tuple[Stmt, ...]) -> None:
        for stmt in body:
            self.stmt(stmt)

    def stmt(self, stmt: Stmt) -> None:
        match stmt:
            case Let(var=var, args=args):
                if any(map(self.lanes.varies, args)):
                    self.lanes.varying.add(var)
                    self.use(*args)
                    if self.lanes.is_division_by_one(stmt):
                        self.lanes.divisors.add(args[1])
            case Load():
                if self.lanes.is_vector_access(stmt):
                    self.lanes.varying.add(stmt.var)
                    self.use(stmt.where, stmt.other)
            case Store():
                if self.lanes.is_vector_access(stmt):
                    self.use(stmt.where, stmt.value)
            case For(kind=kind):
                if kind is Kind.VECTOR:
                    self.vectorise(stmt.index)
                self.block(stmt.body)
            case Fold():
                self.fold(stmt)
            case _:
                assert_never(stmt)

    def fold(self, fold: Fold) -> None:
        if fold.tree is Tree.LANES:
            self.vectorise(fold.index)
        self.block(fold.body)
        while self.carries_more(fold):
            self.block(fold.body)
        for result in fold.results:
            if fold.tree is Tree.LANES:
                self.use(result.value)
                self.use(fold.index if result.combine in SEARCHES else None)
            elif self.lanes.varies(result.value):
                self.lanes.varying.add(result.var)
                self.use(fold.index if result.combine in SEARCHES else None)

    def carries_more(self, fold: Fold) -> bool:
        """Marks what the fold carries from lane to lane; whether that is more than was known, so that its body follows suit."""
        found = False
        for each in fold.carried:
            if self.lanes.varies(each.first) or self.lanes.varies(each.next):
                found |= each.var not in self.lanes.varying
                self.lanes.varying |= {each.var, each.last}
                self.use(each.first, each.next)
        return found

    def vectorise(self, index: Var) -> None:
        self.lanes.varying.add(index)
        self.loop_indices.add(index)

    def use(self, *operands: Operand | None) -> None:
        """As values beside vectors."""
        for operand in operands:
            if operand is None or isinstance(operand, Const):
                continue
            if operand in self.loop_indices:
                self.lanes.indices.add(operand)
            elif operand not in self.lanes.varying:
                self.lanes.wide.add(operand)
