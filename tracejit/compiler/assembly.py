"""The steps of a graph put together as a plan: launches, their memory, and what they are for."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace

from tracejit._config import config
from tracejit._records import dataclass, field
from tracejit.artifact import (
    Argument,
    HostCall,
    LaunchSpec,
    Place,
    Plan,
    Segment,
)
from tracejit.codegen.kernel.ir import Combine
from tracejit.codegen.kernel.lower import lower
from tracejit.codegen.kernel.nest import Lowered
from tracejit.codegen.kernel.parts import join_parts
from tracejit.codegen.kernel.scan import lower_scan
from tracejit.codegen.kernel.scatter import lower_scatter
from tracejit.compiler.account import account_of
from tracejit.compiler.epilogues import Epilogues
from tracejit.compiler.finished import Finished
from tracejit.compiler.known import Known
from tracejit.compiler.launches import Arguments, Call, Launch, Task, merge_alike, note_of
from tracejit.compiler.limit import Limit, within
from tracejit.compiler.parts import Parting, nanoseconds
from tracejit.compiler.products import Part, deep_parts, part_segments, product_segments
from tracejit.compiler.recompute import written_over
from tracejit.compiler.slab_launch import SlabLaunch
from tracejit.compiler.slab_parts import SlabParts
from tracejit.compiler.slabs import Slabs
from tracejit.compiler.target import ProductKernel, Target
from tracejit.ir.cluster import Fused, Host, Owner, Product, Scan, Scatter, Step, Temporary
from tracejit.ir.graph import Apply, Constant, Graph, Input, Node, ScalarInput
from tracejit.ops.op import Layout
from tracejit.passes.expand import store
from tracejit.passes.homes import Unit, nbytes
from tracejit.passes.interface import spec_of, without_steps
from tracejit.passes.layouts import Layouts, relabel, row_major
from tracejit.passes.plan_memory import Memory, plan_memory

STREAM_FROM = 1 << 24
"""Bytes of an output that are better written past the caches: 1.3 to 1.7 times as fast, where smaller ones lose."""


@dataclass(slots=True)
class Assembly:
    """Collects the tasks of a plan, then lays out its memory."""

    graph: Graph
    layouts: Layouts
    target: Target
    join: bool = True
    """Whether steps may be run slab by slab."""
    tells: bool = False
    """Whether the plan is to have an account of what its steps do."""
    tasks: list[Task] = field(default_factory=list)
    fixed: dict[Owner, Argument] = field(default_factory=dict)
    streamed: set[Owner] = field(default_factory=set)

    def plan(self, steps: list[Step], memory_limit: int | None = None) -> Plan:
        """The plan that runs the steps, returns the graph's outputs and makes its writes.

        Raises MemoryLimitError where it cannot do so within `memory_limit` bytes of its own.
        """
        self.fixed |= places_of_inputs(self.graph)
        last = self._fix_outputs()
        everything = [*steps, *last, *self._effects()]
        if self.target.streams:
            self.streamed = self._results_that_nobody_reads(everything)
        tasks = self._tasks(self._parted(everything))
        if memory_limit is None:
            return self._laid_out(self._merged(tasks))
        limit = Limit(memory_limit, self.target.threads)
        plan = self._laid_out(self._merged(tasks))
        if limit.holds(plan):
            return replace(plan, threads=limit.threads)
        # Steps that are launches of their own can be run twice, each where that helps.
        return within(limit, self._tasks(everything), self.fixed, self._merged, self._laid_out)

    def _merged(self, tasks: list[Task]) -> list[Task]:
        return merge_alike(tasks, mixed=self.target.machine.calls_kernels)

    def _tasks(self, steps: Sequence[Step | Slabs | Finished]) -> list[Task]:
        self.tasks = []
        for step in steps:
            self._add(step)
        return self.tasks

    def _laid_out(self, tasks: list[Task], memory: Memory | None = None) -> Plan:
        """The plan that runs the tasks, with their memory as given or as planned here."""
        if memory is None:
            memory = plan_memory([task.unit for task in tasks], self.fixed)
        kept = [task for n, task in enumerate(tasks) if n not in memory.dropped]
        placed = [(task, [*self._placed(task, memory)]) for task in kept]
        steps = tuple(step for _, some in placed for step in some)
        launches = [step for step in steps if isinstance(step, LaunchSpec)]
        needed = dict.fromkeys(
            name for launch in launches for name in (launch.kernel, *launch.kernels, *launch.calls)
        )
        sources = map(self.target.source, needed)
        return replace(
            without_steps(self.graph),
            kernels=tuple(source for source in sources if source is not None),
            steps=steps,
            arena_bytes=memory.arena_bytes,
            account=account_of(placed, memory.places) if self.tells else None,
        )

    # places known before planning

    def _fix_outputs(self) -> list[Step]:
        """Computed values are put in the outputs' own memory; inputs, views and repeated outputs are copied there."""
        copies: list[Step] = []
        for number, node in enumerate(self.graph.outputs):
            place = Argument(Place.OUTPUT, number)
            if (
                isinstance(node, Apply)
                and not self.layouts.is_alias(node)
                and node not in self.fixed
            ):
                self.fixed[node] = place
                continue
            target = Input(node.aval)
            self.fixed[target] = place
            copies.append(store(node, target, row_major(node.aval.sizes)))
        return copies

    def _results_that_nobody_reads(self, steps: list[Step]) -> set[Owner]:
        """Large outputs that only their own step computes with: they would drive all else out of the caches."""
        read: set[Owner] = set()
        for step in steps:
            members = set(step.members) if isinstance(step, Fused) else set()
            for node in members or _computed(step):
                read.update(self.layouts.root(each) for each in node.inputs if each not in members)
            if isinstance(step, Fused):
                read.update(
                    self.layouts.root(each.value)
                    for each in step.stores
                    if each.value not in members
                )
        return {
            owner
            for owner, place in self.fixed.items()
            if place.place is Place.OUTPUT and nbytes(owner) >= STREAM_FROM and owner not in read
        }

    @property
    def _targets(self) -> set[Input]:
        return {effect.target for effect in self.graph.effects}

    def _effects(self) -> list[Step]:
        """The writes to inputs, after everything else. A value that is itself written over is first saved."""
        targets = self._targets
        written = {target.memory for target in targets if target.memory is not None}
        saves: list[Step] = []
        writes: list[Step] = []
        for effect in self.graph.effects:
            value: Node = effect.value
            root = self.layouts.root(value)
            is_written = isinstance(root, Input) and (root in targets or root.memory in written)
            if is_written and value is not effect.target:
                saved = Input(value.aval)
                saves.append(store(value, saved, row_major(value.aval.sizes)))
                self.layouts.add(saved)
                value = saved
            if value is not effect.target:
                writes.append(store(value, effect.target, self.layouts.layout(effect.target)))
        return [*saves, *writes]

    def _parted(self, steps: list[Step]) -> list[Step | Slabs | Finished]:
        """In slabs, and with products finished by what follows them: both would keep the same values out of memory."""
        in_slabs = self._in_slabs(steps)
        parts = self._finished(in_slabs)
        if not self.target.finish or not any(isinstance(part, Slabs) for part in in_slabs):
            return parts
        known = self._known()
        return min(self._finished([*steps]), parts, key=lambda each: nanoseconds(each, known))

    def _in_slabs(self, steps: list[Step]) -> list[Step | Slabs]:
        if not self.join:
            return [*steps]
        whole = {step for step in steps if isinstance(step, Fused) and self._may_be_dropped(step)}
        replaced = written_over(self.graph, self.layouts)
        return Parting(self._known(whole), self.fixed, replaced).of(steps)

    def _known(self, whole: Container[Step] = ()) -> Known:
        return Known(self.layouts, whole, self.target.machine)

    def _may_be_dropped(self, step: Fused) -> bool:
        """Whether the step copies a whole memory, which others may then write at once; constants are as soon written anew."""
        pair = self._whole_copy(step)
        return pair is not None and not (isinstance(pair[0], Apply) and not pair[0].inputs)

    def _finished(self, steps: list[Step | Slabs]) -> list[Step | Slabs | Finished]:
        has_products = any(isinstance(step, Product) for step in steps)
        if not (config.fuse and self.target.finish and has_products):
            return [*steps]
        return Epilogues(steps, self._known(), self.fixed, self._can_finish).found()

    # tasks

    def _add(self, step: Step | Slabs | Finished) -> None:
        match step:
            case Finished():
                self._finish(step)
            case Slabs():
                launch = SlabLaunch(SlabParts(step, self.layouts, self.target))
                self.tasks += launch.tasks()
                for walk, lowered in launch.joins():
                    self._launch(walk.step, lowered, walk.nodes)
            case Fused():
                whole = self._whole_copy(step)
                for lowered in lower(step, self._place, relabel, self.target.grain):
                    lowered = lowered.streaming(self.streamed)
                    self._launch(step, lowered, step.members or _targets(step), whole)
            case Scatter(node=node):
                self._launch(step, lower_scatter(node, self._place, self.target.grain), (node,))
            case Scan(node=node):
                for lowered in lower_scan(node, self._place, self.target.grain):
                    self._launch(step, lowered, (node,))
            case Product():
                self._product(step)
            case Host(node=node):
                arguments = tuple(map(self._seen, (*node.inputs, node)))
                reads = tuple(dict.fromkeys(owner for owner, _ in arguments[:-1]))
                self._run(step, Call(node, arguments, note_of((node,))), reads, (node,))

    def _run(
        self,
        step: Step | Finished,
        work: Launch | Call,
        reads: tuple[Owner, ...],
        writes: tuple[Owner, ...],
        aligned: frozenset[tuple[Owner, Owner]] = frozenset(),
        copies: tuple[Owner, Owner] | None = None,
    ) -> None:
        cost = self.target.machine.step(step, sum(map(nbytes, (*reads, *writes))))
        self.tasks.append(Task(work, Unit(reads, writes, aligned, copies, cost)))

    def _place(self, node: Node) -> tuple[Node, Layout]:
        return self.layouts.root(node), self.layouts.layout(node)

    def _whole_copy(self, step: Fused) -> tuple[Owner, Owner] | None:
        """(from, to) where the step only copies one whole memory to another."""
        if step.members:
            return None
        (only,) = step.stores
        root = self.layouts.root(only.value)
        if isinstance(root, Constant):  # it has no memory
            return None
        same = self.layouts.layout(only.value) == only.layout == row_major(root.aval.sizes)
        return (root, only.target) if same and root.aval is only.target.aval else None

    def _launch(
        self,
        step: Step,
        lowered: Lowered,
        nodes: tuple[Apply, ...],
        copies: tuple[Owner, Owner] | None = None,
    ) -> None:
        name = self.target.kernel(lowered.kernel)
        segment = (lowered.arguments, lowered.dims, lowered.tasks)
        note = note_of(nodes)
        launch = Launch(name, (segment,), lowered.grain, lowered.scratch_bytes, note, nodes=nodes)
        pairs = list(zip(lowered.kernel.buffers, lowered.arguments, strict=True))
        reads = tuple(dict.fromkeys(owner for buffer, (owner, _) in pairs if not buffer.written))
        writes = tuple(dict.fromkeys(owner for buffer, (owner, _) in pairs if buffer.written))
        self._run(step, launch, reads, writes, lowered.aligned, copies)

    def _product(self, step: Product) -> None:
        node, shape = step.node, step.node.aval.sizes
        left, right = (self.layouts.layout(source) for source in node.inputs)
        kernel, parts = self._whole_product(step)
        if not parts:
            return
        count = self._parts_of_sums(step, parts)
        if not count:
            self._multiply(step, kernel, parts, node)
            return
        sums = Temporary(node.aval.dtype, count * node.aval.size)
        self._multiply(step, kernel, list(part_segments(left, right, shape, kernel.segment)), sums)
        joined = join_parts(Combine.SUM, sums, node, node.aval.size, count, self.target.grain)
        self._launch(step, joined, (node,))

    def _whole_product(self, step: Product) -> tuple[ProductKernel, list[Part]]:
        """Its kernel, and the segments of one launch."""
        node, shape = step.node, step.node.aval.sizes
        left, right = (self.layouts.layout(source) for source in node.inputs)
        depth = node.inputs[0].aval.sizes[-1]
        kernel = self.target.product(node.aval.dtype.name, shape, shape, depth, **node.kwargs)
        parts = product_segments(left, right, shape, kernel.segment, has_outer=kernel.has_outer)
        return kernel, list(parts)

    def _parts_of_sums(self, step: Product, parts: list[Part]) -> int:
        """How many partial sums are computed side by side; 0 if it is one launch."""
        node = step.node
        is_enough = sum(tasks for _, _, tasks, _ in parts) >= self.target.grain.products
        depth = node.inputs[0].aval.sizes[-1]
        return 0 if node.params or is_enough else deep_parts(depth, node.aval.sizes)

    def _multiply(
        self, step: Product, kernel: ProductKernel, parts: list[Part], target: Owner
    ) -> None:
        segments = tuple(
            ((*self._operands(step, (a, b)), (target, c)), dims, tasks)
            for (a, b, c), dims, tasks, _ in parts
        )
        nodes = (step.node,)
        launch = Launch(
            kernel.name, segments, parts[0][3], kernel.scratch_bytes, note_of(nodes), nodes=nodes
        )
        roots = map(self.layouts.root, step.node.inputs)
        self._run(step, launch, tuple(dict.fromkeys(roots)), (target,))

    def _operands(self, step: Product, offsets: tuple[int, int]) -> Arguments:
        """A and B, from these elements on."""
        seen = zip(map(self._seen, step.node.inputs), offsets, strict=True)
        return tuple((root, first + offset) for (root, first), offset in seen)

    # products with what follows

    def _can_finish(self, step: Product) -> bool:
        """Whether one launch of a kernel that has whole sums, and all rows in order, computes the product."""
        _, parts = self._whole_product(step)
        is_matrix = 1 not in step.node.aval.sizes[-2:] and not step.node.params
        return is_matrix and len(parts) == 1 and not self._parts_of_sums(step, parts)

    def _finish(self, finished: Finished) -> None:
        step, rows, node = finished.product, finished.rows, finished.product.node
        left, right = (self.layouts.layout(source) for source in node.inputs)
        dtype, shape, depth = node.aval.dtype.name, node.aval.sizes, left.shape[-1]
        assert self.target.finish is not None
        kernel = self.target.finish(dtype, shape, depth, rows, finished.sums)
        ((offsets, dims, tasks, grain),) = product_segments(
            left, right, shape, kernel.segment, has_outer=kernel.has_outer
        )
        operands = self._operands(step, offsets[:2])
        pairs = [*zip(rows.kernel.buffers, rows.arguments, strict=True)]
        del pairs[finished.sums]
        nodes = (node, *finished.step.members)
        segments = (((*operands, *(argument for _, argument in pairs)), dims, tasks),)
        launch = Launch(kernel.name, segments, grain, 0, note_of(nodes), nodes=nodes)
        writes = dict.fromkeys(owner for buffer, (owner, _) in pairs if buffer.written)
        of_rows = (owner for buffer, (owner, _) in pairs if not buffer.written)
        reads = dict.fromkeys((*of_rows, *(owner for owner, _ in operands)))
        # Other tasks read the operands still.
        aligned = frozenset(pair for pair in rows.aligned if pair[0] not in dict(operands))
        self._run(finished, launch, tuple(reads), tuple(writes), aligned)

    # the plan's own records

    def _placed(self, task: Task, memory: Memory) -> Iterator[LaunchSpec | HostCall]:
        work = task.work
        moved = sum(map(nbytes, (*task.unit.reads, *task.unit.writes)))
        if isinstance(work, Launch) and work.moved is not None:
            moved = work.moved
        cost = round(task.unit.work)
        if isinstance(work, Call):
            node = work.node
            yield HostCall(
                node.op.name,
                node.params,
                tuple(at(owner, offset, memory.places) for owner, offset in work.arguments),
                tuple(spec_of(each, self.layouts.layout(each)) for each in node.inputs),
                spec_of(node, self.layouts.layout(node)),
                work.note,
                moved,
                cost,
            )
            return
        segments = tuple(
            Segment(
                tuple(at(owner, offset, memory.places) for owner, offset in arguments), dims, tasks
            )
            for arguments, dims, tasks in work.segments
        )
        for launch in self.target.launches(work, segments, moved):
            yield launch if launch.shape else replace(launch, nanoseconds=cost)

    def _seen(self, node: Node) -> tuple[Owner, int]:
        return self.layouts.root(node), self.layouts.layout(node).offset


def places_of_inputs(graph: Graph) -> dict[Owner, Argument]:
    """Arrays and numbers, each numbered by themselves."""
    arrays = (node for node in graph.inputs if isinstance(node, Input))
    scalars = (node for node in graph.inputs if isinstance(node, ScalarInput))
    return {
        **{node: Argument(Place.INPUT, n) for n, node in enumerate(arrays)},
        **{node: Argument(Place.SCALAR, n) for n, node in enumerate(scalars)},
    }


def _computed(step: Step) -> tuple[Apply, ...]:
    return () if isinstance(step, Fused) else (step.node,)


def at(owner: Owner, offset: int, places: Mapping[Owner, Argument]) -> Argument:
    """The argument that points at an element of an owner's memory; of one without elements, which no task writes, at nothing."""
    place = places[owner] if nbytes(owner) else Argument(Place.ARENA, 0)
    dtype = owner.dtype if isinstance(owner, Temporary) else owner.aval.dtype
    return replace(place, offset=place.offset + offset * dtype.itemsize)


def _targets(step: Fused) -> tuple[Apply, ...]:
    return tuple(store.target for store in step.stores if isinstance(store.target, Apply))
