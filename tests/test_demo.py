"""The demo: what it promises on its last lines is so."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tracejit as tj
from tracejit import cli

demo = pytest.importorskip("tracejit.demo", reason="the packages of the demo are not installed")


def test_the_demo_learns_to_read_digits_with_the_same_bits_eager_and_compiled(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["demo"]) == 0
    printed = capsys.readouterr().out
    assert "all losses and weights the same, bit for bit: yes" in printed
    accuracy = re.search(r"read right: ([\d.]+)%", printed)
    assert accuracy
    assert float(accuracy[1]) >= 97
    assert re.search(r"kernels in a step +\d+ +\d+", printed)
    assert re.search(r"steps that ran no Python +0 +438 of 440", printed)


def test_the_training_step_is_one_graph_of_at_most_25_kernels() -> None:
    step = tj.compile(demo.train_step)
    run = demo.Run(step, seed=0, epochs=1)
    for number, (images, labels) in enumerate(demo.digits(0).batches(np.random.default_rng(0))):
        run.optimizer.param_groups[0]["lr"] = 1e-3 / (1 + number)
        run.train(images, labels)
    found = tj.explain(step)
    assert len(found.graphs) == 1
    assert len(found.kernels) <= 25


def test_the_training_step_replays_from_the_third_on_whatever_the_schedule_does() -> None:
    step = tj.compile(demo.train_step)
    run = demo.Run(step, seed=0, epochs=3)
    rng = np.random.default_rng(0)
    for _ in range(3):
        for images, labels in demo.digits(0).batches(rng):
            run.train(images, labels)
        run.end_epoch()
    assert step.calls == {"replay": 3 * demo.BATCHES - 2, "record": 2, "eager": 0}
    assert len(tj.explain(step).misses) == 1  # the second step: the count of steps has changed


def test_runs_that_differ_are_told() -> None:
    first, second = (demo.Run(demo.train_step, seed, epochs=1) for seed in (0, 1))
    assert first.same_bits(first)
    assert not first.same_bits(second)
