"""What is chosen for speed alone: lanes per vector and vectors per iteration. No bit of a result depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, assert_never

from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.ir import Fold, For, Kernel, Let, Load, Stmt, Store
from tracejit.codegen.llvm.math import MATH
from tracejit.codegen.llvm.target import Target
from tracejit.dtypes import DType

HEAVY: Final = 12
"""Instructions, roughly, of a function that is a polynomial."""

SLOW: Final = 4

UNROLLED: Final = 2
"""Vectors whose statements are written side by side: enough for latency, and few enough for the registers."""

COLUMNS: Final = 64
"""Of which a row is read at once down a fold: in a long run, if the body is not too long to be written for each vector."""

LONGEST: Final = 4 * HEAVY


def width_of(kernel: Kernel, target: Target) -> int:
    """Lanes of every vector: as many of the kernel's largest float as a register holds."""
    dtypes = {buffer.dtype for buffer in (*kernel.buffers, *kernel.scratch)} | set(
        computed(kernel.body)
    )
    return target.lanes(max((dtype.itemsize for dtype in dtypes if dtype.is_float), default=4))


def computed(body: tuple[Stmt, ...]) -> Iterator[DType]:
    """The dtypes of all values in the statements."""
    for stmt in body:
        match stmt:
            case Let(var=var) | Load(var=var):
                yield var.dtype
            case For(body=inner) | Fold(body=inner):
                yield from computed(inner)
            case Store():
                pass
            case _:
                assert_never(stmt)


def unrolled(body: tuple[Stmt, ...], width: int) -> int:
    """Vectors in an iteration of a vector loop."""
    if any(isinstance(stmt, Fold) for stmt in body):
        weight = sum(map(_weight, body))
        return min(COLUMNS // width, 8) if weight <= LONGEST else UNROLLED
    return UNROLLED if is_light(body) else 1


def is_light(body: tuple[Stmt, ...]) -> bool:
    """Whether the body is worth writing several times: one vector of a heavy one keeps the processor busy."""
    return sum(map(_weight, body)) < HEAVY


def _weight(stmt: Stmt) -> int:
    match stmt:
        case Let(fn=fn):
            return HEAVY if fn in MATH else SLOW if fn in (Fn.DIV, Fn.SQRT) else 1
        case Load() | Store():
            return 1
        case For(body=body) | Fold(body=body):
            return sum(map(_weight, body))
        case _:
            assert_never(stmt)
