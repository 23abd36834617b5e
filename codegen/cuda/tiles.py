"""Reads across memory by way of shared memory: a block takes 32 tasks and 32 elements of each at a time.

What a loop reads with a stride, as a transpose does, is read with the tasks side by side, as it lies in memory, and then used
with the elements side by side, as they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tracejit.codegen.cuda.across import TEAMS, TILE, staged
from tracejit.codegen.cuda.frame import Frame, memory_type
from tracejit.codegen.kernel.ir import For, Stmt
from tracejit.codegen.llvm.flow import I64

Block = Callable[[Sequence[Stmt]], None]


def write_tiles(frame: Frame, block: Block) -> None:
    """All tasks of a segment."""
    (tasks,) = frame.kernel.body
    *before, loop = tasks.body
    assert isinstance(loop, For)
    b, loads = frame.b, staged(loop)
    tiles = {load: b.fresh("tile") for load in loads}
    for load, name in tiles.items():
        b.line(f"__shared__ {memory_type(load.buffer.dtype)} {name}[{TILE}][{TILE + 1}];")
    extent = frame.operand(loop.extent).text
    wide = b.emit(f"({extent} + {TILE - 1}) / {TILE}", I64).text
    count = b.emit(f"(segment.tasks + {TILE - 1}) / {TILE} * {wide}", I64).text
    with b.braces(f"for (long long n = blockIdx.x; n < {count}; n += gridDim.x)"):
        b.line(f"const long long first = n / {wide} * {TILE}, at = n % {wide} * {TILE};")
        with _elements(frame, "first + threadIdx.x", "at + r", extent):
            block(before)
            for load, name in tiles.items():
                source = f"{frame.pointers[load.buffer]}[{frame.offset(load.address)}]"
                b.line(f"{name}[r][threadIdx.x] = {source};")
        b.line("__syncthreads();")
        with _elements(frame, "first + r", "at + threadIdx.x", extent):
            block(before)
            frame.elements |= {load: f"{name}[threadIdx.x][r]" for load, name in tiles.items()}
            block(loop.body)
            frame.elements.clear()
        b.line("__syncthreads();")


@contextmanager
def _elements(frame: Frame, task: str, place: str, extent: str) -> Iterator[None]:
    """A thread's share of a tile, one element at a time."""
    b = frame.b
    (tasks,) = frame.kernel.body
    loop = tasks.body[-1]
    assert isinstance(loop, For)
    with b.unrolled(f"int u = 0; u < {TILE // TEAMS}; ++u"), frame.guarded(""):
        b.line(f"const int r = threadIdx.y + u * {TEAMS};")
        with b.braces(f"if ({task} < segment.tasks && {place} < {extent})"):
            frame.define(tasks.index, b.emit(task, I64))
            frame.define(loop.index, b.emit(place, I64))
            yield
