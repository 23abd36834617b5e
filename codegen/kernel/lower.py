"""From a fused step to its kernels: the shape of the loop nest.

A *map* runs over its space, the last dimension that is not short in vectors. A *row* nest (folds over the last dimensions,
LANES) gives each task a row: fold after fold along it, then the stores. A *column* nest (ROWS) gives each task some columns, in
vectors, and folds down them. Where folds are few and long each is shared among tasks: a launch folds superblocks, a second one
folds their results. Columns of more memory than a cache holds are folded row by row: a task goes through the whole rows of a
block, and a second launch folds the results of the blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import prod

from tracejit.codegen.kernel.access import Accesses, Axis, Place, Relabel
from tracejit.codegen.kernel.builder import Element, constant
from tracejit.codegen.kernel.cost import widened
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.folds import JOINS, SEARCHES
from tracejit.codegen.kernel.grain import CORES, Grain
from tracejit.codegen.kernel.ir import (
    Buffer,
    Combine,
    Kind,
    Operand,
    Tree,
    Var,
)
from tracejit.codegen.kernel.kept import Key, near_places
from tracejit.codegen.kernel.nest import Lowered, Nest, variable
from tracejit.codegen.kernel.parts import BLOCKS, join_blocks, join_parts
from tracejit.codegen.kernel.stages import Stages
from tracejit.dtypes import DType, bool_, int64
from tracejit.ir.cluster import Fused, Store, Temporary
from tracejit.ir.graph import Apply
from tracejit.ops.op import Reduction

CHUNK = 4096
"""Elements of a one-dimensional map that one task does."""
LONGEST_SPILL = 65_536
"""Elements of a row that may be kept in scratch between stages: what a core's own cache holds."""
WIDE = 512
"""Columns from which a row is a run worth reading by itself."""
SHORT = 8
"""Elements of a row that are folded one by one, for a vector of rows at once; fewer do not fill vectors of their own."""
ENOUGH_BLOCKS = 4
"""Of rows, for as many threads."""
ACCUMULATORS = 64
"""Of the LANES tree."""


def lower(step: Fused, place: Place, relabel: Relabel, grain: Grain = CORES) -> list[Lowered]:
    """The launches that compute a step: one; two or more where long folds are shared among tasks; none for no elements."""
    nest = StepNest(Accesses(step, place, relabel), grain)
    if not step.axes:
        return [nest.map()] if prod(step.space) else []
    if prod(axis.extent for axis in nest.kept) == 0:
        return []
    if prod(step.space) == 0:
        return [nest.empty()]
    if step.split and not any(combine_of(node) in SEARCHES for node in nest.reductions):
        lowered, partial = nest.parts()
        return [lowered, *joined_parts(step, partial, grain)]
    if nest.is_short:
        return [nest.short_rows()]
    if nest.reads_whole_rows:
        lowered, partial = nest.row_by_row()
        return [lowered, StepNest(nest.accesses, grain).joined_columns(partial)]
    return [nest.rows() if nest.tree is Tree.LANES else nest.columns()]


def lower_parts(
    step: Fused, place: Place, relabel: Relabel, grain: Grain
) -> tuple[Lowered, dict[Apply, Temporary]]:
    """Of a step whose folds are shared among tasks the launch that folds the parts, and where it writes the results of each."""
    return StepNest(Accesses(step, place, relabel), grain).parts()


