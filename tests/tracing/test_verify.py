"""`verify=N` compares what the program gives with what Python has given, and Python's outcome stands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit.ops.registry import REGISTRY
from tracejit.tracing.programs import Program


def training_step(w: tj.Tensor, x: Any, log: list[int]) -> Any:
    y = (w * x).exp()
    y[0].mul_(2)
    w.sub_(y.mean(axis=0) * 0.1)
    log.append(1)
    return y.sum()


def world() -> tuple[tj.Tensor, Any, list[int]]:
    return tj.tensor([1.0, -1.0]), tj.ones((3, 2)), []


def test_every_nth_call_runs_python_once_and_agrees():
    step = tj.compile(training_step, verify=3)
    found, expected = world(), world()
    for _ in range(6):
        a, b = step(*found), training_step(*expected)
        assert a.numpy().tobytes() == b.numpy().tobytes()
    assert found[0].numpy().tobytes() == expected[0].numpy().tobytes()
    assert len(found[2]) == 6
    assert tj.explain(step).calls == {"replay": 3, "record": 1, "eager": 2}
    assert tj.explain(step).divergences == ()


def test_the_program_that_is_compared_is_the_one_that_runs():
    step = tj.compile(training_step, verify=2)
    arguments = world()
    step(*arguments)
    step(*arguments)
    assert len(tj.explain(step).graphs) == 1


def test_numpy_arrays_are_compared_as_well():
    def f(x):
        x += 1
        return np.exp(x).sum()

    x = np.zeros(3)
    assert tj.compile(f, verify=1)(x) == pytest.approx(3 * np.e)
    np.testing.assert_array_equal(x, np.ones(3))


def test_compiled_functions_inside_are_part_of_what_is_compared():
    inner = tj.compile(lambda x: x.add_(1))
    outer = tj.compile(lambda x: (inner(x) * 2).sum(), verify=1)
    x = tj.ones(3)
    assert float(outer(x)) == 12
    assert float(outer(x)) == 18
    assert tj.explain(outer).divergences == ()


def test_what_numpy_writes_is_not_compared():
    x = tj.ones(3)

    @tj.compile(verify=1)
    def f():
        y = x * 2
        array = y.numpy()
        array[0] = 7
        z = y + 1
        x.add_(1)
        x.numpy()[1] = 9
        return y, z, array

    _, z, _ = f()
    assert z.tolist() == [8, 3, 3]
    assert tj.explain(f).divergences == ()


class Wrong(Program):
    """A program whose results are one too large where it has applied an exponential."""

    def __init__(self, program: Program) -> None:
        self.graph = program.graph
        self.seconds = program.seconds
        self.is_compiled = False
        self.executable = self
        self._run = program.executable.run

    def run(self, addresses: Any, scalars: Any) -> Any:
        buffers = self._run(addresses, scalars)
        exp = REGISTRY["exp"]
        for node, buffer in zip(self.graph.outputs, buffers):
            if getattr(node, "op", None) is exp:
                buffer.array(node.aval.dtype.numpy, node.aval.sizes)[...] += 1
        return buffers


def test_a_divergence_names_the_first_line_that_differs(monkeypatch: pytest.MonkeyPatch):
    from tracejit.tracing import programs, verify

    right = programs.program_of
    for module in (programs, verify):
        monkeypatch.setattr(
            module, "program_of", lambda graph, **options: Wrong(right(graph, **options))
        )

    def f(x):
        y = x * 2
        return y.exp()

    compiled = tj.compile(f, verify=1)
    with pytest.warns(RuntimeWarning, match=r"test_verify\.py:\d+: exp -> f32\[2\] differs"):
        found = compiled(tj.tensor([0.0, 1.0]))
    assert found.numpy().tobytes() == f(tj.tensor([0.0, 1.0])).numpy().tobytes()
    (line,) = tj.explain(compiled).divergences
    assert f":{f.__code__.co_firstlineno + 2}: " in line
