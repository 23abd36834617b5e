"""Libraries for C go all ways that the exported function goes: decisions, loops over data, exceptions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.standalone.libraries import Failed, Instance, bits, exported, needs_compiler
from tests.standalone.test_roundtrip import numbers

pytestmark = needs_compiler

Make = Callable[..., Instance]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda f, *args, **options: exported(tmp_path, f, *args, **options).create()


def halved(x):
    rounds = 0
    while x.sum() > 1:
        x = x / 2
        rounds += 1
    return x, rounds


def test_a_loop_over_data(make: Make) -> None:
    instance = make(halved, tj.tensor([3.0, 9.0]))
    for scale in (0.01, 1.0, 7.0, 1e6):
        x = np.array([3, 9], np.float32) * np.float32(scale)
        assert bits(instance(x)) == bits(halved(tj.tensor(x)))


def fibonacci(x, n):
    a, b = x, x * 2
    while a.max() < 100:
        a, b = b, a + b
    return a, b * n


def test_values_that_trade_places_round_a_loop(make: Make) -> None:
    instance = make(fibonacci, tj.tensor([1.0, 2.0]), 3)
    for n in range(1, 5):
        x = np.array([n, 0.5], np.float32)
        assert bits(instance(x, n)) == bits(fibonacci(tj.tensor(x), n))


def test_decisions_change_other_state(make: Make) -> None:
    up, down, last = tj.zeros(2), 0, None

    def f(x):
        nonlocal up, down, last
        if x.sum() > 0:
            up = up + x
            last = x * 2
            return up * 2
        down += 1
        return x - up

    instance = make(f, tj.ones(2))
    assert "last" not in instance.state()
    for sign in (-1, 1, -1, 1, 1):
        x = sign * np.abs(numbers(2, seed=sign + 3))
        assert bits(instance(x)) == bits(f(tj.tensor(x)))
        assert bits(instance.get("up")) == bits(up)
        assert instance.get("down") == down
        assert ("last" in instance.state()) == (last is not None)


def test_an_exception_leaves_what_was_changed_before(make: Make) -> None:
    total = tj.zeros(2)

    def f(x):
        nonlocal total
        total = total + x
        if total.sum() > 3:
            raise ValueError("too much", 3)
        return total * 1

    instance = make(f, tj.ones(2))
    x = np.ones(2, np.float32)
    assert bits(instance(x)) == bits(f(tj.tensor(x)))
    with pytest.raises(ValueError, match="too much"):
        f(tj.tensor(x))
    with pytest.raises(Failed) as failed:
        instance(x)
    assert failed.value.code == "raised"
    assert "ValueError: ('too much', 3)" in failed.value.message
    assert bits(instance.get("total")) == bits(total)


def test_ways_that_return_other_things_are_refused(tmp_path: Path) -> None:
    def f(x):
        if x.sum() > 0:
            return x * 2
        return x[:1] * 2

    with pytest.raises(tj.ExportError, match=r"for C: it returns float32\[3\] and float32\[1\] on"):
        tj.export(f, (tj.ones(3),), c=tmp_path)


def test_results_come_from_other_places_on_other_ways(make: Make) -> None:
    kept = tj.ones((2, 3))

    def f(x):
        nonlocal kept
        y = x @ x.mT
        if y.sum() > 5:
            return y, x.mT, 1.5
        kept = y[:, :1] + x
        return y * 2, kept.mT, float(y[0, 0].item())

    instance = make(f, tj.ones((2, 3)))
    for scale in (0.1, 3.0, 0.2, 2.0):
        x = numbers(2, 3) * np.float32(scale)
        expected: Any = bits(f(tj.tensor(x)))
        assert bits(instance(x)) == expected
        assert bits(instance.get("kept")) == bits(kept)
