"""The tensor graph: static single assignment, every node one value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tracejit._errors import Location
from tracejit._records import dataclass, field
from tracejit.ir.aval import Aval

if TYPE_CHECKING:
    from tracejit.ops.op import Op


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """An array from outside; `strides` (in elements) where they are not row-major.

    Inputs of one `memory` number may overlap: views of one storage.
    """

    aval: Aval
    strides: tuple[int, ...] | None = None
    loc: Location | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ScalarInput:
    """A Python number from outside, of 0 dimensions."""

    aval: Aval
    loc: Location | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A number that is part of the text."""

    aval: Aval
    value: bool | int | float
    loc: Location | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Apply:
    """An op on values."""

    op: Op
    inputs: tuple[Node, ...]
    params: tuple[tuple[str, Any], ...]
    aval: Aval
    loc: Location | None = None

    @property
    def kwargs(self) -> dict[str, Any]:
        return dict(self.params)

    def __repr__(self) -> str:
        # Without the inputs: a shared graph written as a tree grows exponentially.
        return f"<{self.op.name}: {self.aval}>"


Node = Input | ScalarInput | Constant | Apply


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """After every op has run, the memory of `target` holds `value`."""

    target: Input
    value: Node


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Inputs in order of their slots, the values it returns, and the writes it makes."""

    inputs: tuple[Input | ScalarInput, ...]
    outputs: tuple[Node, ...]
    effects: tuple[Effect, ...] = ()
    nodes: tuple[Node, ...] = field(init=False)
    """Everything that the outputs and effects need, and all inputs, each after what it needs."""
    applies: tuple[Apply, ...] = field(init=False)
    """The ops among them."""

    def __post_init__(self) -> None:
        nodes = topological(self.roots, self.inputs)
        object.__setattr__(self, "nodes", tuple(nodes))
        applies = tuple([node for node in nodes if type(node) is Apply])
        object.__setattr__(self, "applies", applies)

    @property
    def roots(self) -> tuple[Node, ...]:
        return (*self.outputs, *(effect.value for effect in self.effects))

    def users(self) -> dict[Node, list[Apply]]:
        users: dict[Node, list[Apply]] = {node: [] for node in self.nodes}
        for node in self.applies:
            for source in dict.fromkeys(node.inputs):
                users[source].append(node)
        return users

    def rewrite(self, rule: Callable[[Node], Node | None]) -> Graph:
        """Each node, its inputs already rewritten, replaced by `rule(node)` unless that is None."""
        new: dict[Node, Node] = {}
        for node in self.nodes:
            moved = with_inputs(node, new)
            new[node] = rule(moved) or moved
        return self.substitute(new)

    def substitute(self, new: Mapping[Node, Node]) -> Graph:
        """The graph of the new roots; the inputs stay."""
        effects = tuple(Effect(effect.target, new[effect.value]) for effect in self.effects)
        return Graph(self.inputs, tuple(new[node] for node in self.outputs), effects)


def with_inputs(node: Node, new: Mapping[Node, Node]) -> Node:
    """`node` on the new inputs; itself where none changed."""
    if type(node) is not Apply:
        return node
    inputs = tuple([new[source] for source in node.inputs])
    if inputs == node.inputs:
        return node
    return Apply(node.op, inputs, node.params, node.aval, node.loc)


def topological(roots: Iterable[Node], first: Iterable[Node] = ()) -> list[Node]:
    """Nodes in an order in which each follows its inputs; iterative, for graphs of any depth."""
    done: dict[Node, None] = dict.fromkeys(first)
    stack: list[tuple[Node, bool]] = [(node, False) for node in reversed(tuple(roots))]
    while stack:
        node, inputs_done = stack.pop()
        if node in done:
            continue
        if inputs_done or type(node) is not Apply:
            done[node] = None
            continue
        waits = [(source, False) for source in reversed(node.inputs) if source not in done]
        if not waits:
            done[node] = None
            continue
        stack.append((node, True))
        stack.extend(waits)
    return list(done)


def params_key(params: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Parameters as a graph holds them: sorted pairs."""
    return tuple(sorted(params.items()))
