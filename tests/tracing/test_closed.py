"""Which functions provably reach no memory but their arguments', and what is gained by it."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy import linspace, sum, tanh

import tracejit as tj
from tracejit.tracing.closed import is_closed, lie_apart

world = np.zeros(3)
scale = 2.0
names = ["a"]


def helper(x, times=2):
    return helper(x, times - 1) * scale if times else tanh(x)


def reads_world(x):
    return x + world


def stores_global(x):
    global scale
    scale = 3.0
    return x


@functools.wraps(np.sum)
def in_disguise(x):
    return x + world


class Disguised:
    def __init__(self) -> None:
        functools.update_wrapper(self, np.sum)

    def __call__(self, x):
        return x + world


def with_attribute(x):
    return x


with_attribute.world = world
disguised = Disguised()
of_python = np.frompyfunc(lambda x: x + world[0], 1, 1)


def make(content: Any) -> Callable[..., Any]:
    return lambda x: (x, content)


CLOSED: dict[str, Callable[..., Any]] = {
    "arithmetic": lambda x, y: (x + y) * 2 - x[0] / math.pi,
    "numpy": lambda x: np.exp(x).sum(axis=0) + np.linalg.norm(x),
    "a helper that calls itself": lambda x: helper(x),
    "a number of outside": lambda x: x * scale,
    "a closed-over number": make(3),
    "loops and comprehensions": lambda xs: [max(x for x in xs) * i for i in range(3)],
    "an inner function": lambda x: (lambda y: y + x)(x),
    "writes": lambda x: np.add(x, 1, out=x),
    "functions of NumPy by name": lambda x: sum(x) + linspace(0, 1, 3) + math.sqrt(2),
    "types": lambda x: isinstance(x, np.ndarray) and np.float32(1) + x,
}
OPEN: dict[str, Callable[..., Any]] = {
    "an array of outside": reads_world,
    "a function that reads one": lambda x: reads_world(x),
    "a closed-over array": make(world),
    "a function in disguise": lambda x: in_disguise(x),
    "an object in disguise": lambda x: disguised(x),
    "a ufunc of Python's": lambda x: of_python(x),
    "a module as a value": lambda x: (np, x),
    "a function's attribute": lambda x: with_attribute.world + x,
    "a list of outside": lambda x: names.append("b"),
    "a global is written": stores_global,
    "an import": lambda x: __import__("os"),
    "frames and dictionaries": lambda x: (lambda: 0).__globals__,
    "modules of modules": lambda x: np.lib.sys,
    "what runs anything": lambda x: eval("world"),
    "output, which runs anything": lambda x: print(x),
    "a default that is an array": lambda x, y=world: x + y,
    "a method": world.sum,
    "a partial": functools.partial(np.add, world),
    "an unknown name": lambda x: no_such_name,  # noqa: F821
}


@pytest.mark.parametrize("name", CLOSED)
def test_functions_of_their_arguments_alone_are_closed(name: str):
    assert is_closed(CLOSED[name])


@pytest.mark.parametrize("name", OPEN)
def test_functions_that_may_reach_other_memory_are_not(name: str):
    assert not is_closed(OPEN[name])


def test_what_a_name_means_is_looked_at_anew(monkeypatch: pytest.MonkeyPatch):
    def f(x):
        return helper(x)

    assert is_closed(f)
    monkeypatch.setitem(f.__globals__, "helper", reads_world)
    assert not is_closed(f)


def test_a_function_of_numpys_that_was_replaced_is_noticed(monkeypatch: pytest.MonkeyPatch):
    def f(x):
        return np.exp(x) + tj.exp(x)

    assert is_closed(f)
    monkeypatch.setattr(np, "exp", reads_world)
    assert not is_closed(f)


def test_arrays_that_overlap_do_not_lie_apart():
    x = np.zeros((4, 4))
    assert lie_apart([x[:2], x[2:], np.zeros(3), x[:0]])
    assert not lie_apart([x[:3], x[2:]])
    assert not lie_apart([x, x.T])


def test_writes_to_arguments_of_a_closed_function_are_part_of_its_program():
    @tj.compile
    def step(x, v):
        v *= 0.5
        x += v
        x[0] = 0
        return x.sum()

    x, v, y, w = np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3))
    for _ in range(3):
        assert step(x, v.T.T) == step.function(y, w)
    np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(v, w)
    (graph,) = tj.explain(step).graphs
    assert len(graph.effects) == 2


def test_strided_arguments_are_written_where_they_lie():
    f = tj.compile(lambda x: np.add(x, 1, out=x).sum())
    x = np.zeros((4, 6))[::2, ::-3]
    assert f(x) == x.size
    assert x.base is not None
    assert x.base.sum() == x.size


def test_an_array_that_is_taken_out_inside_is_seen_as_it_is():
    @tj.compile
    def f(x):
        x += 1
        raw = np.asarray(x)
        before = raw.sum()
        x += 1
        raw[0] = 10
        return before, raw.copy(), x * 2

    def expected(x):
        x += 1
        before = x.sum()
        x += 1
        x[0] = 10
        return before, x.copy(), x * 2

    for found, wanted in zip(f(np.zeros(3)), expected(np.zeros(3))):
        np.testing.assert_array_equal(found, wanted)


def test_an_exception_leaves_the_arguments_as_numpy_does():
    @tj.compile
    def f(x):
        x += 1
        x[7] = 0
        x += 1

    x = np.zeros(3)
    with pytest.raises(IndexError):
        f(x)
    np.testing.assert_array_equal(x, np.ones(3))


def test_copies_are_explained():
    x = np.ones(3)
    timed, timed_with_world = (
        tj.compile(lambda x: x + 0 * math.fsum([1])),
        tj.compile(lambda x: x + world + 0 * time.time()),
    )
    for _ in range(3):  # recorded in vain; then by Python
        timed_with_world(x)
        timed(x)
    assert "copied" in tj.explain(timed_with_world).reasons[0]
    assert not any("copied" in reason for reason in tj.explain(timed).reasons)


def test_arrays_of_outside_are_inputs_of_a_replay_and_not_copied():
    x = np.ones(3)
    f = tj.compile(lambda x: x + world)
    for _ in range(3):
        np.testing.assert_array_equal(f(x), x + world)
    assert tj.explain(f).calls["replay"] == 2
    assert tj.explain(f).reasons == ()
