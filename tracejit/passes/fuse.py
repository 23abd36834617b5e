"""Fusion: every op of a graph in a step, and as few steps and stored intermediates as the rules below allow.

A group of ops shares one iteration space. Pointwise ops join the group that computes their inputs; a reduction turns a group over
its input's space into a fold; what follows a fold in the same space (softmax, layer norm) becomes a further stage of it. A value
is stored only if something outside its group reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from itertools import pairwise

from tracejit.ir.cluster import Fused, Host, Labels, Product, Scan, Step, Store
from tracejit.ir.graph import Apply, Graph, Node
from tracejit.ops.op import (
    Concat,
    Contract,
    Extern,
    Gather,
    Pad,
    Pointwise,
    Recurrence,
    Reduction,
    ScatterAdd,
    Update,
    View,
)
from tracejit.passes.direct import Direct
from tracejit.passes.expand import expand
from tracejit.passes.group import CORES, Group, Sharing
from tracejit.passes.layouts import Layouts, relabel, row_major

MOST_MEMBERS = 96
"""Beyond these a kernel's registers spill and its compile time shows."""

IsCostly = Callable[[Apply], bool]
"""Whether computing one element of a pointwise node takes more than a few instructions."""


class Fusion:
    """The groups of one graph; `run` makes them, node by node in the graph's order."""

    def __init__(
        self,
        graph: Graph,
        layouts: Layouts,
        is_costly: IsCostly,
        *,
        join: bool,
        sharing: Sharing,
    ) -> None:
        self.graph = graph
        self.layouts = layouts
        self.is_costly = is_costly
        self.join = join
        self.sharing = sharing
        self.users = graph.users()
        self.group_of: dict[Apply, Group] = {}
        self.groups: list[Group] = []
        self.direct: Direct | None = None
        self.pinned: set[Node] = {self.layouts.root(node) for node in graph.roots}
        """Values that need memory whatever their group."""
        for node in graph.applies:
            self._pin_operands(node)

    def run(self) -> list[Step]:
        for node in self.graph.applies:
            if not self.layouts.is_alias(node):
                self._place(node)
        if not self.join:
            return self._steps()
        self.direct = Direct(self)
        steps = self._steps()
        self.direct.move()
        return steps

    # which values need memory

    def _pin_operands(self, node: Apply) -> None:
        match node.op.recipe:
            case Contract() | Extern() | Recurrence() | ScatterAdd() | Update() | Concat() | Pad():
                self.pinned.update(self.layouts.root(source) for source in node.inputs)
                self.pinned.add(node)
            case Gather():
                self.pinned.add(self.layouts.root(node.inputs[0]))
            case View():
                if not self.layouts.is_alias(node):
                    self.pinned.add(node)
                elif relabel(node) is None:
                    self.pinned.add(self.layouts.root(node))
            case Pointwise() | Reduction():
                pass

    # groups

    def _place(self, node: Apply) -> None:
        match node.op.recipe:
            case Pointwise() | Gather():
                self._place_pointwise(node)
            case Reduction():
                self._place_reduction(node)
            case View():  # a copy: it runs over its input's space, and only its memory has the new shape
                self._new_group(node, node.inputs[0].aval.sizes, single=True)
            case Contract() | Extern() | Recurrence() | ScatterAdd() | Update() | Concat() | Pad():
                self._new_group(node, node.aval.sizes, single=True)

    def _new_group(
        self,
        node: Apply,
        space: tuple[int, ...],
        axes: tuple[int, ...] = (),
        *,
        single: bool = False,
    ) -> Group:
        group = Group(self._position(node), space, axes, sharing=self.sharing, single=single)
        self.groups.append(group)
        self._join(group, node, tuple(range(len(space))))
        return group

    def _join(self, group: Group, node: Apply, labels: Labels) -> None:
        group.members.append(node)
        group.labels[node] = labels
        self.group_of[node] = group
        self.require(group, self._producers(node))

    def require(self, group: Group, others: Iterable[Group]) -> None:
        """`others`, and what they need, run before `group` and before all that needs it."""
        new = {need for other in others if other is not group for need in (other, *other.needs)}
        if new <= group.needs:
            return
        group.needs |= new
        for later in self.groups:
            if group in later.needs:
                later.needs |= new

    def _producers(self, node: Apply) -> list[Group]:
        """The groups that compute its inputs."""
        return self.producers_of(*node.inputs)

    def producers_of(self, *values: Node) -> list[Group]:
        """The groups that compute the values."""
        roots = map(self.layouts.root, values)
        return list(dict.fromkeys(self.group_of[r] for r in roots if isinstance(r, Apply)))

    def _place_pointwise(self, node: Apply) -> None:
        producers = (
            sorted(self._producers(node), key=lambda group: -group.order) if self.join else []
        )
        group = next((group for group in producers if self._try_join(group, node)), None)
        if group is None:
            group = self._new_group(node, node.aval.sizes)
        for other in producers:
            if other is not group and self.group_of.get(other.members[0]) is other:
                self._try_absorb(group, other)

    def _try_join(self, group: Group, node: Apply) -> bool:
        if group.single or len(group.members) >= MOST_MEMBERS or not self._runs_before(node, group):
            return False
        if self._reads_elsewhere(node, group):
            return False
        labels = self._labels_in(group, node)
        if labels is None or (group.split and not self._in_first_stage(group, node, labels)):
            return False
        self._join(group, node, labels)
        return True

    def _reads_elsewhere(self, node: Apply, group: Group) -> bool:
        """The node reads a value of the group at other places than its own, so that the value must be there as a whole."""
        if isinstance(node.op.recipe, Gather) and self._home(node.inputs[0]) is group:
            return True
        return any(
            self._home(source) is group and self._source_labels(group, source) is None
            for source, _ in read_along(node)
        )

    def _runs_before(self, node: Apply, group: Group) -> bool:
        """None of the node's other producers needs the group."""
        return all(other is group or group not in other.needs for other in self._producers(node))

    def _labels_in(self, group: Group, node: Apply) -> Labels | None:
        """Where the node's dimensions lie in the group's space, or None where they do not."""
        shape, space = node.aval.sizes, group.space
        labels: list[int | None] = [None] * len(shape)
        for source, shift in read_along(node):
            known = self._source_labels(group, source)
            if known is None:
                continue
            for axis, label in enumerate(known):
                if label is None or shape[axis + shift] == 1:
                    continue
                if labels[axis + shift] not in (None, label):
                    return None
                labels[axis + shift] = label
        shift = len(space) - len(shape)
        for axis, extent in enumerate(shape):
            if extent != 1 and labels[axis] is None:
                if axis + shift < 0:
                    return None
                labels[axis] = axis + shift
        covered = [label for label in labels if label is not None]
        if any(
            space[label] != shape[axis] for axis, label in enumerate(labels) if label is not None
        ):
            return None
        if any(a >= b for a, b in pairwise(covered)):
            return None
        wide = [axis for axis in range(len(space)) if space[axis] != 1]
        if covered not in (wide, [axis for axis in wide if axis not in group.axes]):
            return None
        return tuple(labels)

    def _home(self, node: Node) -> Group | None:
        """The group that computes a value, seen through views."""
        root = self.layouts.root(node)
        return self.group_of.get(root) if isinstance(root, Apply) else None

    def _source_labels(self, group: Group, source: Node) -> Labels | None:
        """Labels of an operand that is a member's value, seen through relabelling views; None if it is not."""
        chain: list[Apply] = []
        while self.layouts.is_alias(source):
            assert isinstance(source, Apply)
            chain.append(source)
            source = source.inputs[0]
        if not isinstance(source, Apply) or self.group_of.get(source) is not group:
            return None
        labels = group.result_labels(source)
        for view in reversed(chain):
            places = relabel(view)
            if places is None:
                return None
            labels = tuple(None if place is None else labels[place] for place in places)
        return labels

    def _in_first_stage(self, group: Group, node: Apply, labels: Labels) -> bool:
        """The node spans the whole space and needs no fold of the group."""
        wide = [axis for axis in range(len(group.space)) if group.space[axis] != 1]
        return [label for label in labels if label is not None] == wide and not self._after_fold(
            group, node
        )

    def _after_fold(self, group: Group, node: Apply) -> bool:
        stack, seen = [node], {node}
        while stack:
            for source in stack.pop().inputs:
                root = self.layouts.root(source)
                if (
                    not isinstance(root, Apply)
                    or root in seen
                    or self.group_of.get(root) is not group
                ):
                    continue
                if isinstance(root.op.recipe, Reduction):
                    return True
                seen.add(root)
                stack.append(root)
        return False

    def _place_reduction(self, node: Apply) -> None:
        space, axes = node.inputs[0].aval.sizes, node.kwargs["axes"]
        for group in self._producers(node) if self.join else ():
            if self._reduces(group, node, axes):
                if self.sharing.splits(space, axes) and any(
                    self._after_fold(group, member) for member in group.members
                ):
                    continue
                group.axes = axes
                self._join(group, node, tuple(range(len(space))))
                return
        self._new_group(node, space, axes)

    def _reduces(self, group: Group, node: Apply, axes: tuple[int, ...]) -> bool:
        """The node folds a value of the group over its whole space, as the group's other folds do."""
        if group.single or group.space != node.inputs[0].aval.sizes or group.axes not in ((), axes):
            return False
        labels = self._source_labels(group, node.inputs[0])
        if labels is None or len(group.members) >= MOST_MEMBERS:
            return False
        whole = all(a == b or group.space[b] == 1 for b, a in enumerate(labels))
        return whole and not (group.split and self._after_fold(group, node))

    # merging two groups that a node reads

    def _try_absorb(self, group: Group, other: Group) -> None:
        if other.single or self._would_cycle(group, other):
            return
        if len(group.members) + len(other.members) > MOST_MEMBERS:
            return
        if any(self._reads_elsewhere(member, other) for member in group.members):
            return
        places = self._places(group, other)
        if places is None:
            return
        if other.space == group.space and all(a == b for a, b in places.items()):
            if self._compatible_axes(group, other):
                self._absorb(group, other, dict(enumerate(range(len(group.space)))))
        elif self._is_cheap(group, other) and self._covers(group, other, places):
            self._absorb(group, other, places)

    def _compatible_axes(self, group: Group, other: Group) -> bool:
        axes = group.axes or other.axes
        if other.axes not in ((), axes):
            return False
        if not self.sharing.splits(group.space, axes):
            return True
        members = (*group.members, *other.members)
        home = {id(group), id(other)}
        return not any(self._reads_fold(member, home) for member in members)

    def _reads_fold(self, member: Apply, home: set[int]) -> bool:
        for source in member.inputs:
            root = self.layouts.root(source)
            if isinstance(root, Apply) and isinstance(root.op.recipe, Reduction):
                owner = self.group_of.get(root)
                if owner is not None and id(owner) in home:
                    return True
        return False

    def _would_cycle(self, group: Group, other: Group) -> bool:
        """A step lies between the two: merged, they would wait for it and it for them."""
        return group in other.needs or any(
            other in need.needs for need in group.needs if need is not other
        )

    def _places(self, group: Group, other: Group) -> dict[int, int] | None:
        """Where the dimensions of `other` lie in the space of `group`, as all members that read it agree."""
        places: dict[int, int] = {}
        for member in group.members:
            for source, shift in read_along(member):
                if self._home(source) is not other:
                    continue
                labels = self._source_labels(other, source)
                if labels is None:
                    return None
                for axis, label in enumerate(labels):
                    place = group.labels[member][axis + shift]
                    if label is not None and (
                        place is None or places.setdefault(label, place) != place
                    ):
                        return None
        return places

    def _is_cheap(self, group: Group, other: Group) -> bool:
        """Only `group` reads it, and computing it anew for every element costs little."""
        inside = {*other.members, *group.members}
        return not other.axes and not any(
            member in self.pinned
            or self.is_costly(member)
            or any(user not in inside for user in self._compute_users(member))
            for member in other.members
        )

    def _covers(self, group: Group, other: Group, places: dict[int, int]) -> bool:
        """Every dimension of `other` has its place in `group`, of the same extent and in the same order."""
        wide = [axis for axis in range(len(other.space)) if other.space[axis] != 1]
        return all(
            axis in places and group.space[places[axis]] == other.space[axis] for axis in wide
        ) and all(places[a] < places[b] for a, b in pairwise(wide))

    def _compute_users(self, node: Apply) -> list[Apply]:
        """The users of a value, and of its views, that compute something."""
        found: list[Apply] = []
        for user in self.users[node]:
            found += self._compute_users(user) if self.layouts.is_alias(user) else [user]
        return found

    def _absorb(self, group: Group, other: Group, places: dict[int, int]) -> None:
        group.axes = group.axes or other.axes
        for member in other.members:
            labels = other.labels[member]
            group.labels[member] = tuple(
                None if label is None or label not in places else places[label] for label in labels
            )
            self.group_of[member] = group
        group.members = sorted({*group.members, *other.members}, key=self._position)
        self.groups.remove(other)
        group.needs.discard(other)
        for later in self.groups:
            if other in later.needs:
                later.needs.discard(other)
                later.needs.add(group)
        group.needs |= other.needs
        for later in self.groups:
            if group in later.needs:
                later.needs |= group.needs

    def _position(self, node: Apply) -> int:
        return self.layouts.position[node]

    # steps

    def _steps(self) -> list[Step]:
        """Groups after what they need; among those that could run next, the one recorded first."""
        last = {group: max(map(self._position, group.members)) for group in self.groups}
        waiting = {group: len(group.needs) for group in self.groups}
        ready = [(last[group], group.order, group) for group in self.groups if not group.needs]
        heapify(ready)
        steps: list[Step] = []
        while ready:
            _, _, group = heappop(ready)
            steps += self._steps_of(group)
            for later in self.groups:
                if group in later.needs:
                    waiting[later] -= 1
                    if waiting[later] == 0:
                        heappush(ready, (last[later], later.order, later))
        return steps

    def _steps_of(self, group: Group) -> list[Step]:
        if not group.single:
            grounds = self.direct.grounds(group.members) if self.direct else []
            return [*grounds, self._fused(group)]
        node = group.members[0]
        match node.op.recipe:
            case Update() | Pad() | Concat() if self.direct:
                return self.direct.rest(node)
            case Contract():
                return [Product(node)]
            case Recurrence():
                return [Scan(node)]
            case Extern():
                return [Host(node)]
            case _:
                return expand(node)

    def _store(self, member: Apply) -> Store:
        own = row_major(member.aval.sizes)
        return self.direct.store(member, own) if self.direct else Store(member, member, own)

    def _fused(self, group: Group) -> Fused:
        members = tuple(sorted(group.members, key=self._position))
        inside = set(members)
        stores = tuple(
            self._store(member)
            for member in members
            if member in self.pinned or any(u not in inside for u in self._compute_users(member))
        )
        return Fused(group.space, group.axes, members, group.labels, stores, group.split)


def read_along(node: Apply) -> list[tuple[Node, int]]:
    """The inputs read element by element, and which of the node's axes the first of each lies along."""
    ndim = node.aval.ndim
    if isinstance(node.op.recipe, Gather):
        return [(node.inputs[1], node.kwargs["axis"])]
    return [(source, ndim - source.aval.ndim) for source in node.inputs]


def fuse(
    graph: Graph,
    layouts: Layouts,
    is_costly: IsCostly,
    *,
    join: bool = True,
    sharing: Sharing = CORES,
) -> list[Step]:
    """Every op of the graph is computed by a step, and each step comes after those that it needs.

    Without `join` each op is a step of its own.
    """
    return Fusion(graph, layouts, is_costly, join=join, sharing=sharing).run()
