"""The launches of steps that are run slab by slab (`tracejit.compiler.slabs`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, product
from math import prod

from tracejit._records import dataclass
from tracejit.codegen.kernel.ir import Combine
from tracejit.codegen.kernel.lower import joined_parts
from tracejit.codegen.kernel.nest import Lowered
from tracejit.codegen.kernel.parts import join_parts
from tracejit.compiler.inner import Inner, Moves
from tracejit.compiler.launches import Launch, Task, merge_alike
from tracejit.compiler.slab_parts import SlabParts
from tracejit.compiler.slabs import Slabs
from tracejit.compiler.walks import Walk
from tracejit.dtypes import uint8
from tracejit.ir.cluster import Owner, Product, Temporary
from tracejit.passes.homes import Unit, nbytes
from tracejit.passes.plan_memory import plan_memory
from tracejit.runtime.slabs import KERNEL, SCRATCH, Part, Pointer, Rounds, dims_of, pointer_bytes
from tracejit.runtime.workspace import aligned


@dataclass(frozen=True, slots=True)
class _Run:
    """The same kernels for so many slabs along the axis that is cut, from the one of number `first` on."""

    inner: list[Inner]
    count: int
    first: int


class SlabLaunch:
    """Of one launch whose tasks are slabs; or, where few slabs can be done at once, of launches for each slab in turn."""

    def __init__(self, parts: SlabParts) -> None:
        self.parts, self.slabs, self.machine = parts, parts.slabs, parts.target.machine
        self.runs = [*self._runs()]
        self.inner = [each for run in self.runs for each in run.inner]
        self.touched = list(dict.fromkeys(o for each in self.inner for o, _, _ in each.arguments))
        self.places, self.scratch_bytes = self._scratch()

    def tasks(self) -> Iterator[Task]:
        if self.slabs.in_turn:
            yield from self._slab_after_slab()
        else:
            yield self._at_once()

    def joins(self) -> Iterator[tuple[Walk, Lowered]]:
        """Of each fold the launches after these: all parts joined, in their order."""
        sums, target = self.parts.sums, self.parts.target
        for walk in self.slabs.walks:
            own = {node: sums[node] for node in walk.nodes if node in sums}
            if not own:
                continue
            if isinstance(walk.step, Product):
                ((node, parts),) = own.items()
                size = node.aval.size
                count = parts.elements // size
                yield walk, join_parts(Combine.SUM, parts, node, size, count, target.grain)
            else:
                every = joined_parts(walk.step, own, self.parts.grain)
                yield from ((walk, each) for each in every)

    def _runs(self) -> Iterator[_Run]:
        """All slabs of one size, and the rest; in order the first one is alone, with which sums begin."""
        slabs, of = self.slabs, self.parts.of
        whole, rest = divmod(slabs.units, slabs.each)
        begun = min(whole, 1) if slabs.in_order else whole
        yield _Run(of(slabs.each), begun, 0)
        if whole > begun:
            yield _Run(of(slabs.each, adds=True), whole - begun, begun)
        if rest:
            yield _Run(of(rest, adds=slabs.in_order), 1, whole)

    def _scratch(self) -> tuple[dict[Owner, int], int]:
        """Where a slab of each private value lies, and what only it needs: all they take together, some where others were."""
        slabs = self.slabs
        count = slabs.units * prod(slabs.outer)
        own: dict[Owner, Owner] = {partial: partial for partial in self.parts.partial}
        for node in slabs.private:
            own[node] = Temporary(uint8, nbytes(node) // count * slabs.each)
        units = [
            Unit(
                tuple(own[owner] for owner in each.reads if owner in own),
                tuple(own[owner] for owner in each.writes if owner in own),
                frozenset((own[a], own[b]) for a, b in each.aligned if a in own and b in own),
            )
            for each in self.runs[0].inner
        ]
        memory = plan_memory(units, {})
        places = {owner: memory.places[at].offset for owner, at in own.items()}
        return places, memory.arena_bytes

    # tasks that are slabs

    def _at_once(self) -> Task:
        slabs = self.slabs
        kernels = tuple(dict.fromkeys(each.kernel for each in self.inner))
        outside = [owner for owner in self.touched if owner not in self.places]
        begin = pointer_bytes(max(len(each.arguments) for each in self.inner))
        end = begin + aligned(self.scratch_bytes)

        def rounds(run: _Run, count: int) -> Rounds:
            return Rounds(count, tuple(part(inner, run.first) for inner in run.inner))

        def part(inner: Inner, first: int) -> Part:
            pointers = (pointer(argument, first) for argument in inner.arguments)
            return Part(kernels.index(inner.kernel), tuple(pointers), inner.dims, inner.tasks)

        def pointer(argument: tuple[Owner, int, Moves], first: int) -> Pointer:
            owner, offset, moves = argument
            size = itemsize(owner)
            if owner in self.places:
                still = (0,) * len(slabs.outer if slabs.in_order else moves)
                return Pointer(SCRATCH, begin + self.places[owner] + offset * size, still)
            *advances, step = (move * size for move in moves)
            at = offset * size + first * step
            if not slabs.in_order:
                advances, step = [*advances, step], 0
            return Pointer(outside.index(owner), at, tuple(advances), step)

        if slabs.in_order:
            every = [rounds(run, run.count) for run in self.runs]
            launches = [(slabs.outer, every)]
        else:
            launches = [((*slabs.outer, run.count), [rounds(run, 1)]) for run in self.runs]
        arguments = tuple((owner, 0) for owner in outside)
        launch = Launch(
            kernel=KERNEL,
            segments=tuple(
                (arguments, dims_of(radices, end, every), prod(radices))
                for radices, every in launches
            ),
            grain=1,
            scratch_bytes=end + max(each.scratch_bytes for each in self.inner),
            note="; ".join(map(slabs.note, slabs.walks)),
            calls=kernels,
            nodes=tuple(chain.from_iterable(walk.nodes for walk in slabs.walks)),
        )
        return Task(launch, self._unit(outside))

    def _unit(self, outside: list[Owner]) -> Unit:
        reads = {owner for each in self.inner for owner in each.reads}
        writes = {owner for each in self.inner for owner in each.writes}
        return Unit(
            tuple(owner for owner in outside if owner in reads),
            tuple(owner for owner in outside if owner in writes),
            frozenset(
                pair
                for each in self.inner
                for pair in each.aligned
                if _stays_aligned(pair, each.walk, self.slabs)
            ),
            work=sum(self.machine.step(walk.step, 0) for walk in self.slabs.walks),
        )

    # launches for each slab

    def _slab_after_slab(self) -> Iterator[Task]:
        """All on the memory of one slab, which lies in the arena."""
        scratch = Temporary(uint8, self.scratch_bytes)
        for outer in product(*map(range, self.slabs.outer)):
            for run in self.runs:
                for number in range(run.first, run.first + run.count):
                    place = (*outer, number)
                    tasks = [self._alone(inner, place, scratch) for inner in run.inner]
                    # Other slabs wait for this one.
                    yield from map(_settled, merge_alike(tasks, mixed=self.machine.calls_kernels))

    def _alone(self, inner: Inner, place: tuple[int, ...], scratch: Temporary) -> Task:
        """One kernel on one slab."""

        def argument(owner: Owner, offset: int, moves: Moves) -> tuple[Owner, int]:
            if owner in self.places:
                return scratch, self.places[owner] + offset * itemsize(owner)
            return owner, offset + sum(
                index * move for index, move in zip(place, moves, strict=True)
            )

        def memory(owners: Iterable[Owner]) -> tuple[Owner, ...]:
            return tuple(
                dict.fromkeys(scratch if owner in self.places else owner for owner in owners)
            )

        extents = (*self.slabs.outer, self.slabs.rounds)

        def moved(owner: Owner, moves: Moves) -> int:
            if owner in self.places:
                return 0
            return nbytes(owner) // prod(extents[axis] for axis, by in enumerate(moves) if by)

        arguments = tuple(argument(*each) for each in inner.arguments)
        launch = Launch(
            kernel=inner.kernel,
            segments=((arguments, inner.dims, inner.tasks),),
            grain=inner.grain,
            scratch_bytes=inner.scratch_bytes,
            note=self.slabs.note(inner.walk),
            nodes=tuple(inner.walk.nodes),
            moved=sum(moved(owner, moves) for owner, _, moves in inner.arguments),
        )
        work = self.machine.step(inner.walk.step, 0) / prod(extents)
        return Task(launch, Unit(memory(inner.reads), memory(inner.writes), work=work))


def _settled(task: Task) -> Task:
    assert isinstance(task.work, Launch)
    return Task(replace(task.work, is_settled=True), task.unit)


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
            touch.is_in_rows(walk.extents)
            for touch in walk.touches
            if touch.root in (read, written)
        )
    )


def itemsize(owner: Owner) -> int:
    return (owner.dtype if isinstance(owner, Temporary) else owner.aval.dtype).itemsize
