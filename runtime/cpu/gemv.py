"""The kernels of `tracejit.runtime.gemv`, as LLVM IR.

Where the matrix lies side by side along K, several of its rows are gone through at a time, which share what is read of the
vector. Where it does along the elements of C, a tile of columns is gone through once for every few of the 16 accumulators, which
then stay in registers. What lies side by side along neither is copied, a row at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from tracejit.artifact import KernelSource
from tracejit.runtime.cpu.sums import write_element, write_sum
from tracejit.runtime.cpu.target import Level
from tracejit.runtime.cpu.writer import VectorWriter
from tracejit.runtime.gemv import ACCUMULATORS, DEPTH, DIMS, KERNELS

_SUMS = 8
"""Vectors of accumulators of the rows that are gone through together."""
_PHASES = 4
"""Accumulators of each column that are in registers together."""

# Strides are in bytes. %down leads along K, %out from one element of C to the next.
_ROWS = ("ptr %a", "i64 %out", "ptr %x", "i64 %depth", "ptr %c", "i1 %add")
_COLUMNS = (
    "ptr %a", "i64 %down", "ptr %x", "i64 %x.down", "i64 %depth", "ptr %c", "i64 %columns", "i1 %add", "ptr %scratch",
)  # fmt: skip
_COPY = ("ptr %from", "i64 %down", "i64 %depth", "ptr %to")
_BLOCK = (
    "i64 %count", "i64 %depth", "ptr %a", "i64 %out", "i64 %down", "ptr %x", "i64 %x.down", "ptr %c", "ptr %scratch",
)  # fmt: skip
_PART = (*_BLOCK, "i1 %add")
_KERNEL = (
    "ptr %context", "ptr %buffers", "ptr %dims", "i64 %begin", "i64 %end", "ptr %scratch",
)  # fmt: skip


@cache
def gemv_source(dtype: str, level: Level) -> KernelSource:
    """The kernel for a dtype and an instruction set."""
    w = VectorWriter(dtype, level)
    name = f"{KERNELS[dtype]}_{level.name}"
    per_row = max(ACCUMULATORS // w.lanes, 1)
    together = max(_SUMS // per_row, 1)
    wide = 4 if level.name == "avx512" else 2
    for rows in {together, 1}:
        _write_rows(w, rows, per_row)
    for vectors in (wide, 1):
        _write_columns(w, vectors, ragged=vectors == 1)
    _write_copy(w)
    _write_part(w, together, wide)
    _write_block(w)
    _write_kernel(w, name)
    body = "\n".join(w.lines)
    return KernelSource(name, f"{w.declarations}\n{body}\nattributes #0 = {{ {w.attributes} }}\n")


def _write_rows(w: VectorWriter, rows: int, per_row: int) -> None:
    """Function `rows_{rows}`: so many elements of C from rows whose elements, as the vector's, lie side by side."""
    with w.function(f"rows_{rows}", _ROWS):
        starts = [w.moved("%a", (str(row), "%out")) for row in range(rows)]
        whole = w.let(f"and i64 %depth, {-ACCUMULATORS}")
        zeros = [(w.vector, "zeroinitializer")] * (rows * per_row)
        with w.carrying("0", whole, str(ACCUMULATORS), zeros) as (k, sums, nexts):
            place = w.scaled(k)
            parts = [w.load(w.at("%x", place, w.bytes_of(p))) for p in range(per_row)]
            for row, start in enumerate(starts):
                for p, part in enumerate(parts):
                    value = w.load(w.at(start, place, w.bytes_of(p)))
                    nexts.append(w.multiply_add(value, part, sums[row * per_row + p]))
        place, left = w.scaled(whole), w.let(f"sub i64 %depth, {whole}")
        masks = [w.mask(w.let(f"sub i64 {left}, {p * w.lanes}")) for p in range(per_row)]
        rest = [w.load_where(m, w.at("%x", place, w.bytes_of(p))) for p, m in enumerate(masks)]
        for row, start in enumerate(starts):
            totals = []
            for p, (mask, part) in enumerate(zip(masks, rest, strict=True)):
                old = sums[row * per_row + p]
                value = w.load_where(mask, w.at(start, place, w.bytes_of(p)))
                totals.append(_chosen(w, mask, w.multiply_add(value, part, old), old))
            write_element(w, w.at("%c", w.scaled(str(row))), _across(w, totals))


def _chosen(w: VectorWriter, mask: str, new: str, old: str) -> str:
    lanes = f"<{w.lanes} x i1>"
    return w.let(f"select {lanes} {mask}, {w.vector} {new}, {w.vector} {old}")


