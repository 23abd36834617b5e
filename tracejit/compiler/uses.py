"""Plans of parts of a graph, run in turn as one plan, on memory that lies between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tracejit._records import dataclass
from tracejit.artifact import Argument, Plan
from tracejit.compiler.assembly import at, places_of_inputs
from tracejit.compiler.joined import Part, joined
from tracejit.ir.cluster import Owner, Temporary
from tracejit.ir.graph import Graph, Input, Node, ScalarInput
from tracejit.passes.homes import Unit
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

    memory = plan_memory([unit(use) for use in uses], {})
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
    return joined(parts, replace(whole, arena_bytes=memory.arena_bytes))
