"""Programs of many writes to parts of arrays, as NumPy loops leave them, cut into what leads to each write.

In the graph a write is an update: a new version of the whole array. It can be made in place if the version before is read no
more, so the ops are put in an order in which what reads a version comes before the write to it, as in the user's program.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping

from tracejit._records import dataclass, field
from tracejit.ir.graph import Apply, Graph, Input, Node
from tracejit.passes.algebra import is_update
from tracejit.passes.layouts import Layouts, row_major

LEAST_WRITES = 256
"""Planning so many at once takes a good part of a second."""
MOST_OPS = 32
"""Ops for each write. Where there are more of them, it matters more what they are fused with."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Ops, and the update that they lead to; None of those after the last."""

    ops: tuple[Apply, ...]
    write: Apply | None


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """A graph cut up, its pieces in the order in which they run.

    last       the last piece that reads each memory; what the graph gives is read after all of them
    in_place   updates whose former version is read no more
    settled    inputs in whose memory the graph's writes to them are made one by one
    """

    pieces: tuple[Piece, ...]
    last: Mapping[Node | int, int]
    in_place: frozenset[Apply]
    settled: frozenset[Input]


def may_have_pieces(graph: Graph) -> bool:
    """Whether it is mostly writes, and many."""
    ops = graph.applies
    writes = sum(map(is_update, ops))
    return writes >= LEAST_WRITES and len(ops) <= MOST_OPS * writes


def pieces_of(graph: Graph, layouts: Layouts) -> Pieces:
    """The graph cut after each write."""
    ops = tuple(node for node in graph.applies if not layouts.is_alias(node))
    pieces = tuple(_cut(_in_order(ops, _Readers(ops, layouts), layouts), layouts))
    last = _last_readers(graph, pieces, layouts)
    in_place = frozenset(
        piece.write
        for number, piece in enumerate(pieces)
        if piece.write and _is_last(piece.write, number, last, layouts)
    )
    return Pieces(pieces, last, in_place, frozenset(_settled(graph, in_place, layouts)))


def memory_of(node: Node) -> Node | int:
    """Equal for inputs that may lie in one memory."""
    return node.memory if isinstance(node, Input) and node.memory is not None else node


@dataclass(slots=True, eq=False)
class _Readers:
    """The ops that read each memory."""

    ops: tuple[Apply, ...]
    layouts: Layouts
    of: dict[Node | int, list[Apply]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.ops:
            for root in dict.fromkeys(map(self.layouts.root, node.inputs)):
                self.of.setdefault(memory_of(root), []).append(node)


def _in_order(ops: tuple[Apply, ...], readers: _Readers, layouts: Layouts) -> Iterator[Apply]:
    """Each op after what it needs; a write, where possible, after all others that read what it writes over."""
    place = {node: number for number, node in enumerate(ops)}
    needs = [0] * len(ops)
    waits = [0] * len(ops)
    held: list[list[int]] = [[] for _ in ops]
    """The writes that wait for an op."""
    for number, node in enumerate(ops):
        needs[number] = len({root for root in map(layouts.root, node.inputs) if root in place})
        if is_update(node):
            before = readers.of[memory_of(layouts.root(node.inputs[0]))]
            rivals = [place[other] for other in before if other is not node]
            waits[number] = len(rivals)
            for rival in rivals:
                held[rival].append(number)
    ready = [number for number in range(len(ops)) if not needs[number] and not waits[number]]
    late = [number for number in range(len(ops)) if not needs[number] and waits[number]]
    done = bytearray(len(ops))
    while ready or late:
        number = heapq.heappop(ready or late)
        if done[number]:
            continue
        done[number] = True
        yield ops[number]
        for other in held[number]:
            waits[other] -= 1
            if not waits[other] and not needs[other]:
                heapq.heappush(ready, other)
        for reader in readers.of.get(ops[number], ()):
            after = place[reader]
            needs[after] -= 1
            if not needs[after]:
                heapq.heappush(late if waits[after] else ready, after)


def _cut(ops: Iterator[Apply], layouts: Layouts) -> Iterator[Piece]:
    """After each write, and before one to what was just computed."""
    found: list[Apply] = []
    for node in ops:
        if not is_update(node):
            found.append(node)
            continue
        if layouts.root(node.inputs[0]) in found:
            yield Piece(tuple(found), None)
            found = []
        yield Piece(tuple(found), node)
        found = []
    if found:
        yield Piece(tuple(found), None)


def _last_readers(
    graph: Graph, pieces: tuple[Piece, ...], layouts: Layouts
) -> dict[Node | int, int]:
    """The last piece that reads each memory; what the graph gives or writes is read after all of them."""
    last: dict[Node | int, int] = {}
    for number, piece in enumerate(pieces):
        for node in (*piece.ops, *filter(None, (piece.write,))):
            last.update((memory_of(layouts.root(source)), number) for source in node.inputs)
    last.update((memory_of(layouts.root(value)), len(pieces)) for value in graph.roots)
    return last


def _is_last(write: Apply, number: int, last: dict[Node | int, int], layouts: Layouts) -> bool:
    """Whether what a piece writes over lies in order, and is read by no later one."""
    base = write.inputs[0]
    root = layouts.root(base)
    return last[memory_of(root)] == number and layouts.layout(base) == row_major(root.aval.sizes)


def _settled(graph: Graph, in_place: frozenset[Apply], layouts: Layouts) -> Iterator[Input]:
    """The inputs that end as what in-place writes have made of them, one after another."""
    written = Counter(memory_of(effect.target) for effect in graph.effects)
    for effect in graph.effects:
        value: Node = effect.value
        while isinstance(value, Apply) and value in in_place:
            value = layouts.root(value.inputs[0])
        is_chain = value is effect.target and value is not effect.value
        if is_chain and written[memory_of(value)] == 1:
            yield effect.target
