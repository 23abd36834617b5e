"""The matrix-product kernels, as LLVM IR: register tiles over panels of B, for any strides and sizes.

A task is one block of C. For each part of K and each panel of columns it packs B (unless few rows will read it) and runs down
the rows of A with a tile of accumulators that stay in registers: rows x vectors. A is read where it lies, but for a transposed
one that narrow tiles would read too often (`TURNING`). Every accumulator is one chain of multiply-adds in ascending order of K,
so no tile shape, stride or block changes a result.
"""

from __future__ import annotations

from functools import cache

from tracejit._records import dataclass
from tracejit.artifact import KernelSource
from tracejit.runtime.cpu.packing import (
    PACK_B,
    TURN,
    turned_row,
    write_pack_b,
    write_transpose,
    write_turn,
)
from tracejit.runtime.cpu.sums import write_sum
from tracejit.runtime.cpu.target import Level
from tracejit.runtime.cpu.writer import VectorWriter
from tracejit.runtime.gemm import (
    BETWEEN_TURNED,
    DEPTH,
    DIMS,
    GROUP_BYTES,
    KERNELS,
    TURNED_COLUMNS,
    TURNED_ROWS,
    TURNING,
)


@dataclass(frozen=True, slots=True)
class Shape:
    """A register tile's vectors across, and the row counts that it comes in, largest first."""

    vectors: int
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tiling:
    """The register tiles of a level: for whole panels, and for what is left of the columns."""

    wide: Shape
    narrow: Shape
    direct: int
    """Rows up to which B is read in place: packing costs as much as reading it that often."""


_APART = 6
"""Rows of A that are reached from one pointer; each but the first needs a register for its distance."""

_NARROW = Shape(1, (12, 4, 1))
_TILINGS = {level: Tiling(Shape(4, (6, 3, 1)), _NARROW, 12) for level in ("avx512", "neon")}
_SIXTEEN_REGISTERS = Tiling(Shape(2, (6, 4, 2, 1)), _NARROW, 6)

# Strides are in bytes.
_TILE = (
    "ptr %a", "i64 %a.row", "i64 %a.column", "ptr %b", "i64 %b.row", "i64 %depth",
    "ptr %c", "i64 %c.row", "i64 %columns", "i1 %add",
)  # fmt: skip
_DOWN = ("i64 %rows", *_TILE, "i64 %b.panel")
_GROUP = ("i64 %rows", *_TILE, "i64 %b.column", "ptr %packed")
_BLOCK = (
    "i64 %rows", "i64 %columns", "i64 %depth", "i64 %part", "ptr %a", "i64 %a.row", "i64 %a.column",
    "ptr %b", "i64 %b.row", "i64 %b.column", "ptr %c", "i64 %c.row", "ptr %scratch", "i1 %adds",
)  # fmt: skip
_KERNEL = (
    "ptr %context", "ptr %buffers", "ptr %dims", "i64 %begin", "i64 %end", "ptr %scratch",
)  # fmt: skip


@cache
def gemm_source(dtype: str, level: Level) -> KernelSource:
    """The kernel for `dtype` on processors of `level`."""
    name = f"{KERNELS[dtype]}_{level.name}"
    tiling = _TILINGS.get(level.name, _SIXTEEN_REGISTERS)
    w = VectorWriter(dtype, level)
    write_transpose(w)
    if level.name in TURNING:
        write_turn(w)
    for shape in (tiling.wide, tiling.narrow):
        ragged = shape is tiling.narrow
        for rows in shape.rows:
            _write_tile(w, shape.vectors, rows, ragged=ragged)
        write_pack_b(w, shape.vectors, ragged=ragged)
        _write_down(w, shape)
        _write_group(w, shape, tiling.direct)
    _write_block(w, tiling, turns=level.name in TURNING)
    _write_kernel(w, name)
    body = "\n".join(w.lines)
    return KernelSource(name, f"{w.declarations}\n{body}\nattributes #0 = {{ {w.attributes} }}\n")


