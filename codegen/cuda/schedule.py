"""What is chosen for speed alone: the threads of a task, and what each does at a time. No bit of a result depends on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from functools import lru_cache
from typing import Final

from tracejit._records import dataclass
from tracejit.artifact import LaunchShape
from tracejit.codegen.cuda.across import FEWEST_ELEMENTS, FEWEST_TASKS, TEAMS, TILE, is_tiled
from tracejit.codegen.cuda.hazards import is_columns, meetings, statements
from tracejit.codegen.cuda.registers import ROW_WARPS, WARP, warps_of
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.hoist import hoist
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
    Tree,
)
from tracejit.codegen.llvm.schedule import is_light
from tracejit.dtypes import int64

MOST_GROUPS: Final = 16
"""And down columns."""
WARP_ELEMENTS: Final = 1024
"""Of a row that is kept near, that are worth a warp."""
KEPT_WARPS: Final = 4
"""Warps that such a row has at most, if it has no more blocks than that."""
THREADS: Final = 256
"""Of a block, where nothing speaks for more or fewer."""
SHARED: Final = 48 << 10
"""Bytes of dynamic shared memory that leave room for several blocks."""
MOST_SHARED: Final = 96 << 10
"""Bytes of dynamic shared memory that a block may have, on every GPU since sm_80, and leave some to a second."""
FILLED: Final = 1 << 17
"""Threads that keep a large GPU busy."""
BLOCKS: Final = 256
"""Blocks that give each processor of a large GPU about two."""


def strips_of(body: Sequence[Stmt], loads: int) -> int:
    """Packs that a thread reads at once in a vector loop."""
    return 2 if loads <= 2 and is_light(tuple(body)) else 1


TILED: Final = LaunchShape(TILE, TEAMS)


class Variant(Enum):
    """Texts of one kernel, for sizes that differ."""

    SHORT = "short"  # a row is at most a block of the fold's tree, by a single warp
    LONG = (
        "long"  # any rows: shared memory has room for few, each of which waits for more at a time
    )
    FAR = "far"  # with scratch in global memory
    NEAR = "near"  # rows that are kept in registers
    TILED = "tiled"  # what is read across memory goes by way of shared memory


LONG_ROW: Final = 2048
"""Elements."""


def variant_of(
    kernel: Kernel, segments: Sequence[tuple[Sequence[int], int]], shape: LaunchShape
) -> Variant:
    """The text for a launch of `segments`, each its (dims, tasks), by `shape`."""
    if shape.scratch_bytes:
        return Variant.FAR
    if shape == TILED and is_tiled(kernel):
        return Variant.TILED
    if not _Needs.of(kernel).has_lanes:
        return Variant.SHORT
    longest = max(_Extents(kernel, dims).folded for dims, _ in segments)
    if shape.team == WARP * warps_of(kernel, longest) and not shape.shared_bytes:
        return Variant.NEAR
    if shape.team > WARP:
        return Variant.LONG
    return Variant.LONG if longest >= LONG_ROW else Variant.SHORT


def row_strips_of(body: Sequence[Stmt], bytes_each: int, variant: Variant) -> int:
    """Pairs that a thread reads at once in a fold along a row, `bytes_each` bytes of each pair being read.

    A light body waits for memory alone; a heavy one needs the registers, and has other warps to hide behind.
    """
    most = 8 if variant is Variant.SHORT else 16
    wanted = 8 * most if is_light(tuple(body)) else 32
    return min(max(wanted // max(bytes_each, 1), 2), most)


def bounds_of(kernel: Kernel) -> tuple[int, int]:
    """The most threads of a block of the kernel, and how many such blocks a processor is to have room for.

    So many registers are left to a thread. If not told, the compiler takes more, and fewer warps hide each other's waits.
    """
    needs = _Needs.of(kernel)
    is_wide = _largest(kernel) > 4
    if needs.has_lanes:
        return WARP * ROW_WARPS, 2 if is_wide else 3
    if needs.has_columns:
        return WARP * MOST_GROUPS, 1 if is_wide else 2
    return THREADS, 1


def _largest(kernel: Kernel) -> int:
    """Bytes of its largest floats."""
    buffers = (*kernel.buffers, *kernel.scratch)
    return max((each.dtype.itemsize for each in buffers if each.dtype.is_float), default=4)


def shape_of(
    kernel: Kernel, segments: Sequence[tuple[Sequence[int], int]], scratch_bytes: int = 0
) -> LaunchShape:
    """The shape of a launch of `segments`, each its (dims, tasks); `scratch_bytes` is what one task needs."""
    needs = _Needs.of(kernel)
    extents = [_Extents(kernel, dims) for dims, _ in segments]
    tasks = sum(count for _, count in segments)
    if needs.has_lanes:
        longest = max(each.folded for each in extents)
        if warps := warps_of(kernel, longest):
            return _placed(WARP * warps, tasks, 0)
        return _for_rows(longest, tasks, scratch_bytes)
    if needs.has_columns:
        return _for_columns(max(each.folded for each in extents), tasks, scratch_bytes)
    if not needs.has_vectors:
        return _placed(1, tasks, scratch_bytes)
    longest = max(each.vector for each in extents)
    if is_tiled(kernel) and tasks >= FEWEST_TASKS and longest >= FEWEST_ELEMENTS:
        return TILED
    at_once = 1 if needs.has_chains else max(16 // _largest(kernel), 1)
    team = _power_of_two(longest // at_once)
    team = max(min(team, THREADS), WARP if needs.meets else 1)
    if needs.meets:
        return _placed(WARP if team <= 2 * WARP else team, tasks, scratch_bytes)
    if needs.strides and tasks * WARP >= FILLED:
        team = min(team, WARP)
    return LaunchShape(team, _teams(team, tasks))


def _for_rows(extent: int, tasks: int, scratch_bytes: int) -> LaunchShape:
    """A warp a row, or as many as a long row has blocks. There is room for few rows that are kept near: each has more warps."""
    warps = -(-extent // Tree.LANES.block)
    if scratch_bytes:
        warps = max(warps, min(-(-extent // WARP_ELEMENTS), KEPT_WARPS))
    return _placed(WARP * _power_of_two(min(warps, ROW_WARPS)), tasks, scratch_bytes)


def _for_columns(extent: int, tasks: int, scratch_bytes: int) -> LaunchShape:
    """A warp for 32 columns, or several where that would leave most of the GPU idle."""
    wanted = max(FILLED // (max(tasks, 1) * WARP), 1)
    groups = min(wanted, -(-extent // Tree.ROWS.block), MOST_GROUPS)
    return _placed(WARP * _power_of_two(groups), tasks, scratch_bytes)


def _placed(team: int, tasks: int, scratch_bytes: int) -> LaunchShape:
    """Teams that have to meet: several of a warp in a block, or one. Their scratch lies in shared memory, where it fits."""
    teams = _teams(team, tasks) if team <= WARP else 1
    if scratch_bytes > MOST_SHARED:
        return LaunchShape(team, teams, scratch_bytes=scratch_bytes)
    if scratch_bytes:
        teams = min(teams, max(SHARED // scratch_bytes, 1))
    return LaunchShape(team, teams, shared_bytes=teams * scratch_bytes)


def _teams(team: int, tasks: int) -> int:
    """Of a block: as many as it has room for, unless that would leave processors without one; a warp of threads at least."""
    wanted = _power_of_two(-(-tasks // BLOCKS))
    return max(min(THREADS // team, wanted), WARP // team, 1)


def _power_of_two(count: int) -> int:
    """The least that is not below `count`."""
    return 1 << max(count - 1, 0).bit_length()


@dataclass(frozen=True, slots=True)
class _Needs:
    """What a kernel's statements ask of its teams."""

    has_lanes: bool
    has_columns: bool
    has_vectors: bool
    has_chains: bool
    """Lanes that take long, each for itself."""
    meets: bool
    strides: bool
    """Whether it reads across memory: neighbouring tasks had then better be in one block, for they read what lies next to it."""

    @staticmethod
    @lru_cache
    def of(kernel: Kernel) -> _Needs:
        """Of the kernel as it is written, with all moved out of loops that can be."""
        kernel = hoist(kernel)
        stmts = list(statements(kernel.body))
        loops = [s for s in stmts if isinstance(s, For) and s.kind is Kind.VECTOR]
        return _Needs(
            any(isinstance(s, Fold) and s.tree is Tree.LANES for s in stmts),
            any(map(is_columns, loops)),
            bool(loops),
            any(isinstance(s, Fold) for loop in loops for s in loop.body),
            bool(meetings(kernel)) or bool(kernel.scratch),
            any(map(_reads_across, loops)),
        )


