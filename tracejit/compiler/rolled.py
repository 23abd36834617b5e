"""Graphs with rounds, as an unrolled loop leaves them, compiled in three parts: what comes before, one round, what comes after.

Each part is a graph of its own, of which the values from outside are inputs. The launches of a round are in the whole plan once
for every round, on that round's values. A value that only the next round reads is written over by that: the rounds share its
memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tracejit._records import dataclass
from tracejit.artifact import Argument, Place, Plan
from tracejit.compiler.sections import Outline, Section, memory_numbers
from tracejit.compiler.uses import Use, in_turn
from tracejit.ir.cluster import Temporary
from tracejit.ir.graph import Apply, Graph, Node
from tracejit.passes.layouts import Layouts
from tracejit.passes.repeats import Rounds, rounds_of

Compile = Callable[[Graph], Plan]
MOST_TURNS = 4
"""Rounds that take turns with the memory of a value."""
_BEFORE = -1
"""The number of the first part; rounds have their own, and what comes after them the next."""


def rolled(graph: Graph, layouts: Layouts, compile: Compile) -> Plan | None:
    """The plan of a graph with rounds, whose parts `compile` plans; None where there are none."""
    rounds = rounds_of(graph, layouts)
    return None if rounds is None else _Rolled(graph, layouts, rounds).plan(compile)


@dataclass(frozen=True, slots=True, eq=False)
class _Carried:
    """A value of each round that is needed for some rounds only: the last of them writes over it.

    op       which computes it
    given    which of the given values it is in that last round, and `seen` all that lie in its memory
    first    what stands in its memory before it is written, for as many rounds as a value is needed
    memory   as many: rounds take turns
    """

    op: int
    given: int
    seen: frozenset[int]
    first: tuple[Node, ...]
    memory: tuple[Temporary, ...]

    def at(self, number: int) -> Temporary:
        """Where the value of a round lies."""
        return self.memory[number % len(self.memory)]


class _Rolled:
    """The parts of one graph, and the memory by which values go from one to another."""

    def __init__(self, graph: Graph, layouts: Layouts, rounds: Rounds) -> None:
        self._graph, self._layouts, self._rounds = graph, layouts, rounds
        self._ops = rounds.ops
        self._place: dict[Node, int] = {node: n for n, node in enumerate(self._ops)}
        self._readers = self._find_readers()
        ops = range(rounds.period)
        self._leaving = [op for op in ops if any(map(self._readers.get, self._all_of(op)))]
        self._carried = [each for op in self._leaving if (each := self._find_carried(op))]
        self._owners = dict(self._find_owners())

    def plan(self, compile: Compile) -> Plan:
        sections = self._before(), self._round(), self._after()
        plans = [compile(section.graph) for section in sections]
        uses = [*self._uses(sections, plans)]
        return in_turn(uses, self._graph, self._layouts, self._owners)

    # The sections

    def _before(self) -> Section:
        outline = Outline(self._layouts, memory_numbers(self._layouts))
        outline.take(self._ops[: self._rounds.start])
        first = (node for each in self._carried for node in each.first)
        return outline.section((*self._kept, *first), ())

    def _round(self) -> Section:
        shared = {at: number for number, each in enumerate(self._carried) for at in each.seen}
        outline = Outline(self._layouts, lambda at, _: shared.get(at))
        given = self._rounds.given[0]
        outline.take([self._op(0, op) for op in range(self._rounds.period)])
        effects = [(given[each.given], self._op(0, each.op)) for each in self._carried]
        section = outline.section([self._op(0, op) for op in self._let_out], effects)
        assert section.given == given, "rounds and outlines come upon values in the same order"
        return section

    def _after(self) -> Section:
        outline = Outline(self._layouts, memory_numbers(self._layouts))
        outline.take(self._ops[self._rounds.stop :])
        effects = [(effect.target, effect.value) for effect in self._graph.effects]
        return outline.section(self._graph.outputs, effects)

    # Their uses

    def _uses(
        self, sections: tuple[Section, Section, Section], plans: Sequence[Plan]
    ) -> Iterator[Use]:
        before, _, after = sections
        started = (memory for each in self._carried for memory in each.memory)
        yield Use(plans[0], before.given, (*(self._owners[node] for node in self._kept), *started))
        for number, given in enumerate(self._rounds.given):
            written = {each.given: each.at(number) for each in self._carried}
            outputs = tuple(self._owners[self._op(number, op)] for op in self._let_out)
            seen = tuple(written.get(at, node) for at, node in enumerate(given))
            yield Use(plans[1], seen, outputs, tuple(written.values()))
        results = (Argument(Place.OUTPUT, n) for n in range(len(self._graph.outputs)))
        yield Use(plans[2], after.given, tuple(results))

    # What goes from part to part

    def _part(self, node: Node) -> int:
        rounds, at = self._rounds, self._place[node]
        if at < rounds.start:
            return _BEFORE
        return min((at - rounds.start) // rounds.period, rounds.count)

    def _op(self, number: int, op: int) -> Apply:
        """An op of a round."""
        return self._ops[self._rounds.start + number * self._rounds.period + op]

    def _all_of(self, op: int) -> list[Apply]:
        return [self._op(number, op) for number in range(self._rounds.count)]

    def _find_readers(self) -> dict[Node, set[int]]:
        """The other parts that read a computed value."""
        readers: dict[Node, set[int]] = {}

        def note(source: Node, part: int) -> None:
            root = self._layouts.root(source)
            if isinstance(root, Apply) and self._part(root) != part:
                readers.setdefault(root, set()).add(part)

        for node in self._ops:
            for source in node.inputs:
                note(source, self._part(node))
        for value in self._graph.roots:
            note(value, self._rounds.count)
        return readers

    def _find_carried(self, op: int) -> _Carried | None:
        """The values of an op, if each may be written over in the last round that reads it."""
        values, given = self._all_of(op), self._rounds.given
        last = max(self._readers.get(values[0], ()), default=0)
        if not 0 < last <= min(MOST_TURNS, len(values) - 1) or any(
            max(self._readers.get(value, ()), default=0) != number + last
            for number, value in enumerate(values[:-last])
        ):
            return None
        pairs = [*zip(values, given[last:])]
        every = range(len(given[0]))
        seen = [[self._layouts.root(seen[at]) is value for value, seen in pairs] for at in every]
        whole = [at for at in every if all(seen[at] is value for value, seen in pairs)]
        if not whole or any(any(each) and not all(each) for each in seen):
            return None
        return _Carried(
            op,
            whole[0],
            frozenset(at for at in every if all(seen[at])),
            tuple(seen[whole[0]] for seen in given[:last]),
            tuple(Temporary(values[0].aval.dtype, values[0].aval.size) for _ in range(last)),
        )

    def _find_owners(self) -> Iterator[tuple[Node, Temporary]]:
        """The memory of each computed value that another part reads."""
        for node in self._kept:
            yield node, Temporary(node.aval.dtype, node.aval.size)
        for each in self._carried:
            values = enumerate(self._all_of(each.op))
            yield from ((node, each.at(number)) for number, node in values)
        for op in self._let_out:
            for node in self._all_of(op):
                yield node, Temporary(node.aval.dtype, node.aval.size)

    @property
    def _kept(self) -> tuple[Node, ...]:
        """What is computed before the rounds and read later."""
        return tuple(node for node in self._readers if self._part(node) == _BEFORE)

    @property
    def _let_out(self) -> tuple[int, ...]:
        """The ops of a round whose values have memory of their own in each."""
        carried = {each.op for each in self._carried}
        return tuple(op for op in self._leaving if op not in carried)
