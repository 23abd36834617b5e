"""Moves what does not change in a loop out of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import assert_never

from tracejit.codegen.kernel.builder import constant
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.ir import (
    Address,
    Buffer,
    Const,
    Fold,
    For,
    Kernel,
    Let,
    Load,
    Operand,
    Stmt,
    Store,
    Var,
)
from tracejit.dtypes import bool_, int64

ZERO = Const(int64, 0)


def hoist(kernel: Kernel) -> Kernel:
    """Every let stands in the outermost block of a task where its operands are known; so does every load that no loop
    between overwrites, masked by the loops' being entered at all."""
    return replace(kernel, body=tuple(_Hoister().task(loop) for loop in kernel.body))


class _Hoister:
    """`blocks[d]` collects the open block of depth `d`; `loops[d]` is the loop round it. The task's own block has depth 0."""

    def __init__(self) -> None:
        self.blocks: list[list[Stmt]] = []
        self.loops: list[For | Fold] = []
        self.stored: list[frozenset[Buffer]] = []
        self.depths: dict[Var, int] = {}
        self.entered: dict[For | Fold, Operand] = {}

    def task(self, loop: For) -> For:
        return replace(loop, body=self.inside(loop))

    def inside(self, loop: For | Fold) -> tuple[Stmt, ...]:
        block: list[Stmt] = []
        self.blocks.append(block)
        self.loops.append(loop)
        self.stored.append(frozenset(stored_buffers(loop.body)))
        self.define(loop.index)
        for stmt in loop.body:
            self.stmt(stmt)
        self.blocks.pop()
        self.loops.pop()
        self.stored.pop()
        return tuple(block)

    def define(self, var: Var, depth: int | None = None) -> None:
        self.depths[var] = len(self.blocks) - 1 if depth is None else depth

    def stmt(self, stmt: Stmt) -> None:
        match stmt:
            case Let(args=args):
                depth = self.depth(*args)
                self.define(stmt.var, depth)
                self.blocks[depth].append(stmt)
            case Load():
                self.load(stmt)
            case Store():
                self.blocks[-1].append(stmt)
            case For():
                self.blocks[-1].append(replace(stmt, body=self.inside(stmt)))
            case Fold():
                self.blocks[-1].append(replace(stmt, body=self.inside(stmt)))
                for result in stmt.results:
                    self.define(result.var)
            case _:
                assert_never(stmt)

    def load(self, load: Load) -> None:
        depth = self.depth(*address_operands(load.address), load.where, load.other)
        depth = max([depth, *(d for d, buffers in enumerate(self.stored) if load.buffer in buffers)])
        left = self.loops[depth + 1 :]
        depth = max([depth, *(self.depth(*extent_operands(loop)) for loop in left)])
        where = load.where
        for loop in self.loops[depth + 1 :]:
            where = self.both(where, self.is_entered(loop))
        self.define(load.var, depth)
        other = load.other if load.other is not None or where is None else constant(0, load.var.dtype)
        self.blocks[depth].append(replace(load, where=where, other=other))

    def depth(self, *operands: Operand | None) -> int:
        return max([0, *(self.depths[operand] for operand in operands if isinstance(operand, Var))])

    def is_entered(self, loop: For | Fold) -> Operand | None:
        """Whether the loop has an iteration; None where it surely has one."""
        first, last = (loop.start, loop.stop) if isinstance(loop, Fold) else (ZERO, loop.extent)
        if isinstance(first, Const) and isinstance(last, Const) and first.value < last.value:
            return None
        if loop not in self.entered:
            self.entered[loop] = self.let(Fn.LT, first, last)
        return self.entered[loop]

    def both(self, a: Operand | None, b: Operand | None) -> Operand | None:
        if a is None or b is None:
            return b if a is None else a
        return self.let(Fn.AND, a, b)

    def let(self, fn: Fn, *args: Operand) -> Var:
        depth = self.depth(*args)
        var = Var(bool_, "entered")
        self.define(var, depth)
        self.blocks[depth].append(Let(var, fn, args))
        return var


def stored_buffers(body: tuple[Stmt, ...]) -> Iterator[Buffer]:
    """The buffers that the statements, or those inside them, store to."""
    for stmt in body:
        match stmt:
            case Store(buffer=buffer):
                yield buffer
            case For(body=inner) | Fold(body=inner):
                yield from stored_buffers(inner)
            case Let() | Load():
                pass
            case _:
                assert_never(stmt)


def address_operands(address: Address) -> Iterator[Operand]:
    for index, stride in address.terms:
        yield index
        if not isinstance(stride, int):
            yield stride
    if not isinstance(address.offset, int):
        yield address.offset


def extent_operands(loop: For | Fold) -> tuple[Operand, ...]:
    return (loop.start, loop.stop) if isinstance(loop, Fold) else (loop.extent,)
