"""The scratch memory of a plan as a picture: launches from left to right, bytes downwards, a rectangle for each value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracejit.cli import in_units
from tracejit.standalone.page.graphs import LETTER, svg
from tracejit.standalone.page.markup import Markup, joined, number, tag
from tracejit.standalone.page.stays import Stay, loads_of

WIDTH, HEIGHT = 1100.0, 300.0
LEAST_STEP, MOST_STEP = 4.0, 60.0
LEFT, TOP, BOTTOM = 76.0, 22.0, 22.0
"""Room for what is written at the sides."""
COLOURS = 8


def memory_picture(stays: Sequence[Stay], arena_bytes: int, steps: int) -> Markup:
    """Of a plan with so many steps, and so many bytes of scratch memory."""
    step = min(MOST_STEP, max(LEAST_STEP, WIDTH / steps))
    scale = HEIGHT / arena_bytes
    width = LEFT + max(steps * step, WIDTH / 2) + LEFT
    colours = _colours(stays)
    rects = (_rect(stay, step, scale, colours[stay.value.where]) for stay in stays)
    loads = loads_of(stays, steps)
    marks = [*_frame(arena_bytes, steps, step), *_peak(loads, step)]
    return svg(width, TOP + HEIGHT + BOTTOM, joined(rects), joined(marks))


def span(stay: Stay) -> str:
    """`launches 3 to 7`"""
    last = stay.end - 1
    return f"launch {stay.first}" if stay.first >= last else f"launches {stay.first} to {last}"


def peak_of(loads: Sequence[int]) -> int:
    """The first launch during which most bytes are in use."""
    return max(range(len(loads)), key=lambda each: (loads[each], -each))


def _colours(stays: Sequence[Stay]) -> dict[str, int]:
    """A colour for each line of the user's."""
    lines = dict.fromkeys(stay.value.where for stay in stays)
    return {line: place % COLOURS for place, line in enumerate(lines)}


def _rect(stay: Stay, step: float, scale: float, colour: int) -> Markup:
    value = stay.value
    x, y = LEFT + stay.first * step, TOP + stay.begin_byte * scale
    width, height = (stay.end - stay.first) * step, value.nbytes * scale
    where = f"\n{value.where}" if value.where else ""
    about = f"{value.what}{where}\n{in_units(value.nbytes)} at byte {stay.begin_byte}\n{span(stay)}"
    parts = [
        tag("title", about),
        tag("rect", x=number(x), y=number(y), width=number(width), height=number(height)),
    ]
    if height >= 14 and width >= LETTER * len(value.what) + 8:
        parts.append(tag("text", value.what, x=number(x + 4), y=number(y + 11)))
    return tag("g", *parts, class_=f"value c{colour}")


def _frame(arena_bytes: int, steps: int, step: float) -> Iterator[Markup]:
    """The axes: bytes at the left, launches below."""
    right, bottom = LEFT + steps * step, TOP + HEIGHT
    path = f"M{number(LEFT)} {number(TOP)}V{number(bottom)}H{number(right)}"
    yield tag("path", d=path, class_="axis")
    end = {"class_": "axis", "text_anchor": "end", "x": number(LEFT - 6)}
    yield tag("text", "0", y=number(TOP + 10), **end)
    yield tag("text", in_units(arena_bytes), y=number(bottom), **end)
    names = {0: "launch 0", steps - 1: str(steps - 1)} if steps > 1 else {0: "launch 0"}
    for each, name in names.items():
        yield tag("text", name, x=number(LEFT + each * step), y=number(bottom + 15), class_="axis")


def _peak(loads: Sequence[int], step: float) -> Iterator[Markup]:
    """The launch during which most is in use."""
    most = peak_of(loads)
    x = LEFT + most * step
    size = {"width": number(step), "height": number(HEIGHT)}
    yield tag("rect", x=number(x), y=number(TOP), **size, class_="peak")
    about = f"peak: {in_units(loads[most])} at launch {most}"
    yield tag("text", about, x=number(x), y=number(TOP - 7), class_="peak")
