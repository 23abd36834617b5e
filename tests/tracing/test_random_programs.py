"""Whatever a program does, recording it gives the same bits as running it eagerly."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import tracejit as tj
from tests.tracing.programs import Statement, gradients, programs, run, world


def check(program: list[Statement], **settings: Any) -> None:
    with tj.config.scope(**settings), np.errstate(all="ignore"):
        expected, expected_seen = run(program, world())
        found, seen = tj.compile(run)(program, world())
    assert seen == expected_seen
    assert len(found) == len(expected)
    for x, y in zip(found, expected):
        assert_same(x, y)


def assert_same(x: Any, y: Any) -> None:
    """The same bits; NaNs are alike."""
    if x is None or y is None:
        assert x is y
        return
    assert x.aval is y.aval
    a, b = x.detach().numpy(), y.detach().numpy()
    assert np.array_equal(a, b, equal_nan=True)
    assert np.array_equal(np.signbit(a) & ~np.isnan(a), np.signbit(b) & ~np.isnan(b))


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


@settings(max_examples=12)
@given(program=programs, inside=st.booleans())
def test_gradients_of_recorded_programs_are_equal_to_eager_ones(
    program: list[Statement], inside: bool
):
    with np.errstate(all="ignore"):
        expected = gradients(program, inside=inside, wrap=lambda f: f)
        found = gradients(program, inside=inside, wrap=tj.compile)
    assert found[:2] == expected[:2]
    for x, y in zip(found[2:], expected[2:]):
        assert_same(x, y)
