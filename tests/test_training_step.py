"""A whole training step: one graph, few kernels, and the same bits however it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit import nn, optim
from tracejit.nn import functional as F

STEPS = 3


def train(wrap: Callable[[Any], Any] = lambda step: step) -> tuple[list[np.ndarray], Any]:
    """Losses and weights of some steps of a three-layer network, and the function that made them."""
    tj.random.seed(0)
    model = nn.Sequential(
        nn.Linear(70, 130), nn.ReLU(), nn.Linear(130, 65), nn.GELU(), nn.Linear(65, 10)
    )
    optimizer = optim.Adam(model.parameters(), lr=1e-2)

    def step(images: tj.Tensor, labels: tj.Tensor) -> tj.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    rng = np.random.default_rng(0)
    images = tj.tensor(rng.standard_normal((100, 70)).astype(np.float32))
    labels = tj.tensor(rng.integers(0, 10, 100))
    run = wrap(step)
    losses = [run(images, labels).detach().numpy() for _ in range(STEPS)]
    return losses + [p.detach().numpy() for p in model.parameters()], run


def assert_same_bits(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_step_is_one_graph_of_at_most_twelve_kernels():
    _, step = train(tj.compile)
    found = tj.explain(step)
    assert len(found.graphs) == 1
    assert len(found.kernels) <= 12


def test_eager_recorded_and_unfused_steps_have_the_same_bits():
    eager, _ = train()
    assert_same_bits(train(tj.compile)[0], eager)
    with tj.config.scope(fuse=False):
        assert_same_bits(train(tj.compile)[0], eager)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads_trains_to_the_same_bits(threads: int):
    expected, _ = train()
    with tj.config.scope(num_threads=threads):
        assert_same_bits(train(tj.compile)[0], expected)
        assert_same_bits(train()[0], expected)


def test_numpy_alone_trains_to_nearly_the_same_weights():
    found, _ = train(tj.compile)
    with tj.config.scope(eager="numpy"):
        expected, _ = train()
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
