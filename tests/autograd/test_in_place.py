"""Writes under the tape: a base and all its views stand for the new values, and what a rule needs cannot change unnoticed."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracejit as tj
from tracejit._errors import AutogradError

F64 = tj.float64


@pytest.fixture(autouse=True)
def eager() -> Iterator[None]:
    with tj.config.scope(eager="numpy"):
        yield


def leaf(*values: float) -> tj.Tensor:
    return tj.tensor(list(values), dtype=F64, requires_grad=True)


# A random program of views and writes, against differences


def program(x: tj.Tensor, seed: int) -> tj.Tensor:
    """Makes views of a copy of `x`, writes through them, and adds everything up."""
    random = Random(seed)
    pool = [x * 1.0]
    for _ in range(random.randint(2, 8)):
        t = random.choice(pool)
        match random.randrange(9):
            case 0 if t.ndim and len(t) > 1:
                pool.append(t[random.randrange(len(t))])
            case 1:
                pool.append(t.T)
            case 2 if t.ndim and t.shape[-1] > 1:
                pool.append(t[..., 1:])
            case 3:
                t.mul_(x[0, : t.shape[-1]] if t.ndim and t.shape[-1] <= x.shape[1] else x[0, 0])
            case 4:
                t.add_(1.5)
            case 5:
                t.mul_(0.3).exp_()
            case 6 if t.ndim:
                t[0] = x[1, 0] * 2
            case 7:
                pool.append(t * t + t)
            case 8 if t.ndim:
                t[-1] = 0.5
    total = sum((t * t).sum() for t in pool)
    assert isinstance(total, tj.Tensor)
    return total


@given(st.integers(0, 2**32))
@settings(max_examples=80)
def test_gradients_through_views_and_writes_agree_with_differences(seed: int) -> None:
    with tj.config.scope(eager="numpy"):
        point = np.random.default_rng(seed).uniform(0.5, 1.5, (3, 4))
        x = tj.tensor(point, requires_grad=True)
        out = program(x, seed)
        try:
            out.backward()
        except AutogradError as error:
            assert "modified by an inplace operation" in str(error)  # noqa: PT017
            return
        way = np.random.default_rng(seed + 1).standard_normal(point.shape)
        step = 1e-6
        high, low = (program(tj.tensor(point + s * way), seed).item() for s in (step, -step))
        expected = (high - low) / (2 * step)
        found = 0.0 if x.grad is None else float((x.grad.numpy() * way).sum())
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)


# What a write does to the tape


def test_a_write_to_a_view_reaches_the_base_and_the_other_views() -> None:
    w = leaf(2.0, 3.0)
    base = tj.ones((4,), dtype=F64)
    before, overlapping = base[0:2], base[1:3]
    base[1:3] *= w
    assert overlapping.requires_grad
    assert base.requires_grad
    (base.sum() + 10 * before.sum() + 100 * overlapping.sum()).backward()
    assert w.grad.tolist() == [111, 101]


def test_a_write_of_a_constant_cuts_the_gradient_of_that_part() -> None:
    x = leaf(1.0, 2.0, 3.0)
    y = x * 2
    y[1] = 0.0
    y.sum().backward()
    assert x.grad.tolist() == [2, 0, 2]
    z = x * 2
    z.zero_()
    assert z.requires_grad
    x.grad = None
    z.sum().backward()
    assert x.grad.tolist() == [0, 0, 0]


def test_a_value_written_into_a_constant_is_differentiated() -> None:
    x = leaf(1.0, 2.0)
    buffer = tj.zeros((2, 2), dtype=F64)
    for row in range(2):
        buffer[row] = x * (row + 1)
    assert buffer.grad_fn is not None
    (buffer * buffer).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [2 * 1 + 8 * 1, 2 * 2 + 8 * 2])


def test_writes_by_masks_and_index_arrays_are_differentiated() -> None:
    x = leaf(1.0, -2.0, 3.0, -4.0)
    y = x * 1
    y[y < 0] = 0.0
    y[[0, 2]] *= 10
    y.sum().backward()
    assert x.grad.tolist() == [10, 0, 10, 0]


def test_an_op_written_over_its_own_argument_keeps_a_copy_of_it() -> None:
    a, b = leaf(2.0, 3.0), leaf(5.0, 7.0)
    t = a * 1
    t.mul_(b)
    t.mul_(t)
    t.sum().backward()
    np.testing.assert_allclose(b.grad.numpy(), [2 * 4 * 5, 2 * 9 * 7])


def test_writes_under_higher_order_gradients() -> None:
    x = leaf(2.0)
    y = tj.ones((2,), dtype=F64)
    y[0:1] = x**3
    (first,) = tj.autograd.grad((y * y).sum(), x, create_graph=True)
    (second,) = tj.autograd.grad(first, x)
    assert (first.item(), second.item()) == (6 * 2.0**5, 30 * 2.0**4)


def test_an_optimizer_step_under_no_grad_leaves_a_leaf_a_leaf() -> None:
    w = leaf(1.0, 2.0)
    view = w[0]
    (w * w).sum().backward()
    with tj.no_grad():
        w -= 0.5 * w.grad
        w[0] = 4.0
    assert w.is_leaf
    assert w.requires_grad
    assert view.item() == 4.0
    w.grad = None
    (w * w).sum().backward()
    assert w.grad.tolist() == [8, 0]
    (view * 3).backward()  # the view is one of the new values
    assert w.grad.tolist() == [11, 0]


# Errors


def test_leaves_that_require_gradients_cannot_be_written() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(AutogradError, match="a leaf Variable that requires grad"):
        x += 1
    with pytest.raises(AutogradError, match="a view of a leaf Variable"):
        x[0] = 1.0


def test_overwriting_what_a_rule_needs_is_told_with_both_lines() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1
    z = y * y
    y += 1
    with pytest.raises(AutogradError, match="modified by an inplace operation") as caught:
        z.sum().backward()
    here = [line for line in str(caught.value).split() if line.startswith("test_in_place.py")]
    first = test_overwriting_what_a_rule_needs_is_told_with_both_lines.__code__.co_firstlineno
    assert [int(line.rstrip(":").split(":")[1]) - first for line in here] == [6, 3, 4]


def test_overwriting_through_a_view_or_a_detached_alias_is_noticed() -> None:
    for alias in (lambda t: t[0:1], lambda t: t.detach()):
        x = leaf(1.0, 2.0)
        y = x * 1
        z = y.exp() * y
        alias(y)[...] = 0.0
        with pytest.raises(AutogradError, match="modified by an inplace operation"):
            z.sum().backward()


def test_overwriting_what_no_rule_needs_is_no_error() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1
    z = y + 1
    y.zero_()
    z.sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_writes_leave_no_cycles_behind() -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = x * 2
        y[0] *= x[1]
        y.exp_()
        gone = weakref.ref(y), weakref.ref(y.storage), weakref.ref(y.grad_fn)
        del y
        assert [r() for r in gone] == [None] * 3
    finally:
        gc.enable()


@pytest.mark.parametrize("seed", range(8))
def test_eager_and_recorded_programs_give_the_same_bits(seed: int) -> None:
    point = np.random.default_rng(seed).uniform(0.5, 1.5, (3, 4)).astype(np.float32)

    def gradient(x: tj.Tensor) -> tuple[tj.Tensor, tj.Tensor | None]:
        out = program(x, seed)
        try:
            out.backward()
        except AutogradError:
            return out.detach(), None
        return out.detach(), x.grad

    results = []
    with tj.config.scope(eager="compiled"):
        for f in (gradient, tj.compile(gradient)):
            value, grad = f(tj.tensor(point, requires_grad=True))
            results.append((value.item(), None if grad is None else grad.tolist()))
    assert results[0] == results[1]
