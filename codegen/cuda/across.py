"""Which loops read across memory, so that it pays to bring what they read by way of shared memory."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from tracejit.codegen.kernel.hoist import hoist
from tracejit.codegen.kernel.ir import For, Kernel, Kind, Let, Load, Store, Var

TILE: Final = 32
TEAMS: Final = 8
"""Of a block: rows of threads, each of which does several of a tile's."""
MOST_STAGED: Final = 4
MOST_BEFORE: Final = 8
"""Statements before the loop, which are then done for each element."""
FEWEST_TASKS: Final = 512
"""With fewer there would be too few blocks."""
FEWEST_ELEMENTS: Final = 8


@lru_cache
def is_tiled(kernel: Kernel) -> bool:
    """Whether a kernel is one loop over elements that reads some of them across memory."""
    loop = _loop_of(hoist(kernel))
    return loop is not None and 0 < len(staged(loop)) <= MOST_STAGED


def _loop_of(kernel: Kernel) -> For | None:
    (tasks,) = kernel.body
    *before, last = tasks.body or (None,)
    if kernel.scratch or not isinstance(last, For) or last.kind is not Kind.VECTOR:
        return None
    if isinstance(last.extent, Var):
        return None  # tasks side by side may have different ones
    is_plain = all(isinstance(stmt, Let | Load) for stmt in before)
    is_straight = all(isinstance(stmt, Let | Load | Store) for stmt in last.body)
    stores = [stmt for stmt in last.body if isinstance(stmt, Store)]
    is_straight &= all((last.index, 1) in store.address.terms for store in stores)
    return last if is_plain and is_straight and len(before) <= MOST_BEFORE else None


def staged(loop: For) -> list[Load]:
    """Reads of arguments with a stride along the loop and side by side for other tasks, at places that nothing in it computes."""
    inside = {stmt.var for stmt in loop.body if isinstance(stmt, Let | Load)}
    return [
        stmt
        for stmt in loop.body
        if isinstance(stmt, Load) and stmt.where is None and not stmt.buffer.written
        if any(var is loop.index and stride != 1 for var, stride in stmt.address.terms)
        if any(var is not loop.index and stride == 1 for var, stride in stmt.address.terms)
        if not any(var in inside for var, _ in stmt.address.terms)
    ]
