"""Values that are computed anew where they are read: fewer bytes, the same launches, the same bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tracejit as tj
import tracejit.nn.functional as F
from tests.compiler.programs import arrays_of, fold_graph, index_graph, long_graph, run
from tests.compiler.test_random_graphs import expected, near, same_bits
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit.compiler import Compiled, compile_graph, recompute
from tracejit.compiler.machine import CORES
from tracejit.ir.aval import aval
from tracejit.ir.cluster import Fused
from tracejit.ir.graph import Effect, Graph, Input, Node


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Whether all is computed anew that can be, however small, or nothing."""

    def choose(every: bool) -> None:
        monkeypatch.setattr(recompute, "LEAST_BYTES", 1 if every else 1 << 60)
        monkeypatch.setattr(recompute, "CORES", replace(CORES, byte=1e9))

    return choose


def array(*shape: int) -> Input:
    return Input(aval(dtypes.float32, shape))


def compiled(
    inputs: tuple[Input, ...], *outputs: Node, effects: tuple[Effect, ...] = ()
) -> Compiled:
    return compile_graph(Graph(inputs, outputs, effects))


def stored(program: Compiled) -> list[str]:
    """The ops whose values the fused steps write."""
    steps = [step for step in program.steps if isinstance(step, Fused)]
    return [store.value.op.name for step in steps for store in step.stores]


def through_a_product(x: Node, *values: Node) -> Node:
    """Something for which the values have to wait: another step."""
    y = apply("matmul", x, x)
    for value in values:
        y = apply("add", y, value)
    return y


def test_one_array_is_written_where_two_follow_from_it(eager: Any):
    eager(True)
    x = array(64, 64)
    wave = apply("sin", x)
    twice, square = apply("add", wave, wave), apply("square", wave)
    program = compiled((x,), through_a_product(apply("tanh", wave), twice, square))
    assert sorted(stored(program)) == ["add", "sin", "tanh"]  # the last sum, too


def test_a_value_that_costs_much_is_read(eager: Any):
    eager(True)
    x = array(64, 64)
    wave = apply("sin", x)
    other = apply("cos", wave)
    program = compiled((x,), through_a_product(apply("exp", other), wave, other))
    assert sorted(stored(program)) == ["add", "cos", "exp", "sin"]


def test_what_is_read_anyway_gives_what_follows_from_it(eager: Any):
    eager(True)
    x = array(64, 64)
    wave = apply("sin", x)
    program = compiled((x,), through_a_product(wave, wave, apply("negative", wave)))
    assert sorted(stored(program)) == ["add", "sin"]


def test_a_row_is_cheaper_than_what_was_made_of_it(eager: Any):
    """Of a normalised row its input, which is an output as well, and its mean."""
    eager(True)
    x = array(64, 64)
    wave = apply("sin", x)
    mean = apply("sum", wave, axes=(1,))
    centred = apply("subtract", wave, apply("reshape", mean, shape=(64, 1)))
    product = apply("matmul", apply("exp", centred), x)
    program = compiled((x,), wave, apply("multiply", product, centred))
    assert sorted(stored(program)) == ["exp", "multiply", "sin", "sum"]


def test_outputs_and_what_products_need_stay_in_memory(eager: Any):
    eager(True)
    x = array(64, 64)
    wave = apply("sin", x)
    twice = apply("add", wave, wave)
    assert "add" in stored(compiled((x,), twice, through_a_product(wave, twice)))
    doubled = apply("matmul", twice, x)
    program = compiled((x,), apply("add", doubled, apply("multiply", twice, twice)))
    assert sorted(stored(program)) == ["add", "add"]


def test_memory_that_is_written_over_is_not_read_for_longer(eager: Any):
    """`state` takes the sum's place as soon as nobody reads it: with no copy of either."""
    eager(True)
    state, x = array(64, 64), array(64, 64)
    new = apply("add", state, x)
    gap = apply("subtract", new, apply("negative", state))
    later = through_a_product(apply("tanh", gap), gap, apply("add", gap, gap))
    program = compiled((state, x), later, effects=(Effect(state, new),))
    plain = (eager(False), compiled((state, x), later, effects=(Effect(state, new),)))[1]
    assert len(program.launches) == len(plain.launches)
    assert program.bytes_moved <= plain.bytes_moved


def test_a_value_that_lies_in_a_part_of_another_is_left_alone(eager: Any):
    """`wave` is written where it is to be, in the concatenation."""
    eager(True)
    x = array(64, 64)
    wave = apply("sin", x)
    twice = apply("add", wave, wave)
    joined = apply("concat", wave, apply("exp", twice), axis=0)
    later = through_a_product(apply("tanh", wave), twice)
    graph = Graph((x,), (joined, later))
    data = arrays_of(graph, 4)
    for a, b in zip(run(graph, data), run(graph, data, fuse=False), strict=True):
        assert a.tobytes() == b.tobytes()


def test_small_values_stay_as_they_are():
    x = array(64, 64)
    wave = apply("sin", x)
    values = apply("add", wave, wave), apply("square", wave)
    assert sorted(stored(compiled((x,), through_a_product(wave, *values)))) == [
        "add",
        "add",
        "sin",
        "square",
    ]


def test_a_training_step_moves_less_in_as_many_launches(eager: Any):
    """A part of a transformer: layer norm and GELU between products, forward and back."""
    layers = tj.nn.LayerNorm(32), tj.nn.Linear(32, 64), tj.nn.GELU("tanh"), tj.nn.Linear(64, 32)
    model = tj.nn.Sequential(*layers)
    optimizer = tj.optim.Adam(model.parameters())

    @tj.compile
    def step(x: tj.Tensor) -> tj.Tensor:
        optimizer.zero_grad()
        loss = F.mse_loss(x + model(x), x * 2)
        loss.backward()
        optimizer.step()
        return loss

    step(tj.ones((48, 32)))
    graph = max(tj.explain(step).graphs, key=lambda graph: len(graph.nodes))
    eager(False)
    plain, bits = compile_graph(graph), results(graph)
    eager(True)
    less = compile_graph(graph)
    assert results(graph) == bits
    assert len(less.launches) == len(plain.launches)
    assert less.bytes_moved < 0.8 * plain.bytes_moved
    assert less.plan.arena_bytes < 0.7 * plain.plan.arena_bytes


def results(graph: Graph) -> list[bytes]:
    """The bits of the outputs, and of the inputs afterwards, for some numbers."""
    pairs = zip(graph.inputs, arrays_of(graph, 1), strict=True)
    mine = [np.abs(array) for node, array in pairs if isinstance(node, Input)]
    scalars = [0.5 for node in graph.inputs if not isinstance(node, Input)]
    buffers = compile_graph(graph).run([array.ctypes.data for array in mine], scalars)
    found = zip(buffers, graph.outputs, strict=True)
    outputs = [b.array(node.aval.dtype.numpy, node.aval.sizes).copy() for b, node in found]
    assert all(np.isfinite(array).any() for array in (*outputs, *mine))
    return [array.tobytes() for array in (*outputs, *mine)]


MAKERS = {"folds": fold_graph, "indexing": index_graph, "long": long_graph}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_random_programs_have_the_same_bits(maker: Any, seed: int, eager: Any):
    rnd = Random(seed)
    graph = maker(rnd, rnd.choice((dtypes.float32, dtypes.float64)))
    data = arrays_of(graph, seed)
    eager(True)
    found = run(graph, data)
    for a, b in zip(found, run(graph, data, fuse=False), strict=True):
        assert same_bits(a, b)
    for a, b in zip(found, expected(graph, data), strict=True):
        assert near(a, b)
