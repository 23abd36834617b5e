"""The launch of steps that are run slab by slab (`tracejit.compiler.slabs`)."""

from __future__ import annotations

from collections.abc import Iterator

from tracejit._records import dataclass
from tracejit.codegen.kernel.lower import lower
from tracejit.compiler.launches import Launch, Task, note_of
from tracejit.compiler.products import product_segments
from tracejit.compiler.slabs import Slabs, Walk, cut, cut_product
from tracejit.compiler.target import Target
from tracejit.compiler.work import nanoseconds
from tracejit.ir.cluster import Owner, Product
from tracejit.ir.graph import Node
from tracejit.ops.op import Layout
from tracejit.passes.homes import Unit, nbytes
from tracejit.passes.layouts import Layouts, relabel
from tracejit.runtime.slabs import KERNEL, SCRATCH, Part, Pointer, dims_of, pointer_bytes
from tracejit.runtime.workspace import aligned

Pairs = frozenset[tuple[Owner, Owner]]


@dataclass(frozen=True, slots=True, eq=False)
class Inner:
    """What one kernel does to a slab of a walk: arguments with their offsets and, from slab to slab, their advance, in elements.

    `aligned` pairs (read, written) that may be one memory, as far as this kernel is concerned.
    """

    walk: Walk
    kernel: str
    arguments: tuple[tuple[Owner, int, int], ...]
    dims: tuple[int, ...]
    tasks: int
    scratch_bytes: int
    aligned: Pairs = frozenset()


def slab_launch(slabs: Slabs, layouts: Layouts, target: Target) -> Task:
    """One launch of all the steps."""
    inner = [each for walk in slabs.walks for each in _inner(walk, slabs.count, layouts, target)]
    kernels = tuple(dict.fromkeys(each.kernel for each in inner))
    touched = dict.fromkeys(owner for each in inner for owner, _, _ in each.arguments)
    outside = [owner for owner in touched if owner not in slabs.private]
    at = pointer_bytes(max(len(each.arguments) for each in inner))
    places: dict[Owner, int] = {}
    for owner in touched:
        if owner in slabs.private:
            places[owner] = at
            at += aligned(nbytes(owner) // slabs.count)
    parts = [_part(each, kernels, outside, places) for each in inner]
    launch = Launch(
        kernel=KERNEL,
        segments=((tuple((owner, 0) for owner in outside), dims_of(parts, at), slabs.count),),
        grain=1,
        scratch_bytes=at + max(each.scratch_bytes for each in inner),
        note="; ".join(note_of(walk.nodes) for walk in slabs.walks),
        calls=kernels,
    )
    return Task(launch, _unit(slabs, outside, inner))


def _part(
    inner: Inner, kernels: tuple[str, ...], outside: list[Owner], places: dict[Owner, int]
) -> Part:
    pointers = []
    for owner, offset, advance in inner.arguments:
        assert isinstance(owner, Node)
        size = owner.aval.dtype.itemsize
        if owner in places:
            pointers.append(Pointer(SCRATCH, places[owner] + offset * size))
        else:
            pointers.append(Pointer(outside.index(owner), offset * size, advance * size))
    return Part(kernels.index(inner.kernel), tuple(pointers), inner.dims, inner.tasks)


def _unit(slabs: Slabs, outside: list[Owner], inner: list[Inner]) -> Unit:
    written = {root for walk in slabs.walks for root in walk.written}
    read = {root for walk in slabs.walks for root in walk.read}
    return Unit(
        tuple(owner for owner in outside if owner in read),
        tuple(owner for owner in outside if owner in written),
        frozenset(
            pair
            for each in inner
            for pair in each.aligned
            if _stays_aligned(pair, each.walk, slabs)
        ),
        work=sum(nanoseconds(walk.step, 0) for walk in slabs.walks),
    )


def _stays_aligned(pair: tuple[Owner, Owner], walk: Walk, slabs: Slabs) -> bool:
    """Whether a walk's pair may be one memory beside the others: none reads the first, none has used the second before, and slabs
    of both lie apart."""
    read, written = pair
    before = slabs.walks[: slabs.walks.index(walk)]
    others = [each for each in slabs.walks if each is not walk]
    return (
        all(touch.root is not read for each in others for touch in each.touches)
        and all(touch.root is not written for each in before for touch in each.touches)
        and all(
            touch.is_in_rows(walk.extent) for touch in walk.touches if touch.root in (read, written)
        )
    )


def _inner(walk: Walk, count: int, layouts: Layouts, target: Target) -> Iterator[Inner]:
    if isinstance(walk.step, Product):
        yield from _inner_product(walk, count, layouts, target)
        return

    def place(node: Node) -> tuple[Node, Layout]:
        return layouts.root(node), layouts.layout(node)

    for lowered in lower(cut(walk, count), place, relabel, target.grain):
        yield Inner(
            walk,
            target.kernel(lowered.kernel),
            tuple(
                (owner, offset, walk.advance(owner, offset, count))
                for owner, offset in lowered.arguments
            ),
            lowered.dims,
            lowered.tasks,
            lowered.scratch_bytes,
            lowered.aligned,
        )


def _inner_product(walk: Walk, count: int, layouts: Layouts, target: Target) -> Iterator[Inner]:
    assert isinstance(walk.step, Product)
    node = walk.step.node
    left, right = (layouts.layout(source) for source in node.inputs)
    owners = (*(layouts.root(source) for source in node.inputs), node)
    advances = [touch.stride * (walk.extent // count) for touch in walk.touches]
    kernel = target.product(node.aval.dtype.name, node.aval.sizes, **node.kwargs)
    sizes = cut_product(walk, left, right, count)
    for offsets, dims, tasks, _ in product_segments(*sizes, kernel.segment):
        firsts = (left.offset + offsets[0], right.offset + offsets[1], offsets[2])
        yield Inner(
            walk,
            kernel.name,
            tuple(zip(owners, firsts, advances, strict=True)),
            dims,
            tasks,
            kernel.scratch_bytes,
        )
