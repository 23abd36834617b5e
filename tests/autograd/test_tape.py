"""The tape: gradients against closed forms and differences, what is saved and freed, and the errors."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit._errors import AutogradError, DTypeError, ShapeError

F64 = tj.float64


@pytest.fixture(params=["numpy", "compiled"], autouse=True)
def eager(request: pytest.FixtureRequest) -> Iterator[None]:
    with tj.config.scope(eager=request.param):
        yield


def leaf(*values: Any) -> tj.Tensor:
    return tj.tensor(list(values), dtype=F64, requires_grad=True)


def slope(f: Callable[[tj.Tensor], tj.Tensor], x: tj.Tensor, step: float = 1e-6) -> np.ndarray:
    """The gradient of `f` by central differences."""
    point = x.detach().numpy()
    result = np.zeros_like(point)
    for place in np.ndindex(point.shape):
        moved = [point.copy(), point.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        high, low = (f(tj.tensor(m)).item() for m in moved)
        result[place] = (high - low) / (2 * step)
    return result


# Gradients


def test_a_gradient_flows_through_every_use_of_a_value() -> None:
    x = leaf(1.0, 2.0)
    y = x * x
    (y * y + y * x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [4 + 3, 32 + 12])


def test_gradients_accumulate_in_place() -> None:
    x = leaf(1.0)
    (x * 2).sum().backward()
    held = x.grad
    (x * 3).sum().backward()
    assert held is x.grad
    assert held.tolist() == [5.0]
    x.grad = None
    (x * 4).sum().backward()
    assert (x.grad.tolist(), held.tolist()) == ([4.0], [5.0])


def test_leaves_that_get_the_same_gradient_do_not_share_its_memory() -> None:
    x, y, ct = leaf(1.0, 2.0), leaf(3.0, 4.0), tj.ones((2,), dtype=F64)
    (x + y).backward(ct)
    x.grad.zero_()
    assert (y.grad.tolist(), ct.tolist()) == ([1, 1], [1, 1])


def test_a_gradient_of_a_sum_is_an_array_of_its_own() -> None:
    x = leaf(1.0, 2.0)
    x.sum().backward()
    x.grad[0] = 5
    assert x.grad.tolist() == [5, 1]


def test_python_numbers_and_integers_take_no_gradient() -> None:
    x, n = leaf(2.0), tj.tensor([3])
    y = (x * 2.0 + 1) ** 3 * n
    assert not (x > 1).requires_grad
    assert not x.astype("int64").requires_grad
    y.sum().backward()
    assert x.grad.tolist() == [6 * 25 * 3]


def test_broadcast_arguments_get_gradients_of_their_shape() -> None:
    x = tj.ones((3, 1), dtype=F64, requires_grad=True)
    y = tj.ones((4,), dtype=F64, requires_grad=True)
    (x * y * 2).sum().backward()
    assert x.grad.tolist() == [[8.0]] * 3
    assert y.grad.tolist() == [6.0] * 4


def test_matrix_products_and_composites_agree_with_differences() -> None:
    weight = tj.tensor(np.random.default_rng(0).random((3, 3)))

    def f(x: tj.Tensor) -> tj.Tensor:
        return (tj.softmax(x @ weight, axis=-1) * tj.gelu(x).T).sum()

    x = tj.tensor(np.random.default_rng(1).random((3, 3)), requires_grad=True)
    f(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), slope(f, x), rtol=1e-6, atol=1e-8)


def test_a_graph_of_ten_thousand_ops_runs_backward_and_is_freed() -> None:
    with tj.config.scope(eager="numpy"):
        x = leaf(1.0)
        y = x
        for _ in range(10_000):
            y = y + x
        y.sum().backward()
    assert x.grad.item() == 10_001
    del y


# Higher order


def test_gradients_of_gradients_agree_with_differences() -> None:
    def f(x: tj.Tensor) -> tj.Tensor:
        return (tj.exp(x) * x.sin() + x**3 / (1 + x * x)).sum()

    def weighed_gradient(x: tj.Tensor) -> tj.Tensor:
        x = x if x.requires_grad else x.requires_grad_()
        (g,) = tj.autograd.grad(f(x), x, create_graph=True)
        return (g * tj.tensor([1.0, -2.0, 3.0], dtype=F64)).sum()

    x = leaf(0.3, -0.7, 1.1)
    weighed_gradient(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), slope(weighed_gradient, x), rtol=1e-6, atol=1e-8)


def test_backward_can_leave_differentiable_gradients() -> None:
    x = leaf(2.0)
    (x**4).sum().backward(create_graph=True)
    first = x.grad
    assert first.requires_grad
    x.grad = None
    first.sum().backward()
    assert (first.item(), x.grad.item()) == (32.0, 48.0)
    x.grad = None


# Modes


def test_no_grad_is_a_block_and_a_decorator_and_nests() -> None:
    x = leaf(1.0)

    @tj.no_grad()
    def doubled() -> tj.Tensor:
        return x * 2

    assert not doubled().requires_grad
    with tj.no_grad():
        assert not (x * 2).requires_grad
        with tj.enable_grad():
            assert (x * 2).requires_grad
        assert not tj.is_grad_enabled()
    assert (x * 2).requires_grad


def test_a_view_made_under_no_grad_is_a_constant() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1
    with tj.no_grad():
        view = y[0]
    y.mul_(3)
    assert not view.requires_grad
    assert view.item() == 3.0


def test_detach_shares_memory_and_stops_gradients() -> None:
    x = leaf(1.0, 2.0)
    d = x.detach()
    assert not d.requires_grad
    d[0] = 7
    assert x.tolist() == [7, 2]
    (x * x[0:1].detach()).sum().backward()
    assert x.grad.tolist() == [7, 7]


# Hooks and kept gradients


def test_hooks_see_and_replace_gradients() -> None:
    seen = []
    x = leaf(1.0)
    y = x * 2
    y.register_hook(lambda g: seen.append(g.item()))
    remove = x.register_hook(lambda g: g * 10)
    (y * 3).sum().backward()
    assert (seen, x.grad.item()) == ([3.0], 60.0)
    remove()
    x.grad = None
    (x * 2).sum().backward()
    assert x.grad.item() == 2.0


def test_retain_grad_keeps_the_gradient_of_an_inner_value() -> None:
    x = leaf(1.0)
    y = x * 2
    assert y.grad is None
    y.retain_grad()
    (y * y).sum().backward()
    assert y.grad.item() == 4.0


# autograd.grad


def test_grad_gives_gradients_and_leaves_grad_alone() -> None:
    x, y, unused = leaf(2.0), leaf(3.0), leaf(1.0)
    product = x * y
    gx, gp = tj.autograd.grad(product * product, [x, product])
    assert (gx.item(), gp.item(), x.grad, y.grad) == (36.0, 12.0, None, None)
    with pytest.raises(AutogradError, match="not have been used"):
        tj.autograd.grad(x * 2, [unused])
    assert tj.autograd.grad(x * 2, [x, unused], allow_unused=True)[1] is None
    with pytest.raises(AutogradError, match="does not require grad"):
        tj.autograd.grad(x * 2, tj.tensor(1.0))


def test_grad_asks_only_nodes_on_the_way_to_the_inputs() -> None:
    x = leaf(2.0)
    inner = x * x
    outer = inner * 3
    inner.backward()  # frees what `inner` saved
    assert tj.autograd.grad(outer, inner)[0].item() == 3.0


# Errors


def test_a_second_backward_says_how_to_keep_the_graph() -> None:
    x = leaf(1.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(AutogradError, match=r"second time.*retain_graph=True"):
        y.backward()
    assert x.grad.item() == 4.0
    z = x + 1  # saves nothing, so that nothing is missing
    z.backward()
    z.backward()


def test_backward_needs_a_scalar_or_a_gradient_of_its_shape() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(
        AutogradError, match="grad can be implicitly created only for scalar outputs"
    ):
        (x * 2).backward()
    with pytest.raises(ShapeError, match="shapes differ"):
        (x * 2).backward(tj.ones((3,)))
    (x * 2).backward([1.0, 10.0])
    assert x.grad.tolist() == [2, 20]


def test_backward_of_a_constant_is_refused() -> None:
    with pytest.raises(AutogradError, match=r"test_tape.py:\d+: .*does not require grad"):
        tj.tensor(1.0).backward()


def test_only_leaves_of_floats_can_be_told_to_require_gradients() -> None:
    with pytest.raises(DTypeError, match="floating-point"):
        tj.tensor([1], requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        (leaf(1.0) * 2).requires_grad_(False)


def test_a_gradient_of_another_shape_cannot_be_assigned() -> None:
    with pytest.raises(ValueError, match="cannot be"):
        leaf(1.0).grad = tj.zeros((2,), dtype=F64)
    with pytest.raises(TypeError, match="a gradient is a tensor, not ndarray"):
        leaf(1.0).grad = np.zeros(1)


# Memory


def test_values_are_freed_with_the_last_reference_and_without_the_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = (x * 2).exp()
        z = (y * y[0:1]).sum()
        nodes = [weakref.ref(t.grad_fn) for t in (y, z)]
        tensors = [weakref.ref(t) for t in (y, z)]
        z.backward()
        del y, z
        assert [r() for r in nodes + tensors] == [None] * 4
    finally:
        gc.enable()


def test_only_what_a_rule_needs_is_saved() -> None:
    x = leaf(1.0)
    y = x * 2
    inner = weakref.ref(y.storage)
    z = y + 1
    del y
    assert inner() is None
    assert [s.role for s in z.exp().grad_fn.saved] == ["result"]
    z.sum().backward()


def test_backward_frees_what_was_saved() -> None:
    x = leaf(1.0)
    y = x * 2
    inner = weakref.ref(y.storage)
    z = y.exp() * y
    del y
    assert inner() is not None
    z.sum().backward()
    assert inner() is None


# Threads and depth


def test_no_grad_holds_for_its_own_thread() -> None:
    x = leaf(1.0)
    with tj.no_grad(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: (x * 2).requires_grad).result()
        assert not (x * 2).requires_grad


def test_views_of_views_of_any_depth_can_be_differentiated_and_written() -> None:
    with tj.config.scope(eager="numpy"):
        x = leaf(*range(1500))
        base = x * 1
        view = base
        for _ in range(1499):
            view = view[1:]
        view *= 2
        (base.sum() + view.sum()).backward()
    assert x.grad[:-1].tolist() == [1] * 1499
    assert x.grad[-1].item() == 4
