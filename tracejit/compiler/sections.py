"""Parts of a graph as graphs of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tracejit._records import dataclass, field
from tracejit.ir.graph import Apply, Constant, Effect, Graph, Input, Node, ScalarInput
from tracejit.passes.layouts import Layouts, row_major


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A part as a graph of its own; `given` are the values of the whole graph that its inputs are."""

    graph: Graph
    given: tuple[Node, ...]


@dataclass(slots=True, eq=False)
class Outline:
    """Makes a graph of some ops of another one. `memory` numbers what may overlap, by the values that are given."""

    layouts: Layouts
    memory: Callable[[int, Node], int | None]
    taken: set[Node] = field(default_factory=set)
    new: dict[Node, Node] = field(default_factory=dict)
    given: dict[Node, Input | ScalarInput] = field(default_factory=dict)

    def take(self, ops: Sequence[Apply]) -> None:
        self.taken.update(ops)
        for node in ops:
            self.new[node] = self._again(node)

    def value(self, node: Node) -> Node:
        if isinstance(node, Constant):
            return node
        if node not in self.new:
            self.new[node] = self._view(node) or self._given(node)
        return self.new[node]

    def _again(self, node: Apply) -> Apply:
        inputs = tuple(map(self.value, node.inputs))
        return Apply(node.op, inputs, node.params, node.aval, node.loc)

    def _view(self, node: Node) -> Apply | None:
        """Another layout of a value that is made here."""
        if isinstance(node, Apply) and self.layouts.root(node) in self.taken:
            return self._again(node)
        return None

    def _given(self, node: Node) -> Input | ScalarInput:
        made = self.given[node] = self._input(node)
        return made

    def target(self, node: Node) -> Input:
        found = self.value(node)
        assert isinstance(found, Input)
        return found

    def section(self, outputs: Sequence[Node], effects: Sequence[tuple[Node, Node]]) -> Section:
        """With these values, and writes of (target, value), to the outside."""
        values = tuple(map(self.value, outputs))
        writes = tuple(Effect(self.target(to), self.value(value)) for to, value in effects)
        return Section(Graph(tuple(self.given.values()), values, writes), tuple(self.given))

    def _input(self, node: Node) -> Input | ScalarInput:
        if isinstance(node, ScalarInput):
            return ScalarInput(node.aval, node.loc)
        layout = self.layouts.layout(node)
        is_plain = layout.strides == row_major(layout.shape).strides
        memory = self.memory(len(self.given), node)
        return Input(node.aval, None if is_plain else layout.strides, node.loc, memory)


def memory_numbers(layouts: Layouts) -> Callable[[int, Node], int | None]:
    """Numbers for the memory of a whole graph's inputs, in which several values may lie."""
    numbers: dict[Node | int, int] = {}

    def number(_: int, node: Node) -> int | None:
        root = layouts.root(node)
        if not isinstance(root, Input):
            return None
        key = root if root.memory is None else root.memory
        return numbers.setdefault(key, len(numbers))

    return number
