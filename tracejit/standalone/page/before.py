"""A program's graph before fusion, as a list and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracejit.artifact import Account
from tracejit.ir.graph import Apply, Graph, Input, Node, ScalarInput
from tracejit.ir.printer import print_graph, print_node
from tracejit.standalone.page.graphs import Box, picture
from tracejit.standalone.page.markup import Markup, joined, tag
from tracejit.standalone.page.names import Names

MOST_LINKS = 6

Launches = Mapping[tuple[str, str], list[int]]
"""By an op's name and the user's line, the launches that compute such an op."""


def launches_of(account: Account) -> Launches:
    found: dict[tuple[str, str], list[int]] = {}
    for step, work in enumerate(account.steps):
        for op in work.ops:
            steps = found.setdefault((op.op, op.where), [])
            if step not in steps:
                steps.append(step)
    return found


def before(graph: Graph, names: Names, launches: Launches, prefix: str) -> Markup:
    """`prefix` is what the names of launches begin with on the page."""
    given = _given(graph, names)
    drawn = _picture(graph, given)
    listed = tag(
        "details",
        tag("summary", f"{len(graph.nodes)} values"),
        _table(graph, given, launches, prefix),
    )
    return joined((drawn, listed))


def _given(graph: Graph, names: Names) -> dict[Node, str]:
    """What inputs and Python numbers are called."""
    found: dict[Node, str] = {}
    for kind, of in (("input", Input), ("scalar", ScalarInput)):
        for number, node in enumerate(each for each in graph.inputs if isinstance(each, of)):
            found[node] = names.get((kind, number), f"{kind} {number}")
    return found


def _picture(graph: Graph, given: Mapping[Node, str]) -> Markup:
    numbers = {node: place for place, node in enumerate(graph.nodes)}
    lines = {node: f"%{place}" for node, place in numbers.items()}
    boxes = []
    for node in graph.nodes:
        title = print_node(node, lines)
        if isinstance(node, Apply):
            key = node.op.name, str(node.aval), str(node.loc)
            boxes.append(Box(node.op.name, title, "op", key))
        else:
            label = given.get(node, title.partition(" = ")[2])
            boxes.append(Box(label, title, "read", (label, str(node.aval))))
    edges = {(numbers[source], numbers[node]) for node in graph.applies for source in node.inputs}
    return picture(boxes, edges)


def _table(graph: Graph, given: Mapping[Node, str], launches: Launches, prefix: str) -> Markup:
    names = {node: f"%{place}" for place, node in enumerate(graph.nodes)}
    rows = [tag("tr", *(tag("th", each) for each in ("", "type", "value", "line", "launches")))]
    for node in graph.nodes:
        text = print_node(node, names, locations=False).partition(" = ")[2]
        text += f"  {given[node]}" if node in given else ""
        where = str(node.loc or "")
        steps = launches.get((node.op.name, where), []) if isinstance(node, Apply) else []
        cells = (names[node], node.aval, text, where, _links(steps, prefix))
        rows.append(tag("tr", *(tag("td", each) for each in cells)))
    last = print_graph(graph, locations=False).splitlines()[len(graph.nodes) :]
    rows += (tag("tr", tag("td", line, colspan=5)) for line in last)
    return tag("table", *rows)


def _links(steps: Sequence[int], prefix: str) -> Markup:
    """To launches; only to the first where there are many."""
    links = [tag("a", step, href=f"#{prefix}-{step}") for step in steps[:MOST_LINKS]]
    if len(steps) > MOST_LINKS:
        links.append(tag("span", f"and {len(steps) - MOST_LINKS} more"))
    return Markup(" ".join(links))
