"""The recordings of a function as `tj.explain` tells of them."""

from __future__ import annotations

from collections.abc import Iterator

from tracejit._records import dataclass
from tracejit.tracing.replay.tree import Node

MOST_GUARDS = 40
MOST_VARIANTS = 8
WIDTH = 120
"""How much `str()` shows: lines of guards, recordings, and characters of guards in a line."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A recording, with the ways that calls have gone from it.

    hits    how many calls it has served
    ways    how many ways through decisions that depend on data are known
    guards  what is checked before and on the way, each with the user's line that depends on it
    """

    hits: int
    ways: int
    guards: tuple[str, ...]


def variant_of(root: Node) -> Variant:
    """What is known of the calls that begin with the guards of `root`."""
    nodes = _below(root)
    ahead = root.speculation
    return Variant(
        hits=sum(node.hits for node in nodes) + (0 if ahead is None else ahead.hits),
        ways=sum(node.end is None for node in nodes),
        guards=tuple(
            f"{where}: {guard}" for node in nodes for guard, where in zip(node.guards, node.wheres)
        ),
    )


def _below(root: Node) -> list[Node]:
    """A node and all that come after it, in order."""
    found, stack = dict[Node, None](), [root]
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = None
            stack += [child for children in list(node.children.values()) for child in children]
    return list(found)


def lines_of(variants: tuple[Variant, ...]) -> Iterator[str]:
    """Lines for people: how often each recording has served, and the guards of the first, those of one line together."""
    if not variants:
        return
    yield f"recordings: {len(variants)}"
    for variant in variants[:MOST_VARIANTS]:
        ways = f", {variant.ways} ways through data" if variant.ways > 1 else ""
        yield f"  {variant.hits} replays, {len(variant.guards)} guards{ways}"
    if len(variants) > MOST_VARIANTS:
        yield f"  ... and {len(variants) - MOST_VARIANTS} more"
    yield "guards of the first, by the line that depends on them:"
    lines = [f"  {line}" for line in _grouped(variants[0].guards)]
    yield from lines[:MOST_GUARDS]
    if len(lines) > MOST_GUARDS:
        yield f"  ... and {len(lines) - MOST_GUARDS} more lines: see .guards"


def _grouped(guards: tuple[str, ...]) -> Iterator[str]:
    """The guards of each of the user's lines on one line, as far as there is room."""
    groups: dict[str, list[str]] = {}
    for guard in guards:
        where, _, what = guard.partition(": ")
        groups.setdefault(where, []).append(what)
    for where, parts in groups.items():
        text, shown = parts[0], 1
        while shown < len(parts) and len(where) + len(text) + len(parts[shown]) < WIDTH:
            text += f"; {parts[shown]}"
            shown += 1
        rest = len(parts) - shown
        yield f"{where}: {text}" + (f"; and {rest} more" if rest else "")
