"""What `tj.explain` says."""

from __future__ import annotations

import functools
import re
import time

import pytest

import tracejit as tj


@tj.compile
def model(x, deep=False):
    y = (x * 2).tanh()
    return y.exp() if deep else y


def test_a_function_that_was_not_called_has_nothing_but_its_place():
    found = tj.explain(tj.compile(model.function))
    assert (found.tier, found.graphs, found.kernels) == (0, (), ())
    assert found.reasons[0].endswith("it has not been called yet")
    assert f"test_explain.py:{model.function.__code__.co_firstlineno}" in found.reasons[0]


def test_every_op_has_its_line():
    f = tj.compile(model.function)
    f(tj.ones(3))
    (graph,) = tj.explain(f).graphs
    first = model.function.__code__.co_firstlineno
    assert {node.loc.line for node in graph.applies} == {first + 2}
    assert "tanh" in str(tj.explain(f))


def test_kernels_tell_what_they_compute_and_move():
    f = tj.compile(model.function)
    f(tj.ones(1000))
    found = tj.explain(f)
    (kernel,) = found.kernels
    assert "multiply, tanh" in kernel.computes
    assert kernel.nbytes >= 8000
    assert found.memory.bytes_moved == kernel.nbytes
    assert 0 < kernel.nanoseconds < 1_000_000


def test_kernels_tell_what_they_are_reckoned_to_cost():
    f = tj.compile(lambda x: tj.tanh(x @ x))
    f(tj.ones((300, 300)))
    product, rest = tj.explain(f).kernels
    assert product.nanoseconds > 300**3 / 100 > rest.nanoseconds > 300**2 / 100
    assert re.search(r"matmul  test_explain.py:\d+  \(703.1 kB, about [\d.]+ us\)", str(product))


def test_recompiles_tell_what_changed():
    f = tj.compile(model.function)
    for x, deep in [
        (tj.ones(3), False),
        (tj.ones(4), False),
        (tj.ones(4), True),
        (tj.ones((2, 2)).T[0], True),
    ]:
        f(x, deep)
    shape, ops, strides = tj.explain(f).recompiles
    assert shape == "input 0: f32[3] -> f32[4]"
    assert "exp is new" in ops
    assert strides == "input 0: f32[4] -> f32[2] strides (2,)"


def test_cuts_tell_where_a_value_was_looked_at():
    @tj.compile
    def f(x, shared):
        now = time.time()  # not replayed
        if (x * 2).sum() > 0:
            shared.add_(1)
        return x + 0 * now

    shared = tj.ones(3)
    array = shared.numpy()
    for _ in range(3):
        f(tj.ones(3), shared)
    assert array[0] == 4
    first = f.function.__code__.co_firstlineno
    assert tj.explain(f).cuts == (
        f"test_explain.py:{first + 3}: a value is looked at (3 times)",
        f"test_explain.py:{first + 4}: memory that is shared with NumPy is written (3 times)",
    )


def test_cuts_are_those_of_calls_that_python_ran():
    @tj.compile
    def f(x, shared):
        if (x * 2).sum() > 0:
            shared.add_(1)
        return x + 1

    shared = tj.ones(3)
    array = shared.numpy()
    for _ in range(3):
        f(tj.ones(3), shared)
    assert array[0] == 4
    assert tj.explain(f).calls["replay"] == 2
    first = f.function.__code__.co_firstlineno
    assert tj.explain(f).cuts == (f"test_explain.py:{first + 2}: a value is looked at (1 times)",)


def test_methods_and_wrapped_functions_are_found():
    @functools.wraps(model)
    def wrapped(x):
        return model(x)

    assert tj.explain(wrapped).name == "model"


def test_what_is_not_compiled_cannot_be_explained():
    with pytest.raises(TypeError, match="not a compiled function"):
        tj.explain(len)
