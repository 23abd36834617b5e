"""Values that replace a part of something are written there by the step that computes them, and read there by others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracejit.ir.graph import Apply, Input, Node
from tracejit.ops.op import Layout, Pointwise, Update
from tracejit.passes.expand import replaced_part
from tracejit.passes.group import Group

if TYPE_CHECKING:
    from tracejit.passes.fuse import Fusion


class Direct:
    """The updates whose value needs no memory of its own.

    What an update is of may lie in memory that it takes over (`homes`). So all that still reads this memory runs before the
    value's step, or reads in it the very places that it writes.
    """

    def __init__(self, fusion: Fusion) -> None:
        self._fusion = fusion
        self._readers = self._find_readers()
        self.update_of: dict[Apply, Apply] = {}
        """By value: the update that it is written for."""
        for node in fusion.graph.applies:
            if isinstance(node.op.recipe, Update):
                self._consider(node)

    def _find_readers(self) -> dict[object, list[tuple[Apply, Node]]]:
        """By memory: who reads it, and as what."""
        readers: dict[object, list[tuple[Apply, Node]]] = {}
        for node in self._fusion.graph.applies:
            if not self._fusion.layouts.is_alias(node):
                for source in node.inputs:
                    readers.setdefault(self._memory(source), []).append((node, source))
        return readers

    def _memory(self, node: Node) -> object:
        """What inputs that may overlap have in common."""
        root = self._fusion.layouts.root(node)
        return root if not isinstance(root, Input) or root.memory is None else root.memory

    def _consider(self, update: Apply) -> None:
        fusion = self._fusion
        base, value = update.inputs
        part = replaced_part(update)
        home = fusion.group_of.get(value) if isinstance(value, Apply) else None
        if home is None or home.single or value.aval.sizes != part.shape:
            return
        assert isinstance(value, Apply)
        if not isinstance(value.op.recipe, Pointwise) or value in self.update_of:
            return
        if any(fusion.layouts.is_alias(user) for user in fusion.users[value]):
            return
        memory = self._memory(base)
        roots = (root for root in fusion.graph.roots if root is not base)
        if value in fusion.graph.roots or any(self._memory(root) == memory for root in roots):
            return
        before = self._before(update, home, part)
        if before is not None:
            fusion.require(home, before)
            self.update_of[value] = update
            others = [each for each in self._readers[value] if each[0] is not update]
            self._readers.setdefault(update, []).extend(others)

    def move(self) -> None:
        """Lets others find the values where they are written: to be called once all is grouped."""
        for value, update in self.update_of.items():
            self._fusion.layouts.move(value, update, replaced_part(update))

    def _before(self, update: Apply, home: Group, part: Layout) -> list[Group] | None:
        """Who has to run before the value's step; None where that is impossible, or where it reads other places itself."""
        fusion = self._fusion
        base = update.inputs[0]
        producers = fusion.producers_of(base)
        before = set(producers)
        for reader, source in self._readers[self._memory(base)]:
            group = fusion.group_of[reader]
            if group is home and fusion.layouts.layout(source) != part:
                return None
            if group is not home and reader is not update:
                before.add(group)
        if any(group is home or home in group.needs for group in before):
            return None
        return sorted(before, key=lambda group: group.order)