def _added(w: VectorWriter, x: str, y: str) -> str:
    return w.let(f"fadd {w.vector} {x}, {y}")


def _halved(values: list[str], add: Callable[[str, str], str]) -> str:
    """The values added in halves."""
    while len(values) > 1:
        half = len(values) // 2
        values = [add(values[k], values[k + half]) for k in range(half)]
    return values[0]


def _across(w: VectorWriter, vectors: list[str]) -> str:
    """The lanes of vectors, one after the other, added in halves."""
    total = _halved(vectors, lambda x, y: _added(w, x, y))
    width = w.lanes
    while width > 1:
        width //= 2
        upper = [(lane + width) % w.lanes for lane in range(w.lanes)]
        total = _added(w, total, w.shuffle(total, total, upper))
    return w.let(f"extractelement {w.vector} {total}, i64 0")


def _write_columns(w: VectorWriter, vectors: int, *, ragged: bool) -> None:
    """Function `columns_{vectors}`: so many vectors of elements of C, side by side in each row of the matrix; of one vector
    (`ragged`) the first %columns lanes."""
    with w.function(f"columns_{vectors}", _COLUMNS):
        mask = w.mask("%columns") if ragged else None

        def row(k: str, v: int) -> str:
            place = w.at(w.moved("%a", (k, "%down")), w.bytes_of(v))
            return w.load_where(mask, place) if mask else w.load(place)

        last = w.let(f"sub i64 %depth, {_PHASES - 1}")
        for first in range(0, ACCUMULATORS, _PHASES):
            zeros = [(w.vector, "zeroinitializer")] * (_PHASES * vectors)
            start = [("i64", str(first))]
            with w.carrying(str(first), last, str(ACCUMULATORS), [*start, *zeros]) as (k, c, nexts):
                nexts.append(w.let(f"add i64 {k}, {ACCUMULATORS}"))
                for phase in range(_PHASES):
                    here = w.let(f"add i64 {k}, {phase}")
                    x = w.splat(w.moved("%x", (here, "%x.down")))
                    for v in range(vectors):
                        nexts.append(w.multiply_add(row(here, v), x, c[1 + phase * vectors + v]))
            end, *sums = c
            for phase in range(_PHASES):
                here = w.let(f"add i64 {end}, {phase}")
                for v in range(vectors):
                    place = w.at("%scratch", w.bytes_of((first + phase) * vectors + v))
                    w.put(place, sums[phase * vectors + v])
                with w.when(w.let(f"icmp slt i64 {here}, %depth")):
                    x = w.splat(w.moved("%x", (here, "%x.down")))
                    for v in range(vectors):
                        place = w.at("%scratch", w.bytes_of((first + phase) * vectors + v))
                        old = sums[phase * vectors + v]
                        w.put(place, w.multiply_add(row(here, v), x, old))
        for v in range(vectors):
            parts = [
                w.load(w.at("%scratch", w.bytes_of(phase * vectors + v)))
                for phase in range(ACCUMULATORS)
            ]
            total = _halved(parts, lambda x, y: _added(w, x, y))
            write_sum(w, w.at("%c", w.bytes_of(v)), total, mask)


def _write_copy(w: VectorWriter) -> None:
    """Function `copy`: %depth elements, side by side."""
    with w.function("copy", _COPY), w.loop("0", "%depth", "1") as k:
        source = w.moved("%from", (k, "%down"))
        value = w.let(f"load {w.element}, ptr {source}, align {w.size}")
        w.do(f"store {w.element} {value}, ptr {w.at('%to', w.scaled(k))}, align {w.size}")


