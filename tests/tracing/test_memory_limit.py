"""`tj.compile(memory_limit=)`: replayed calls within the limit, of the same bits, and errors that name lines."""

from __future__ import annotations

import pickle
import re
import sys
from typing import Any

import numpy as np
import pytest

import tracejit as tj
import tracejit.nn.functional as F
from tests.compiler.memory import memory_taken
from tracejit._config import config
from tracejit.runtime.cpu.native.programs import ON_STACK
from tracejit.tracing.replay import tree

WIDTH = 64


class Network:
    """Layers of a few kinds, and one training step of them, eager or compiled."""

    def __init__(
        self, layers: int, *, dropout: bool = False, optimizer: Any = tj.optim.SGD
    ) -> None:
        rng = np.random.default_rng(5)
        scale = WIDTH**-0.5
        self.weights = [
            tj.tensor((rng.standard_normal((WIDTH, WIDTH)) * scale).astype(np.float32))
            for _ in range(layers)
        ]
        for weight in self.weights:
            weight.requires_grad = True
        self.optimizer = optimizer(self.weights, lr=0.05)
        self.dropout = dropout

    def loss(self, x: tj.Tensor) -> tj.Tensor:
        h = x
        for weight in self.weights:
            h = F.relu(h @ weight)
            if self.dropout:
                h = F.dropout(F.layer_norm(h, (WIDTH,)), 0.1)
        return ((h - x) ** 2).mean()

    def step(self, x: tj.Tensor) -> tj.Tensor:
        for weight in self.weights:
            weight.grad = None
        loss = self.loss(x)
        loss.backward()
        self.optimizer.step()
        return loss

    def bits(self) -> list[bytes]:
        return [weight.detach().numpy().tobytes() for weight in self.weights]


def batch(rows: int = 512) -> tj.Tensor:
    rng = np.random.default_rng(rows)
    return tj.tensor(rng.standard_normal((rows, WIDTH)).astype(np.float32))


def steps(network: Network, step: Any, count: int = 5) -> list[bytes]:
    """The weights after some steps; dropout draws the same numbers each time."""
    tj.random.seed(3)
    for _ in range(count):
        step(batch())
    return network.bits()


def peak(f: Any) -> int:
    return tj.explain(f).memory.peak_bytes


@pytest.mark.parametrize("optimizer", [tj.optim.SGD, tj.optim.Adam])
@pytest.mark.parametrize("dropout", [False, True], ids=["plain", "dropout"])
def test_a_replayed_training_step_keeps_within_the_limit(dropout: bool, optimizer: Any):
    eager, free = (Network(8, dropout=dropout, optimizer=optimizer) for _ in range(2))
    step = tj.compile(free.step)
    expected = steps(eager, eager.step)
    assert steps(free, step) == expected
    for part in (0.8, 0.6):
        limit = int(part * peak(step))
        network = Network(8, dropout=dropout, optimizer=optimizer)
        limited = tj.compile(network.step, memory_limit=limit)
        assert steps(network, limited) == expected
        assert limited.calls["replay"] >= 2
        x = batch()
        with memory_taken() as taken:
            limited(x)
        assert taken.peak == peak(limited) <= limit
    assert len(tj.explain(limited).kernels) > len(tj.explain(step).kernels)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * 2 + 1,
        lambda x: (x @ x.T).exp().sum(),
        lambda x: (F.softmax(x, -1), F.layer_norm(x, (WIDTH,)), x.T @ x),
        lambda x: tj.concat([x.sin(), x[::2].cos()]).cumsum(axis=0),
    ],
    ids=["chain", "product", "results", "parts"],
)
@pytest.mark.parametrize("is_native", [False, True], ids=["by Python", "by machine code"])
def test_the_planned_peak_is_the_measured_one(
    function: Any, is_native: bool, monkeypatch: pytest.MonkeyPatch
):
    if not is_native:
        monkeypatch.setattr(tree, "NATIVE_AFTER", sys.maxsize)
    f = tj.compile(function)
    x = batch()
    kept = f(x), f(x), f(x)
    with memory_taken() as taken:
        kept = *kept, f(x)
    assert f.calls["replay"] >= 1
    on_stack = ON_STACK if is_native else 0  # where machine code has small workspaces
    assert peak(f) - on_stack <= taken.peak <= peak(f)


