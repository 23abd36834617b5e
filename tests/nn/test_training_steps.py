"""Training steps of common models: the same bits eager and compiled, and near what PyTorch computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tracejit as tj

Parameters = dict[str, Any]
Step = Callable[[Any, Parameters, Any], Any]


class Ours:
    """The few functions of a library that the models use."""

    tensor = staticmethod(tj.tensor)
    no_grad = staticmethod(tj.no_grad)
    tanh, sigmoid, where = staticmethod(tj.tanh), staticmethod(tj.sigmoid), staticmethod(tj.where)
    permute = staticmethod(tj.permute_dims)
    total = staticmethod(tj.sum)

    @staticmethod
    def softmax(x: Any) -> Any:
        return tj.softmax(x, axis=-1)


def torchs() -> Any:
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")

    class Torchs:
        tensor, no_grad, total = torch.tensor, torch.no_grad, torch.sum
        tanh, sigmoid, where, permute = torch.tanh, torch.sigmoid, torch.where, torch.permute

        @staticmethod
        def softmax(x: Any) -> Any:
            return torch.softmax(x, -1)

    return Torchs


def attention(lib: Any, p: Parameters, x: Any) -> Any:
    """Two heads, a causal mask, a residual branch, and gradients clipped where their norm says so."""
    count, length, width = x.shape

    def heads(weight: Any) -> Any:
        return lib.permute((x @ weight).reshape(count, length, 2, width // 2), (0, 2, 1, 3))

    scores = heads(p["q"]) @ lib.permute(heads(p["k"]), (0, 1, 3, 2))
    mask = lib.tensor(np.triu(np.ones((length, length)), 1).astype(bool))
    weights = lib.softmax(lib.where(mask, lib.tensor(np.float32(-1e9)), scores))
    mixed = lib.permute(weights @ heads(p["v"]), (0, 2, 1, 3)).reshape(count, length, width)
    loss = lib.total((x + lib.tanh(mixed @ p["o"])) ** 2)
    loss.backward()
    norm = sum(lib.total(weight.grad**2) for weight in p.values()) ** 0.5
    if float(norm) > 1:
        for weight in p.values():
            weight.grad.mul_(1 / norm)
    return loss


def recurrent(lib: Any, p: Parameters, x: Any) -> Any:
    """An LSTM cell, unrolled; its gates are slices of one product, and its weights are shared by all steps."""
    hidden = cell = x[:, 0] * 0
    loss = 0.0
    for t in range(x.shape[1]):
        gates = x[:, t] @ p["w"] + hidden @ p["u"]
        i, f, o, g = (gates[:, 4 * n : 4 * n + 4] for n in range(4))
        cell = lib.sigmoid(f) * cell + lib.sigmoid(i) * lib.tanh(g)
        hidden = lib.sigmoid(o) * lib.tanh(cell)
        loss = loss + lib.total((hidden - x[:, t]) ** 2)
    loss.backward()
    return loss


def written_views(lib: Any, p: Parameters, x: Any) -> Any:
    """Writes through views of a value with a gradient."""
    y = x[0] * p["q"]
    y[1:] = y[:-1] * 2
    y[:, 0] *= 3
    view = y[2]
    view.add_(1)
    flat = y.reshape(2, 8)
    flat[0, 3:] = lib.tanh(flat[1, 3:])
    loss = lib.total(y * y) + lib.total(view * 2)
    loss.backward()
    return loss


SHAPES = {name: (4, 16) if name in "wu" else (4, 4) for name in "qkvowu"}
USES: dict[Step, str] = {attention: "qkvo", recurrent: "wu", written_views: "q"}


def trained(lib: Any, model: Step, wrap: Callable[[Any], Any]) -> Iterator[np.ndarray]:
    """Losses and weights of three steps of gradient descent."""
    rng = np.random.default_rng(2)
    start = {name: rng.normal(0, 0.4, SHAPES[name]).astype(np.float32) for name in USES[model]}
    p = {name: lib.tensor(value, requires_grad=True) for name, value in start.items()}

    @wrap
    def step(x: Any) -> Any:
        for weight in p.values():
            weight.grad = None
        loss = model(lib, p, x)
        with lib.no_grad():
            for weight in p.values():
                weight.sub_(weight.grad * 0.05)
        return loss.detach()

    for _ in range(3):
        yield step(lib.tensor(rng.normal(0, 1, (3, 4, 4)).astype(np.float32))).numpy()
        yield from (weight.detach().numpy().copy() for weight in p.values())


@pytest.mark.parametrize("model", USES, ids=lambda model: model.__name__)
def test_compiled_steps_give_the_bits_of_eager_ones(model: Step) -> None:
    eager = trained(Ours, model, lambda f: f)
    for found, expected in zip(trained(Ours, model, tj.compile), eager, strict=True):
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("model", USES, ids=lambda model: model.__name__)
def test_compiled_steps_agree_with_pytorch(model: Step) -> None:
    theirs = trained(torchs(), model, lambda f: f)
    for found, expected in zip(trained(Ours, model, tj.compile), theirs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-4)