def _write_part(w: VectorWriter, together: int, wide: int) -> None:
    """Function `part`: partial sums of a block of C over %depth values of K."""
    with w.function("part", _PART):
        along_rows = w.let(f"icmp eq i64 %down, {w.size}")
        along_columns = w.let(f"icmp eq i64 %out, {w.size}")
        other = w.let(f"xor i1 {along_rows}, true")
        with w.finish_when(w.let(f"and i1 {along_columns}, {other}")):
            left = _in_tiles(w, wide, "0", ragged=False)
            _in_tiles(w, 1, left, ragged=True)
        with w.when(w.let(f"icmp ne i64 %x.down, {w.size}")):
            w.call("copy", _COPY, {"%from": "%x", "%down": "%x.down", "%to": "%scratch"})
        is_side_by_side = w.let(f"icmp eq i64 %x.down, {w.size}")
        x = w.let(f"select i1 {is_side_by_side}, ptr %x, ptr %scratch")
        with w.finish_when(along_rows):
            stop = w.let(f"sub i64 %count, {together - 1}")
            with w.carrying("0", stop, str(together), [("i64", "0")]) as (row, carried, nexts):
                nexts.append(w.let(f"add i64 {row}, {together}"))
                w.call(f"rows_{together}", _ROWS, _row(w, row) | {"%x": x})
            with w.loop(carried[0], "%count", "1") as row:
                w.call("rows_1", _ROWS, _row(w, row) | {"%x": x})
        copied = w.at("%scratch", str(8 * DEPTH))
        with w.loop("0", "%count", "1") as row:
            here = _row(w, row)
            w.call("copy", _COPY, {"%from": here["%a"], "%to": copied})
            w.call("rows_1", _ROWS, {"%a": copied, "%c": here["%c"], "%x": x})


def _row(w: VectorWriter, row: str) -> dict[str, str]:
    return {"%a": w.moved("%a", (row, "%out")), "%c": w.at("%c", w.scaled(row))}


def _in_tiles(w: VectorWriter, vectors: int, start: str, *, ragged: bool) -> str:
    """All tiles of this width from element `start`; gives the first element that is left."""
    width = vectors * w.lanes
    stop = "%count" if ragged else w.let(f"sub i64 %count, {width - 1}")
    with w.carrying(start, stop, str(width), [("i64", start)]) as (j, carried, nexts):
        nexts.append(w.let(f"add i64 {j}, {width}"))
        changes = {
            "%a": w.at("%a", w.scaled(j)),
            "%c": w.at("%c", w.scaled(j)),
            "%columns": w.smaller(w.let(f"sub i64 %count, {j}"), str(width)),
        }
        w.call(f"columns_{vectors}", _COLUMNS, changes)
    return carried[0]


def _write_block(w: VectorWriter) -> None:
    """Function `block`: some elements of C."""
    with w.function("block", _BLOCK):
        with w.finish_when(w.let("icmp eq i64 %depth, 0")):
            nbytes = w.scaled("%count")
            w.do(f"call void @llvm.memset.p0.i64(ptr %c, i8 0, i64 {nbytes}, i1 false)")
        with w.loop("0", "%depth", str(DEPTH)) as k:
            changes = {
                "%a": w.moved("%a", (k, "%down")),
                "%x": w.moved("%x", (k, "%x.down")),
                "%depth": w.smaller(w.let(f"sub i64 %depth, {k}"), str(DEPTH)),
                "%add": w.let(f"icmp ne i64 {k}, 0"),
            }
            w.call("part", _PART, changes)


def _write_kernel(w: VectorWriter, name: str) -> None:
    """Tasks are blocks of C: of a vector first, then of the batch."""
    with w.function(name, _KERNEL, internal=False):
        first, second, c = (
            w.let(f"load ptr, ptr {w.at('%buffers', str(8 * i))}") for i in range(3)
        )
        d = {dim: w.let(f"load i64, ptr {w.at('%dims', str(8 * i))}") for i, dim in enumerate(DIMS)}
        is_second = w.let(f"icmp ne i64 {d['matrix_is_b']}, 0")
        matrix = w.let(f"select i1 {is_second}, ptr {second}, ptr {first}")
        vector = w.let(f"select i1 {is_second}, ptr {first}, ptr {second}")
        for dim in DIMS[3:-1]:
            d[dim] = w.scaled(d[dim])
        outputs, block = d["outputs"], d["block"]
        up = w.let(f"sub i64 {w.let(f'add i64 {outputs}, {block}')}, 1")
        parts = w.let(f"sdiv i64 {up}, {block}")
        with w.loop("%begin", "%end", "1") as task:
            batch = w.let(f"sdiv i64 {task}, {parts}")
            i = w.let(f"mul i64 {w.let(f'srem i64 {task}, {parts}')}, {block}")
            changes = {
                "%count": w.smaller(w.let(f"sub i64 {outputs}, {i}"), block),
                "%depth": d["K"],
                "%a": w.moved(matrix, (batch, d["matrix_batch"]), (i, d["out"])),
                "%out": d["out"],
                "%down": d["down"],
                "%x": w.moved(vector, (batch, d["vector_batch"])),
                "%x.down": d["vector_down"],
                "%c": w.moved(c, (batch, d["c_batch"]), (i, str(w.size))),
            }
            w.call("block", _BLOCK, changes)
