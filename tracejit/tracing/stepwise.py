"""A graph run op by op, each by the program that eager execution would use for it: the bits of the fused program without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit._config import config
from tracejit._gate import late
from tracejit._records import dataclass
from tracejit.ir.graph import Apply, Graph, Input, Node, ScalarInput
from tracejit.ir.interpret import number
from tracejit.ir.printer import print_graph
from tracejit.passes.layouts import Layouts
from tracejit.runtime.buffer import Buffer, array_at
from tracejit.storage import is_row_major

Runner = Callable[[Sequence[int], Sequence[Any]], list[Buffer]]
Operand = tuple[Node, int]
"""Memory, by the node that it belongs to, and the bytes from its beginning."""
MOST_PROGRAMS = 1 << 12
"""Programs of single ops that are kept for graphs to come."""


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """One op: where its arrays lie, its numbers, and whose memory nobody needs after it."""

    node: Apply
    run: Runner
    arrays: tuple[Operand, ...]
    numbers: tuple[Node, ...]
    done: tuple[Node, ...]


class Stepwise:
    """Runs a graph op by op. Several threads may run it at once; the first to do so finds the programs of its ops."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._layouts = Layouts(graph)
        self._steps: list[_Step] | None = None

    def run(
        self, addresses: Sequence[int], scalars: Sequence[bool | int | float] = ()
    ) -> list[Buffer]:
        """Row-major outputs, from the addresses of the graph's arrays and its Python numbers, as a compiled program's."""
        if self._steps is None:
            self._steps = self._prepared()
        memory = _Memory(self.graph, self._layouts, addresses, scalars)
        for step in self._steps:
            memory.do(step)
        outputs = memory.outputs()
        memory.write()
        return outputs

    def _prepared(self) -> list[_Step]:
        computed = [node for node in self.graph.applies if not self._layouts.is_alias(node)]
        runs = _programs([self._alone(node) for node in computed])
        done = self._last_uses(computed)
        return [
            _Step(node, run, *self._operands(node), done.get(node, ()))
            for node, run in zip(computed, runs)
        ]

    def _operands(self, node: Apply) -> tuple[tuple[Operand, ...], tuple[Node, ...]]:
        arrays = tuple(
            (self._layouts.root(source), _offset(source, self._layouts))
            for source in node.inputs
            if _is_array(source)
        )
        return arrays, tuple(source for source in node.inputs if not _is_array(source))

    def _alone(self, node: Apply) -> Graph:
        """The op as a graph of its own, on its operands as they lie in memory."""
        inputs = tuple(
            Input(source.aval, self._strides(source))
            if _is_array(source)
            else ScalarInput(source.aval)
            for source in node.inputs
        )
        return Graph(inputs, (Apply(node.op, inputs, node.params, node.aval),))

    def _strides(self, source: Node) -> tuple[int, ...] | None:
        layout = self._layouts.layout(source)
        return None if is_row_major(layout) else layout.strides

    def _last_uses(self, computed: list[Apply]) -> dict[Apply, tuple[Node, ...]]:
        """By op: what was computed, and is needed by no op after it, no output and no effect."""
        root = self._layouts.root
        seen = {root(node) for node in self.graph.roots}
        found: dict[Apply, tuple[Node, ...]] = {}
        for node in reversed(computed):
            last = {root(source) for source in node.inputs if isinstance(root(source), Apply)}
            found[node] = tuple(last - seen)
            seen |= last
        return found


class _Memory:
    """The memory of one run: that of the graph's inputs, and of what has been computed."""

    def __init__(
        self, graph: Graph, layouts: Layouts, addresses: Sequence[int], scalars: Sequence[Any]
    ) -> None:
        self._graph = graph
        self._layouts = layouts
        arrays = [node for node in graph.inputs if isinstance(node, Input)]
        numbers = [node for node in graph.inputs if isinstance(node, ScalarInput)]
        self._addresses: dict[Node, int] = dict(zip(arrays, addresses, strict=True))
        self._numbers: dict[Node, Any] = dict(zip(numbers, scalars, strict=True))
        self._buffers: dict[Node, Buffer] = {}

    def do(self, step: _Step) -> None:
        addresses = [self._address(root) + offset for root, offset in step.arrays]
        (buffer,) = step.run(addresses, [self._number(node) for node in step.numbers])
        self._keep(step.node, buffer)
        for node in step.done:
            del self._buffers[node]

    def outputs(self) -> list[Buffer]:
        """A buffer for each output: that of a computed value is handed out once, all else is copied."""
        given: set[Node] = set()
        buffers = []
        for node in self._graph.outputs:
            own = self._buffers.get(node) if isinstance(node, Apply) else None
            if own is None or node in given:
                own = _copied(self._array(node))
            given.add(node)
            buffers.append(own)
        return buffers

    def write(self) -> None:
        """Makes the effects: all that they read is read before the first write."""
        effects = [each for each in self._graph.effects if each.value is not each.target]
        values = []
        for effect in effects:
            value = self._array(effect.value)
            is_computed = isinstance(self._layouts.root(effect.value), Apply)
            values.append(value if is_computed else value.copy())
        for effect, value in zip(effects, values):
            self._array(effect.target)[...] = value

    def _array(self, node: Node) -> np.ndarray:
        address = self._address(self._layouts.root(node)) + _offset(node, self._layouts)
        layout = self._layouts.layout(node)
        return array_at(address, node.aval.dtype.numpy, layout.shape, layout.strides)

    def _address(self, root: Node) -> int:
        if root not in self._addresses:  # a number that is looked at as an array
            self._keep(root, _copied(number(self._number(root), root.aval)))
        return self._addresses[root]

    def _keep(self, root: Node, buffer: Buffer) -> None:
        self._buffers[root] = buffer
        self._addresses[root] = buffer.address

    def _number(self, node: Node) -> Any:
        return self._numbers[node] if isinstance(node, ScalarInput) else node.value  # type: ignore[union-attr]  # a Constant


def _is_array(node: Node) -> bool:
    return isinstance(node, Input | Apply)


def _offset(node: Node, layouts: Layouts) -> int:
    """In bytes."""
    return layouts.layout(node).offset * node.aval.dtype.itemsize


def _copied(array: np.ndarray) -> Buffer:
    buffer = Buffer.allocate(array.nbytes)
    buffer.array(array.dtype, array.shape)[...] = array
    return buffer


_known: dict[tuple[str, str], Runner] = {}


def _programs(graphs: list[Graph]) -> list[Runner]:
    """What runs each of these graphs of one op; those that are missing are compiled together."""
    keys = [(print_graph(graph), config.target) for graph in graphs]
    found = {key: run for key in keys if (run := _known.get(key)) is not None}
    missing = {key: graph for key, graph in zip(keys, graphs) if key not in found}
    if missing:
        programs = late("tracejit.compiler").compile_together(list(missing.values()))
        made = {key: program.run for key, program in zip(missing, programs)}
        if len(_known) + len(made) > MOST_PROGRAMS:
            _known.clear()
        _known.update(made)
        found |= made
    return [found[key] for key in keys]
