"""A kernel as CUDA C: tasks over teams of threads, loops and folds over a team's threads. It chooses nothing that changes bits.

A team does what stands outside of its vector loops and folds along lanes as one: each thread computes all scalars, and one
thread stores. blockDim is (threads of a team, teams); a team of more than a warp is alone in its block.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import assert_never

from tracejit.codegen.cuda.builder import CUDA, CudaBuilder
from tracejit.codegen.cuda.folds import write_fold
from tracejit.codegen.cuda.frame import Frame
from tracejit.codegen.cuda.hazards import has_teams, is_columns, meetings, rare_body
from tracejit.codegen.cuda.launch import BOUNDS, HALVES, MEET, PRELUDE, segment_text
from tracejit.codegen.cuda.rows import bind_kept, write_row_fold, write_row_loop
from tracejit.codegen.cuda.schedule import Variant, bounds_of, strips_of
from tracejit.codegen.cuda.strips import Walk, bind, find_packs, write_strips
from tracejit.codegen.cuda.tiles import write_tiles
from tracejit.codegen.kernel.hoist import hoist
from tracejit.codegen.kernel.ir import Fold, For, Kernel, Kind, Let, Load, Stmt, Store, Tree
from tracejit.codegen.llvm.flow import I64


def emit(kernel: Kernel, name: str, segments: int = 1, variant: Variant = Variant.LONG) -> str:
    """A module that defines `extern "C" __global__ void name(const __grid_constant__ Segments segments)`.

    struct Segment { void *buffers[B]; long long dims[D]; long long tasks; };   // an array of no elements is left out
    struct Segments { Segment segment[SEGMENTS]; char *scratch; long long scratch_bytes; };

    The last two words are there only for a kernel with scratch, and used only by the variant for which that is global memory: the
    memory, and the bytes of a team's part of it (team number blockIdx.x * blockDim.y + threadIdx.y). Else it is dynamic shared
    memory.
    """
    hoisted = hoist(kernel)
    writer = _Writer(hoisted, variant)
    writer.kernel()
    body = writer.b.text()
    functions = writer.b.module.text().strip()
    threads, blocks = bounds_of(kernel)
    parts = [
        PRELUDE,
        BOUNDS if "least(" in body or "most(" in body else "",
        MEET if "meet()" in body else "",
        HALVES if re.search(r"half|bfloat", functions + body) else "",
        segment_text(
            len(kernel.buffers), len(kernel.sizes), segments, has_scratch=bool(kernel.scratch)
        ),
        functions,
        f'extern "C" __global__ void __launch_bounds__({threads}, {blocks})\n'
        f"{name}(const __grid_constant__ Segments segments) {{\n{body}\n}}\n",
    ]
    return "\n".join(part for part in parts if part)


class _Writer:
    """Writes statements one after another."""

    def __init__(self, kernel: Kernel, variant: Variant) -> None:
        self.b = CudaBuilder(0, CUDA)
        self.frame = Frame(kernel, self.b, variant=variant)
        self.is_near = variant is Variant.NEAR
        self.meetings = meetings(kernel, is_shared=not self.is_near)

    def kernel(self) -> None:
        b, frame = self.b, self.frame
        has_scratch = bool(frame.kernel.scratch) and not self.is_near
        if has_scratch and frame.variant is not Variant.FAR:
            b.line("extern __shared__ __align__(16) char shared[];")
        b.line(
            "const int group = threadIdx.x / 32, lane = threadIdx.x % 32, groups = blockDim.x / 32;"
        )
        b.line("long long task = (long long)blockIdx.x * blockDim.y + threadIdx.y;")
        (tasks,) = frame.kernel.body
        with b.braces("for (int s = 0; s < SEGMENTS; ++s)"):
            b.line("const Segment &segment = segments.segment[s];")
            frame.bind_arguments()
            if frame.variant is Variant.TILED:
                write_tiles(frame, self.block)
                return
            if self.is_near:
                bind_kept(frame)
            step = "(long long)gridDim.x * blockDim.y"
            with b.braces(f"for (; task < segment.tasks; task += {step})"):
                frame.define(tasks.index, frame.integer("task"))
                with frame.guarded("threadIdx.x == 0"):
                    self.block(tasks.body)
                if has_scratch and has_teams(frame.kernel):
                    frame.meet()
            b.line("task -= segment.tasks;")

    def block(self, body: Sequence[Stmt]) -> None:
        for stmt in body:
            if stmt in self.meetings:
                self.frame.meet()
            self.stmt(stmt)

    def stmt(self, stmt: Stmt) -> None:
        frame = self.frame
        match stmt:
            case Let():
                frame.let(stmt)
            case Load():
                frame.load(stmt)
            case Store():
                frame.store(stmt)
            case For(kind=Kind.VECTOR) if is_columns(stmt):
                self.column_loop(stmt)
            case For(kind=Kind.VECTOR) if self.is_near:
                write_row_loop(frame, stmt, self.block)
            case For(kind=Kind.VECTOR):
                self.vector_loop(stmt)
            case For():
                self.serial_loop(stmt)
            case Fold(tree=Tree.LANES) if self.is_near:
                write_row_fold(frame, stmt, self.block)
            case Fold():
                in_columns = frame.guard.startswith("is_column &&")
                write_fold(frame, stmt, partial(self.block, stmt.body), in_columns=in_columns)
            case _:
                assert_never(stmt)

    def serial_loop(self, stmt: For) -> None:
        rare = rare_body(stmt, self.meetings)
        if rare is not None and self.meetings:  # a team is a whole warp or more
            self.searched_loop(stmt, rare)
            return
        index = self.b.fresh("i")
        stop = self.frame.operand(stmt.extent).text
        with self.b.braces(f"for (long long {index} = 0; {index} < {stop}; ++{index})"):
            self.frame.define(stmt.index, self.frame.integer(index))
            self.block(stmt.body)

    def searched_loop(self, stmt: For, rare: For) -> None:
        """A loop that mostly does nothing: each lane of a warp looks at an iteration, and those that do come in order."""
        b, frame = self.b, self.frame
        first, k, stop = b.fresh("i"), b.fresh("i"), frame.operand(stmt.extent).text
        search = stmt.body[:-1]
        with b.braces(f"for (long long {first} = 0; {first} < {stop}; {first} += 32)"):
            found = b.fresh("s")
            b.line(f"bool {found} = false;")
            with b.braces(f"if ({first} + lane < {stop})"):
                frame.define(stmt.index, b.emit(f"{first} + lane", I64))
                self.block(search)
                b.line(f"{found} = {frame.operand(rare.extent).text} != 0;")
            left = b.fresh("left")
            head = f"unsigned {left} = __ballot_sync(0xffffffffu, {found}); {left}; {left} &= {left} - 1"
            with b.braces(f"for ({head})"):
                b.line(f"const long long {k} = {first} + __ffs({left}) - 1;")
                frame.define(stmt.index, frame.integer(k))
                self.block(search)
                frame.define(rare.index, frame.integer("0ll"))
                self.block(rare.body)

    def vector_loop(self, stmt: For) -> None:
        """Packs where memory allows, and what is left, or all, element by element."""
        b, frame = self.b, self.frame
        extent = frame.operand(stmt.extent).text
        with b.braces(), frame.guarded(""):
            packs = find_packs(stmt.body, stmt.index)
            full = "0ll"
            if packs:
                condition = bind(frame, packs)
                full = b.emit(f"{condition} ? {extent} & -{packs.lanes}ll : 0", I64).text
                own = b.emit(f"(long long)threadIdx.x * {packs.lanes}", I64).text
                stride = b.emit(f"(long long)blockDim.x * {packs.lanes}", I64).text
                strips = strips_of(stmt.body, len(packs.loads))
                walk = Walk(own, stride, full, "long long")
                write_strips(frame, packs, strips, walk, partial(self.element, stmt))
            last = b.fresh("i")
            start = f"long long {last} = {full} + threadIdx.x"
            b.line("#pragma unroll 1")
            with b.braces(f"for ({start}; {last} < {extent}; {last} += blockDim.x)"):
                self.element(stmt, last, "")

    def element(self, stmt: For, place: str, lane: str) -> None:
        """One iteration of a vector loop."""
        index = self.b.emit(place, I64) if lane else self.frame.integer(place)
        self.frame.define(stmt.index, index)
        self.block(stmt.body)

    def column_loop(self, stmt: For) -> None:
        """A column is a lane's, and the warps of a team share its rows. All threads come along, so that they can meet."""
        b, frame = self.b, self.frame
        extent, first = frame.operand(stmt.extent).text, b.fresh("i")
        with b.braces(f"for (long long {first} = 0; {first} < {extent}; {first} += 32)"):
            b.line(f"const bool is_column = {first} + lane < {extent};")
            # A thread with no column goes through the last one's motions.
            index = b.emit(f"is_column ? {first} + lane : {extent} - 1", I64)
            frame.define(stmt.index, index)
            with frame.guarded("is_column && group == 0"):
                self.block(stmt.body)
