"""The judge sees what it is there to see."""

from __future__ import annotations

import contextlib
import functools
import io

import numpy as np
import pytest

import tracejit as tj
from tests.tracing.torture.harness import Case, compare, load, vector


class Box:
    last = None
    n = 0


def _calls_state(compile):
    state = Box()

    @compile
    def f(x):
        state.n += 1
        state.last = x * 2
        print(state.n)
        return state.last

    for _ in range(2):
        yield f(vector()), state


def _gives(*values):
    """A case that yields the first value plainly, and the second compiled."""

    def build(compile):
        yield values[compile(len) is not len]()

    return Case("made up", build, "")


def _second_result(f):
    """What Python does, and then the first result again."""
    first = functools.cache(lambda: f(vector()))

    @functools.wraps(f)
    def g(x):
        first()
        return first()

    return g


def _copied_result(f):
    return functools.wraps(f)(lambda x: f(x).copy())


def _silent(f):
    @functools.wraps(f)
    def g(x):
        with contextlib.redirect_stdout(io.StringIO()):
            return f(x)

    return g


@pytest.mark.parametrize("wrong", [_second_result, _copied_result, _silent])
def test_a_wrong_engine_is_seen(wrong):
    case = Case("made up", _calls_state, "")
    assert not compare(case, lambda f: f).difference
    assert not compare(case, tj.compile).difference
    assert compare(case, wrong).difference


def _shared():
    t = vector()
    return [t, t[1:]]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: 1, lambda: True),
        (lambda: 1, lambda: 1.0),
        (lambda: 0.0, lambda: -0.0),
        (lambda: [1], lambda: (1,)),
        (lambda: {"a": 1, "b": 2}, lambda: {"b": 2, "a": 1}),
        (lambda: np.float64(1), lambda: np.array(1.0)),
        (lambda: np.float64(1), lambda: 1.0),
        (lambda: tj.tensor([0.0]), lambda: tj.tensor([-0.0])),
        (lambda: tj.tensor([1.0]), lambda: tj.tensor([1])),
        (lambda: tj.tensor([1.0]), lambda: tj.nn.Parameter([1.0], requires_grad=False)),
        (lambda: tj.ones(2), lambda: tj.ones(2).requires_grad_()),
        (lambda: [[1]] * 2, lambda: [[1], [1]]),
        (lambda: [Box] * 2, lambda: [Box, Box()]),
        (_shared, lambda: [vector(), vector()[1:]]),
        (lambda: ValueError("a"), lambda: ValueError("b")),
        (lambda: ValueError("a"), lambda: TypeError("a")),
        (lambda: tj.no_grad().__enter__(), lambda: None),
        (lambda: tj.random.normal(()).sum() * 0, lambda: tj.tensor(0.0)),
    ],
)
def test_two_values_that_differ_are_told_apart(one, other):
    assert not compare(_gives(one, one), tj.compile).difference
    assert compare(_gives(one, other), tj.compile).difference


def test_nans_are_alike():
    nan = np.array([np.nan], "f4")
    other = (nan.view("u4") + np.uint32(1)).view("f4")
    assert not compare(_gives(lambda: nan, lambda: other), tj.compile).difference


def test_the_table_of_the_prototype_is_covered():
    assert len(load()) >= 234
