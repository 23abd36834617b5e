"""The matrix-product kernels, as LLVM IR: register tiles over panels of B, for any strides and sizes.

A task is one block of C. For each part of K and each panel of columns it packs B (unless few rows will read it) and runs down
the rows of A with a tile of accumulators that stay in registers: rows x vectors. A is read where it lies, transposed or not: from
a copy in the order of the tiles it was 3 to 12 % slower. Every accumulator is one chain of multiply-adds in ascending order of
K, so no tile shape, stride or block changes a result.
"""

from __future__ import annotations

from functools import cache

from tracejit._records import dataclass
from tracejit.artifact import KernelSource
from tracejit.runtime.cpu.packing import PACK_B, write_pack_b, write_transpose
from tracejit.runtime.cpu.sums import write_sum
from tracejit.runtime.cpu.target import Level
from tracejit.runtime.cpu.writer import VectorWriter
from tracejit.runtime.gemm import DIMS, KERNELS

_DIRECT_ROWS = 12
"""Rows up to which B is read in place: packing costs as much as reading it twice."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A register tile's vectors across, and the row counts that it comes in, largest first."""

    vectors: int
    rows: tuple[int, ...]


_SHAPES = {
    "avx512": (Shape(4, (6, 3, 1)), Shape(1, (12, 4, 1))),
    "neon": (Shape(4, (6, 3, 1)), Shape(1, (12, 4, 1))),
}
_SIXTEEN_REGISTERS = (Shape(2, (6, 3, 1)), Shape(1, (6, 3, 1)))

# Strides are in bytes.
_TILE = (
    "ptr %a", "i64 %a.row", "i64 %a.column", "ptr %b", "i64 %b.row", "i64 %depth",
    "ptr %c", "i64 %c.row", "i64 %columns", "i1 %add",
)  # fmt: skip
_DOWN = ("i64 %rows", *_TILE)
_PANEL = (*_DOWN, "i64 %b.column", "ptr %packed")
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
    wide, narrow = _SHAPES.get(level.name, _SIXTEEN_REGISTERS)
    w = VectorWriter(dtype, level)
    write_transpose(w)
    for shape in (wide, narrow):
        for rows in shape.rows:
            _write_tile(w, shape.vectors, rows, ragged=shape is narrow)
        write_pack_b(w, shape.vectors, ragged=shape is narrow)
        _write_down(w, shape)
        _write_panel(w, shape)
    _write_block(w, wide, narrow)
    _write_kernel(w, name)
    body = "\n".join(w.lines)
    return KernelSource(name, f"{w.declarations}\n{body}\nattributes #0 = {{ {w.attributes} }}\n")


def _write_tile(w: VectorWriter, vectors: int, rows: int, *, ragged: bool) -> None:
    """C (rows x columns) = or += A (rows x depth) @ B (depth x columns)."""
    with w.function(f"tile_{vectors}_{rows}", _TILE):
        offsets = [w.let(f"mul i64 %a.row, {row}") for row in range(rows)]
        ends = [("ptr", "%a"), ("ptr", "%b")]
        zeros = [(w.vector, "zeroinitializer")] * (rows * vectors)
        with w.carrying("0", "%depth", "1", ends + zeros) as (_, carried, nexts):
            a, b, *sums = carried
            nexts += [w.at(a, "%a.column"), w.at(b, "%b.row")]
            columns = [w.load(w.at(b, w.bytes_of(v))) for v in range(vectors)]
            for row in range(rows):
                value = w.splat(w.at(a, offsets[row]))
                for v, column in enumerate(columns):
                    nexts.append(w.multiply_add(value, column, sums[row * vectors + v]))
        mask = w.mask("%columns") if ragged else None
        for row in range(rows):
            c = w.moved("%c", (str(row), "%c.row"))
            for v in range(vectors):
                write_sum(w, w.at(c, w.bytes_of(v)), sums[row * vectors + v], mask)


def _write_down(w: VectorWriter, shape: Shape) -> None:
    """The tiles of one panel of columns, from the first row to the last."""
    with w.function(f"down_{shape.vectors}", _DOWN):
        start = "0"
        for rows in shape.rows:
            stop = w.let(f"sub i64 %rows, {rows - 1}")
            with w.carrying(start, stop, str(rows), [("i64", start)]) as (row, carried, nexts):
                nexts.append(w.let(f"add i64 {row}, {rows}"))
                a, c = w.moved("%a", (row, "%a.row")), w.moved("%c", (row, "%c.row"))
                w.call(f"tile_{shape.vectors}_{rows}", _TILE, {"%a": a, "%c": c})
            start = carried[0]


def _write_panel(w: VectorWriter, shape: Shape) -> None:
    """One panel of columns: B in place, or packed, and then down the rows."""
    down = f"down_{shape.vectors}"
    with w.function(f"panel_{shape.vectors}", _PANEL):
        full = w.let(f"icmp eq i64 %columns, {shape.vectors * w.lanes}")
        unit_column = w.let(f"icmp eq i64 %b.column, {w.size}")
        few = w.let(f"icmp sle i64 %rows, {_DIRECT_ROWS}")
        readable = w.let(f"and i1 {full}, {unit_column}")
        with w.finish_when(w.let(f"and i1 {readable}, {few}")):
            w.call(down, _DOWN, {})
        w.call(f"pack_b_{shape.vectors}", PACK_B, {})
        w.call(down, _DOWN, {"%b": "%packed", "%b.row": w.bytes_of(shape.vectors)})


def _write_block(w: VectorWriter, wide: Shape, narrow: Shape) -> None:
    """One block of C: partial sums over K, each panel by panel, the first of them added as well where `%adds` is set."""
    with w.function("block", _BLOCK):
        with w.finish_when(w.let("icmp eq i64 %depth, 0")):
            nbytes = w.scaled("%columns")
            with w.loop("0", "%rows", "1") as row:
                c = w.moved("%c", (row, "%c.row"))
                w.do(f"call void @llvm.memset.p0.i64(ptr {c}, i8 0, i64 {nbytes}, i1 false)")
        with w.loop("0", "%depth", "%part") as k:
            changes = {
                "%a": w.moved("%a", (k, "%a.column")),
                "%b": w.moved("%b", (k, "%b.row")),
                "%depth": w.smaller(w.let(f"sub i64 %depth, {k}"), "%part"),
                "%add": w.let(f"or i1 %adds, {w.let(f'icmp ne i64 {k}, 0')}"),
                "%packed": "%scratch",
            }
            rest = _write_panels(w, wide, "0", changes, ragged=False)
            _write_panels(w, narrow, rest, changes, ragged=True)


def _write_panels(
    w: VectorWriter, shape: Shape, start: str, changes: dict[str, str], *, ragged: bool
) -> str:
    """All panels of this width from column `start`; gives the first column that is left."""
    width = shape.vectors * w.lanes
    stop = "%columns" if ragged else w.let(f"sub i64 %columns, {width - 1}")
    with w.carrying(start, stop, str(width), [("i64", start)]) as (j, carried, nexts):
        nexts.append(w.let(f"add i64 {j}, {width}"))
        here = {
            "%columns": w.smaller(w.let(f"sub i64 %columns, {j}"), str(width)),
            "%b": w.moved(changes["%b"], (j, "%b.column")),
            "%c": w.at("%c", w.scaled(j)),
        }
        w.call(f"panel_{shape.vectors}", _PANEL, changes | here)
    return carried[0]


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
