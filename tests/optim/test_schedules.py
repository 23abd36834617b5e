"""Learning-rate schedules, rate for rate those of PyTorch, in compiled steps too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tracejit as tj
from tracejit import optim

SCHEDULES: dict[str, Callable[[Any, Any], Any]] = {
    "lambda": lambda lr, o: lr.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
    "lambdas": lambda lr, o: lr.LambdaLR(o, [lambda epoch: 0.9**epoch, lambda epoch: epoch + 1]),
    "step": lambda lr, o: lr.StepLR(o, 3, 0.5),
    "milestones": lambda lr, o: lr.MultiStepLR(o, [5, 2, 5], 0.5),
    "constant": lambda lr, o: lr.ConstantLR(o, 0.25, 4),
    "linear": lambda lr, o: lr.LinearLR(o, 0.1, 0.8, total_iters=6),
    "exponential": lambda lr, o: lr.ExponentialLR(o, 0.8),
    "polynomial": lambda lr, o: lr.PolynomialLR(o, 7, 2.0),
    "cosine": lambda lr, o: lr.CosineAnnealingLR(o, 12, 0.01),
    "restarts": lambda lr, o: lr.CosineAnnealingWarmRestarts(o, 4, eta_min=0.01),
    "longer restarts": lambda lr, o: lr.CosineAnnealingWarmRestarts(o, 2, 2),
    "one cycle": lambda lr, o: lr.OneCycleLR(o, 1.0, total_steps=13),
    "one straight cycle": lambda lr, o: lr.OneCycleLR(
        o, [1.0, 2.0], epochs=5, steps_per_epoch=4, anneal_strategy="linear", pct_start=0.25
    ),
    "warmup and cosine": lambda lr, o: lr.SequentialLR(
        o, [lr.LinearLR(o, 0.1, total_iters=4), lr.CosineAnnealingLR(o, 8)], [4]
    ),
    "three in a row": lambda lr, o: lr.SequentialLR(
        o, [lr.ConstantLR(o, 0.5, 2), lr.ExponentialLR(o, 0.5), lr.StepLR(o, 2, 0.1)], [3, 6]
    ),
}
STEPS = 12


def optimizer_of(lib: Any) -> Any:
    weights = [lib.tensor([1.0, 2.0], requires_grad=True) for _ in range(2)]
    groups = [{"params": [weights[0]]}, {"params": [weights[1]], "lr": 0.3}]
    return lib.optim.SGD(groups, lr=0.1, momentum=0.9)


def rates(lib: Any, make: Callable[[Any, Any], Any]) -> list[list[float]]:
    optimizer = optimizer_of(lib)
    schedule = make(lib.optim.lr_scheduler, optimizer)
    found = [state_of(optimizer)]
    for _ in range(STEPS):
        optimizer.step()
        schedule.step()
        found.append(state_of(optimizer))
        assert found[-1][::2] == schedule.get_last_lr()
    return found


def state_of(optimizer: Any) -> list[float]:
    return [group[name] for group in optimizer.param_groups for name in ("lr", "momentum")]


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_are_those_of_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    actual, expected = rates(tj, SCHEDULES[name]), rates(torch, SCHEDULES[name])
    for found, wanted in zip(actual, expected, strict=True):
        assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_compiled_step_follows_the_schedule_with_the_same_bits(name: str) -> None:
    def trained(decorate: Callable[[Any], Any]) -> tuple[Any, Any]:
        optimizer = optimizer_of(tj)
        schedule = SCHEDULES[name](optim.lr_scheduler, optimizer)
        weights = [group["params"][0] for group in optimizer.param_groups]

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = sum((weight * x).sum() ** 2 for weight in weights)
            loss.backward()
            optimizer.step()
            schedule.step()
            return loss.detach()

        step = decorate(step)
        losses = [step(tj.tensor([0.1, 0.2 * turn])).item() for turn in range(STEPS)]
        return [*losses, state_of(optimizer), [w.tolist() for w in weights]], step

    (expected, _), (found, step) = trained(lambda f: f), trained(tj.compile)
    assert found == expected
    assert step.calls["replay"] >= STEPS // 3, tj.explain(step).misses


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_rates_are_reduced_where_pytorch_reduces_them(mode: Any, threshold_mode: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    how = {"factor": 0.5, "patience": 1, "threshold": 0.1, "cooldown": 1, "min_lr": 0.02}
    both = []
    for lib in (tj, torch):
        optimizer = optimizer_of(lib)
        schedule = lib.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, mode, threshold_mode=threshold_mode, **how
        )
        seen = []
        for metric in (3.0, 2.0, 1.95, 2.1, 2.05, 4.0, 4.1, 4.1, 4.1, 0.5, 0.5, 0.5, -1.0, -1.05):
            schedule.step(lib.tensor(metric))
            seen.append(state_of(optimizer))
        both.append(seen)
    for found, wanted in zip(*both, strict=True):
        assert found == pytest.approx(wanted)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_restored_schedule_goes_on_as_the_original(name: str) -> None:
    made = []
    for _ in range(2):
        optimizer = optimizer_of(tj)
        made.append((optimizer, SCHEDULES[name](optim.lr_scheduler, optimizer)))
    (first, schedule), (second, restored) = made
    for _ in range(5):
        schedule.step()
    restored.load_state_dict(schedule.state_dict())
    second.load_state_dict(first.state_dict())
    for _ in range(4):
        schedule.step()
        restored.step()
        assert state_of(second) == state_of(first)


def test_schedules_of_the_users_own_define_a_rate_or_all_of_them() -> None:
    class Halved(optim.LRScheduler):
        def get_lr(self) -> list[float]:
            return [group["lr"] / 2 for group in self.optimizer.param_groups]

    class Divided(optim.LRScheduler):
        def rate(self, base: float, epoch: int) -> float:
            return base / (epoch + 1)

    optimizer = optimizer_of(tj)
    Halved(optimizer).step()
    assert state_of(optimizer)[::2] == pytest.approx([0.025, 0.075])
    Divided(optimizer).step()
    assert state_of(optimizer)[::2] == pytest.approx([0.05, 0.15])


def test_what_a_schedule_cannot_be_is_refused() -> None:
    optimizer = optimizer_of(tj)
    refused: list[tuple[str, Callable[[], Any]]] = [
        (
            "2 groups of parameters, and 1 functions",
            lambda: optim.LambdaLR(optimizer, [lambda e: e]),
        ),
        (
            "need 1 milestones",
            lambda: optim.SequentialLR(optimizer, [optim.ExponentialLR(optimizer, 0.5)] * 2, []),
        ),
        ("at least 1", lambda: optim.OneCycleLR(optimizer, 1.0)),
        ("'cos' or 'linear'", lambda: optim.OneCycleLR(optimizer, 1.0, 5, anneal_strategy="flat")),  # type: ignore[arg-type]
        ("at least 1, got 0", lambda: optim.CosineAnnealingWarmRestarts(optimizer, 0)),
        ("factor is below 1", lambda: optim.ReduceLROnPlateau(optimizer, factor=1.0)),
        ("'min' or 'max'", lambda: optim.ReduceLROnPlateau(optimizer, "best")),  # type: ignore[arg-type]
    ]
    for message, call in refused:
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "test_schedules.py" in str(caught.value)
    schedule = optim.OneCycleLR(optimizer, 1.0, 2)
    schedule.step()
    with pytest.raises(ValueError, match="step 3 of 2"):
        schedule.step()