def _write_tile(w: VectorWriter, vectors: int, rows: int, *, ragged: bool) -> None:
    """C (rows x columns) = or += A (rows x depth) @ B (depth x columns)."""
    with w.function(f"tile_{vectors}_{rows}", _TILE):
        # Frozen, so that LLVM adds no distance to another: that chain took as long as the arithmetic.
        offsets = [w.frozen(w.let(f"mul i64 %a.row, {row}")) for row in range(min(rows, _APART))]
        starts = [w.moved("%a", (str(row), "%a.row")) for row in range(0, rows, _APART)]
        for row in range(rows):
            w.prefetch_for_writing(w.moved("%c", (str(row), "%c.row")))
        pointers = [("ptr", pointer) for pointer in ("%b", *(w.frozen(a, "ptr") for a in starts))]
        zeros = [(w.vector, "zeroinitializer")] * (rows * vectors)
        with w.carrying("0", "%depth", "1", pointers + zeros) as (_, carried, nexts):
            b, *rest = carried
            places, sums = rest[: len(starts)], rest[len(starts) :]
            nexts += [w.at(b, "%b.row"), *(w.at(place, "%a.column") for place in places)]
            columns = [w.load(w.at(b, w.bytes_of(v))) for v in range(vectors)]
            for row in range(rows):
                value = w.splat(w.at(places[row // _APART], offsets[row % _APART]))
                for v, column in enumerate(columns):
                    nexts.append(w.multiply_add(value, column, sums[row * vectors + v]))
        mask = w.mask("%columns") if ragged else None
        for row in range(rows):
            c = w.moved("%c", (str(row), "%c.row"))
            for v in range(vectors):
                write_sum(w, w.at(c, w.bytes_of(v)), sums[row * vectors + v], mask)


def _write_down(w: VectorWriter, shape: Shape) -> None:
    """The tiles of several panels, from the first row to the last: rows of A are in the nearest cache for all panels."""
    width = shape.vectors * w.lanes
    with w.function(f"down_{shape.vectors}", _DOWN):
        start = "0"
        for rows in shape.rows:
            stop = w.let(f"sub i64 %rows, {rows - 1}")
            with w.carrying(start, stop, str(rows), [("i64", start)]) as (row, carried, nexts):
                nexts.append(w.let(f"add i64 {row}, {rows}"))
                a, c = w.moved("%a", (row, "%a.row")), w.moved("%c", (row, "%c.row"))
                panels = [("ptr", "%b")]
                with w.carrying("0", "%columns", str(width), panels) as (j, (b,), following):
                    following.append(w.at(b, "%b.panel"))
                    changes = {
                        "%a": a,
                        "%b": b,
                        "%c": w.at(c, w.scaled(j)),
                        "%columns": w.let(f"sub i64 %columns, {j}"),
                    }
                    w.call(f"tile_{shape.vectors}_{rows}", _TILE, changes)
            start = carried[0]


def _write_group(w: VectorWriter, shape: Shape, direct: int) -> None:
    """As many columns as are packed at once: B in place, or packed, and then down the rows."""
    down = f"down_{shape.vectors}"
    width = shape.vectors * w.lanes
    with w.function(f"group_{shape.vectors}", _GROUP):
        whole = w.let(f"icmp eq i64 {w.let(f'srem i64 %columns, {width}')}, 0")
        unit_column = w.let(f"icmp eq i64 %b.column, {w.size}")
        few = w.let(f"icmp sle i64 %rows, {direct}")
        readable = w.let(f"and i1 {whole}, {unit_column}")
        across = w.bytes_of(shape.vectors)
        with w.finish_when(w.let(f"and i1 {readable}, {few}")):
            w.call(down, _DOWN, {"%b.panel": across})
        w.call(f"pack_b_{shape.vectors}", PACK_B, {})
        panel = w.let(f"mul i64 %depth, {across}")
        w.call(down, _DOWN, {"%b": "%packed", "%b.row": across, "%b.panel": panel})


def _write_block(w: VectorWriter, tiling: Tiling, *, turns: bool) -> None:
    """One block of C: partial sums over K, each panel by panel, the first of them added as well where `%adds` is set."""
    with w.function("block", _BLOCK):
        with w.finish_when(w.let("icmp eq i64 %depth, 0")):
            nbytes = w.scaled("%columns")
            with w.loop("0", "%rows", "1") as row:
                c = w.moved("%c", (row, "%c.row"))
                w.do(f"call void @llvm.memset.p0.i64(ptr {c}, i8 0, i64 {nbytes}, i1 false)")
        width = tiling.wide.vectors * w.lanes
        rest = w.let(f"sub i64 %columns, {w.let(f'srem i64 %columns, {width}')}")
        turned = _is_turned(w) if turns else None
        with w.loop("0", "%depth", "%part") as k:
            changes = {
                "%a": w.moved("%a", (k, "%a.column")),
                "%b": w.moved("%b", (k, "%b.row")),
                "%depth": w.smaller(w.let(f"sub i64 %depth, {k}"), "%part"),
                "%add": w.let(f"or i1 %adds, {w.let(f'icmp ne i64 {k}, 0')}"),
                "%packed": "%scratch",
            }
            if turned:
                changes |= _turned(w, turned, changes)
            _write_groups(w, tiling.wide, "0", rest, changes)
            _write_groups(w, tiling.narrow, rest, "%columns", changes)


def _is_turned(w: VectorWriter) -> str:
    """Whether the block's rows of A are to be turned."""
    conditions = (
        f"icmp eq i64 %a.row, {w.size}",
        f"icmp sge i64 %columns, {TURNED_COLUMNS}",
        f"icmp sge i64 %depth, {w.lanes}",
        f"icmp sge i64 %rows, {w.lanes}",
        f"icmp sle i64 %rows, {TURNED_ROWS}",
        f"icmp sle i64 %part, {DEPTH}",
    )
    turned = "true"
    for condition in conditions:
        turned = w.let(f"and i1 {turned}, {w.let(condition)}")
    return turned


def _turned(w: VectorWriter, when: str, here: dict[str, str]) -> dict[str, str]:
    """Where the tiles find the rows of A, and in what distances, once they are turned."""
    place = w.at("%scratch", str(DEPTH * GROUP_BYTES + BETWEEN_TURNED))
    with w.when(when):
        w.call("turn", TURN, {"%turned": place} | here)
    return {
        "%a": w.let(f"select i1 {when}, ptr {place}, ptr {here['%a']}"),
        "%a.row": w.let(f"select i1 {when}, i64 {turned_row(w)}, i64 %a.row"),
        "%a.column": w.let(f"select i1 {when}, i64 {w.size}, i64 %a.column"),
    }


def _write_groups(
    w: VectorWriter, shape: Shape, start: str, stop: str, changes: dict[str, str]
) -> None:
    """The columns from `start` to `stop`, as many at a time as are packed at once."""
    most = GROUP_BYTES // w.size
    with w.loop(start, stop, str(most)) as j:
        here = {
            "%columns": w.smaller(w.let(f"sub i64 {stop}, {j}"), str(most)),
            "%b": w.moved(changes["%b"], (j, "%b.column")),
            "%c": w.at("%c", w.scaled(j)),
        }
        w.call(f"group_{shape.vectors}", _GROUP, changes | here)


def _write_kernel(w: VectorWriter, name: str) -> None:
    """Tasks are blocks of C: of a row of blocks first, then of a matrix, then of the batch."""
    with w.function(name, _KERNEL, internal=False):
        a, b, c = (w.let(f"load ptr, ptr {w.at('%buffers', str(8 * i))}") for i in range(3))
        d = {dim: w.let(f"load i64, ptr {w.at('%dims', str(8 * i))}") for i, dim in enumerate(DIMS)}
        for dim in DIMS[7:]:
            d[dim] = w.scaled(d[dim])
        adds = w.let(f"icmp ne i64 {d['adds']}, 0")
        down, across = _write_parts(w, d["M"], d["block_m"]), _write_parts(w, d["N"], d["block_n"])
        with w.loop("%begin", "%end", "1") as task:
            rest, column = _write_split(w, task, across)
            batch, row = _write_split(w, rest, down)
            i = w.let(f"mul i64 {row}, {d['block_m']}")
            j = w.let(f"mul i64 {column}, {d['block_n']}")
            changes = {
                "%rows": w.smaller(w.let(f"sub i64 {d['M']}, {i}"), d["block_m"]),
                "%columns": w.smaller(w.let(f"sub i64 {d['N']}, {j}"), d["block_n"]),
                "%depth": d["K"],
                "%part": d["depth"],
                "%a": w.moved(a, (batch, d["a_batch"]), (i, d["a_row"])),
                "%a.row": d["a_row"],
                "%a.column": d["a_column"],
                "%b": w.moved(b, (batch, d["b_batch"]), (j, d["b_column"])),
                "%b.row": d["b_row"],
                "%b.column": d["b_column"],
                "%c": w.moved(c, (batch, d["c_batch"]), (i, d["c_row"]), (j, str(w.size))),
                "%c.row": d["c_row"],
                "%adds": adds,
            }
            w.call("block", _BLOCK, changes)


def _write_parts(w: VectorWriter, size: str, part: str) -> str:
    """size / part, rounded up"""
    up = w.let(f"sub i64 {w.let(f'add i64 {size}, {part}')}, 1")
    return w.let(f"sdiv i64 {up}, {part}")


def _write_split(w: VectorWriter, index: str, count: str) -> tuple[str, str]:
    return w.let(f"sdiv i64 {index}, {count}"), w.let(f"srem i64 {index}, {count}")
