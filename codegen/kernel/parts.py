"""Results that are shared among tasks: joined in the order of the parts."""

from __future__ import annotations

from tracejit.codegen.kernel.builder import ScalarBuilder, constant
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.kernel.folds import JOINS
from tracejit.codegen.kernel.grain import Grain
from tracejit.codegen.kernel.ir import Address, Buffer, Combine, Kernel, Kind, Size, Tree
from tracejit.codegen.kernel.nest import Lowered, only_loop, variable
from tracejit.dtypes import int64
from tracejit.ir.cluster import Temporary
from tracejit.ir.graph import Node

BLOCKS = 64
"""Of a superblock."""


def join_parts(
    combine: Combine,
    partial: Temporary,
    target: Node,
    results: int,
    parts: int,
    grain: Grain,
    *,
    goes_on: bool = False,
) -> Lowered:
    """So many results, each from its value in every part; a part has all results side by side.

    Where it `goes_on` the target has what parts before these have given.
    """
    builder = ScalarBuilder()
    source, whole = Buffer(partial.dtype, "a"), Buffer(target.aval.dtype, "a", written=True)
    tasks, extent, count = Size("tasks"), Size("results"), Size("parts")
    columns = constant(grain.columns, int64)
    with builder.block() as body, builder.loop(tasks, Kind.PARALLEL, "p") as task:
        first = variable(builder.let(Fn.MUL, int64, task, columns))
        left = builder.let(Fn.SUB, int64, extent, first)
        lanes = builder.let(Fn.MIN, int64, left.operand, columns).operand
        with builder.loop(lanes, Kind.VECTOR, "v") as lane:
            place = Address(((first, 1), (lane, 1)))
            before = builder.load(whole, place) if goes_on else None
            with builder.fold(constant(0, int64), count, Tree.SERIAL, "k") as fold:
                value = builder.load(source, Address(((fold.index, extent), (first, 1), (lane, 1))))
                if before is None:
                    joined = fold.join(combine, value)
                else:
                    total = fold.carry(before.operand)
                    joined = fold.hand_on(total, builder.apply(JOINS[combine], total, value))
            builder.store(whole, place, builder.cast(joined, target.aval.dtype))
    kernel = Kernel((source, whole), (tasks, extent, count), (), only_loop(body))
    needed = -(-results // grain.columns)
    return Lowered(kernel, ((partial, 0), (target, 0)), (needed, results, parts), needed, grain=4)


def join_blocks(
    combine: Combine, source: Temporary, target: Temporary, folds: int, parts: int
) -> Lowered:
    """The results of a fold's blocks joined into those of its superblocks, for each fold."""
    builder = ScalarBuilder()
    blocks, superblocks = Buffer(source.dtype, "a"), Buffer(target.dtype, "a", written=True)
    tasks, each, extent = Size("tasks"), Size("folds"), Size("parts")
    with builder.block() as body, builder.loop(tasks, Kind.PARALLEL, "p") as task:
        superblock = builder.let(Fn.FLOORDIV, int64, task, each)
        fold_number = variable(builder.let(Fn.FLOORMOD, int64, task, each))
        first = variable(builder.let(Fn.MUL, int64, superblock.operand, constant(BLOCKS, int64)))
        left = builder.let(Fn.SUB, int64, extent, first)
        count = builder.let(Fn.MIN, int64, left.operand, constant(BLOCKS, int64)).operand
        with builder.fold(constant(0, int64), count, Tree.SERIAL, "k") as fold:
            place = Address(((first, each), (fold.index, each), (fold_number, 1)))
            result = fold.join(combine, builder.load(blocks, place))
        builder.store(superblocks, Address(((task, 1),)), result)
    kernel = Kernel((blocks, superblocks), (tasks, each, extent), (), only_loop(body))
    count_of_tasks = target.elements
    dims = (count_of_tasks, folds, parts)
    return Lowered(kernel, ((source, 0), (target, 0)), dims, count_of_tasks, grain=64)
