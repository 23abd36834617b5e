"""Runs a kernel in Python, element by element and exactly as the IR says: the oracle of the back ends' tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.folds import JOINS, NO_INDEX, SEARCHES, identity
from tracejit.codegen.kernel.ir import (
    Address,
    Buffer,
    Combine,
    Const,
    Extent,
    Fold,
    For,
    Kernel,
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
from tracejit.codegen.kernel.scalars import evaluate


def interpret(
    kernel: Kernel,
    arrays: Sequence[NDArray[Any]],
    sizes: Sequence[int],
    origins: Sequence[int] | None = None,
) -> None:
    """Runs all tasks of `kernel` on 1-d `arrays`, one per buffer, in place; a pointer is to `array[origin]`.

    An access outside an array raises IndexError.
    """
    run = _Run(kernel, sizes)
    for buffer, array, origin in zip(
        kernel.buffers, arrays, origins or [0] * len(arrays), strict=True
    ):
        run.memory[buffer] = (array, origin)
    for loop in kernel.body:
        for task in range(run.integer(loop.extent)):
            run.start_task()
            run.values[loop.index] = np.int64(task)
            run.block(loop.body)


class _Run:
    def __init__(self, kernel: Kernel, sizes: Sequence[int]) -> None:
        self.kernel = kernel
        self.values: dict[Var | Size, Any] = {
            size: np.int64(value) for size, value in zip(kernel.sizes, sizes, strict=True)
        }
        self.memory: dict[Buffer, tuple[NDArray[Any], int]] = {}

    def start_task(self) -> None:
        for buffer in self.kernel.scratch:
            # Scratch is uninitialised: a pattern that a wrong kernel shows.
            raw = np.full(self.extent(buffer.scratch or 0) * buffer.dtype.itemsize, 0xA5, np.uint8)
            self.memory[buffer] = (raw.view(buffer.dtype.numpy), 0)

    def operand(self, operand: Operand) -> Any:
        if isinstance(operand, Const):
            return operand.dtype.numpy.type(operand.value)
        return self.values[operand]

    def integer(self, operand: Operand) -> int:
        return int(self.operand(operand))

    def extent(self, extent: Extent) -> int:
        return extent if isinstance(extent, int) else self.integer(extent)

    def place(self, buffer: Buffer, address: Address) -> tuple[NDArray[Any], int]:
        array, origin = self.memory[buffer]
        offset = self.extent(address.offset)
        offset += sum(self.integer(index) * self.extent(stride) for index, stride in address.terms)
        if not 0 <= origin + offset < array.size:
            raise IndexError(f"{buffer.name}[{offset}] is outside an array of {array.size}")
        return array, origin + offset

    def block(self, body: tuple[Stmt, ...]) -> None:
        for stmt in body:
            self.stmt(stmt)

    def stmt(self, stmt: Stmt) -> None:
        match stmt:
            case Let(var=var, fn=fn, args=args):
                self.values[var] = evaluate(fn, var.dtype, tuple(map(self.operand, args)))
            case Load():
                self.load(stmt)
            case Store():
                self.store(stmt)
            case For(index=index, extent=extent, body=body):
                for i in range(self.integer(extent)):
                    self.values[index] = np.int64(i)
                    self.block(body)
            case Fold():
                self.fold(stmt)
            case _:
                assert_never(stmt)

    def load(self, stmt: Load) -> None:
        if stmt.where is not None and stmt.other is not None and not self.operand(stmt.where):
            self.values[stmt.var] = self.operand(stmt.other)
            return
        array, place = self.place(stmt.buffer, stmt.address)
        self.values[stmt.var] = array[place]

    def store(self, stmt: Store) -> None:
        if stmt.where is not None and not self.operand(stmt.where):
            return
        array, place = self.place(stmt.buffer, stmt.address)
        value = self.operand(stmt.value)
        array[place] = (
            evaluate(Fn.ADD, stmt.buffer.dtype, (array[place], value)) if stmt.add else value
        )

    def fold(self, fold: Fold) -> None:
        start, stop = self.integer(fold.start), self.integer(fold.stop)
        joins = [_Join(result, fold.tree) for result in fold.results]
        handed_on = [self.operand(each.first) for each in fold.carried]
        for i in range(start, stop):
            self.values[fold.index] = np.int64(i)
            self.values |= {each.var: value for each, value in zip(fold.carried, handed_on)}
            self.block(fold.body)
            for join in joins:
                join.add(i - start, i, self.operand(join.result.value))
            handed_on = [self.operand(each.next) for each in fold.carried]
        self.values |= {each.last: value for each, value in zip(fold.carried, handed_on)}
        for join in joins:
            self.values[join.result.var] = join.total()


class _Join:
    """One result of a running fold: the accumulators of the open block, superblock and total."""

    def __init__(self, result: Result, tree: Tree) -> None:
        self.result = result
        self.tree = tree
        self.dtype = result.value.dtype
        self.is_search = result.combine in SEARCHES
        nothing = self.dtype.numpy.type(identity(result.combine, self.dtype).value)
        self.identity = (nothing, NO_INDEX) if self.is_search else nothing
        self.block = [self.identity] * self.lanes
        self.superblock = self.identity
        self.all = self.identity

    @property
    def lanes(self) -> int:
        return 64 if self.tree is Tree.LANES else 1

    def add(self, place: int, index: int, value: Any) -> None:
        if place and place % self.tree.block == 0:
            self.close_block()
        if place and place % self.tree.superblock == 0:
            self.close_superblock()
        lane = place % self.lanes
        self.block[lane] = self.join(self.block[lane], (value, index) if self.is_search else value)

    def close_block(self) -> None:
        lanes = self.block
        while len(lanes) > 1:
            half = len(lanes) // 2
            lanes = [self.join(lanes[k], lanes[k + half]) for k in range(half)]
        self.superblock = self.join(self.superblock, lanes[0])
        self.block = [self.identity] * self.lanes

    def close_superblock(self) -> None:
        self.all = self.join(self.all, self.superblock)
        self.superblock = self.identity

    def total(self) -> Any:
        self.close_block()
        self.close_superblock()
        return np.int64(self.all[1]) if self.is_search else self.all

    def join(self, a: Any, b: Any) -> Any:
        if not self.is_search:
            return evaluate(JOINS[self.result.combine], self.dtype, (a, b))
        return a if self.rank(a) <= self.rank(b) else b

    def rank(self, pair: tuple[Any, int]) -> tuple[bool, Any, int]:
        """Least for the pair that a search wants: NaN first, then the best value, then the first index."""
        value, index = pair
        if value != value:
            return (False, 0, index)
        number = float(value) if self.dtype.is_float else int(value)
        return (True, -number if self.result.combine is Combine.ARGMAX else number, index)
