"""A small sample of random programs, exported; and that what is wrong would be found."""

from __future__ import annotations

import numpy as np
import pytest

import tracejit as tj
from tests.standalone import random_libraries, random_loops
from tests.standalone.libraries import needs_compiler
from tests.standalone.random_programs import Exporting, Tally, Wrong, require, sample, torture
from tests.tracing.fuzz.runner import Mode
from tests.tracing.torture.harness import load
from tracejit.runtime.cpu.native.install import installed
from tracejit.standalone.loops import counts


@pytest.mark.parametrize(("mode", "count"), [("expressions", 3), ("programs", 2), ("loops", 1)])
def test_exported_programs_answer_as_python_does(mode: Mode, count: int) -> None:
    wrong, tally = sample(mode, seed=3, count=count)
    assert not wrong, "\n".join(wrong)
    assert tally.exported
    assert tally.entered or mode != "expressions" or installed() is None


@needs_compiler
@pytest.mark.parametrize(("mode", "count"), [("expressions", 1), ("programs", 2)])
def test_programs_exported_for_c_answer_as_python_does(mode: Mode, count: int) -> None:
    wrong, tally = random_libraries.sample(mode, seed=3, count=count)
    assert not wrong, "\n".join(wrong)
    assert tally.exported


def test_random_loops_are_gone_round_alike() -> None:
    made, left = counts.made, counts.left
    wrong, tally = random_loops.sample(seed=100, count=15)
    assert not wrong, "\n".join(wrong)
    assert tally.exported > 8
    assert counts.made - made > 80
    assert counts.left > left


def test_calls_of_the_torture_suite_answer_as_python_does_when_exported() -> None:
    wrong, tally = torture([*load().values()][::60])
    assert not wrong, "\n".join(wrong)
    assert tally.exported > 10


def test_a_difference_is_found() -> None:
    require({"a": [tj.ones(2)]}, {"a": [tj.ones(2)]}, "x")
    for other in ({"b": 1}, {"a": [tj.zeros(2)]}, {"a": [np.ones(2, np.float32), 1]}, {"a": (1,)}):
        with pytest.raises(Wrong):
            require({"a": [tj.ones(2)]}, other, "x")


def test_state_that_goes_wrong_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from tracejit.runtime.buffer import Buffer
    from tracejit.standalone import homes, updates, walk

    total = tj.zeros(2)

    def f(x):
        nonlocal total
        total = total + x
        return x

    assert Exporting(f, Tally())(tj.ones(2)).tolist() == [1.0, 1.0]
    for module in (walk, updates):
        monkeypatch.setattr(module, "adopted", lambda way: set())
    monkeypatch.setattr(homes.OnCpu, "gathered", lambda self, buffer, memory: Buffer.allocate(0))
    with pytest.raises((Wrong, TypeError)):
        Exporting(f, Tally())(tj.ones(2))
