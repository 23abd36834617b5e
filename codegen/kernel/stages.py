"""When each value of a fused step can be computed: how many folds must be done before it."""

from __future__ import annotations

from functools import cached_property

from tracejit.codegen.kernel.access import Accesses
from tracejit.codegen.kernel.cost import is_costly
from tracejit.ir.cluster import Labels
from tracejit.ir.graph import Apply, Node
from tracejit.ops.op import Reduction

Read = tuple[Node, Labels]
"""An array as a step reads it."""


class Stages:
    """Loop number `stage` folds the values that need `stage` folds before; what needs them all comes in the last loop."""

    def __init__(self, accesses: Accesses) -> None:
        self.accesses = accesses
        self._stage: dict[Apply, int] = {}
        self.folds = 0
        for member in accesses.step.members:
            before = max((self[source] for source, _ in accesses.operands(member)), default=0)
            if isinstance(member.op.recipe, Reduction):
                self.folds = max(self.folds, before + 1)
                before += 1
            self._stage[member] = before

    def __getitem__(self, node: Node) -> int:
        """Of any value; one from outside needs no fold."""
        member = self.accesses.behind(node)
        return 0 if member is None else self._stage[member]

    @property
    def loops(self) -> int:
        """Loops along the folded axes, the last one included."""
        stores = self.accesses.step.stores
        return self.folds + any(self[store.value] == self.folds for store in stores)

    def spilled(self) -> list[Apply]:
        """Costly values that two loops need: kept in scratch by the first."""
        before: set[Apply] = set()
        spilled: dict[Apply, None] = {}
        for roots in self._roots():
            stack = [member for root in roots if (member := self.accesses.behind(root))]
            seen: set[Apply] = set()
            while stack:
                member = stack.pop()
                if isinstance(member.op.recipe, Reduction) or member in seen:
                    continue
                seen.add(member)
                if member in before and is_costly(member) and self._runs_along(member):
                    spilled[member] = None
                    continue
                inputs = (
                    self.accesses.behind(source) for source, _ in self.accesses.operands(member)
                )
                stack += [source for source in inputs if source]
            before |= seen
        return [*spilled]

    def uses(self, spilled: set[Apply]) -> dict[Apply | Read, list[int]]:
        """The loops that need each spilled value, and each array that is read along the rows."""
        found: dict[Apply | Read, list[int]] = {}
        for loop, roots in enumerate(self._roots()):
            computed = {value for value in spilled if value in found}
            for key in self._needed(roots, spilled, computed):
                found.setdefault(key, []).append(loop)
        return found

    def _needed(
        self, roots: list[Node], spilled: set[Apply], computed: set[Apply]
    ) -> dict[Apply | Read, None]:
        """What one loop reads, and which spilled values it computes or reads back."""
        stack: list[Read] = [read for root in roots for read in self._root_reads[root]]
        needed: dict[Apply | Read, None] = {}
        seen: set[Apply] = set()
        while stack:
            node, labels = stack.pop()
            member = self.accesses.behind(node)
            if member is None:
                if (node, labels) in self.accesses.reads and self._is_along(node, labels):
                    needed[node, labels] = None
                continue
            if isinstance(member.op.recipe, Reduction) or member in seen:
                continue
            seen.add(member)
            if member in spilled:
                needed[member] = None
            if member not in computed:
                stack += self.accesses.operands(member)
        return needed

    @cached_property
    def _root_reads(self) -> dict[Node, list[Read]]:
        """The labels under which the loops' roots are read."""
        step, found = self.accesses.step, dict[Node, list[Read]]()
        for member in step.members:
            if isinstance(member.op.recipe, Reduction):
                read = (member.inputs[0], step.labels[member])
                found.setdefault(member.inputs[0], []).append(read)
        for store in step.stores:
            labels = self.accesses.value_labels(store.value, store.layout)
            found.setdefault(store.value, []).append((store.value, labels))
        return found

    def _is_along(self, node: Node, labels: Labels) -> bool:
        """Whether an array that is read has elements of its own along the rows."""
        step, strides = self.accesses.step, self.accesses.reads[node, labels].strides
        return any(strides[axis] for axis in step.axes if step.space[axis] != 1)

    def _roots(self) -> list[list[Node]]:
        """What each loop computes."""
        step = self.accesses.step
        roots: list[list[Node]] = [[] for _ in range(self.folds + 1)]
        for member in step.members:
            if isinstance(member.op.recipe, Reduction):
                roots[self[member.inputs[0]]].append(member.inputs[0])
        for store in step.stores:
            roots[self[store.value]].append(store.value)
        return roots

    def _runs_along(self, member: Apply) -> bool:
        step = self.accesses.step
        return any(axis in step.labels[member] for axis in step.axes if step.space[axis] != 1)
