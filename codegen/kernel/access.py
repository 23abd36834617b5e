"""How the values of a step are read and written: a stride per loop dimension; and which dimensions merge into one loop."""

from __future__ import annotations

from collections.abc import Callable

from tracejit._records import dataclass, field
from tracejit.codegen.kernel.cost import profile
from tracejit.ir.cluster import Fused, Labels, Store
from tracejit.ir.graph import Apply, Constant, Node
from tracejit.ops.op import Gather, Layout, Reduction, View

Place = Callable[[Node], tuple[Node, Layout]]
"""The node whose memory a value is seen in, and its layout there."""

Relabel = Callable[[Apply], Labels | None]


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """Memory read or written along the loop dimensions; `gather` is the stride of a gathered axis."""

    root: Node
    offset: int
    strides: tuple[int, ...]
    gather: int = 0


@dataclass(frozen=True, slots=True)
class Axis:
    """A loop: neighbouring dimensions of the space that every access walks as one."""

    dims: tuple[int, ...]
    extent: int
    folded: bool


@dataclass(slots=True)
class Accesses:
    """Everything a fused step reads and writes."""

    step: Fused
    place: Place
    relabel: Relabel
    reads: dict[tuple[Node, Labels], Access] = field(default_factory=dict)
    writes: dict[Store, Access] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for member in self.step.members:
            for source, labels in self.operands(member):
                self._visit(source, labels)
        for store in self.step.stores:
            labels = self.value_labels(store.value, store.layout)
            self._visit(store.value, labels)
            whole = labels if store.value in self.step.labels else self._identity(store.layout)
            self.writes[store] = self._access(store.target, store.layout, whole)

    def operands(self, member: Apply) -> list[tuple[Node, Labels]]:
        """The inputs that a member reads element by element, with the loop dimensions of each."""
        labels = self.step.labels[member]
        match member.op.recipe:
            case Reduction():
                return [(member.inputs[0], labels)]
            case Gather():
                axis, rank = member.kwargs["axis"], member.inputs[1].aval.ndim
                return [(member.inputs[1], aligned(labels[axis : axis + rank], member.inputs[1]))]
            case _:
                return [(source, aligned(labels, source)) for source in member.inputs]

    def value_labels(self, value: Node, layout: Layout) -> Labels:
        """Of a stored value: a member's own, or, of a value from outside, the space's by broadcasting."""
        if isinstance(value, Apply) and value in self.step.labels:
            return result_labels(self.step, value)
        return aligned(self._identity(layout), value)

    def gathered(self, member: Apply) -> Access:
        """The array that a gather reads; its own axis has `gather` for stride."""
        source, axis = member.inputs[0], member.kwargs["axis"]
        rank, labels = member.inputs[1].aval.ndim, self.step.labels[member]
        root, layout = self.place(source)
        rest = (*labels[:axis], None, *labels[axis + rank :])
        access = self._access(root, layout, rest)
        return Access(access.root, access.offset, access.strides, layout.strides[axis])

    def member_behind(self, node: Node, labels: Labels) -> tuple[Apply, Labels] | None:
        """The member whose value `node` is, seen through views, and its labels then."""
        while isinstance(node, Apply) and node not in self.step.labels:
            if not isinstance(node.op.recipe, View):
                return None
            places = self.relabel(node)
            if places is None:
                return None
            source = node.inputs[0]
            inner: list[int | None] = [None] * source.aval.ndim
            for place, label in zip(places, labels, strict=True):
                if place is not None:
                    inner[place] = label
            node, labels = source, tuple(inner)
        return (node, labels) if isinstance(node, Apply) else None

    def behind(self, node: Node) -> Apply | None:
        """The member whose value `node` is, seen through views."""
        found = self.member_behind(node, (None,) * node.aval.ndim)
        return found[0] if found else None

    def _visit(self, node: Node, labels: Labels) -> None:
        if isinstance(node, Constant) or self.member_behind(node, labels) is not None:
            return
        if (node, labels) not in self.reads:
            root, layout = self.place(node)
            self.reads[node, labels] = self._access(root, layout, labels)

    def _access(self, root: Node, layout: Layout, labels: Labels) -> Access:
        strides = [0] * len(self.step.space)
        for stride, label, extent in zip(layout.strides, labels, layout.shape, strict=True):
            if label is not None and extent != 1:
                strides[label] += stride
        return Access(root, layout.offset, tuple(strides))

    def _identity(self, layout: Layout) -> Labels:
        return tuple(None if n == 1 else axis for axis, n in enumerate(layout.shape))

    def every_read(self) -> list[Access]:
        gathers = [m for m in self.step.members if isinstance(m.op.recipe, Gather)]
        return [*self.reads.values(), *map(self.gathered, gathers)]

    def axes(self, apart: int | None = None) -> list[Axis]:
        """The loops, outermost first. Dimensions merge where every access has one stride for both, but for one kept `apart`."""
        step = self.step
        every = [access.strides for access in (*self.every_read(), *self.writes.values())]
        fixed = any(profile(member).indices for member in step.members)
        axes: list[Axis] = []
        for dim, extent in enumerate(step.space):
            if extent == 1:
                continue
            folded = dim in step.axes
            last = axes[-1] if axes else None
            if last and not fixed and last.folded == folded and dim != apart:
                inner = last.dims[-1]
                if all(strides[inner] == strides[dim] * extent for strides in every):
                    axes[-1] = Axis((*last.dims, dim), last.extent * extent, folded)
                    continue
            axes.append(Axis((dim,), extent, folded))
        return axes


def aligned(labels: Labels, source: Node) -> Labels:
    """The labels of a broadcasting operand: its dimensions are the last ones."""
    shape = source.aval.sizes
    last = labels[len(labels) - len(shape) :]
    return tuple(None if extent == 1 else label for extent, label in zip(shape, last, strict=True))


def result_labels(step: Fused, member: Apply) -> Labels:
    labels = step.labels[member]
    if isinstance(member.op.recipe, Reduction):
        return tuple(
            label for axis, label in enumerate(labels) if axis not in member.kwargs["axes"]
        )
    return labels
