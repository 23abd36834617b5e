"""Which products are finished by their kernels: launches and bytes of plans for a GPU, which need none here."""

from __future__ import annotations

from itertools import pairwise

import pytest

import tracejit as tj
from tests.compiler.machines import OFF, choose
from tests.emulation.everywhere import computed_by_emulated_kernels
from tests.emulation.plans import plan_of
from tests.ir.graphs import apply
from tracejit import dtypes
from tracejit.artifact import LaunchSpec
from tracejit.compiler.cuda import Cuda
from tracejit.ir.aval import aval
from tracejit.ir.graph import Effect, Graph, Input, Node
from tracejit.ops import contract  # noqa: F401  # it registers its ops

BATCH, WIDTHS = 4096, (784, 2048, 2048, 10)


def array(*shape: int) -> Input:
    return Input(aval(dtypes.float32, shape))


def launches(graph: Graph) -> list[LaunchSpec]:
    return [step for step in plan_of(graph).steps if isinstance(step, LaunchSpec)]


def forward() -> Graph:
    """Of an MLP: three products, each with a bias, all but the last rectified."""
    inputs = [array(BATCH, WIDTHS[0])]
    x: Node = inputs[0]
    for before, after in pairwise(WIDTHS):
        inputs += [array(before, after), array(after)]
        y = apply("add", apply("matmul", x, inputs[-2]), inputs[-1])
        x = apply("maximum", y, apply("multiply", y, y))
    return Graph(tuple(inputs), (x,), ())


def test_a_forward_pass_is_a_launch_for_each_product() -> None:
    assert len(launches(forward())) == 3


def test_it_moves_operands_and_results_only() -> None:
    sizes = [BATCH * width for width in WIDTHS]
    weights = sum(a * b + b for a, b in pairwise(WIDTHS))
    between = 2 * sum(sizes[1:-1])
    expected = 4 * (sizes[0] + weights + between + sizes[-1])
    assert sum(each.nbytes for each in launches(forward())) == expected


def test_without_epilogues_twice_as_much_is_moved_between(monkeypatch: pytest.MonkeyPatch) -> None:
    finished = sum(each.nbytes for each in launches(forward()))
    choose(monkeypatch, **OFF)
    monkeypatch.setattr(Cuda, "finish", None)
    apart = launches(forward())
    assert len(apart) == 6
    more = sum(each.nbytes for each in apart) - finished
    assert more == 4 * 2 * sum(BATCH * width for width in WIDTHS[1:])


def test_a_gradient_and_the_sum_of_its_columns_are_apart() -> None:
    """A gradient flows back through a product and a mask; its sum is that of a bias, its product that of a weight."""
    g, w, mask, x = array(4096, 2048), array(2048, 2048), array(4096, 2048), array(4096, 784)
    back = apply("multiply", apply("matmul", g, apply("permute", w, axes=(1, 0))), mask)
    weight = apply("matmul", apply("permute", x, axes=(1, 0)), back)
    graph = Graph((g, w, mask, x), (apply("sum", back, axes=(0,)), weight), ())
    first, *rest = launches(graph)
    assert first.nbytes == 4 * (3 * 4096 * 2048 + 2048 * 2048)
    assert len(first.segments[0].arguments) == 4
    assert first.note.startswith("matmul, multiply")
    assert any("sum" in each.note for each in rest)


def test_a_sum_that_nobody_else_reads_stays_whole() -> None:
    g, w, mask = array(4096, 2048), array(2048, 2048), array(4096, 2048)
    back = apply("multiply", apply("matmul", g, w), mask)
    first, *_ = launches(Graph((g, w, mask), (apply("sum", back, axes=(0,)),), ()))
    assert first.note.startswith("matmul")
    assert "multiply" not in first.note


def test_operands_that_are_written_over_keep_their_product_apart() -> None:
    x, w, other = array(40, 40), array(40, 40), array(40, 40)
    y = apply("matmul", x, w)
    plain = (apply("tanh", y),)
    assert len(launches(Graph((x, w, other), plain, (Effect(other, apply("exp", other)),)))) == 2
    replaced = launches(Graph((x, w), (), (Effect(x, apply("add", y, x)),)))
    assert len(replaced) == 2


def test_a_deep_product_of_few_tiles_is_not_finished() -> None:
    x, w = array(64, 8192), array(8192, 64)
    found = launches(Graph((x, w), (apply("tanh", apply("matmul", x, w)),), ()))
    assert [each.note.split()[0] for each in found] == ["matmul", "matmul", "tanh"]


def test_batches_of_batches_are_one_launch_of_one_segment() -> None:
    """Heads that lie side by side in each row of a sequence."""
    batch, length, heads, width = 12, 40, 4, 16
    q, k = (array(batch, length, heads, width) for _ in range(2))
    scores = apply(
        "matmul", apply("permute", q, axes=(0, 2, 1, 3)), apply("permute", k, axes=(0, 2, 3, 1))
    )
    (launch,) = launches(Graph((q, k), (scores,), ()))
    used = [segment for segment in launch.segments if segment.tasks]
    assert len(used) == 1
    assert used[0].tasks == batch * heads


def test_a_training_step_has_fewer_launches_and_moves_less(monkeypatch: pytest.MonkeyPatch) -> None:
    def step_of(batch: int) -> tuple[int, int]:
        tj.random.seed(0)
        model = tj.nn.Sequential(
            tj.nn.Linear(70, 130),
            tj.nn.ReLU(),
            tj.nn.Linear(130, 66),
            tj.nn.ReLU(),
            tj.nn.Linear(66, 10),
        )
        optimizer = tj.optim.SGD(model.parameters(), lr=1e-2)

        @tj.compile
        def step(x: tj.Tensor, y: tj.Tensor) -> tj.Tensor:
            optimizer.zero_grad()
            loss = tj.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        with computed_by_emulated_kernels():
            step(tj.ones((batch, 70)), tj.arange(batch) % 10)
        kernels = tj.explain(step).kernels
        return len(kernels), sum(each.nbytes for each in kernels)

    count, moved = step_of(101)
    monkeypatch.setattr(Cuda, "finish", None)
    apart, more = step_of(100)
    assert (count, apart) == (10, 15)
    assert moved < 0.8 * more
