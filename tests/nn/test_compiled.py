"""Compiled training steps: the same bits as eager ones, and one program for all steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.nn.functional as F
from tracejit import nn, optim


class Words(nn.Module):
    """Something of everything: a table, both normalisations, dropout, shared weights, a buffer."""

    def __init__(self) -> None:
        self.table = nn.Embedding(11, 8)
        self.body = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Dropout(0.3), nn.LayerNorm(8))
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 3)

    def forward(self, words: tj.Tensor) -> tj.Tensor:
        x = self.body(self.table(words)).mean(axis=1)
        return self.head(self.norm(x))


OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "adamw": lambda p: optim.AdamW(p, lr=0.01),
}


def state_after_training(
    decorate: Callable[[Any], Any], make: Callable[[Any], optim.Optimizer], steps: int
) -> tuple[dict[str, Any], Any]:
    tj.random.seed(5)
    model = Words()
    optimizer = make(model.parameters())
    schedule = optim.StepLR(optimizer, step_size=1, gamma=0.9)

    def step(words: tj.Tensor, labels: tj.Tensor) -> tj.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(words), labels)
        loss.backward()
        optimizer.step()
        return loss

    step = decorate(step)
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(steps):
        words, labels = tj.tensor(rng.integers(0, 11, (6, 4))), tj.tensor(rng.integers(0, 3, 6))
        losses.append(step(words, labels).item())
        schedule.step()
    state = {name: value.tolist() for name, value in model.state_dict().items()}
    return state | {"losses": losses}, step


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_compiled_training_step_gives_the_bits_of_the_eager_one(name: str) -> None:
    eager, _ = state_after_training(lambda f: f, OPTIMIZERS[name], steps=4)
    compiled, _ = state_after_training(tj.compile, OPTIMIZERS[name], steps=4)
    assert eager == compiled


def test_steps_with_changing_learning_rates_and_counts_are_one_program() -> None:
    _, step = state_after_training(tj.compile, OPTIMIZERS["adam"], steps=100)
    assert len(tj.explain(step).graphs) == 1


def test_evaluation_writes_nothing() -> None:
    model = Words().eval()
    before = {name: value.tolist() for name, value in model.state_dict().items()}
    compiled = tj.compile(model)
    words = tj.tensor([[1, 2], [3, 4]])
    assert compiled(words).tolist() == model(words).tolist()
    assert {name: value.tolist() for name, value in model.state_dict().items()} == before


def test_a_loss_outside_sends_gradients_through_a_compiled_model() -> None:
    tj.random.seed(1)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    x = tj.tensor(np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32))
    gradients = []
    for forward in (model, tj.compile(model)):
        model.zero_grad()
        (forward(x) ** 2).sum().backward()
        gradients.append([parameter.grad.tolist() for parameter in model.parameters()])
    assert gradients[0] == gradients[1]


def test_a_failed_step_leaves_what_eager_leaves() -> None:
    parameter = tj.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.SGD([parameter], lr=0.5)

    @tj.compile
    def step(labels: tj.Tensor) -> tj.Tensor:
        loss = F.cross_entropy(parameter * 1, labels)
        loss.backward()
        optimizer.step()
        return loss

    with pytest.raises(IndexError, match="label 7 is out of bounds for 2 classes"):
        step(tj.tensor(7))
    assert parameter.tolist() == [1.0, 2.0]
    assert parameter.grad is None


def test_steps_that_make_layers_parameters_and_orders_of_their_own_are_replayed() -> None:
    data, labels = tj.tensor(np.eye(8, dtype=np.float32)), tj.arange(8) % 3

    def trained(decorate: Callable[[Any], Any]) -> Any:
        tj.random.seed(3)
        model = nn.Linear(8, 3)

        def epoch() -> Any:
            total = 0.0
            order = tj.random.permutation(8)
            for begin in range(0, 8, 4):
                part = order[begin : begin + 4]
                loss = nn.CrossEntropyLoss()(nn.Tanh()(model(data[part])), labels[part])
                model.zero_grad()
                loss.backward()
                model.bias = nn.Parameter(model.bias - model.bias.grad)
                with tj.no_grad():
                    model.weight -= tj.tensor(model.weight.grad) * 0.5
                total += loss.item()
            return total

        epoch = decorate(epoch)
        losses = [epoch() for _ in range(5)]
        return [
            *losses,
            model.weight.tolist(),
            model.bias.tolist(),
            tj.random.random().item(),
        ], epoch

    (expected, _), (found, epoch) = trained(lambda f: f), trained(tj.compile)
    assert found == expected
    assert epoch.calls == {"replay": 4, "record": 1, "eager": 0}


def test_numbers_that_change_from_step_to_step_need_no_recordings() -> None:
    uses: dict[str, Callable[[Any, float], Any]] = {
        "dropout": F.dropout,
        "clip": lambda x, c: x.clip(-c, c),
        "lerp": lambda x, c: x.lerp(x * 2, c),
        "where": lambda x, c: tj.where(x > 0, c, x),
        "masked_fill": lambda x, c: x.masked_fill(x > 0, c),
        "noise": lambda x, c: x + tj.random.uniform(x.shape, -c, c),
        "leaky relu": F.leaky_relu,
        "scale of attention": lambda x, c: F.scaled_dot_product_attention(x, x, x, scale=c),
        "label smoothing": lambda x, c: F.cross_entropy(x, tj.arange(3), label_smoothing=c),
    }
    x = tj.tensor(np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32))
    for name, use in uses.items():
        compiled = tj.compile(use)
        for turn in range(6):
            tj.random.seed(turn)
            found = compiled(x, 0.1 + 0.1 * turn)
            tj.random.seed(turn)
            assert found.tolist() == use(x, 0.1 + 0.1 * turn).tolist(), name
        assert compiled.calls == {"replay": 5, "record": 1, "eager": 0}, name
