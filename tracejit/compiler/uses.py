"""Plans of parts of a graph, run in turn as one plan, on memory that lies between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tracejit._records import dataclass
from tracejit.artifact import Argument, Plan, Value
from tracejit.compiler.account import Between, described
from tracejit.compiler.assembly import at, places_of_inputs
from tracejit.compiler.joined import Part, joined
from tracejit.ir.cluster import Owner, Temporary
from tracejit.ir.graph import Graph, Input, Node, ScalarInput
from tracejit.passes.homes import Unit, nbytes
from tracejit.passes.interface import without_steps
from tracejit.passes.layouts import Layouts
from tracejit.passes.plan_memory import plan_memory


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """A run of a part's plan: on these values, with its outputs in these places, and memory that it is given `written`."""

    plan: Plan
    given: tuple[Node | Temporary, ...]
    outputs: tuple[Temporary | Argument, ...]
    written: tuple[Temporary, ...] = ()


def in_turn(
    uses: Sequence[Use], graph: Graph, layouts: Layouts, owners: Mapping[Node, Temporary | Input]
) -> Plan:
    """The plan of the whole graph. Values lie in the memory of their `owners`; others are inputs, or seen in their roots'."""

    def owner(value: Node | Temporary) -> Owner:
        if isinstance(value, Temporary):
            return value
        root = layouts.root(value)
        return owners.get(root, root)

    def place(value: Node | Temporary | Argument) -> Argument:
        if isinstance(value, Argument):
            return value
        offset = 0 if isinstance(value, Temporary) else layouts.layout(value).offset
        return at(owner(value), offset, places)

    def unit(use: Use) -> Unit:
        reads = dict.fromkeys(map(owner, use.given))
        made = (each for each in use.outputs if isinstance(each, Temporary))
        return Unit(
            tuple(each for each in reads if isinstance(each, Temporary)), (*made, *use.written)
        )

    units = [unit(use) for use in uses]
    memory = plan_memory(units, {})
    places = {**memory.places, **places_of_inputs(graph)}
    parts = [
        Part(
            use.plan,
            tuple(place(each) for each in use.given if not isinstance(each, ScalarInput)),
            tuple(map(place, use.outputs)),
            tuple(place(each) for each in use.given if isinstance(each, ScalarInput)),
        )
        for use in uses
    ]
    whole = without_steps(graph)
    names = {owner: node for node, owner in reversed([*owners.items()])}
    between = [*_between(units, memory.places, names)]
    return joined(parts, replace(whole, arena_bytes=memory.arena_bytes), between)


def _between(
    units: Sequence[Unit], places: Mapping[Owner, Argument], names: Mapping[Any, Node]
) -> Iterator[Between]:
    """The memory that goes from part to part, called by the first value in it."""
    needed: dict[Owner, list[int]] = {}
    for number, unit in enumerate(units):
        for owner in (*unit.reads, *unit.writes):
            needed.setdefault(owner, []).append(number)
    for owner, numbers in needed.items():
        about = described(names.get(owner, owner))
        yield Between(Value(*about, places[owner], nbytes(owner)), min(numbers), max(numbers))
