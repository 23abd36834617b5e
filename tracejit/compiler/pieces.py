"""Graphs of many writes compiled piece by piece, equal pieces once, whatever array and whichever part of it they write.

A piece is a graph of its own, whose inputs are parts of arrays with nothing said of where they begin. So a loop over
`A[i, j] -= A[i, :j] @ A[:j, j]` needs a plan for each j, and none for each i.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tracejit.artifact import Argument, Place, Plan
from tracejit.compiler.alike import AlikePlans
from tracejit.compiler.sections import Outline, Section, memory_numbers
from tracejit.compiler.uses import Use, in_turn
from tracejit.ir.cluster import Temporary
from tracejit.ir.graph import Apply, Graph, Input, Node, params_key
from tracejit.ops.op import Layout
from tracejit.ops.registry import REGISTRY
from tracejit.passes.layouts import Layouts
from tracejit.passes.writes import memory_of, pieces_of

Compile = Callable[[Graph], Plan]
Memory = Temporary | Input


def piecewise(graph: Graph, layouts: Layouts, compile: Compile) -> Plan:
    """The plan of a graph of many writes, whose pieces `compile` plans."""
    return _Piecewise(graph, layouts, compile).plan()


class _Piecewise:
    """The pieces of one graph, and the memory of what goes from one to another."""

    def __init__(self, graph: Graph, layouts: Layouts, compile: Compile) -> None:
        self._graph, self._layouts = graph, layouts
        self._found = pieces_of(graph, self._layouts)
        self._memory: dict[Node, Memory] = {}
        self._plans = AlikePlans(compile)

    def plan(self) -> Plan:
        return in_turn([*self._uses()], self._graph, self._layouts, self._memory)

    def _uses(self) -> Iterator[Use]:
        for number, piece in enumerate(self._found.pieces):
            leaving = tuple(node for node in piece.ops if self._found.last.get(node, -1) > number)
            for node in leaving:
                self._memory[node] = Temporary(node.aval.dtype, node.aval.size)
            if piece.write is None:
                yield self._computing(piece.ops, leaving)
            else:
                yield from self._room_for(piece.write)
                yield self._writing(piece.ops, leaving, piece.write)
        yield self._ending()

    def _room_for(self, write: Apply) -> Iterator[Use]:
        """What has to be run so that an update can be made in place: nothing, or a copy of what it is of."""
        base = write.inputs[0]
        root = self._layouts.root(base)
        memory = self._memory.get(root)
        if isinstance(root, Input) and root in self._found.settled:
            memory = root
        if memory is not None and write in self._found.in_place:
            self._memory[write] = memory
            return
        copy = self._memory[write] = Temporary(write.aval.dtype, write.aval.size)
        outline = Outline(self._layouts, _apart)
        yield self._use(outline.section((base,), ()), (copy,))

    def _computing(self, ops: tuple[Apply, ...], leaving: tuple[Apply, ...]) -> Use:
        outline = Outline(self._layouts, _apart)
        outline.take(ops)
        return self._use(outline.section(leaving, ()), self._places(leaving))

    def _writing(self, ops: tuple[Apply, ...], leaving: tuple[Apply, ...], write: Apply) -> Use:
        part = _Part(self._layouts, self._memory, write)
        outline = Outline(self._layouts, part.number)
        outline.take(ops)
        section = outline.section(leaving, (part.written(outline),))
        written = self._memory[write]
        memory = (written,) if isinstance(written, Temporary) else ()
        return self._use(section, self._places(leaving), memory)

    def _ending(self) -> Use:
        """What the graph gives, and its writes but for those that are made one by one."""
        outline = Outline(self._layouts, memory_numbers(self._layouts))
        left = [each for each in self._graph.effects if each.target not in self._found.settled]
        effects = [(effect.target, effect.value) for effect in left]
        results = (Argument(Place.OUTPUT, n) for n in range(len(self._graph.outputs)))
        return self._use(outline.section(self._graph.outputs, effects), tuple(results))

    def _places(self, nodes: tuple[Apply, ...]) -> tuple[Temporary, ...]:
        return tuple(at for node in nodes if isinstance(at := self._memory[node], Temporary))

    def _use(
        self,
        section: Section,
        outputs: tuple[Temporary | Argument, ...],
        written: tuple[Temporary, ...] = (),
    ) -> Use:
        return Use(self._plans.of(section.graph), section.given, outputs, written)


class _Part:
    """The part of an array that an update replaces, in the memory in which it is made."""

    def __init__(self, layouts: Layouts, memory: Mapping[Node, Memory], update: Apply) -> None:
        self._layouts, self._memory, self._update = layouts, memory, update
        self._home = memory[update]
        self._node = self._add("slice", update, **update.kwargs)
        self._lies = _squeezed(layouts.layout(self._node))

    def number(self, _: int, node: Node) -> int | None:
        """0 for what may overlap with it."""
        root, home = self._layouts.root(node), self._home
        if self._memory.get(root, root) is home:
            return 0 if _meet(self._layouts.layout(node), self._lies) else None
        return 0 if isinstance(home, Input) and memory_of(root) == memory_of(home) else None

    def written(self, outline: Outline) -> tuple[Node, Node]:
        """The write, as (target, value): to what is read there, if that is the same part, so that it can be done in step."""
        value = self._update.inputs[1]
        if value.aval.shape != self._node.aval.shape:
            return self._repeated(outline, value)
        target = next(filter(self._is_it, outline.given), None) or self._target()
        return target, self._reshaped(value, target.aval.sizes)

    def _repeated(self, outline: Outline, value: Node) -> tuple[Node, Node]:
        """The write of a value that is repeated: an update of all of the part."""
        target = self._target()
        sizes = self._node.aval.sizes[self._node.aval.ndim - value.aval.ndim :]
        kept = tuple(n for n, extent in zip(value.aval.sizes, sizes) if extent != 1)
        shape = target.aval.sizes
        bounds = {"start": (0,) * len(shape), "stop": shape, "step": (1,) * len(shape)}
        whole = self._add("update", target, self._reshaped(value, kept), **bounds)
        outline.take((whole,))
        return target, whole

    def _target(self) -> Apply:
        return self._add("reshape", self._node, shape=self._lies.shape)

    def _is_it(self, node: Node) -> bool:
        root = self._layouts.root(node)
        same = self._memory.get(root, root) is self._home
        return same and _squeezed(self._layouts.layout(node)) == self._lies

    def _reshaped(self, node: Node, shape: tuple[int, ...]) -> Node:
        return node if node.aval.shape == shape else self._add("reshape", node, shape=shape)

    def _add(self, name: str, *inputs: Node, **params: Any) -> Apply:
        op = REGISTRY[name]
        aval = op.infer(*(node.aval for node in inputs), **params)
        made = Apply(op, inputs, params_key(params), aval, self._update.loc)
        self._layouts.add(made)
        return made


def _apart(_: int, node: Node) -> None:
    """Nothing is written."""


def _squeezed(layout: Layout) -> Layout:
    """Without the dimensions of one element."""
    pairs = [pair for pair in zip(layout.shape, layout.strides) if pair[0] != 1]
    return Layout(tuple(n for n, _ in pairs), tuple(by for _, by in pairs), layout.offset)


def _meet(a: Layout, b: Layout) -> bool:
    """Whether there may be an element that belongs to both."""
    (first, last), (start, stop) = _reach(a), _reach(b)
    return first <= stop and start <= last


def _reach(layout: Layout) -> tuple[int, int]:
    """The first and the last element."""
    ways = [(n - 1) * stride for n, stride in zip(layout.shape, layout.strides)]
    return (
        layout.offset + sum(way for way in ways if way < 0),
        layout.offset + sum(way for way in ways if way > 0),
    )
