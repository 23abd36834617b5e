"""Where the boxes of a graph stand: in rows from top to bottom, each below all that it follows from."""

from __future__ import annotations

from collections.abc import Sequence

from tracejit._records import dataclass

GAP = 14.0
"""Between boxes that stand side by side."""
ROW = 46.0
"""From row to row."""
HEIGHT = 24.0
"""Of a box."""
MOST_WIDTH = 1200.0
"""Of a row of several boxes: what is wider goes on in the next."""

Edge = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """The upper left corner of each box, and the size of it all."""

    corners: list[tuple[float, float]]
    width: float
    height: float


def layered(widths: Sequence[float], edges: Sequence[Edge]) -> Layout:
    """Boxes of these widths; an edge leads from a box to one of a larger number, others have no say."""
    before: list[list[int]] = [[] for _ in widths]
    for source, target in edges:
        if source < target:
            before[target].append(source)
    rows = _rows(widths, _layers(before))
    width = min(MOST_WIDTH, max((_width(row, widths) for row in rows), default=0.0))
    width = max(width, *widths) if widths else 0.0
    corners = [(0.0, 0.0)] * len(widths)
    for place, row in enumerate(rows):
        wanted = {each: _wanted(before[each], each, widths, corners, width) for each in row}
        row.sort(key=lambda each: (wanted[each], each))
        for each, x in zip(row, _side_by_side(row, wanted, widths, width)):
            corners[each] = x, place * ROW
    height = (len(rows) - 1) * ROW + HEIGHT if rows else 0.0
    return Layout(corners, width, height)


def _layers(before: Sequence[Sequence[int]]) -> list[int]:
    """Of each box: below all before it; those with nothing before them right above the first that needs them."""
    layers = [0] * len(before)
    for each, sources in enumerate(before):
        layers[each] = 1 + max((layers[source] for source in sources), default=0)
    first: dict[int, int] = {}
    for each, sources in enumerate(before):
        for source in sources:
            first[source] = min(first.get(source, layers[each]), layers[each])
    return [
        layers[each] if sources else first.get(each, 1) - 1 for each, sources in enumerate(before)
    ]


def _rows(widths: Sequence[float], layers: Sequence[int]) -> list[list[int]]:
    """Layers as rows; several for one that is too wide."""
    by_layer: dict[int, list[int]] = {}
    for each, layer in enumerate(layers):
        by_layer.setdefault(layer, []).append(each)
    rows = []
    for layer in sorted(by_layer):
        row: list[int] = []
        for each in by_layer[layer]:
            if row and _width([*row, each], widths) > MOST_WIDTH:
                rows.append(row)
                row = []
            row.append(each)
        rows.append(row)
    return rows


def _width(row: Sequence[int], widths: Sequence[float]) -> float:
    return sum(widths[each] for each in row) + GAP * (len(row) - 1)


def _wanted(
    sources: Sequence[int],
    each: int,
    widths: Sequence[float],
    corners: Sequence[tuple[float, float]],
    width: float,
) -> float:
    """The left end of a box below the middle of those before it."""
    middles = [corners[source][0] + widths[source] / 2 for source in sources]
    middle = sum(middles) / len(middles) if middles else width / 2
    return middle - widths[each] / 2


def _side_by_side(
    row: Sequence[int], wanted: dict[int, float], widths: Sequence[float], width: float
) -> list[float]:
    """The left ends of the boxes of a row, as near to where they should be as goes without overlaps."""
    ends: list[float] = []
    end = 0.0
    for each in row:
        ends.append(max(wanted[each], end))
        end = ends[-1] + widths[each] + GAP
    limit = width
    for place in range(len(row) - 1, -1, -1):
        ends[place] = min(ends[place], limit - widths[row[place]])
        limit = ends[place] - GAP
    return ends
