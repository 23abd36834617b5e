"""One row of C, where B lies transposed: it is turned in registers on its way into the sums, and read once.

A column of a product is such a row (`tracejit.runtime.gemm`), so this is what a matrix times a vector runs.
"""

from __future__ import annotations

from tracejit.runtime.cpu.packing import piece_of, turned
from tracejit.runtime.cpu.writer import VectorWriter

ROW = ("ptr %a", "i64 %a.column", "ptr %b", "i64 %b.column", "i64 %depth", "ptr %c", "i1 %add")
_SIDE_BY_SIDE = 2
"""Vectors of columns at a time: their sums are chains, which hide each other's latency; more would read from too many lines."""


def write_row(w: VectorWriter, vectors: int) -> None:
    """Function `row_{vectors}`: C = or += A @ B for one row and that many vectors of columns; B's rows are of unit stride."""
    piece = piece_of(w)
    with w.function(f"row_{vectors}", ROW):
        whole = w.let(f"and i64 %depth, {-piece}")
        for first in range(0, vectors, _SIDE_BY_SIDE):
            together = range(first, min(first + _SIDE_BY_SIDE, vectors))
            columns = [w.moved("%b", (str(v * w.lanes), "%b.column")) for v in together]
            zeros = [(w.vector, "zeroinitializer")] * len(together)
            with w.carrying("0", whole, str(piece), zeros) as (k, sums, nexts):
                nexts += _with_piece(w, k, columns, sums)
            with w.carrying(whole, "%depth", "1", [(w.vector, each) for each in sums]) as (
                k,
                sums,
                nexts,
            ):
                nexts += _with_one(w, k, columns, sums)
            for v, total in zip(together, sums):
                write_sum(w, w.at("%c", w.bytes_of(v)), total)


def _with_piece(w: VectorWriter, k: str, columns: list[str], sums: list[str]) -> list[str]:
    """The sums with the products of one piece of each row of B transposed, in ascending order of K."""
    a = w.moved("%a", (k, "%a.column"))
    pieces = [turned(w, w.at(column, w.scaled(k)), "%b.column") for column in columns]
    for step in range(piece_of(w)):
        value = w.splat(w.moved(a, (str(step), "%a.column")))
        sums = [w.multiply_add(value, each[step], total) for each, total in zip(pieces, sums)]
    return sums


def _with_one(w: VectorWriter, k: str, columns: list[str], sums: list[str]) -> list[str]:
    """The sums with one product each."""
    value = w.splat(w.moved("%a", (k, "%a.column")))
    place = w.scaled(k)
    nexts = []
    for column, total in zip(columns, sums):
        rows = [w.at(w.moved(column, (str(i), "%b.column")), place) for i in range(w.lanes)]
        nexts.append(w.multiply_add(value, w.load_pieces(rows), total))
    return nexts


def write_sum(w: VectorWriter, target: str, value: str, mask: str | None = None) -> None:
    """Stores `value`, or adds it where %add is set: in all lanes, or in those where `mask` is set."""
    # What is not added to may be uninitialised, but it is in memory of ours; the sum of it is not used.
    old = w.load_where(mask, target) if mask else w.load(target)
    total = w.let(f"fadd {w.vector} {old}, {value}")
    new = w.let(f"select i1 %add, {w.vector} {total}, {w.vector} {value}")
    if mask:
        w.put_where(mask, target, new)
    else:
        w.put(target, new)
