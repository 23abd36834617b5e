"""Moves what does not change in a loop out of it, and shares what then is computed twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar, assert_never

from tracejit._records import dataclass, field
from tracejit.codegen.kernel.builder import constant, operand_key
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

AnyOperand = TypeVar("AnyOperand", bound=Operand | None)


def hoist(kernel: Kernel) -> Kernel:
    """Every let stands in the outermost block of a task where its operands are known, once; so does every load that no loop
    between overwrites, masked by the loops' being entered at all."""
    return replace(kernel, body=tuple(_Hoister(loop).task() for loop in kernel.body))


@dataclass(slots=True)
class _Level:
    """An open block: the loop round it, its statements, and what an equal statement may share."""

    loop: For | Fold
    stored: frozenset[Buffer]
    stmts: list[Stmt] = field(default_factory=list)
    values: dict[object, Var] = field(default_factory=dict)


class _Hoister:
    """`levels[d]` is the open block of depth `d`; the task's own has depth 0."""

    def __init__(self, tasks: For) -> None:
        self.tasks = tasks
        self.stored = frozenset(stored_buffers(tasks.body))
        self.levels: list[_Level] = []
        self.depths: dict[Var, int] = {}
        self.same: dict[Var, Var] = {}

    def task(self) -> For:
        return replace(self.tasks, body=self.inside(self.tasks))

    def inside(self, loop: For | Fold) -> tuple[Stmt, ...]:
        level = _Level(loop, frozenset(stored_buffers(loop.body)))
        self.levels.append(level)
        carried = [each.var for each in loop.carried] if isinstance(loop, Fold) else []
        self.depths |= dict.fromkeys((loop.index, *carried), len(self.levels) - 1)
        for stmt in loop.body:
            self.stmt(stmt)
        self.levels.pop()
        return tuple(level.stmts)

    def stmt(self, stmt: Stmt) -> None:
        match stmt:
            case Let(var=var, fn=fn):
                args = tuple(map(self.now, stmt.args))
                key = (fn, var.dtype, *map(operand_key, args))
                self.place(Let(var, fn, args), key, self.depth(*args))
            case Load():
                self.load(replace(stmt, address=self.address(stmt), where=self.now(stmt.where)))
            case Store(value=value, where=where):
                address = self.address(stmt)
                moved = replace(stmt, address=address, value=self.now(value), where=self.now(where))
                self.levels[-1].stmts.append(moved)
            case For(extent=extent):
                loop = replace(stmt, extent=self.now(extent))
                self.levels[-1].stmts.append(replace(loop, body=self.inside(loop)))
            case Fold():
                self.fold(replace(stmt, start=self.now(stmt.start), stop=self.now(stmt.stop)))
            case _:
                assert_never(stmt)

    def fold(self, fold: Fold) -> None:
        body = self.inside(fold)
        results = tuple(replace(result, value=self.now(result.value)) for result in fold.results)
        carried = tuple(
            replace(each, first=self.now(each.first), next=self.now(each.next))
            for each in fold.carried
        )
        self.levels[-1].stmts.append(replace(fold, body=body, results=results, carried=carried))
        after = (*(result.var for result in results), *(each.last for each in carried))
        self.depths |= dict.fromkeys(after, len(self.levels) - 1)

    def load(self, load: Load) -> None:
        depth = self.depth(*address_operands(load.address), load.where, self.now(load.other))
        depth = max(
            [depth, *(d for d, level in enumerate(self.levels) if load.buffer in level.stored)]
        )
        left = [level.loop for level in self.levels[depth + 1 :]]
        depth = max([depth, *(self.depth(*ends(loop)) for loop in left)])
        where = load.where
        for level in self.levels[depth + 1 :]:
            where = self.both(where, self.is_entered(level.loop))
        other = self.now(load.other)
        if other is None and where is not None:
            other = constant(0, load.var.dtype)
        key = (load.buffer, load.address, operand_key(where), operand_key(other))
        is_fixed = load.buffer not in self.stored
        self.place(replace(load, where=where, other=other), key if is_fixed else load, depth)

    def place(self, stmt: Let | Load, key: object, depth: int) -> None:
        """At the end of the block of that depth, unless it has an equal statement."""
        shared = self.levels[depth].values.setdefault(key, stmt.var)
        if shared is stmt.var:
            self.levels[depth].stmts.append(stmt)
            self.depths[stmt.var] = depth
        else:
            self.same[stmt.var] = shared

    def now(self, operand: AnyOperand) -> AnyOperand:
        """The operand, or the equal one that stands for it."""
        return self.same.get(operand, operand) if isinstance(operand, Var) else operand  # type: ignore[return-value]

    def address(self, access: Load | Store) -> Address:
        terms = tuple((self.now(index), stride) for index, stride in access.address.terms)
        return replace(access.address, terms=terms)

    def depth(self, *operands: Operand | None) -> int:
        return max([0, *(self.depths[operand] for operand in operands if isinstance(operand, Var))])

    def is_entered(self, loop: For | Fold) -> Operand | None:
        """Whether the loop has an iteration; None where it surely has one."""
        first, last = (loop.start, loop.stop) if isinstance(loop, Fold) else (ZERO, loop.extent)
        if isinstance(first, Const) and isinstance(last, Const) and first.value < last.value:
            return None
        return self.let(Fn.LT, first, last)

    def both(self, a: Operand | None, b: Operand | None) -> Operand | None:
        if a is None or b is None:
            return b if a is None else a
        return self.let(Fn.AND, a, b)

    def let(self, fn: Fn, *args: Operand) -> Var:
        var = Var(bool_, "entered")
        self.place(Let(var, fn, args), (fn, bool_, *map(operand_key, args)), self.depth(*args))
        return self.now(var)


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


def ends(loop: For | Fold) -> tuple[Operand, ...]:
    return (loop.start, loop.stop) if isinstance(loop, Fold) else (loop.extent,)
