"""A graph as a picture: boxes in rows, arrows between them; boxes that are alike are one where there are many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tracejit._records import dataclass
from tracejit.standalone.page.layers import HEIGHT, Edge, layered
from tracejit.standalone.page.markup import Markup, joined, number, tag

LETTER = 6.7
"""The width of a letter, of 11 pixels in a monospaced font."""
MARGIN = 12.0
MOST_LETTERS = 40
MANY = 80
"""Boxes from which on those alike are one."""


@dataclass(frozen=True, slots=True)
class Box:
    """What stands for a node; `title` is told where one points at it, `link` is what it leads to.

    kind   a class of the style's: "op", "product", "slabs", "host", or "read" and "written" for what is outside
    key    is that of boxes that are alike
    """

    label: str
    title: str
    kind: str
    key: object
    link: str | None = None


def picture(boxes: Sequence[Box], edges: Iterable[Edge]) -> Markup:
    """Boxes in an order in which each follows those that edges lead from."""
    shown, edges = collapsed(boxes, edges) if len(boxes) > MANY else ([*boxes], sorted({*edges}))
    labels = [_short(box.label) for box in shown]
    widths = [LETTER * len(label) + 16 for label in labels]
    layout = layered(widths, edges)
    corners = [(x + MARGIN, y + MARGIN) for x, y in layout.corners]
    lines = (_edge(edge, corners, widths) for edge in edges if edge[0] != edge[1])
    nodes = (_node(*each) for each in zip(shown, labels, corners, widths))
    width, height = layout.width + 2 * MARGIN, layout.height + 2 * MARGIN
    return svg(width, height, joined(lines), joined(nodes))


def svg(width: float, height: float, *content: Markup) -> Markup:
    """A picture of so many pixels, which scrolls where it is larger than the page."""
    size = {"width": number(width), "height": number(height)}
    box = f"0 0 {size['width']} {size['height']}"
    return tag("div", tag("svg", *content, viewBox=box, role="img", **size), class_="picture")


def collapsed(boxes: Sequence[Box], edges: Iterable[Edge]) -> tuple[list[Box], list[Edge]]:
    """Boxes of one key as one, where the first of them stands."""
    kinds: dict[object, list[int]] = {}
    for place, box in enumerate(boxes):
        kinds.setdefault(box.key, []).append(place)
    new = {place: n for n, places in enumerate(kinds.values()) for place in places}
    shown = []
    for places in kinds.values():
        first, count = boxes[places[0]], len(places)
        label = first.label if count == 1 else f"{first.label}  \N{MULTIPLICATION SIGN}{count}"
        title = first.title if count == 1 else f"{first.title}\nand {count - 1} like it"
        shown.append(replace(first, label=label, title=title))
    return shown, sorted({(new[source], new[target]) for source, target in edges})


def _short(text: str) -> str:
    if len(text) <= MOST_LETTERS:
        return text
    half = MOST_LETTERS // 2
    return f"{text[:half]}\N{HORIZONTAL ELLIPSIS}{text[1 - half :]}"


def _node(box: Box, label: str, corner: tuple[float, float], width: float) -> Markup:
    x, y = corner
    rect = tag("rect", x=number(x), y=number(y), width=number(width), height=HEIGHT, rx=4)
    text = tag("text", label, x=number(x + 8), y=number(y + 16))
    group = tag("g", tag("title", box.title), rect, text, class_=f"node {box.kind}")
    return tag("a", group, href=box.link) if box.link else group


def _edge(edge: Edge, corners: Sequence[tuple[float, float]], widths: Sequence[float]) -> Markup:
    """From the lower end of a box to the upper end of another; one that leads back is dashed."""
    source, target = edge
    is_back = source > target
    x1, y1 = corners[source][0] + widths[source] / 2, corners[source][1] + HEIGHT
    x2, y2 = corners[target][0] + widths[target] / 2, corners[target][1]
    bend = MARGIN if is_back else max(MARGIN, min((y2 - y1) / 2, 60.0))
    points = (x1, y1, x1, y1 + bend, x2, y2 - bend, x2, y2)
    a, b, c, d, e, f, g, h = map(number, points)
    path = f"M{a} {b}C{c} {d} {e} {f} {g} {h}"
    return tag("path", d=path, class_="edge back" if is_back else "edge")
