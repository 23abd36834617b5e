"""tj.grad and its kin: gradients of functions, of any order, of containers, and beside the tape of the caller."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import tracejit as tj
from tracejit._errors import AutogradError, DTypeError


@pytest.fixture(autouse=True)
def eager() -> Iterator[None]:
    with tj.config.scope(eager="numpy"):
        yield


def test_grad_takes_numbers_arrays_and_tensors() -> None:
    assert tj.grad(lambda x: x * x)(3.0).item() == 6.0
    assert tj.grad(lambda x: (x * x).sum())(np.array([1.0, 2.0])).tolist() == [2, 4]
    assert tj.grad(lambda x: (x * x).sum())(np.array([1.0, 2.0])).dtype is tj.float64


def test_grad_of_grad_of_grad() -> None:
    f = tj.grad(tj.grad(tj.grad(lambda x: x**4)))
    assert f(2.0).item() == 48.0


def test_gradients_have_the_form_of_the_argument() -> None:
    def loss(params: dict[str, object], x: tj.Tensor) -> tj.Tensor:
        w, b = params["layers"][0]
        return ((x * w + b) ** 2).sum()

    params = {"layers": [(tj.tensor([1.0, 2.0]), tj.tensor(0.5))]}
    value, grads = tj.value_and_grad(loss)(params, tj.tensor([1.0, 1.0]))
    assert value.item() == 1.5**2 + 2.5**2
    gw, gb = grads["layers"][0]
    assert (gw.tolist(), gb.item()) == ([3, 5], 8)
    assert not gw.requires_grad
    assert not value.requires_grad


def test_argnums_and_aux() -> None:
    def f(x: tj.Tensor, y: tj.Tensor) -> tuple[tj.Tensor, str]:
        return x * y, "aux"

    gx, gy = tj.grad(f, argnums=(0, 1), has_aux=True)(2.0, 3.0)[0]
    assert (gx.item(), gy.item()) == (3, 2)
    (value, aux), gradient = tj.value_and_grad(f, argnums=1, has_aux=True)(2.0, 3.0)
    assert (value.item(), aux, gradient.item()) == (6, "aux", 2)


def test_an_argument_that_is_not_used_has_a_zero_gradient() -> None:
    assert tj.grad(lambda x, y: y * y)(tj.tensor([1.0, 2.0]), tj.tensor(3.0)).tolist() == [0, 0]
    assert tj.grad(lambda x: tj.tensor(1.0))(2.0).item() == 0


def test_an_enclosing_tape_sees_through_grad() -> None:
    w = tj.tensor(3.0, requires_grad=True)
    x = tj.tensor(2.0, requires_grad=True)
    slope = tj.grad(lambda v: w * v**3)(x)
    slope.backward()
    assert (slope.item(), w.grad.item(), x.grad.item()) == (36, 12, 36)
    with tj.no_grad():
        assert not tj.grad(lambda v: w * v)(x).requires_grad


def test_grad_leaves_the_arguments_as_they_are() -> None:
    x = tj.tensor([1.0])
    tj.grad(lambda v: (v * v).sum())(x)
    assert not x.requires_grad
    assert x.grad is None


def test_vjp_pulls_back_any_cotangent_again_and_again() -> None:
    y, pull = tj.vjp(lambda a, b: a @ b, tj.ones((2, 3)), tj.ones((3, 4)))
    assert y.shape == (2, 4)
    for scale in (1.0, 2.0):
        ga, gb = pull(tj.full((2, 4), scale))
        assert ga.tolist() == [[4 * scale] * 3] * 2
        assert gb.tolist() == [[2 * scale] * 4] * 3


def test_what_cannot_be_differentiated_is_told() -> None:
    with pytest.raises(AutogradError, match=r"scalar result; this one gave f32\[2\]"):
        tj.grad(lambda x: x * 2)(tj.ones((2,)))
    with pytest.raises(DTypeError, match="floating-point arguments only"):
        tj.grad(lambda x: x)(3)
    with pytest.raises(DTypeError, match="gave float"):
        tj.grad(lambda x: 3.0)(1.0)
    with pytest.raises(DTypeError, match="gave int"):
        tj.jacobian(lambda x: 3)(tj.ones((2,)))


def test_jacobians_and_hessians_agree_with_closed_forms() -> None:
    a = tj.tensor(np.random.default_rng(0).random((2, 3)))
    x = tj.tensor([1.0, 2.0, 3.0], dtype=tj.float64)
    assert tj.jacobian(lambda v: a @ v)(x).tolist() == a.tolist()
    assert tj.jacobian(lambda s, v: s * v, argnums=1)(2.0, x).tolist() == (2 * np.eye(3)).tolist()
    assert tj.jacobian(lambda v: v[:0])(x).shape == (0, 3)
    second = tj.hessian(lambda v: (v @ (a.T @ a) @ v).sum())(x)
    np.testing.assert_allclose(second.numpy(), (2 * a.T @ a).numpy(), rtol=1e-12)
