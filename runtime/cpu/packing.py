"""Copies of a product's operands in the order in which its tiles read them."""

from __future__ import annotations

from tracejit.runtime.cpu.writer import VectorWriter
from tracejit.runtime.gemm import BETWEEN_TURNED, DEPTH

PACK_B = (
    "ptr %packed", "ptr %b", "i64 %b.row", "i64 %b.column", "i64 %depth", "i64 %columns",
)  # fmt: skip
TURN = ("ptr %turned", "ptr %a", "i64 %a.column", "i64 %rows", "i64 %depth")
TRANSPOSE = ("ptr %source", "i64 %from", "ptr %target", "i64 %to")


def write_pack_b(w: VectorWriter, vectors: int, *, ragged: bool) -> None:
    """Function `pack_b_{vectors}`: panels of that many vectors across, one after another, each row by row; where columns are
    missing (`ragged`), zeros.
    """
    width = vectors * w.lanes
    with w.function(f"pack_panel_{vectors}", PACK_B):
        full = w.let(f"icmp sge i64 %columns, {width}")
        unit_row = w.let(f"icmp eq i64 %b.row, {w.size}")
        even = w.let(f"and i64 %depth, {-w.lanes}")
        both = w.let(f"and i1 {full}, {unit_row}")
        squares = w.let(f"select i1 {both}, i64 {even}, i64 0")
        _squares(w, vectors, squares)
        _elements(w, vectors, squares)
    with w.function(f"pack_b_{vectors}", PACK_B):
        with w.finish_when(w.let(f"icmp eq i64 %b.column, {w.size}")):
            _rows(w, vectors, ragged)
        with w.loop("0", "%columns", str(width)) as j:
            changes = {
                "%packed": _panel(w, j),
                "%b": w.moved("%b", (j, "%b.column")),
                "%columns": w.smaller(w.let(f"sub i64 %columns, {j}"), str(width)),
            }
            w.call(f"pack_panel_{vectors}", PACK_B, changes)


def _panel(w: VectorWriter, column: str) -> str:
    """Where the panel that begins with this column lies."""
    return w.at("%packed", w.scaled(w.let(f"mul i64 {column}, %depth")))


def _rows(w: VectorWriter, vectors: int, ragged: bool) -> None:
    """Columns of unit stride: each row through all panels, since the next row may lie on another page."""
    with w.loop("0", "%depth", "1") as k:
        source = w.moved("%b", (k, "%b.row"))
        with w.loop("0", "%columns", str(vectors * w.lanes)) as j:
            target = w.moved(_panel(w, j), (k, w.bytes_of(vectors)))
            mask = w.mask(w.let(f"sub i64 %columns, {j}")) if ragged else None
            for v in range(vectors):
                pointer = w.at(source, w.scaled(j), w.bytes_of(v))
                value = w.load_where(mask, pointer) if mask else w.load(pointer)
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


def turned_row(w: VectorWriter) -> str:
    """The bytes from one turned row to the next."""
    return str(DEPTH * w.size + BETWEEN_TURNED)


_STRIP = 64
"""Rows that are turned together: what a square leaves of a line of memory is written while that is near."""


def write_turn(w: VectorWriter) -> None:
    """Function `turn`: rows of A that lie side by side, one after another, `turned_row` bytes apart.

    Squares at the ends reach back over others. Rows are at least as many as lanes; where the depth is less, values before %a
    and %turned are turned as well.
    """
    with (
        w.function("turn", TURN),
        w.loop("0", "%rows", str(_STRIP)) as strip,
        w.loop("0", "%depth", str(w.lanes)) as k,
    ):
        stop = w.smaller(w.let(f"add i64 {strip}, {_STRIP}"), "%rows")
        column = w.smaller(k, w.let(f"sub i64 %depth, {w.lanes}"))
        with w.loop(strip, stop, str(w.lanes)) as i:
            row = w.smaller(i, w.let(f"sub i64 %rows, {w.lanes}"))
            target = w.moved("%turned", (row, turned_row(w)), (column, str(w.size)))
            changes = {
                "%source": w.moved("%a", (row, str(w.size)), (column, "%a.column")),
                "%from": "%a.column",
                "%target": target,
                "%to": turned_row(w),
            }
            w.call("transpose", TRANSPOSE, changes)


_PIECE_BYTES = 16
"""Shuffles within pieces of 16 bytes are the cheapest there are, and pieces are put side by side as they are loaded."""


def piece_of(w: VectorWriter) -> int:
    """The elements of a piece."""
    return _PIECE_BYTES // w.size


def write_transpose(w: VectorWriter) -> None:
    """Function `transpose`: a square of lanes x lanes; %from and %to are bytes from one vector to the next."""
    with w.function("transpose", TRANSPOSE):
        for first in range(0, w.lanes, piece_of(w)):
            source = w.at("%source", str(first * w.size))
            for i, column in enumerate(turned(w, source, "%from"), first):
                w.put(w.moved("%target", (str(i), "%to")), column)


def turned(w: VectorWriter, source: str, stride: str) -> list[str]:
    """The columns, each a vector, of as many rows as there are lanes, `stride` bytes apart: those of one piece."""
    piece = piece_of(w)
    rows = [w.moved(source, (str(i), stride)) for i in range(w.lanes)]
    return _transposed(w, [w.load_pieces(rows[i::piece]) for i in range(piece)])


def _transposed(w: VectorWriter, rows: list[str]) -> list[str]:
    """Vectors of pieces with as many elements as there are vectors, each square transposed by interleaving halves of pieces."""
    piece = len(rows)
    half = piece // 2

    def interleaved(start: int) -> list[int]:
        return [
            base + start + i // 2 + (w.lanes if i % 2 else 0)
            for base in range(0, w.lanes, piece)
            for i in range(piece)
        ]

    for _ in range(half.bit_length()):
        rows = [
            w.shuffle(rows[i], rows[i + half], interleaved(start))
            for i in range(half)
            for start in (0, half)
        ]
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
