"""Gradients through compiled functions, bit for bit those of eager execution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj


def leaf(seed: int, *shape: int) -> tj.Tensor:
    return tj.tensor(
        np.random.default_rng(seed).normal(size=shape).astype("f4"), requires_grad=True
    )


def same(found: Any, expected: Any) -> None:
    found, expected = np.asarray(found.detach()), np.asarray(expected.detach())
    assert found.tobytes() == expected.tobytes()


def train(wrap: Callable[..., Any]) -> list[tj.Tensor]:
    w, b, x = leaf(0, 4, 3), leaf(1, 3), leaf(2, 5, 4).detach()

    @wrap
    def step(x, lr):
        loss = (tj.tanh(x @ w + b) ** 2).mean()
        loss.backward()
        with tj.no_grad():
            for p in (w, b):
                p.sub_(p.grad * lr)
                p.grad = None
        return loss

    losses = [step(x, 0.1 / (i + 1)) for i in range(4)]
    return [*losses, w, b]


def test_a_training_step_is_one_program_and_equal_to_eager():
    for found, expected in zip(train(tj.compile), train(lambda f: f)):
        same(found, expected)


def outside(wrap: Callable[..., Any], times: int = 1) -> list[tj.Tensor]:
    w, x = leaf(0, 4, 3), leaf(1, 2, 4)
    model = wrap(lambda x: tj.tanh(x @ w))
    for _ in range(3):
        loss = (model(x) ** 2).sum()
        for turn in range(times):
            loss.backward(retain_graph=turn + 1 < times)
    return [w.grad, x.grad]


@pytest.mark.parametrize("times", [1, 2])
def test_backward_outside_is_equal_to_eager(times: int):
    for found, expected in zip(outside(tj.compile, times), outside(lambda f: f, times)):
        same(found, expected)


def test_backward_outside_is_one_program():
    w = leaf(0, 4, 3)
    model = tj.compile(lambda x: tj.tanh(x @ w))
    model(leaf(1, 2, 4)).sum().backward()
    forward, backward = tj.explain(model).graphs
    assert len(forward.outputs) == 1
    assert [node.op.name for node in backward.applies].count("matmul") == 2


def test_a_second_backward_needs_the_graph_to_be_retained():
    w = leaf(0, 3)
    loss = tj.compile(lambda: (w.exp() * w).sum())()
    loss.backward()
    with pytest.raises(tj.AutogradError, match="second time"):
        loss.backward()


def second_order(wrap: Callable[..., Any]) -> list[tj.Tensor]:
    w = leaf(0, 3)
    loss = wrap(lambda: (w.exp() * w).sum())()
    (first,) = tj.autograd.grad(loss, w, create_graph=True)
    (first * first).sum().backward()
    return [first, w.grad]


def test_double_backward_is_equal_to_eager():
    for found, expected in zip(second_order(tj.compile), second_order(lambda f: f)):
        same(found, expected)


def in_place(wrap: Callable[..., Any]) -> list[tj.Tensor]:
    w = leaf(0, 3, 3)

    @wrap
    def f(w):
        y = w * 2
        y[0].mul_(3)
        y.T[1] = w[0] * w[2]
        return (y * y).sum()

    loss = f(w)
    loss.backward()
    return [loss, w.grad]


def test_in_place_writes_to_views_carry_gradients():
    for found, expected in zip(in_place(tj.compile), in_place(lambda f: f)):
        same(found, expected)


def test_a_value_needed_for_backward_that_was_overwritten_is_told():
    w = leaf(0, 3)

    @tj.compile
    def f(w):
        y = w.exp()
        z = y * y
        y.add_(1)
        return z.sum()

    with pytest.raises(tj.AutogradError, match="modified by an inplace operation"):
        f(w).backward()


def test_no_grad_is_kept_inside():
    w = leaf(0, 3)
    with tj.no_grad():
        assert not tj.compile(lambda: w * 2)().requires_grad
    assert tj.compile(lambda: w * 2)().requires_grad


def test_functional_gradients_inside_and_around():
    def f(x):
        return (x**3).sum()

    x = leaf(0, 4).detach()
    same(tj.compile(tj.grad(f))(x), tj.grad(f)(x))
    same(tj.grad(tj.compile(f))(x), tj.grad(f)(x))
