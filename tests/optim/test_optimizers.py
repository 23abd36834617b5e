"""Optimizers step for step against their formulas in float64 NumPy, and against PyTorch where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

STEPS = 5
SHAPES = [(3, 4), (4,), ()]

CASES: list[tuple[type[Optimizer], dict[str, Any]]] = [
    (SGD, {"lr": 0.1}),
    (SGD, {"lr": 0.1, "momentum": 0.9}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (SGD, {"lr": 0.1, "maximize": True}),
    (Adam, {"lr": 0.01}),
    (Adam, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    (Adam, {"lr": 0.01, "maximize": True}),
    (AdamW, {"lr": 0.01, "weight_decay": 0.1}),
    (RMSprop, {"lr": 0.01}),
    (RMSprop, {"lr": 0.01, "alpha": 0.9, "weight_decay": 0.1, "momentum": 0.8, "centered": True}),
    (Adagrad, {"lr": 0.1}),
    (Adagrad, {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
]


def starts() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape) for shape in SHAPES]


def gradients_of(step: int) -> list[np.ndarray]:
    rng = np.random.default_rng(step + 1)
    return [rng.standard_normal(shape) for shape in SHAPES]


def sgd(p: np.ndarray, g: np.ndarray, state: dict[str, Any], **h: Any) -> np.ndarray:
    g = (-g if h.get("maximize") else g) + h.get("weight_decay", 0) * p
    if h.get("momentum"):
        share = 1 - h.get("dampening", 0) if "b" in state else 1
        state["b"] = h["momentum"] * state.get("b", 0) + share * g
        g = g + h["momentum"] * state["b"] if h.get("nesterov") else state["b"]
    return p - h["lr"] * g


def adam(p: np.ndarray, g: np.ndarray, state: dict[str, Any], **h: Any) -> np.ndarray:
    beta1, beta2 = h.get("betas", (0.9, 0.999))
    g = (-g if h.get("maximize") else g) + h.get("weight_decay", 0) * p
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g * g
    denominator = np.sqrt(v / (1 - beta2**t)) + h.get("eps", 1e-8)
    return p - h["lr"] * (m / (1 - beta1**t)) / denominator


def adamw(p: np.ndarray, g: np.ndarray, state: dict[str, Any], **h: Any) -> np.ndarray:
    decay = h.pop("weight_decay")
    return adam(p * (1 - h["lr"] * decay), g, state, **h)


def rmsprop(p: np.ndarray, g: np.ndarray, state: dict[str, Any], **h: Any) -> np.ndarray:
    g = g + h.get("weight_decay", 0) * p
    alpha = h.get("alpha", 0.99)
    v = state["v"] = alpha * state.get("v", 0) + (1 - alpha) * g * g
    if h.get("centered"):
        m = state["m"] = alpha * state.get("m", 0) + (1 - alpha) * g
        v = v - m * m
    b = state["b"] = h.get("momentum", 0) * state.get("b", 0) + g / (np.sqrt(v) + 1e-8)
    return p - h["lr"] * b


def adagrad(p: np.ndarray, g: np.ndarray, state: dict[str, Any], **h: Any) -> np.ndarray:
    g = g + h.get("weight_decay", 0) * p
    t = state["t"] = state.get("t", -1) + 1
    v = state["v"] = state.get("v", h.get("initial_accumulator_value", 0)) + g * g
    return p - h["lr"] / (1 + t * h.get("lr_decay", 0)) * g / (np.sqrt(v) + 1e-10)


FORMULAS: dict[type[Optimizer], Callable[..., np.ndarray]] = {
    SGD: sgd, Adam: adam, AdamW: adamw, RMSprop: rmsprop, Adagrad: adagrad,
}  # fmt: skip


def train(kind: type[Optimizer], hyperparameters: dict[str, Any]) -> list[np.ndarray]:
    parameters = [tj.tensor(start, requires_grad=True) for start in starts()]
    optimizer = kind(parameters, **hyperparameters)
    for step in range(STEPS):
        for parameter, gradient in zip(parameters, gradients_of(step), strict=True):
            parameter.grad = tj.tensor(gradient)
        optimizer.step()
    return [parameter.detach().numpy() for parameter in parameters]


@pytest.mark.parametrize(("kind", "hyperparameters"), CASES)
def test_steps_follow_the_formula(kind: type[Optimizer], hyperparameters: dict[str, Any]) -> None:
    expected, states = starts(), [{} for _ in SHAPES]
    for step in range(STEPS):
        for place, gradient in enumerate(gradients_of(step)):
            args = expected[place], gradient, states[place]
            expected[place] = FORMULAS[kind](*args, **hyperparameters)
    for actual, value in zip(train(kind, hyperparameters), expected, strict=True):
        np.testing.assert_allclose(actual, value, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("kind", "hyperparameters"), CASES)
def test_steps_are_those_of_pytorch(kind: type[Optimizer], hyperparameters: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    parameters = [torch.tensor(start, requires_grad=True) for start in starts()]
    optimizer = getattr(torch.optim, kind.__name__)(parameters, **hyperparameters)
    for step in range(STEPS):
        for parameter, gradient in zip(parameters, gradients_of(step), strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.step()
    for actual, parameter in zip(train(kind, hyperparameters), parameters, strict=True):
        np.testing.assert_allclose(actual, parameter.detach().numpy(), rtol=1e-12, atol=1e-14)


def with_gradient(values: Any = (1.0, 2.0)) -> tj.Tensor:
    parameter = tj.tensor(list(values), requires_grad=True)
    parameter.grad = tj.ones_like(parameter)
    return parameter


def test_a_step_writes_to_the_parameters_own_memory() -> None:
    parameter = with_gradient()
    view = parameter.detach()
    SGD([parameter], lr=0.5).step()
    assert view.tolist() == [0.5, 1.5]


def test_a_parameter_without_a_gradient_stays() -> None:
    parameter = tj.tensor([1.0], requires_grad=True)
    optimizer = Adam([parameter])
    optimizer.step()
    assert parameter.tolist() == [1.0]
    assert optimizer.state[parameter]["step"] == 0


def test_a_step_is_not_on_the_tape() -> None:
    parameter = with_gradient()
    Adam([parameter]).step()
    assert parameter.is_leaf
    assert parameter.requires_grad


def test_a_fault_in_the_last_parameter_is_found_before_the_first_is_written() -> None:
    first, last = with_gradient(), with_gradient()
    optimizer = SGD([first, last], lr=0.5, momentum=0.9)
    optimizer.state[last]["momentum_buffer"] = tj.zeros(3)
    with pytest.raises(ValueError, match="momentum_buffer"):
        optimizer.step()
    assert first.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda p: SGD([p], lr=-1.0), ValueError),
        (lambda p: SGD([p], lr="fast"), TypeError),
        (lambda p: SGD([p], nesterov=True), ValueError),
        (lambda p: Adam([p], betas=(0.9, 1.0)), ValueError),
        (lambda p: Adam([p], eps=float("nan")), ValueError),
        (lambda p: Adam([]), ValueError),
        (lambda p: Adam(p), TypeError),
        (lambda p: Adam([1.0]), TypeError),
        (lambda p: Adam([p, p]), ValueError),
        (lambda p: Adam([p * 2]), ValueError),
    ],
)
def test_bad_arguments_are_refused(
    make: Callable[[tj.Tensor], Optimizer], error: type[Exception]
) -> None:
    with pytest.raises(error):
        make(tj.tensor([1.0], requires_grad=True))


def test_groups_have_hyperparameters_of_their_own() -> None:
    slow, fast = with_gradient(), with_gradient()
    optimizer = SGD([{"params": [slow]}, {"params": [fast], "lr": 1.0}], lr=0.5)
    optimizer.step()
    assert slow.tolist() == [0.5, 1.5]
    assert fast.tolist() == [0.0, 1.0]


def test_a_closure_computes_the_loss_and_the_gradients() -> None:
    w = tj.tensor([3.0], requires_grad=True)
    optimizer = SGD([w], lr=0.5)

    def closure() -> tj.Tensor:
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9.0
    assert w.item() == 0.0


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad_drops_or_clears_gradients(set_to_none: bool) -> None:
    parameter = with_gradient()
    SGD([parameter]).zero_grad(set_to_none=set_to_none)
    assert parameter.grad is None if set_to_none else parameter.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_a_restored_state_goes_on_as_the_original(kind: type[Optimizer]) -> None:
    options = {"lr": 0.1, "momentum": 0.9} if kind is SGD else {"lr": 0.1}
    original = with_gradient()
    optimizer = kind([original], **options)
    optimizer.step()

    twin = tj.tensor(original.detach(), requires_grad=True)
    restored = kind([twin], **{**options, "lr": 9.0})
    restored.load_state_dict(optimizer.state_dict())
    for parameter, stepped in ((original, optimizer), (twin, restored)):
        parameter.grad = tj.tensor([0.5, -2.0])
        stepped.step()
    assert twin.tolist() == original.tolist()


def test_a_state_of_other_shapes_is_refused_and_nothing_is_taken_over() -> None:
    optimizer = Adam([with_gradient()], lr=0.1)
    other = Adam([with_gradient((1.0, 2.0, 3.0))], lr=0.2)
    with pytest.raises(ValueError, match="exp_avg"):
        optimizer.load_state_dict(other.state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_a_schedule_is_one_of_an_optimizer() -> None:
    with pytest.raises(TypeError, match="StepLR: 5 is no optimizer"):
        tj.optim.StepLR(5, 2)  # type: ignore[arg-type]


def test_learning_rates_follow_the_schedule() -> None:
    optimizer = SGD([with_gradient()], lr=1.0)
    schedule = tj.optim.StepLR(optimizer, step_size=2, gamma=0.5)
    rates = []
    for _ in range(4):
        rates.append(schedule.get_last_lr()[0])
        schedule.step()
    assert rates == [1.0, 1.0, 0.5, 0.5]


def test_the_cosine_schedule_ends_at_its_least_rate() -> None:
    optimizer = SGD([with_gradient()], lr=1.0)
    schedule = tj.optim.CosineAnnealingLR(optimizer, T_max=10, eta_min=0.1)
    for _ in range(5):
        schedule.step()
    assert schedule.get_last_lr()[0] == pytest.approx(0.55)
    for _ in range(5):
        schedule.step()
    assert schedule.get_last_lr()[0] == pytest.approx(0.1)
