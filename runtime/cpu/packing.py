"""Copies of a product's operands in the order in which its tiles read them."""

from __future__ import annotations

from tracejit.runtime.cpu.writer import VectorWriter

A_ROWS = 12
"""Rows of A that are packed side by side: a multiple of the rows of each tile."""

PACK_A = ("ptr %packed", "ptr %a", "i64 %a.column", "i64 %rows", "i64 %depth")
PACK_B = (
    "ptr %packed", "ptr %b", "i64 %b.row", "i64 %b.column", "i64 %depth", "i64 %columns",
)  # fmt: skip
TRANSPOSE = ("ptr %source", "i64 %from", "ptr %target", "i64 %to")


def write_pack_a(w: VectorWriter) -> None:
    """Function `pack_a`: A of unit row stride, twelve rows after twelve rows; within them column after column."""
    vectors = -(-A_ROWS // w.lanes)
    with w.function("pack_a", PACK_A):
        column_bytes = A_ROWS * w.size
        panel_bytes = w.let(f"mul i64 %depth, {column_bytes}")
        with w.loop("0", "%depth", "1") as k:
            column = w.moved("%a", (k, "%a.column"))
            place = w.moved("%packed", (k, str(column_bytes)))
            with w.carrying("0", "%rows", str(A_ROWS), [("ptr", place)]) as (row, carried, nexts):
                nexts.append(w.at(carried[0], panel_bytes))
                here = w.smaller(w.let(f"sub i64 %rows, {row}"), str(A_ROWS))
                source = w.at(column, w.scaled(row))
                for v in range(vectors):
                    mask = w.mask(w.let(f"sub i64 {here}, {v * w.lanes}"))
                    value = w.load_where(mask, w.at(source, w.bytes_of(v)))
                    w.put_where(mask, w.at(carried[0], w.bytes_of(v)), value)


def write_pack_b(w: VectorWriter, vectors: int, *, ragged: bool) -> None:
    """Function `pack_b_{vectors}`: rows of that many vectors; where columns are missing (`ragged`), zeros."""
    with w.function(f"pack_b_{vectors}", PACK_B):
        with w.finish_when(w.let(f"icmp eq i64 %b.column, {w.size}")):
            _rows(w, vectors, ragged)
        full = w.let(f"icmp eq i64 %columns, {vectors * w.lanes}")
        unit_row = w.let(f"icmp eq i64 %b.row, {w.size}")
        even = w.let(f"and i64 %depth, {-w.lanes}")
        both = w.let(f"and i1 {full}, {unit_row}")
        squares = w.let(f"select i1 {both}, i64 {even}, i64 0")
        _squares(w, vectors, squares)
        _elements(w, vectors, squares)


def _rows(w: VectorWriter, vectors: int, ragged: bool) -> None:
    """Columns of unit stride."""
    mask = w.mask("%columns")
    with w.loop("0", "%depth", "1") as k:
        source = w.moved("%b", (k, "%b.row"))
        target = w.moved("%packed", (k, w.bytes_of(vectors)))
        for v in range(vectors):
            pointer = w.at(source, w.bytes_of(v))
            value = w.load_where(mask, pointer) if ragged else w.load(pointer)
            w.put(w.at(target, w.bytes_of(v)), value)


def _squares(w: VectorWriter, vectors: int, depth: str) -> None:
    """Rows of unit stride: squares of lanes x lanes; depth and columns are multiples of the lanes."""
    with w.loop("0", depth, str(w.lanes)) as k, w.loop("0", "%columns", str(w.lanes)) as j:
        source = w.moved("%b", (j, "%b.column"), (k, str(w.size)))
        target = w.moved("%packed", (k, w.bytes_of(vectors)), (j, str(w.size)))
        w.call(
            "transpose",
            TRANSPOSE,
            {
                "%source": source,
                "%from": "%b.column",
                "%target": target,
                "%to": w.bytes_of(vectors),
            },
        )


def write_transpose(w: VectorWriter) -> None:
    """Function `transpose`: a square of lanes x lanes; %from and %to are bytes from one vector to the next."""
    with w.function("transpose", TRANSPOSE):
        square = [w.load(w.moved("%source", (str(i), "%from"))) for i in range(w.lanes)]
        for i, row in enumerate(_transposed(w, square)):
            w.put(w.moved("%target", (str(i), "%to")), row)


def _transposed(w: VectorWriter, rows: list[str]) -> list[str]:
    """A square of vectors, transposed by exchanging halves, quarters, ... of pairs of rows."""
    lanes, width = w.lanes, w.lanes // 2
    while width:
        low = [(i & ~width) + (lanes if i & width else 0) for i in range(lanes)]
        high = [(i | width) + (lanes if i & width else 0) for i in range(lanes)]
        new = list(rows)
        for i in range(lanes):
            if not i & width:
                new[i] = w.shuffle(rows[i], rows[i | width], low)
                new[i | width] = w.shuffle(rows[i], rows[i | width], high)
        rows, width = new, width // 2
        w.next_block()  # LLVM would search all four stages for shuffles to join, and take ten times as long
    return rows


def _elements(w: VectorWriter, vectors: int, start: str) -> None:
    """Any strides and any number of columns, from row `start`."""
    with w.loop(start, "%depth", "1") as k:
        source = w.moved("%b", (k, "%b.row"))
        target = w.moved("%packed", (k, w.bytes_of(vectors)))
        for v in range(vectors):
            w.put(w.at(target, w.bytes_of(v)), "zeroinitializer")
        with w.loop("0", "%columns", "1") as j:
            element = w.moved(source, (j, "%b.column"))
            value = w.let(f"load {w.element}, ptr {element}, align {w.size}")
            place = w.moved(target, (j, str(w.size)))
            w.do(f"store {w.element} {value}, ptr {place}, align {w.size}")
