"""Values that become a part of something are written there by the step that computes them, and read there by others."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from tracejit._records import dataclass
from tracejit.ir.cluster import Step, Store
from tracejit.ir.graph import Apply, Input, Node
from tracejit.ops.op import Concat, Layout, Pad, Pointwise, Update, View
from tracejit.passes.expand import ground, parts, store
from tracejit.passes.group import Group
from tracejit.passes.layouts import row_major

if TYPE_CHECKING:
    from tracejit.passes.fuse import Fusion


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A part of the memory of an update, padding or concatenation."""

    node: Apply
    part: Layout


class Direct:
    """The values that need no memory of their own, by value: where they are written.

    What an update is of may lie in memory that it takes over (`homes`). So all that still reads this memory runs before the
    value's step, or reads in it the very places that it writes.
    """

    def __init__(self, fusion: Fusion) -> None:
        self._fusion = fusion
        self._readers = self._find_readers()
        self.targets: dict[Apply, Target] = {}
        for node in fusion.graph.applies:
            if isinstance(node.op.recipe, Update | Pad | Concat):
                for source, part in parts(node):
                    value, place = self._behind(source, Target(node, part))
                    self._consider(value, place)

    def store(self, value: Apply, own: Layout) -> Store:
        """The store of a value that needs memory."""
        target = self.targets.get(value)
        return (
            Store(value, value, own) if target is None else Store(value, target.node, target.part)
        )

    def grounds(self, values: list[Apply]) -> list[Step]:
        """What has to be in the memory that the values are written to before they are."""
        return [
            step
            for value in values
            if value in self.targets
            for step in ground(self.targets[value].node)
        ]

    def rest(self, node: Apply) -> list[Step]:
        """The steps of an update, padding or concatenation but for those of values that are there already."""
        every = parts(node)
        others = [(value, part) for value, part in every if not self._is_written(value, node, part)]
        first = ground(node) if len(others) == len(every) else []
        return [*first, *(store(value, node, part) for value, part in others)]

    def move(self) -> None:
        """Lets others find the values where they are written: to be called once all is grouped."""
        for value, target in self.targets.items():
            self._fusion.layouts.move(value, target.node, target.part)
            self._move_views(value)

    def _move_views(self, value: Apply) -> None:
        layouts = self._fusion.layouts
        for user in self._fusion.users[value]:
            if isinstance(user.op.recipe, View) and layouts.is_alias(user):
                layouts.add(user)
                self._move_views(user)

    def _is_written(self, source: Node, node: Apply, part: Layout) -> bool:
        value, place = self._behind(source, Target(node, part))
        found = self.targets.get(value) if isinstance(value, Apply) else None
        return found is not None and found.node is node and found.part == place.part

    def _behind(self, source: Node, target: Target) -> tuple[Node, Target]:
        """What is seen with more dimensions of one element, as what is stacked is; and the part as that is shaped."""
        layouts = self._fusion.layouts
        root = layouts.root(source)
        seen, own = layouts.layout(source), row_major(root.aval.sizes)
        is_repeated = prod(target.part.shape) != root.aval.size
        if is_repeated or _steps(seen) != _steps(own) or seen.offset:
            return source, target
        steps = iter(_steps(target.part))
        strides = tuple(1 if n == 1 else next(steps)[1] for n in own.shape)
        return root, Target(target.node, Layout(own.shape, strides, target.part.offset))

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

    def _consider(self, value: Node, target: Target) -> None:
        fusion, node = self._fusion, target.node
        if not isinstance(value, Apply) or value in self.targets or value in fusion.graph.roots:
            return
        home = fusion.group_of.get(value)
        if home is None or home.single or not isinstance(value.op.recipe, Pointwise):
            return
        if value.aval.sizes != target.part.shape or not self._can_be_seen(value, target.part):
            return
        before = self._before(target, home)
        if before is None or any(group is home or home in group.needs for group in before):
            return
        fusion.require(home, before)
        self.targets[value] = target
        others = [each for each in self._readers[value] if each[0] is not node]
        self._readers.setdefault(node, []).extend(others)

    def _can_be_seen(self, value: Apply, layout: Layout) -> bool:
        """Whether all views of a value are views of it there, too."""
        for user in self._fusion.users[value]:
            if self._fusion.layouts.is_alias(user):
                assert isinstance(user.op.recipe, View)
                seen = user.op.recipe.layout(layout, **user.kwargs)
                if seen is None or not self._can_be_seen(user, seen):
                    return False
        return True

    def _before(self, target: Target, home: Group) -> list[Group] | None:
        """Who has to run before the value's step; None where it cannot be written there."""
        fusion, node = self._fusion, target.node
        if isinstance(node.op.recipe, Concat):
            return []
        if isinstance(node.op.recipe, Pad):
            return fusion.producers_of(node.inputs[1])
        base = node.inputs[0]
        memory = self._memory(base)
        if any(self._memory(root) == memory for root in fusion.graph.roots if root is not base):
            return None
        before = set(fusion.producers_of(base))
        for reader, source in self._readers[memory]:
            group = fusion.group_of[reader]
            if group is home and fusion.layouts.layout(source) != target.part:
                return None
            if group is not home and reader is not node:
                before.add(group)
        return sorted(before, key=lambda group: group.order)


def _steps(layout: Layout) -> list[tuple[int, int]]:
    """The extents and strides of the dimensions that are walked."""
    return [each for each in zip(layout.shape, layout.strides, strict=True) if each[0] != 1]
