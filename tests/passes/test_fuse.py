"""What fusion puts together, and what it keeps apart."""

from __future__ import annotations

from typing import Any

from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit.codegen.kernel.cost import is_costly
from tracejit.codegen.kernel.ir import Tree
from tracejit.ir.aval import aval
from tracejit.ir.cluster import Fused, Product, Step
from tracejit.ir.graph import Constant, Effect, Graph, Input, Node
from tracejit.ops import contract, index  # noqa: F401  # they register their ops
from tracejit.passes.fuse import fuse
from tracejit.passes.group import CORES, SPLIT_LANES, SPLIT_ROWS, WARPS
from tracejit.passes.layouts import Layouts


def array(*shape: int) -> Input:
    return Input(aval(dtypes.float32, shape))


def number(value: float) -> Constant:
    return Constant(aval(dtypes.float32), value)


def steps_of(*outputs: Node, effects: tuple[Effect, ...] = (), **options: Any) -> list[Step]:
    seen: dict[Node, None] = {}
    stack = [*outputs, *(effect.value for effect in effects)]
    while stack:
        node = stack.pop()
        seen[node] = None
        stack += getattr(node, "inputs", ())
    inputs = tuple(node for node in seen if isinstance(node, Input))
    graph = Graph(inputs, outputs, effects)
    return fuse(graph, Layouts(graph), is_costly, **options)


def keep(node: Node, axis: int) -> Node:
    """A fold's result with its axis put back, of one element."""
    shape = list(node.aval.sizes)
    shape.insert(axis, 1)
    return apply("reshape", node, shape=tuple(shape))


def softmax(x: Node) -> Node:
    shifted = apply("subtract", x, keep(apply("max", x, axes=(1,)), 1))
    e = apply("exp", shifted)
    return apply("divide", e, keep(apply("sum", e, axes=(1,)), 1))


def test_a_chain_of_pointwise_ops_is_one_step_that_stores_once():
    x, y = array(8, 5), array(5)
    (step,) = steps_of(apply("tanh", apply("add", apply("multiply", x, y), x)))
    assert isinstance(step, Fused)
    assert len(step.members) == 3
    assert len(step.stores) == 1


def test_without_join_each_op_is_a_step():
    x = array(8, 5)
    assert len(steps_of(apply("tanh", apply("negative", x)), join=False)) == 2


def test_softmax_is_one_step():
    (step,) = steps_of(softmax(array(16, 32)))
    assert isinstance(step, Fused)
    assert step.axes == (1,)
    assert len(step.stores) == 1


def test_softmax_and_its_backward_are_one_step():
    x, ct = array(16, 32), array(16, 32)
    y = softmax(x)
    inner = keep(apply("sum", apply("multiply", ct, y), axes=(1,)), 1)
    (step,) = steps_of(y, apply("multiply", y, apply("subtract", ct, inner)))
    assert isinstance(step, Fused)
    assert len(step.stores) == 2


def test_a_value_and_its_column_sums_are_one_step():
    x = array(64, 32)
    mask = apply("maximum", x, apply("negative", x))
    (step,) = steps_of(mask, apply("sum", mask, axes=(0,)))
    assert isinstance(step, Fused)
    assert step.axes == (0,)


def test_folds_over_different_axes_are_different_steps():
    x = apply("tanh", array(64, 32))
    assert len(steps_of(apply("sum", x, axes=(0,)), apply("sum", x, axes=(1,)))) == 2


def test_fusion_stops_at_a_transpose():
    x = array(8, 8)
    turned = apply("permute", apply("exp", x), axes=(1, 0))
    assert len(steps_of(apply("add", x, turned))) == 2


def test_a_value_between_two_products_is_stored():
    x, w = array(4, 4), array(4, 4)
    hidden = apply("maximum", apply("matmul", x, w), number(0.0))
    steps = steps_of(apply("matmul", hidden, w))
    assert [type(step) for step in steps] == [Product, Fused, Product]


def test_a_group_never_waits_for_itself():
    """x feeds a product whose result meets x's own group again: merging would be a cycle."""
    x, w = array(4, 4), array(4, 4)
    a = apply("exp", x)
    b = apply("add", a, apply("matmul", a, w))
    steps = steps_of(b)
    assert [type(step) for step in steps] == [Fused, Product, Fused]


def test_a_gather_reads_an_array_that_is_there_as_a_whole():
    x, places = array(8, 4), Input(aval(dtypes.int64, (3,)))
    steps = steps_of(apply("take", apply("exp", x), places, axis=0))
    assert len(steps) == 2


def test_what_follows_few_long_folds_waits_for_all_of_them():
    x = array(1 << 20)
    total = apply("sum", apply("tanh", x), axes=(0,))
    first, second = steps_of(apply("divide", x, total))
    assert isinstance(first, Fused)
    assert isinstance(second, Fused)
    assert first.split
    assert not second.axes


def test_a_cheap_small_operand_is_computed_where_it_is_used():
    x, bias = array(64, 32), array(32)
    (step,) = steps_of(apply("add", x, apply("multiply", bias, number(2.0))))
    assert isinstance(step, Fused)
    assert step.space == (64, 32)


def test_a_costly_operand_is_computed_once_not_in_every_row():
    x, bias = array(64, 32), array(32)
    assert len(steps_of(apply("add", x, apply("exp", bias)))) == 2


def test_a_slice_of_a_value_reads_it_from_memory():
    x = array(8, 8)
    e = apply("exp", x)
    part = apply("slice", e, start=(0, 0), stop=(8, 1), step=(1, 1))
    assert len(steps_of(apply("multiply", x, part))) == 2
    assert len(steps_of(apply("multiply", e, part))) == 2


def test_folds_are_split_at_the_superblocks_of_their_trees():
    assert Tree.LANES.superblock == SPLIT_LANES
    assert Tree.ROWS.superblock == SPLIT_ROWS


def test_a_gpu_shares_folds_that_cores_do_not():
    rows_of_a_batch, axes = (16_384, 1024), (0,)
    assert WARPS.splits(rows_of_a_batch, axes)
    assert not CORES.splits(rows_of_a_batch, axes)
    assert not WARPS.splits((64, 1 << 20), (1,)), "rows enough to keep a GPU busy"
    assert not WARPS.splits((128, 512), axes), "too short to be worth further launches"
