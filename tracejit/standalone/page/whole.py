"""The page put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tracejit.cli import in_units
from tracejit.ir.graph import Graph
from tracejit.standalone.facts import Facts, facts_of
from tracejit.standalone.lowering import graphs_of
from tracejit.standalone.page.after import After
from tracejit.standalone.page.before import before, launches_of
from tracejit.standalone.page.markup import Markup, tag
from tracejit.standalone.page.names import names_of
from tracejit.standalone.page.style import STYLE
from tracejit.standalone.records import Target
from tracejit.standalone.sizes import atoms_of


def page_of(path: Path) -> str:
    """A page of HTML, the same for the same file. Raises ArtifactError."""
    facts = facts_of(path)
    manifest = facts.manifest
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{manifest.name}: artifact"),
        tag("style", Markup(STYLE)),
    )
    body = tag("body", *_about(facts), *_graphs(facts), *_targets(facts))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _about(facts: Facts) -> Iterator[Markup]:
    manifest, made = facts.manifest, facts.manifest.made
    yield tag("h1", f"{manifest.name}{facts.signature}")
    versions = f"tracejit {made.tracejit}, NumPy {made.numpy}, LLVM {made.llvm}"
    lines = (
        f"defined at {manifest.where}; made by {versions}; version {manifest.version}",
        f"{in_units(facts.nbytes)}, sha256 {facts.sha256}",
    )
    yield from (tag("p", line, class_="faint") for line in lines)
    yield from _section("Open sizes", ("size", "line"), facts.open)
    state = [facts.state(each) for each in manifest.call.state]
    yield from _section("State", ("name", "is"), state)
    baked = [(each.name, each.value, each.where) for each in manifest.baked]
    yield from _section("Baked in", ("name", "value", "line"), baked)
    asked = [(each.text, repr(each.value), each.where) for each in facts.requirements]
    yield from _section("Holds while", ("number", "is", "line"), asked)
    targets = [
        (each.name, each.level, each.system, len(objects), in_units(sum(map(len, objects))))
        for each in manifest.targets
        for objects in [facts.objects(each)]
    ]
    yield from _section("Targets", ("device", "level", "system", "objects", "size"), targets)


def _section(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
) -> Iterator[Markup]:
    if rows:
        yield tag("h2", title)
        head = tag("tr", *(tag("th", each) for each in columns))
        yield tag("table", head, *(tag("tr", *(tag("td", cell) for cell in row)) for row in rows))


def _graphs(facts: Facts) -> Iterator[Markup]:
    """As they were exported, with the launches of the first target that compute their ops."""
    manifest = facts.manifest
    graphs = graphs_of(facts.graph, facts.sizes, atoms_of(facts.sizes, facts.first))
    accounts = facts.accounts(manifest.targets[0]) if manifest.targets else ()
    for number, graph in enumerate(graphs):
        launches = launches_of(accounts[number]) if accounts else {}
        yield tag("h2", f"Graph{_numbered(number, graphs)}")
        yield tag("p", f"{len(graph.applies)} ops, before fusion.", class_="faint")
        yield before(graph, names_of(manifest.call, number), launches, _prefix(0, number))


def _targets(facts: Facts) -> Iterator[Markup]:
    for number, target in enumerate(facts.manifest.targets):
        yield from _target(facts, target, number)


def _target(facts: Facts, target: Target, place: int) -> Iterator[Markup]:
    plans, accounts = facts.plans[target].plans, facts.accounts(target)
    for number, (plan, account) in enumerate(zip(plans, accounts)):
        names = names_of(facts.manifest.call, number)
        after = After(plan, account, names, _prefix(place, number))
        yield tag("h2", f"Launches{_numbered(number, plans)} for {target.name} {target.level}")
        moved = in_units(sum(step.nbytes for step in plan.steps))
        yield tag("p", f"{len(plan.steps)} launches, which move {moved}.", class_="faint")
        yield after.launches()
        yield tag("h3", f"Scratch memory: {in_units(plan.arena_bytes)}")
        yield after.memory()


def _numbered(number: int, several: Sequence[Graph | object]) -> str:
    return f" of program {number}" if len(several) > 1 else ""


def _prefix(target: int, program: int) -> str:
    """What the names of a program's launches begin with."""
    return f"launch-{target}-{program}"
