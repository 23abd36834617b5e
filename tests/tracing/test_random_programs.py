"""Whatever a program does, recording it gives the same bits as running it eagerly."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings

import tracejit as tj
from tests.tracing.programs import Statement, programs, run, world


def check(program: list[Statement], **settings: Any) -> None:
    with tj.config.scope(**settings), np.errstate(all="ignore"):
        expected, expected_seen = run(program, world())
        found, seen = tj.compile(run)(program, world())
    assert seen == expected_seen
    assert len(found) == len(expected)
    for x, y in zip(found, expected):
        assert x.aval is y.aval
        assert np.array_equal(x.numpy(), y.numpy(), equal_nan=True)
        assert (
            np.array_equal(np.signbit(x.numpy()), np.signbit(y.numpy()))
            or np.isnan(x.numpy()).any()
        )


@settings(max_examples=25)
@given(program=programs)
def test_recorded_programs_run_by_numpy_are_equal_to_eager_ones(program: list[Statement]):
    check(program, eager="numpy", verify_ir=True)


@settings(max_examples=20)
@given(program=programs)
def test_recorded_and_fused_programs_are_equal_to_eager_ones(program: list[Statement]):
    check(program)


@settings(max_examples=8)
@given(program=programs)
def test_running_a_graph_early_changes_nothing(program: list[Statement]):
    check(program, node_budget=3)
