"""What the benchmarks say a workload cannot do without, against the products that its program has."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import pytest

import tracejit as tj
from benchmarks import work
from benchmarks.systems import SYSTEMS
from benchmarks.workloads import WORKLOADS
from tracejit.ir.graph import Apply
from tracejit.ops.op import Contract
from tracejit.tracing.programs import Program


def programs(name: str, *, small: bool = True) -> list[Program]:
    """The programs of a step."""
    compiled: list[Any] = []

    def jit(function: Callable[..., Any]) -> Callable[..., Any]:
        compiled.append(tj.compile(function))
        return compiled[-1]

    workload = WORKLOADS[name]
    program = SYSTEMS["compiled"].implementations()[name](workload.inputs(small=small), jit)
    program.step()
    return [
        each.program.ready()
        for function in compiled
        for part in (function.programs, function.gradients)
        for each in part.compiled
    ]


def products(name: str) -> float:
    """The floating-point operations of the products of a step, at the workload's small size."""
    graphs = [program.graph for program in programs(name)]
    return sum(operations(node) for graph in graphs for node in graph.applies)


def operations(node: Apply) -> float:
    if not isinstance(node.op.recipe, Contract):
        return 0.0
    return 2.0 * prod(node.aval.sizes) * node.inputs[0].aval.sizes[-1]


@pytest.mark.parametrize("name", ["mlp_128", "mlp_8", "cnn", "block", "lstm"])
def test_the_products_of_a_training_step_are_counted(name: str) -> None:
    counted = work.COUNTS[name](**WORKLOADS[name].small).flops
    # The first step of an LSTM starts from zeros; all else is products as they are counted.
    assert counted == pytest.approx(products(name), rel=0.12 if name == "lstm" else 1e-6)


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_workload_but_those_of_overhead_has_a_floor(name: str) -> None:
    if name == "cg":  # counting its iterations takes as long as solving the system
        return
    found = work.of(name)
    assert (found is None) == name.startswith("small")
    assert found is None or (found.nbytes > 0 and (found.flops > 0 or found.times > 0))


def test_the_iterations_of_conjugate_gradients_are_those_of_the_program() -> None:
    inputs = WORKLOADS["cg"].inputs(small=True)
    assert work.iterations(inputs) <= 2 * len(inputs.b)


MOVED = {
    "block": (24, 189),
    "kmeans": (5, 9),
    "lngelu_fb": (3, 68),
    "mlp_128": (12, 32),
    "pairwise": (1, 1),
    "softmax_fb": (1, 68),
}
"""The most launches, and megabytes that they read and write."""


@pytest.mark.parametrize("name", MOVED)
def test_a_step_is_so_many_launches_and_moves_so_many_bytes(name: str) -> None:
    launches, megabytes = MOVED[name]
    executables = [program.executable for program in programs(name, small=False)]
    assert sum(len(each.launches) for each in executables) <= launches
    assert sum(each.bytes_moved for each in executables) < megabytes * 10**6