def test_an_error_tells_the_least_and_the_lines_and_nothing_is_done():
    network = Network(6)
    step = tj.compile(network.step, memory_limit=10_000)
    before = network.bits()
    with pytest.raises(tj.MemoryLimitError) as caught:
        step(batch())
    message = str(caught.value)
    assert re.match(r"test_memory_limit\.py:\d+: memory_limit is 10,000 bytes; the least", message)
    line = Network.loss.__code__.co_firstlineno + 3
    assert f"test_memory_limit.py:{line}: relu -> f32[512,64]" in message
    assert "scratch of" in message
    assert network.bits() == before
    least = int(re.search(r"least .* is ([\d,]+) bytes", message)[1].replace(",", ""))
    enough = tj.compile(network.step, memory_limit=least)
    enough(batch())
    assert peak(enough) == least


def test_sizes_that_are_open_keep_within_the_limit_or_raise():
    network = Network(8)
    with tj.no_grad():
        free = tj.compile(network.loss)
        free(batch(1024))
    limit = peak(free)
    f = tj.compile(network.loss, memory_limit=limit, dynamic=True)
    with tj.no_grad():
        for rows in (100, 300, 1024):
            x = batch(rows)
            found = f(x)  # compiled, if this is the first of the size
            with memory_taken() as taken:
                found = f(x)
            assert found.item() == network.loss(x).item()
            assert taken.peak <= limit
        assert f.calls["replay"] >= 1
        with pytest.raises(tj.MemoryLimitError, match=r"f32\[200000,64\]"):
            f(batch(200_000))
        assert f(batch(100)).item() == network.loss(batch(100)).item()


def test_a_gradient_that_is_asked_for_outside_is_a_program_of_its_own():
    network, other = Network(8), Network(8)
    free = tj.compile(other.loss)
    free(batch()).backward()
    limit = int(0.9 * peak(free))
    f = tj.compile(network.loss, memory_limit=limit)
    with pytest.raises(tj.MemoryLimitError):  # what the gradient needs are results of the program
        f(batch())
    f = tj.compile(network.loss, memory_limit=peak(free))
    f(batch()).backward()
    assert len(tj.explain(f).graphs) == 2
    pairs = zip(network.weights, other.weights)
    assert all(a.grad.numpy().tobytes() == b.grad.numpy().tobytes() for a, b in pairs)


def test_a_call_with_decisions_is_within_the_limit_in_each_of_its_programs():
    def f(x, w):
        h = (x @ w).tanh()
        if h.sum() > 1e9:
            return h
        return ((h @ w).tanh() @ w).tanh()

    free = tj.compile(f)
    x, w = batch(), Network(1).weights[0].detach()
    for _ in range(8):
        expected = free(x, w)
    limited = tj.compile(f, memory_limit=peak(free))
    for _ in range(8):
        with memory_taken() as taken:
            found = limited(x, w)
        assert found.numpy().tobytes() == expected.numpy().tobytes()
    assert limited.calls["replay"] >= 1
    assert peak(limited) <= peak(free)
    assert taken.peak <= 2 * peak(free)  # what one program has left for the next is the call's


def test_more_threads_later_take_no_more_memory():
    with config.scope(num_threads=1):
        network = Network(4)
        free = tj.compile(network.loss)
        free(batch())
        limited = tj.compile(network.loss, memory_limit=peak(free))
        for _ in range(3):
            limited(batch())
    with config.scope(num_threads=4):
        x = batch()
        with memory_taken() as taken:
            limited(x)
        assert limited.calls["replay"] >= 2
        assert taken.peak <= peak(free)


def test_equal_functions_with_other_limits_have_programs_of_their_own():
    def make(limit: int | None) -> Any:
        f = tj.compile(lambda x: (x @ x.T).sum(), memory_limit=limit)
        f(batch())
        return f.programs.compiled[0].program

    assert make(None) is make(None)
    assert make(1 << 30) is make(1 << 30)
    assert make(1 << 30) is not make(None)


def test_the_limit_goes_with_the_function_and_its_decorator():
    @tj.compile(memory_limit=1)
    def f(x):
        return x + 1

    for limited in (f, pickle.loads(pickle.dumps(tj.compile(Doubling(), memory_limit=1)))):
        with pytest.raises(MemoryError):
            limited(batch())


class Doubling:
    def __call__(self, x):
        return x * 2


@pytest.mark.parametrize("limit", [0, -1, 1.5, "1 GB", True])
def test_what_is_no_number_of_bytes_is_refused(limit: Any):
    with pytest.raises(
        ValueError, match=r"test_memory_limit\.py:\d+: compile: memory_limit is a number"
    ):
        tj.compile(lambda x: x, memory_limit=limit)


def test_a_call_that_is_compared_runs_eagerly_whatever_the_limit():
    f = tj.compile(lambda x: (x * 2).sum(), memory_limit=1, verify=1)
    assert f(batch()).item() == (batch() * 2).sum().item()
    assert f.calls["eager"] == 1
