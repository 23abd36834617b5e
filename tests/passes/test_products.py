"""Sums of products of little depth are one product, with the bits of the sums."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracejit as tj
from tests.compiler.programs import run
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit.dtypes import DType
from tracejit.ir.aval import aval
from tracejit.ir.graph import Graph, Input, Node
from tracejit.ir.interpret import interpret
from tracejit.ir.verify import verify_graph
from tracejit.passes.dce import drop_dead
from tracejit.passes.products import join_products


def operands(terms: int, m: int, n: int, depth: int, dtype: DType = dtypes.float32) -> list[Input]:
    """Left and right of each product in turn."""
    shapes = ((m, depth), (depth, n)) * terms
    return [Input(aval(dtype, shape)) for shape in shapes]


def products(inputs: list[Input]) -> list[Node]:
    return [apply("matmul", a, b) for a, b in zip(inputs[::2], inputs[1::2], strict=True)]


def total(nodes: list[Node], *, turned: bool = False) -> Node:
    first, *others = nodes
    for node in others:
        first = apply("add", node, first) if turned else apply("add", first, node)
    return first


def joined(graph: Graph) -> Counter[str]:
    """The ops after the pass, whose program has kept every bit."""
    after = verify_graph(drop_dead(join_products(graph)))
    rng = np.random.default_rng(0)
    data = [rng.standard_normal(x.aval.sizes).astype(x.aval.dtype.numpy) for x in graph.inputs]
    plain = run(graph, data, fuse=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tracejit.compiler.join_products", lambda graph: graph)
        apart = run(graph, data)
    for found, a, b in zip(run(graph, data), plain, apart, strict=True):
        assert found.tobytes() == a.tobytes() == b.tobytes()
    for found, expected in zip(interpret(after, data)[0], interpret(graph, data)[0], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    return Counter(node.op.name for node in after.applies)


@settings(max_examples=30)
@given(
    st.integers(3, 9), st.integers(1, 40), st.integers(1, 70), st.integers(1, 20), st.booleans(),
    st.sampled_from((dtypes.float32, dtypes.float64)),
)  # fmt: skip
def test_sums_keep_their_bits(
    terms: int, m: int, n: int, depth: int, turned: bool, dtype: DType
) -> None:
    inputs = operands(terms, m, n, depth, dtype)
    found = joined(Graph(tuple(inputs), (total(products(inputs), turned=turned),)))
    is_worth_it = depth * (m + n) <= m * n
    assert found["matmul_in_parts"] == is_worth_it
    assert found["add"] == (0 if is_worth_it else terms - 1)


def test_what_is_added_to_another_sum_comes_after_it():
    inputs = operands(4, 8, 8, 2)
    bias = Input(aval(dtypes.float32, (8, 8)))
    found = joined(Graph((*inputs, bias), (apply("add", total(products(inputs)), bias),)))
    assert found == Counter(concat=2, matmul_in_parts=1, add=1)


def test_a_sum_that_begins_with_something_else_stays():
    inputs = operands(4, 8, 8, 2)
    bias = Input(aval(dtypes.float32, (8, 8)))
    found = joined(Graph((*inputs, bias), (total([bias, *products(inputs)]),)))
    assert found["matmul_in_parts"] == 0


def test_sums_of_sums_stay():
    """(a + b) + (c + d) is not ((a + b) + c) + d."""
    inputs = operands(8, 8, 8, 2)
    terms = products(inputs)
    found = joined(Graph(tuple(inputs), (apply("add", total(terms[:4]), total(terms[4:])),)))
    assert found == Counter(concat=4, matmul_in_parts=2, add=1)


def test_products_that_are_needed_themselves_stay():
    inputs = operands(4, 8, 8, 2)
    terms = products(inputs)
    found = joined(Graph(tuple(inputs), (total(terms), apply("exp", terms[1]))))
    assert found["matmul_in_parts"] == 0
    found = joined(Graph(tuple(inputs), (total(terms), terms[3])))
    assert found["matmul_in_parts"] == 1  # of the first three


def test_deep_and_stacked_products_stay():
    deep = operands(3, 600, 600, 257)
    assert joined(Graph(tuple(deep), (total(products(deep)),)))["matmul_in_parts"] == 0
    stacked = [Input(aval(dtypes.float32, shape)) for shape in ((2, 8, 2), (2, 2, 8)) * 3]
    assert joined(Graph(tuple(stacked), (total(products(stacked)),)))["matmul_in_parts"] == 0


def test_the_gradient_of_a_recurrence_is_one_product():
    """Of the matrix that each step multiplies by: 12 products of depth 2 are one launch."""
    w = tj.tensor(np.eye(16, dtype=np.float32), requires_grad=True)

    @tj.compile
    def gradient(x: tj.Tensor) -> tj.Tensor:
        h = x
        for _ in range(12):
            h = tj.tanh(h @ w)
        (found,) = tj.autograd.grad(h.sum(), (w,))
        return found

    x = tj.tensor(np.random.default_rng(0).standard_normal((2, 16)).astype(np.float32))
    found = gradient(x)
    assert sum("matmul_in_parts" in str(kernel) for kernel in tj.explain(gradient).kernels) == 1
    h = x
    for _ in range(12):
        h = tj.tanh(h @ w)
    (expected,) = tj.autograd.grad(h.sum(), (w,))
    assert found.tolist() == expected.tolist()
