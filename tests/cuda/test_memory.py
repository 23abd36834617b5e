"""A GPU's memory: taken, given back, and found wanting."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import tracejit as tj
from tests.emulation import standin
from tracejit import nn, optim

MIB = 1 << 20


@pytest.fixture
def small(emulated: str) -> Iterator[str]:
    """A GPU with 8 MiB of memory."""
    tj.cuda.empty_cache()
    library = standin.install()
    in_use = tj.cuda.memory_stats().bytes_in_use
    library.standin_set_limit(in_use + 8 * MIB)
    yield emulated
    library.standin_set_limit(1 << 30)


def test_memory_is_given_back_when_the_last_view_is_gone(device: str) -> None:
    tj.cuda.empty_cache()
    before = tj.cuda.memory_stats(device)
    x = tj.zeros(MIB, dtype="int8", device=device)
    view = x[10:]
    assert tj.cuda.memory_stats().bytes_in_use >= before.bytes_in_use + MIB
    del x
    assert tj.cuda.memory_stats().bytes_in_use >= before.bytes_in_use + MIB
    del view
    after = tj.cuda.memory_stats()
    assert after.bytes_in_use == before.bytes_in_use
    assert after.bytes_cached >= MIB
    assert after.bytes_peak >= before.bytes_in_use + MIB
    tj.cuda.empty_cache()
    assert tj.cuda.memory_stats().bytes_cached < MIB // 2  # sizes are rounded up
    tj.cuda.reset_peak_memory_stats()
    assert tj.cuda.memory_stats().bytes_peak == before.bytes_in_use


def test_memory_is_used_again(device: str) -> None:
    x = tj.ones(1000, device=device)
    x + 1
    before = tj.cuda.memory_stats()
    for _ in range(5):
        x + 1
    after = tj.cuda.memory_stats()
    assert after.allocations - before.allocations <= 1
    assert after.reuses > before.reuses


def test_too_much_says_how_much_and_loses_nothing(small: str) -> None:
    x = tj.ones(MIB // 2, device=small)
    message = r"test_memory.py:\d+: cuda:0 is out of memory: 8,388,608 bytes were asked for.*Nothing was lost"
    with pytest.raises(tj.DeviceMemoryError, match=message):
        tj.zeros(2 * MIB, device=small)
    assert (x + 1).sum().item() == MIB


def test_a_program_that_needs_too_much_says_for_what(small: str) -> None:
    @tj.compile
    def f(x: tj.Tensor) -> tj.Tensor:
        return tj.outer(x, x) @ tj.outer(x, x)

    x = tj.ones(1500, device=small)
    with pytest.raises(
        MemoryError, match=r"This program takes [\d,]+ bytes: .*matmul  test_memory.py:\d+"
    ):
        f(x)
    assert f(x[:64])[0, 0].item() == 64


def test_what_the_pool_keeps_makes_room(small: str) -> None:
    tj.zeros(MIB, device=small)
    assert tj.cuda.memory_stats().bytes_cached >= 4 * MIB
    kept = tj.ones(MIB + MIB // 2, device=small)  # 6 of the 8 MiB
    assert kept.sum().item() == MIB + MIB // 2


def test_fresh_memory_is_no_input(device: str) -> None:
    """NaN in memory that nobody has written must not come through."""
    for _ in range(3):
        x = tj.tensor(np.arange(100, dtype=np.float32), device=device)
        assert (x.cumsum(0)[-1] + tj.empty(3, device=device).sum()).item() == 4950


def test_a_step_that_found_no_memory_can_be_made_again(small: str) -> None:
    def trained(failing: int | None) -> list[object]:
        tj.random.seed(0)
        model = nn.Linear(40, 30).to(small)
        optimizer = optim.Adam(model.parameters(), lr=0.1)

        @tj.compile
        def step(x: tj.Tensor) -> tj.Tensor:
            optimizer.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        x = tj.ones((50, 40), device=small)
        losses = []
        for number in range(6):
            if number == failing:
                fail(step, x)
            losses.append(step(x).item())
        return [losses, *(parameter.tolist() for parameter in model.parameters())]

    def fail(step: Callable[..., tj.Tensor], x: tj.Tensor) -> None:
        tj.cuda.empty_cache()
        library = standin.install()
        library.standin_set_limit(1)
        with pytest.raises(tj.DeviceMemoryError):
            step(x)
        library.standin_set_limit(1 << 30)

    assert trained(failing=4) == trained(failing=None)
