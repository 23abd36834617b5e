"""Decisions that keep going one way do not cut a call into programs, and a wrong guess does nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit import nn, optim
from tracejit.nn import functional as F
from tracejit.tracing.replay.speculate import AFTER, MOST_MISSES, Speculation

pytestmark = pytest.mark.usefixtures("replayed_by_python")


def speculation(f: Any) -> Speculation | None:
    """That of the variant which was recorded last."""
    return f.replays.tree.roots[0].speculation


class Trainer:
    """A training step with a test before the backward pass, and one after the update."""

    def __init__(self) -> None:
        tj.random.seed(0)
        self.model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        self.optimizer = optim.Adam(self.model.parameters(), lr=1e-2)
        self.best, self.skipped = 1e9, 0

    def step(self, images: tj.Tensor, labels: tj.Tensor) -> tj.Tensor:
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(images), labels)
        if tj.isnan(loss):
            self.skipped += 1
            return loss
        loss.backward()
        self.optimizer.step()
        if loss < self.best:
            self.best = loss.item()
        return loss

    def state(self) -> list[Any]:
        return [*(p.tolist() for p in self.model.parameters()), self.best, self.skipped]


def batches(count: int, bad: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    made = [(rng.normal(size=(5, 6)).astype("f4"), rng.integers(0, 3, 5)) for _ in range(count)]
    made[bad][0][0, 0] = np.nan
    return made


def test_a_training_step_that_skips_nan_runs_as_one_program_of_the_same_bits():
    eager, compiled = Trainer(), Trainer()
    step = tj.compile(compiled.step)
    for images, labels in batches(24, bad=17):
        expected = eager.step(tj.tensor(images), tj.tensor(labels)).item()
        np.testing.assert_equal(step(tj.tensor(images), tj.tensor(labels)).item(), expected)
        assert compiled.state() == eager.state()
    found = [root.speculation for root in step.replays.tree.roots if root.speculation]
    assert sum(each.hits for each in found) > 0
    assert all(each.programs > 1 for each in found)
    assert compiled.skipped == 1


def test_a_speculation_joins_the_programs_on_both_sides_of_a_decision():
    @tj.compile
    def f(x: tj.Tensor) -> tj.Tensor:
        y = x * 2
        if y.sum() > 0:
            y = y + 1
        return y

    for _ in range(AFTER + 2):
        f(tj.ones(3))
    found = speculation(f)
    assert found is not None
    assert (found.programs, found.hits, found.misses) == (2, 1, 0)


def test_a_wrong_guess_writes_nothing():
    w = tj.ones(3)

    @tj.compile
    def f(x: tj.Tensor) -> tj.Tensor:
        w.add_(x)
        if w.sum() > 1000:
            raise OverflowError("too much")
        w.mul_(2)
        return w * 1

    expected = tj.ones(3)
    for _ in range(AFTER + 3):
        expected = (expected + 1) * 2
        f(tj.ones(3))
        assert w.tolist() == expected.tolist()
    found = speculation(f)
    assert found is not None
    assert found.hits
    with pytest.raises(OverflowError):
        f(tj.full(3, 2000.0))
    assert found.misses == 1
    assert w.tolist() == (expected + 2000).tolist()


def test_a_path_that_needs_a_number_on_its_way_is_not_speculated_on():
    @tj.compile
    def f(x: tj.Tensor) -> tj.Tensor:
        scale = x.sum().item()
        if scale > 0:
            return x * scale
        return x

    for _ in range(AFTER + 3):
        assert f(tj.ones(3)).tolist() == [3.0, 3.0, 3.0]
    assert speculation(f) is None


def test_a_speculation_that_keeps_failing_is_given_up():
    @tj.compile
    def f(x: tj.Tensor) -> tj.Tensor:
        return x * 2 if x.sum() > 0 else x * 3

    for _ in range(AFTER + 3):
        f(tj.ones(3))
    found = speculation(f)
    assert found is not None
    for _ in range(4 * MOST_MISSES):
        assert f(-tj.ones(3)).tolist() == [-3.0, -3.0, -3.0]
    assert found.misses == max(MOST_MISSES, found.hits // 4)
    assert not found.pays


def test_memory_that_numpy_sees_is_written_where_it_lies():
    w = tj.ones(3)
    seen = w.numpy()

    @tj.compile
    def f(x: tj.Tensor) -> tj.Tensor:
        w.add_(x)
        return x * 2 if w.sum() > 0 else x

    for count in range(1, AFTER + 4):
        f(tj.ones(3))
        assert seen.tolist() == [1.0 + count] * 3
    found = speculation(f)
    assert found is not None
    assert found.hits