def joined_parts(step: Fused, partial: Mapping[Apply, Temporary], grain: Grain) -> list[Lowered]:
    """The launches that join the results of the parts."""
    parts, folds = parts_of(step, share_of(step, grain))
    lowered = []
    for node, source in partial.items():
        combine, superblocks, count = combine_of(node), source, parts
        if grain.by_blocks and parts > BLOCKS:  # else they are of one superblock
            count = -(-parts // BLOCKS)
            superblocks = Temporary(source.dtype, folds * count)
            lowered.append(join_blocks(combine, source, superblocks, folds, parts))
        lowered.append(join_parts(combine, superblocks, node, folds, count, grain))
    return lowered


def parts_of(step: Fused, share: int) -> tuple[int, int]:
    """How many parts of so many values long folds have, and how many folds there are."""
    folded = prod(step.space[axis] for axis in step.axes)
    return -(-folded // share), prod(step.space) // folded


def share_of(step: Fused, grain: Grain) -> int:
    """Values of a long fold that are a part."""
    return tree_of(step).block if grain.by_blocks else tree_of(step).superblock


def tree_of(step: Fused) -> Tree:
    return Tree.LANES if step.axes[-1] == len(step.space) - 1 else Tree.ROWS


EMPTY = {Combine.SUM: 0, Combine.PROD: 1, Combine.ANY: False, Combine.ALL: True}
"""Of no elements."""


def combine_of(node: Apply) -> Combine:
    assert isinstance(node.op.recipe, Reduction)
    return Combine(node.op.recipe.combine)


def accumulator(node: Apply) -> DType:
    """The dtype in which a reduction accumulates; half precision is rounded once, at the end."""
    if combine_of(node) in (Combine.SUM, Combine.PROD):
        return widened(node.aval.dtype)
    return widened(node.inputs[0].aval.dtype)


class StepNest(Nest):
    """The kernels of a step."""

    def __init__(self, accesses: Accesses, grain: Grain) -> None:
        super().__init__(accesses)
        self.grain = grain
        self.stage_of = Stages(accesses)
        self.needed: dict[
            Key, Sequence[int]
        ] = {}  # what is kept in scratch, with the loops that need it

    @property
    def tree(self) -> Tree:
        return tree_of(self.step)

    @property
    def reductions(self) -> list[Apply]:
        return [node for node in self.step.members if isinstance(node.op.recipe, Reduction)]

    # shapes of nests

    def map(self) -> Lowered:
        """Every store, over the whole space."""
        inner = self.map_axis()
        outer = [axis for axis in self.axes if axis is not inner]
        long = inner is not None and (not outer or inner.extent > 4 * CHUNK)
        chunk = CHUNK if long else 0
        runs = self.runs(outer, inner)
        extent = inner.extent if inner is not None else 1
        with (
            self.tasks([axis for axis in outer if axis is not runs], inner, chunk) as part,
            self.one_by_one(runs),
            self.vector(inner, part),
        ):
            self.store(self.step.stores)
        lowered = self.finish(
            (min(chunk, extent) if chunk else extent) * (runs.extent if runs else 1)
        )
        return replace(lowered, is_flat=bool(chunk) and not outer)

    def runs(self, outer: list[Axis], inner: Axis | None) -> Axis | None:
        """The axis whose runs along the inner one are a single task, where they are short and there are tasks enough."""
        if inner is None or not outer or inner.extent > self.grain.short_run:
            return None
        rest = prod(axis.extent for axis in outer[:-1])
        return outer[-1] if rest >= self.grain.many_tasks else None

    def map_axis(self) -> Axis | None:
        """The axis in vectors: the last that is not short, if there is one, for a task is one run along it."""
        found = [axis for axis in self.axes if axis.extent >= SHORT] or self.axes
        return found[-1] if found else None

    def rows(self) -> Lowered:
        """Folds along rows, stage after stage; a row is a task."""
        with self.tasks(self.kept):
            self.stages(spill=True)
        return self.finish(self.folded_extent * self.stage_of.loops)

    @property
    def is_short(self) -> bool:
        """Rows of a few elements, enough of them to fill vectors, of which only what is kept is stored."""
        return (
            self.tree is Tree.LANES
            and self.folded_extent <= SHORT
            and bool(self.kept)
            and self.kept[-1].extent >= SHORT
            and not any(combine_of(node) in SEARCHES for node in self.reductions)
            and len(self.kept_stores) == len(self.step.stores)
        )

    def short_rows(self) -> Lowered:
        """Folds of a few elements each: the last kept axis in vectors, the elements of each fold one after another."""
        *outer, inner = self.kept
        chunk = CHUNK // SHORT if not outer or inner.extent > CHUNK else 0
        with self.tasks(outer, inner, chunk) as part, self.vector(inner, part):
            for stage in range(self.stage_of.folds):
                found = [self.element_of_row(number, stage) for number in range(self.folded_extent)]
                for node in self.reductions:
                    if self.stage_of[node.inputs[0]] == stage:
                        result = self.join([values[node] for values in found], combine_of(node))
                        self.scopes[-1][node] = self.builder.cast(result, node.aval.dtype)
            self.store(self.kept_stores)
        return self.finish(min(chunk or inner.extent, inner.extent) * self.folded_extent)

    def element_of_row(self, number: int, stage: int) -> dict[Apply, Element]:
        """What the folds of a stage join from one element of each row."""
        index = self.builder.let(Fn.CAST, int64, constant(number, int64))
        with self.along_row(variable(index)):
            nodes = [node for node in self.reductions if self.stage_of[node.inputs[0]] == stage]
            return {node: self.joined(node) for node in nodes}

    def join(self, values: list[Element], combine: Combine) -> Element:
        """The LANES tree over fewer values than it has accumulators: those of none leave the others as they are."""
        fn = JOINS[combine]
        distance = ACCUMULATORS
        while len(values) > 1:
            distance //= 2
            pairs = zip(values, values[distance:], strict=False)
            values = [self.builder.apply(fn, *pair) for pair in pairs] + values[
                max(len(values) - distance, 0) : distance
            ]
        return values[0]

    def columns(self) -> Lowered:
        """Folds down columns; a task does some of them."""
        outer, inner = self.column_axes()
        with (
            self.tasks(outer, inner, self.grain.columns if inner else 0) as part,
            self.vector(inner, part),
        ):
            self.stages(spill=False)
        return self.finish(
            self.folded_extent * self.stage_of.loops * (self.grain.columns if inner else 1)
        )

    def parts(self) -> tuple[Lowered, dict[Apply, Temporary]]:
        """Folds of one superblock, or block, each, and where their results lie."""
        outer, inner = (self.kept, None) if self.tree is Tree.LANES else self.column_axes()
        parts, folds = parts_of(self.step, self.share)
        chunk = self.grain.columns if inner else 0
        partial = self.results_of(folds * parts)
        with self.tasks(outer, inner, chunk, parts) as part, self.vector(inner, part):
            results = self.fold(0, *self.shared_range(self.share))
            for node, result in results.items():
                address = self.linear_address(folds)
                self.builder.store(
                    self.buffer(partial[node], 0, partial[node].dtype, True), address, result
                )
            # Along folded axes of one element there is nothing but that.
            self.store([store for store in self.kept_stores if store.value not in partial])
        return self.finish(self.share * (self.grain.columns if inner else 1)), partial

    def results_of(self, count: int) -> dict[Apply, Temporary]:
        """Memory for so many results of each fold."""
        return {node: Temporary(accumulator(node), count) for node in self.reductions}

    @property
    def share(self) -> int:
        """Values of a long fold that one task folds."""
        return share_of(self.step, self.grain)

    def shared_range(self, share: int) -> tuple[Operand, Operand]:
        """The range of the folded axes that the task folds, so many values at the most."""
        length = constant(share, int64)
        if self.part is None:
            return constant(0, int64), self.size("folded", self.folded_extent)
        start = self.builder.let(Fn.MUL, int64, self.part, length)
        end = self.builder.let(Fn.ADD, int64, start.operand, length)
        extent = self.size("folded", self.folded_extent)
        return start.operand, self.builder.let(Fn.MIN, int64, end.operand, extent).operand

    @property
    def reads_whole_rows(self) -> bool:
        """Folds of one stage down many columns, of more memory than a core's cache holds: of blocks enough for all threads, and
        of no more superblocks than the ROWS tree, over the results of blocks, joins as it joins theirs."""
        least, (_, inner), folds = self.grain.whole_rows, self.column_axes(), self.stage_of.folds
        most = Tree.ROWS.superblock * BLOCKS
        return (
            0 < least <= prod(self.step.space)
            and self.tree is Tree.ROWS
            and inner is not None
            and inner.extent >= WIDE
            and ENOUGH_BLOCKS * Tree.ROWS.block <= self.folded_extent <= most
            and folds == 1
            and not self.full_stores(folds)
            and not any(combine_of(node) in SEARCHES for node in self.reductions)
        )

    def row_by_row(self) -> tuple[Lowered, dict[Apply, Temporary]]:
        """Each block's rows one after another, each joined to those before it, and where the results of the blocks lie."""
        outer, inner = self.column_axes()
        s, block = self.builder, Tree.ROWS.block
        parts, folds = parts_of(self.step, block)
        partial = self.results_of(folds * parts)
        with self.tasks(outer, inner, CHUNK, parts) as part:
            start, stop = self.shared_range(block)
            count = s.let(Fn.SUB, int64, stop, start)
            with s.loop(count.operand, Kind.SERIAL, "r") as row:
                is_first = s.let(Fn.EQ, bool_, row, constant(0, int64))
                index = variable(s.let(Fn.ADD, int64, start, row))
                with self.along_row(index), self.vector(inner, part):
                    values = {node: self.joined(node) for node in self.reductions}
                    for node, value in values.items():
                        buffer = self.buffer(partial[node], 0, partial[node].dtype, True)
                        place = self.linear_address(folds)
                        joined = s.apply(JOINS[combine_of(node)], s.load(buffer, place), value)
                        s.store(buffer, place, s.select(is_first, value, joined))
                    self.store(self.full_stores(0))
        return self.finish(block * min(inner.extent if inner else 1, CHUNK)), partial

    def joined_columns(self, partial: Mapping[Apply, Temporary]) -> Lowered:
        """The results of the blocks folded down columns, as blocks into superblocks, and what follows."""
        outer, inner = self.column_axes()
        parts, folds = parts_of(self.step, Tree.ROWS.block)
        with self.tasks(outer, inner, self.grain.columns) as part, self.vector(inner, part):
            extent = self.size("parts", parts)
            with self.builder.fold(constant(0, int64), extent, Tree.ROWS, "k") as fold:
                self.part = fold.index
                place = self.linear_address(folds)
                results = {}
                for node, source in partial.items():
                    value = self.builder.load(self.buffer(source, 0, source.dtype), place)
                    results[node] = fold.join(combine_of(node), value)
            for node, result in results.items():
                self.scopes[-1][node] = self.builder.cast(result, node.aval.dtype)
            self.store(self.kept_stores)
        return self.finish(parts * self.grain.columns)

    def empty(self) -> Lowered:
        """Folds of no elements."""
        with self.tasks(self.kept):
            for node in self.reductions:
                value = constant(EMPTY[combine_of(node)], node.aval.dtype)
                self.scopes[-1][node] = self.builder.element(value)
            self.store(self.kept_stores)
        return self.finish(1)

    def column_axes(self) -> tuple[list[Axis], Axis | None]:
        """The kept axes: those that tasks run over, and the last one, if it lies after the folded ones."""
        if self.kept and self.kept[-1].dims[0] > self.step.axes[-1]:
            return self.kept[:-1], self.kept[-1]
        return self.kept, None

    # folds

    def stages(self, *, spill: bool) -> None:
        """Each fold in the loop where its values are known, then what is kept, then the stores that need them all."""
        if spill:
            self.keep_in_scratch(self.stage_of.spilled())
        for stage in range(self.stage_of.folds):
            extent = self.size("folded", self.folded_extent)
            results = self.fold(stage, constant(0, int64), extent)
            for node, result in results.items():
                self.scopes[-1][node] = self.builder.cast(result, node.aval.dtype)
        self.store(self.kept_stores)
        if last := self.full_stores(self.stage_of.folds):
            with self.last_loop():
                self.read_ahead(self.stage_of.folds)
                self.store(last)

    def keep_in_scratch(self, spilled: Sequence[Apply]) -> None:
        """Costly values that several loops need; and, where there is room near by, what several loops read."""
        if not self.grain.row_bytes:
            if self.folded_extent <= LONGEST_SPILL:
                self.scratch |= {node: self.row_buffer(node.aval.dtype) for node in spilled}
            return
        uses = self.stage_of.uses(set(spilled))
        for place in near_places(spilled, uses, self.folded_extent, self.grain.row_bytes):
            buffer = self.row_buffer(place.dtype)
            for key in place.keys:
                self.needed[key] = uses[key]
                if isinstance(key, tuple):
                    self.kept_reads[key] = buffer
                else:
                    self.scratch[key] = buffer

    def row_buffer(self, dtype: DType) -> Buffer:
        length = self.size("folded", self.folded_extent)
        return Buffer(dtype, "t", written=True, scratch=length)

    def read_ahead(self, loop: int) -> None:
        """What is kept of earlier loops and needed in this one; and what this one is the first to read."""
        for key, loops in self.needed.items():
            if loop in loops and isinstance(key, tuple):
                self.kept_read(*key)
            elif loop in loops[1:] and isinstance(key, Apply):
                self.member(key)

    def fold(self, stage: int, start: Operand, stop: Operand) -> dict[Apply, Element]:
        """The folds of one stage, and the stores whose values are known in it; the results, not yet rounded."""
        results: dict[Apply, Element] = {}
        with self.builder.fold(start, stop, self.tree, "k") as fold, self.along_row(fold.index):
            self.read_ahead(stage)
            for node in self.reductions:
                if self.stage_of[node.inputs[0]] == stage:
                    results[node] = fold.join(combine_of(node), self.joined(node))
            self.store(self.full_stores(stage))
        return results

    def joined(self, node: Apply) -> Element:
        """What a reduction folds: its input in the dtype in which it accumulates."""
        value = self.value(node.inputs[0], self.step.labels[node])
        if combine_of(node) in (Combine.ANY, Combine.ALL):
            return value if value.dtype.kind == "b" else self.builder.apply(Fn.NE, value, 0)
        return self.builder.cast(value, accumulator(node))

    @contextmanager
    def along_row(self, index: Var) -> Iterator[None]:
        """`index` runs over the folded axes taken as one."""
        with self.scope():
            self.row_index = index
            digits: list[tuple[object, int]] = [(axis, axis.extent) for axis in self.folded]
            for axis, var in self.decode(index, digits).items():
                assert isinstance(axis, Axis)
                self.indices[axis] = [var]
            yield

    @contextmanager
    def last_loop(self) -> Iterator[None]:
        extent = self.size("folded", self.folded_extent)
        if self.tree is Tree.LANES:
            with self.builder.loop(extent, Kind.VECTOR, "v") as index, self.along_row(index):
                yield
        else:
            zero = constant(0, int64)
            with (
                self.builder.fold(zero, extent, Tree.SERIAL, "k") as fold,
                self.along_row(fold.index),
            ):
                yield

    @property
    def last_stores(self) -> Sequence[Store]:
        """Those of what is kept, unless a loop along the row follows them."""
        if not self.step.axes:
            return self.step.stores
        if self.step.split or self.full_stores(self.stage_of.folds):
            return ()
        return self.kept_stores

    @property
    def kept_stores(self) -> list[Store]:
        return [store for store in self.step.stores if not self.is_full(store)]

    def full_stores(self, stage: int) -> list[Store]:
        """Those along the folded axes whose values are known in a stage."""
        stores = [store for store in self.step.stores if self.is_full(store)]
        return [store for store in stores if self.stage_of[store.value] == stage]

    def is_full(self, store: Store) -> bool:
        """The stored value runs along the folded axes."""
        labels = self.accesses.value_labels(store.value, store.layout)
        return any(dim in labels for axis in self.folded for dim in axis.dims)
