"""Sums of padded parts that overlap nowhere are concatenations, with the bits of the sums."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracejit as tj
from tests.ir.graphs import FLOATS, apply, arrays_for, assert_same_bits
from tracejit import dtypes
from tracejit.dtypes import DType
from tracejit.ir.aval import aval
from tracejit.ir.graph import Constant, Graph, Input, Node
from tracejit.ir.interpret import interpret
from tracejit.ir.verify import verify_graph
from tracejit.passes.dce import drop_dead
from tracejit.passes.pads import join_pads

ROWS = 7


def padded(x: Node, start: int, *, axis: int = 0, rows: int = ROWS, fill: float = 0.0) -> Node:
    """`x` of shape (n, n) in zeros, from row or column `start` on."""
    widths = [(0, 0), (0, 0)]
    widths[axis] = (start, rows - start - x.aval.sizes[axis])
    return apply("pad", x, Constant(aval(x.aval.dtype), fill), widths=tuple(widths))


def square(n: int = 2, dtype: DType = dtypes.float32) -> Input:
    return Input(aval(dtype, (n, n)))


def total(*nodes: Node) -> Node:
    first, *others = nodes
    for node in others:
        first = apply("add", first, node)
    return first


def joined(inputs: tuple[Input, ...], *outputs: Node) -> Graph:
    """The graph after the pass, which has kept every bit."""
    graph = Graph(inputs, outputs)
    after = verify_graph(drop_dead(join_pads(graph)))
    for seed in range(3):
        values = arrays_for(graph, seed)
        for found, expected in zip(
            interpret(after, *values), interpret(graph, *values), strict=True
        ):
            assert_same_bits(found, expected)
    return after


def counts(graph: Graph) -> Counter[str]:
    return Counter(node.op.name for node in graph.applies)


def test_parts_side_by_side_are_concatenated() -> None:
    a, b, c = square(), square(), square(2)
    graph = joined((a, b, c), total(padded(b, 2), padded(c, 4, rows=7), padded(a, 0)))
    assert counts(graph) == {"add": 3, "concat": 1, "constant": 1}


def test_what_lies_between_parts_is_zero() -> None:
    a, b = square(), square()
    graph = joined((a, b), total(padded(b, 4), padded(a, 1)))
    assert counts(graph) == {"add": 2, "concat": 1, "constant": 3}


def test_parts_that_overlap_are_added() -> None:
    a, b = square(), square()
    assert counts(joined((a, b), total(padded(a, 0), padded(b, 1)))) == {"pad": 2, "add": 1}


def test_parts_along_different_axes_are_added() -> None:
    a, b = Input(aval(dtypes.float32, (2, 7))), Input(aval(dtypes.float32, (7, 2)))
    graph = joined((a, b), total(padded(a, 0), padded(b, 2, axis=1)))
    assert counts(graph) == {"pad": 2, "add": 1}


@pytest.mark.parametrize("fill", [-0.0, 1.0])
def test_other_numbers_than_zero_around_a_part_are_added(fill: float) -> None:
    a, b = square(), square()
    graph = joined((a, b), total(padded(a, 0, fill=fill), padded(b, 2)))
    assert counts(graph) == {"pad": 2, "add": 1}


def test_a_sum_with_something_else_in_it_joins_what_it_can() -> None:
    a, b, x = square(), square(), Input(aval(dtypes.float32, (ROWS, 2)))
    graph = joined((a, b, x), total(padded(a, 0), padded(b, 2), x))
    assert counts(graph) == {"add": 3, "concat": 1, "constant": 1}


def test_a_sum_that_others_read_too_is_there_for_them() -> None:
    a, b, c = square(), square(), square()
    two = total(padded(a, 0), padded(b, 2))
    graph = joined((a, b, c), total(two, padded(c, 4)), apply("negative", two))
    assert counts(graph)["concat"] == 2


def test_a_part_may_be_a_sum_of_parts_itself() -> None:
    a, b, c = square(), square(), Input(aval(dtypes.float32, (4, 2)))
    inner = total(padded(a, 0, rows=4), padded(b, 2, rows=4))
    graph = joined((a, b, c), total(padded(inner, 0, rows=8), padded(c, 4, rows=8)))
    assert counts(graph) == {"add": 4, "concat": 2}


@settings(max_examples=40)
@given(
    starts=st.lists(st.integers(0, ROWS - 2), min_size=2, max_size=4),
    numbers=st.lists(st.sampled_from(FLOATS), min_size=16, max_size=16),
)
def test_any_parts_keep_every_bit(starts: list[int], numbers: list[float]) -> None:
    inputs = tuple(square() for _ in starts)
    graph = Graph(inputs, (total(*map(padded, inputs, starts)),))
    after = verify_graph(join_pads(graph))
    values = list(np.array(numbers, np.float32).reshape(4, 2, 2)[: len(starts)])
    assert_same_bits(interpret(after, values)[0], interpret(graph, values)[0])


def test_the_gradient_of_a_split_is_written_part_by_part() -> None:
    @tj.compile
    def gradient(x: tj.Tensor) -> tj.Tensor:
        a, b, c = tj.split(x, 3, axis=1)
        return tj.autograd.grad((a * tj.sin(b) * c).sum(), x)[0]

    x = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    given = tj.tensor(x, requires_grad=True)
    found = gradient(given)
    a, b, c = tj.split(given, 3, axis=1)
    expected = tj.autograd.grad((a * tj.sin(b) * c).sum(), given)[0]
    assert found.tolist() == expected.tolist()
    names = [use.computes.partition("  ")[0] for use in tj.explain(gradient).kernels]
    assert names == ["multiply, cos, add", "sin, multiply, add"]
