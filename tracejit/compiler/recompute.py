"""Values that a kernel computes anew instead of reading them, where that takes fewer bytes of memory.

A training step's forward pass leaves what its gradients need: of a GELU eight arrays, each a few instructions away from two of
them. Which ones had best lie in memory is asked for each step in turn: whatever it reads follows from what cannot be computed
anew, or costs too much, and the arrays that it should read are the cheapest ones that part it from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod

from tracejit._records import dataclass, field
from tracejit.codegen.kernel.access import aligned, result_labels
from tracejit.codegen.kernel.cost import profile
from tracejit.compiler.machine import CORES
from tracejit.compiler.members import accesses_of, only
from tracejit.ir.cluster import Fused, Labels, Step, Store
from tracejit.ir.graph import Apply, Constant, Graph, Input, Node
from tracejit.ops.op import Gather, Pointwise, ScatterAdd, Update, View
from tracejit.passes.cut import ENDLESS, least_cut
from tracejit.passes.fuse import MOST_MEMBERS
from tracejit.passes.homes import nbytes
from tracejit.passes.layouts import Layouts, relabel, row_major

LEAST_BYTES = 1 << 17
"""Of a value that is worth looking at: smaller ones stay in a core's own cache."""
FARTHEST = 8
"""Ops in a row that are looked at, from a value that a step reads to what it might read instead."""


def computed_anew(steps: Sequence[Step], graph: Graph, layouts: Layouts) -> list[Step]:
    """The steps, in their order; no step reads a large value that it had better compute, nor is one written that nobody reads."""
    if not any(
        nbytes(store.target) >= LEAST_BYTES
        for step in steps
        if isinstance(step, Fused)
        for store in step.stores
    ):
        return [*steps]
    values = _Values(steps, graph, layouts)
    for place in range(len(steps)):
        values.consider(place)
    return values.steps()


def written_over(graph: Graph, layouts: Layouts) -> set[Node]:
    """Memory that is written over in the end, as soon as nobody reads it: nobody else is to read it."""
    targets = [effect.target for effect in graph.effects]
    memories = {target.memory for target in targets} - {None}
    found: set[Node] = {
        node
        for node in graph.inputs
        if isinstance(node, Input) and (node in targets or node.memory in memories)
    }
    updates = [n for n in graph.applies if isinstance(n.op.recipe, Update | ScatterAdd)]
    return found | {layouts.root(node.inputs[0]) for node in updates}


@dataclass(slots=True)
class _Wanted:
    """What a step reads, as far as it might be computed there.

    labels  of each value that was come across, in the step's space
    before  the operands of a value that can be computed, those that are no plain numbers
    costs   of reading each: bytes
    ends    the large values that the step reads now
    """

    labels: dict[Node, Labels] = field(default_factory=dict)
    before: dict[Node, list[Node]] = field(default_factory=dict)
    costs: dict[Node, int] = field(default_factory=dict)
    ends: list[Node] = field(default_factory=list)


