"""Whether a kernel's rows can be kept in registers, and how much of a row a thread then has."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from tracejit.codegen.kernel.folds import SEARCHES
from tracejit.codegen.kernel.hoist import hoist
from tracejit.codegen.kernel.ir import (
    Buffer,
    Const,
    Fold,
    For,
    Kernel,
    Kind,
    Let,
    Load,
    Operand,
    Stmt,
    Store,
    Tree,
)
from tracejit.codegen.llvm.schedule import is_light

WARP: Final = 32
LANES: Final = 2
"""Accumulators of a thread: 64 of a block are a warp's."""
PAIR: Final = LANES * WARP
"""Elements that a warp has at a time: a pair for each lane."""
ROW_WARPS: Final = 8
"""Most warps of a team that share a fold along a row."""
PAIRS: Final = (16, 8, 4)
"""Of one thread: full rows need as many warps as there are parts."""
ROOM: Final = 32
"""Registers for them, which leaves as many to compute with, and room for the warps that hide each other's waits."""


def is_direct(fold: Fold) -> bool:
    """Whether what the fold joins is computed as it is joined: else all warps compute first, and join in turn."""
    read = {stmt.var for stmt in _reads(fold)}
    kept = [
        stmt for stmt in fold.body if isinstance(stmt, Store) and stmt.buffer.scratch is not None
    ]
    is_read = all(store.value in read for store in kept)
    return is_light(fold.body) and len(read) <= 1 and is_read


def homes(body: Sequence[Stmt]) -> dict[Load, Buffer]:
    """Reads of memory whose values are kept as they are."""
    return {
        load: stmt.buffer
        for load in body
        if isinstance(load, Load) and load.buffer.scratch is None
        for stmt in body
        if isinstance(stmt, Store) and stmt.value is load.var and stmt.buffer.scratch is not None
        if stmt.buffer.dtype is load.buffer.dtype
    }


def _reads(loop: Fold) -> list[Load]:
    return [stmt for stmt in loop.body if isinstance(stmt, Load) and stmt.buffer.scratch is None]


@lru_cache
def pairs_of(kernel: Kernel) -> int:
    """Pairs of a row's elements that a thread keeps; 0 where the kernel's loops are not all along rows that are kept."""
    hoisted = hoist(kernel)
    (tasks,) = hoisted.body
    if not kernel.scratch or not all(_fits(stmt, kernel) for stmt in tasks.body):
        return 0
    words = sum(_words(buffer.dtype.itemsize) for buffer in kernel.scratch)
    words += max((_more_words(stmt) for stmt in tasks.body if isinstance(stmt, Fold)), default=0)
    return next((pairs for pairs in PAIRS if LANES * pairs * words <= ROOM), 0)


def warps_of(kernel: Kernel, extent: int) -> int:
    """Warps for a row of so many elements, a power of two; 0 where it cannot be kept in registers."""
    pairs = pairs_of(kernel)
    if not pairs or extent > ROW_WARPS * pairs * PAIR:
        return 0
    parts = -(-extent // (pairs * PAIR))
    return 1 << max(parts - 1, 0).bit_length()


def _more_words(fold: Fold) -> int:
    """Registers, for each element, of what is computed before it is joined, and not kept anyway."""
    if is_direct(fold):
        return 0
    kept = {stmt.value for stmt in fold.body if isinstance(stmt, Store)}
    values = {result.value for result in fold.results} - kept
    return sum(_words(value.dtype.itemsize) for value in values)


def _words(itemsize: int) -> int:
    return max(itemsize // 4, 1)


def _fits(stmt: Stmt, kernel: Kernel) -> bool:
    match stmt:
        case Let():
            return True
        case Load(buffer=buffer) | Store(buffer=buffer):
            return buffer.scratch is None
        case For(kind=Kind.VECTOR, extent=extent):
            return _is_row(extent, kernel) and _is_straight(stmt)
        case Fold(tree=Tree.LANES, start=Const(value=0), stop=stop):
            joins = not any(result.combine in SEARCHES for result in stmt.results)
            return joins and _is_row(stop, kernel) and _is_straight(stmt)
        case _:
            return False


def _is_row(extent: Operand, kernel: Kernel) -> bool:
    """Whether a loop is as long as what is kept."""
    number = extent.value if isinstance(extent, Const) else extent
    return all(buffer.scratch == number for buffer in kernel.scratch)


def _is_straight(loop: For | Fold) -> bool:
    """Whether each iteration does the same, with its own element of what is kept."""
    return all(
        isinstance(stmt, Let) or (isinstance(stmt, Load | Store) and _is_own(stmt, loop))
        for stmt in loop.body
    )


def _is_own(access: Load | Store, loop: For | Fold) -> bool:
    if access.buffer.scratch is None:
        return not isinstance(access, Store) or not access.add
    is_plain = access.where is None and not (isinstance(access, Store) and access.add)
    address = access.address
    return is_plain and tuple(address.terms) == ((loop.index, 1),) and address.offset == 0
