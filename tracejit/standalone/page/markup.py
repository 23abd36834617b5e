"""Elements of HTML and SVG as text: what is no markup is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


VOID = frozenset({"meta"})


def tag(name: str, /, *content: object, **attributes: object) -> Markup:
    """An element. Of an attribute's name underscores are dashes, but for one at the end; attributes that are None are left out.

    >>> tag("a", "x < y", href="#1", class_="op")
    '<a href="#1" class="op">x &lt; y</a>'
    """
    known = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(each if isinstance(each, Markup) else escape(str(each)) for each in content)
    return Markup(f"<{name}{known}>" if name in VOID else f"<{name}{known}>{inside}</{name}>")


def joined(parts: Iterable[Markup]) -> Markup:
    """Elements one after another."""
    return Markup("".join(parts))


def number(value: float) -> str:
    """A coordinate: to a hundredth, without zeros at the end."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