class _Values:
    """Who computes, stores and reads each value, as it now stands."""

    def __init__(self, steps: Sequence[Step], graph: Graph, layouts: Layouts) -> None:
        self.layouts = layouts
        self.now: list[Step] = [*steps]
        self.kept = {layouts.root(node) for node in graph.roots}
        """What somebody else will read."""
        self.home: dict[Node, int] = {}
        self.reads: dict[int, set[Node]] = {}
        self.readers: dict[Node, set[int]] = {}
        self.stored: set[Node] = set()
        self.replaced = written_over(graph, layouts)
        for place, step in enumerate(steps):
            if isinstance(step, Fused):
                self.home |= dict.fromkeys(step.members, place)
                self.stored |= {each.value for each in step.stores if each.target is each.value}
            self._note_reads(place)

    def _note_reads(self, place: int) -> None:
        for root in self.reads.get(place, ()):
            self.readers[root].discard(place)
        self.reads[place] = {*self._read(self.now[place])}
        for root in self.reads[place]:
            self.readers.setdefault(root, set()).add(place)

    def _read(self, step: Step) -> Iterator[Node]:
        if isinstance(step, Fused):
            yield from (access.root for access in accesses_of(step, self.layouts).every_read())
        else:
            yield from map(self.layouts.root, step.node.inputs)

    # one step

    def consider(self, place: int) -> None:
        """Lets the step compute what it should, and those before it store what that needs."""
        step = self.now[place]
        if not isinstance(step, Fused) or not step.members:
            return
        wanted = self._wanted(place, step)
        if not wanted.before:
            return
        cut = least_cut(wanted.costs, wanted.before, wanted.ends)
        new = self._computed(wanted, cut)
        saved = sum(wanted.costs[end] for end in wanted.ends) - sum(
            wanted.costs[node] for node in cut
        )
        spent = prod(step.space) * sum(profile(node).nanoseconds for node in new)
        if spent >= saved * CORES.byte or len(step.members) + len(new) > MOST_MEMBERS:
            return
        self.stored |= {node for node in cut if node in self.home}
        members = sorted({*step.members, *new}, key=self.layouts.position.__getitem__)
        labels = step.labels | {node: wanted.labels[node] for node in new}
        self.now[place] = replace(step, members=tuple(members), labels=labels)
        self._note_reads(place)

    def _wanted(self, place: int, step: Fused) -> _Wanted:
        wanted = _Wanted()
        accesses = accesses_of(step, self.layouts)
        anyway = {
            accesses.gathered(m).root for m in step.members if isinstance(m.op.recipe, Gather)
        }
        found: dict[Node, Labels] = {}
        for (node, labels), access in accesses.reads.items():
            seen = self._behind(node, labels)
            if seen is None or nbytes(seen[0]) < LEAST_BYTES or not self._follows(*seen, step):
                anyway.add(access.root)
            elif found.setdefault(seen[0], seen[1]) != seen[1]:
                anyway.add(seen[0])
        wanted.ends = [node for node in found if node not in anyway]
        wanted.labels = {node: found[node] for node in wanted.ends}
        reached = wanted.ends
        for distance in range(FARTHEST + 1):
            further: list[Node] = []
            for node in dict.fromkeys(reached):
                if node not in wanted.costs:
                    wanted.costs[node] = self._cost(node, place, anyway)
                    if distance < FARTHEST:
                        further += self._look_behind(node, step, wanted)
            reached = further
        return wanted

    def _look_behind(self, node: Node, step: Fused, wanted: _Wanted) -> list[Node]:
        """The operands of a value, which is noted to follow from them if it does."""
        operands = self._operands(node, wanted.labels[node], step)
        if operands is None or any(
            wanted.labels.get(each, labels) != labels for each, labels in operands.items()
        ):
            return []
        wanted.labels |= operands
        wanted.before[node] = [*operands]
        return wanted.before[node]

    def _cost(self, node: Node, place: int, anyway: set[Node]) -> int:
        """The bytes of a value that the step reads, and of its being written if that is for this step alone."""
        if node in anyway:
            return 0
        readers = self.readers.get(node, set())
        if place not in readers and not self._is_readable(node):
            return ENDLESS
        if node in self.home:
            others = readers - {place}
            in_memory = node in self.kept or (node in self.stored and others)
            return nbytes(node) * (1 if in_memory else 2)
        return nbytes(node)

    def _operands(self, node: Node, labels: Labels, step: Fused) -> dict[Node, Labels] | None:
        """What a value is computed from, with the labels of each; None if it had better be read."""
        if not self._follows(node, labels, step):
            return None
        assert isinstance(node, Apply)
        operands: dict[Node, Labels] = {}
        for source in node.inputs:
            if isinstance(source, Constant):
                continue
            seen = self._behind(source, aligned(labels, source))
            if seen is None:
                return None
            if seen[0] in step.labels:  # it is there already
                if result_labels(step, seen[0]) != seen[1]:
                    return None
            elif operands.setdefault(*seen) != seen[1]:
                return None
        return operands

    def _behind(self, node: Node, labels: Labels) -> tuple[Node, Labels] | None:
        """The value with memory that a node is a view of, and its labels; None if that is seen in part, or turned about."""
        while isinstance(node, Apply) and isinstance(node.op.recipe, View):
            if not self.layouts.is_alias(node):
                break
            places = relabel(node)
            if places is None:
                return None
            source = node.inputs[0]
            inner: list[int | None] = [None] * source.aval.ndim
            for axis, label in zip(places, labels, strict=True):
                if axis is not None:
                    inner[axis] = label
            node, labels = source, tuple(inner)
        return node, labels

    def _is_readable(self, node: Node) -> bool:
        """Whether its memory holds the value as long as anybody reads it."""
        if node in self.replaced:
            return False
        return not isinstance(node, Apply) or self.layouts.root(node) is node

    def _follows(self, node: Node, labels: Labels, step: Fused) -> bool:
        """Whether a value can be computed anew in a few instructions, in the place where the step needs it."""
        if node not in self.home or node in step.labels or self.layouts.root(node) is not node:
            return False
        assert isinstance(node, Apply)
        if (
            not isinstance(node.op.recipe, Pointwise)
            or profile(node).costly
            or profile(node).indices
        ):
            return False
        covered = [label for label in labels if label is not None]
        shape = [extent for extent in node.aval.sizes if extent != 1]
        if [step.space[label] for label in covered] != shape or any(
            a >= b for a, b in pairwise(covered)
        ):
            return False
        wide = [axis for axis, extent in enumerate(step.space) if extent != 1]
        folded = [axis for axis in wide if axis not in step.axes]
        return covered == wide or (covered == folded and not step.split)

    def _computed(self, wanted: _Wanted, cut: set[Node]) -> list[Apply]:
        """What the step computes, if it reads no more than the cut."""
        new: dict[Node, None] = {}
        stack = [end for end in wanted.ends if end not in cut]
        while stack:
            node = stack.pop()
            if node not in new:
                new[node] = None
                stack += (each for each in wanted.before[node] if each not in cut)
        return [node for node in new if isinstance(node, Apply)]

    # all of them

    def steps(self) -> list[Step]:
        """Each with what it now stores, without what that does not need."""
        found = [self._with_stores(place, step) for place, step in enumerate(self.now)]
        return [step for step in found if step is not None]

    def _with_stores(self, place: int, step: Step) -> Step | None:
        if not isinstance(step, Fused) or not step.members:
            return step
        stores = [each for each in step.stores if self._is_needed(each)]
        has = {each.value for each in stores}
        stores += (
            Store(node, node, row_major(node.aval.sizes))
            for node in step.members
            if self.home[node] == place
            and node in self.stored
            and node not in has
            and self.readers.get(node)
        )
        if not stores:
            return None
        step = replace(step, stores=tuple(stores))
        return only(step, {each.target for each in stores}, self.layouts)

    def _is_needed(self, store: Store) -> bool:
        value = store.target
        return value is not store.value or value in self.kept or bool(self.readers.get(value))