def _reads_across(loop: For) -> bool:
    loads = [stmt for stmt in loop.body if isinstance(stmt, Load)]
    terms = [term for load in loads for term in load.address.terms]
    return any(var is loop.index and stride != 1 for var, stride in terms)


class _Extents:
    """How long a kernel's loops are for given sizes; what is computed in the kernel is taken as long."""

    def __init__(self, kernel: Kernel, dims: Sequence[int]) -> None:
        self.sizes = dict(zip(kernel.sizes, dims, strict=True))
        self.stmts = list(statements(kernel.body))
        self.bounds = {
            stmt.var: int(bound.value)
            for stmt in self.stmts
            if isinstance(stmt, Let) and stmt.fn is Fn.MIN
            for bound in stmt.args
            if isinstance(bound, Const) and stmt.var.dtype is int64
        }
        """Of what is the least of two, one of them a number."""

    def number(self, operand: Operand, otherwise: int) -> int:
        match operand:
            case Const(value=value):
                return int(value)
            case Size():
                return self.sizes[operand]
            case _:
                return self.bounds.get(operand, otherwise)

    @property
    def folded(self) -> int:
        """Of the longest fold."""
        return max(self._folds(), default=0)

    def _folds(self) -> Iterator[int]:
        for stmt in self.stmts:
            if isinstance(stmt, Fold):
                # A range that is computed is a task's share of a long fold.
                yield self.number(stmt.stop, stmt.tree.block) - self.number(stmt.start, 0)

    @property
    def vector(self) -> int:
        """Of the longest vector loop."""
        loops = (s for s in self.stmts if isinstance(s, For) and s.kind is Kind.VECTOR)
        return max((self.number(loop.extent, 1 << 12) for loop in loops), default=0)
