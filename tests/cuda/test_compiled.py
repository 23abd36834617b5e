"""Compiled functions on a GPU: the CPU's bits, replays without Python, and values that move on the way."""

from __future__ import annotations

import numpy as np
import pytest

import tracejit as tj
from tests.compiler import machines
from tests.emulation import standin
from tracejit import nn, optim
from tracejit.nn import functional as F
from tracejit.passes import repeats

X = np.random.default_rng(0).standard_normal((6, 40), dtype=np.float32)


def test_a_function_gives_the_cpus_bits_and_is_replayed(device: str) -> None:
    @tj.compile
    def f(x: tj.Tensor, factor: float) -> tuple[tj.Tensor, tj.Tensor]:
        y = tj.softmax(x * factor)
        return y, (y @ x.T).sum(0)

    for factor in (1.0, 2.0, 0.5, 3.0):
        there = f(tj.tensor(X, device=device), factor)
        here = f(tj.tensor(X), factor)
        for a, b in zip(there, here):
            assert a.device == device
            np.testing.assert_array_equal(a.cpu().numpy(), b.numpy())
    assert tj.explain(f).calls == {"replay": 6, "record": 2, "eager": 0}


def test_an_unrolled_loop_has_kernels_for_one_round(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "LEAST_NODES", 50)

    @tj.compile
    def smoothed(x: tj.Tensor) -> tuple[tj.Tensor, tj.Tensor]:
        rows = []
        for _ in range(12):
            x = tj.softmax(x + tj.roll(x, 1, axis=1), axis=1)
            rows.append(x.sum(0))
        return x, tj.stack(rows)

    for a, b in zip(smoothed(tj.tensor(X, device=device)), smoothed(tj.tensor(X))):
        np.testing.assert_array_equal(a.cpu().numpy(), b.numpy())
    launches = [kernel.name for kernel in tj.explain(smoothed).kernels]
    assert len(launches) > 2 * len(set(launches))


def test_sizes_that_change_are_left_open(device: str) -> None:
    @tj.compile(dynamic=True)
    def f(x: tj.Tensor) -> tj.Tensor:
        return (x - x.mean(1, keepdims=True)).relu()

    for rows in (3, 4, 5, 6):
        made = f(tj.tensor(X[:rows], device=device))
        np.testing.assert_array_equal(made.cpu().numpy(), f(tj.tensor(X[:rows])).numpy())
    assert tj.explain(f).calls["replay"] >= 6


def test_a_replay_launches_one_graph_and_waits_for_nothing(emulated: str) -> None:
    @tj.compile
    def f(x: tj.Tensor, state: tj.Tensor) -> None:
        state += tj.softmax(x @ x.T).sum(1)

    x, state = tj.tensor(X, device=emulated), tj.zeros(6, device=emulated)
    for _ in range(6):
        f(x, state)
    before = standin.counts()
    f(x, state)
    since = standin.counts() - before
    assert since.pop("launches") > 1
    assert since == {"graph_launches": 1}  # numbers are sent when they change
    np.testing.assert_allclose(state.cpu().numpy(), np.full(6, 7), rtol=1e-6)


def attention(q: tj.Tensor, k: tj.Tensor, v: tj.Tensor) -> tj.Tensor:
    return tj.softmax(q @ k.mT) @ v


def test_slabs_are_launches_of_one_graph(emulated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"least_bytes": 1, "least_bytes_in_turn": 1, "slab_bytes": 1, "least_rows": 1}
    machines.choose(monkeypatch, launch=0.0, **few)
    arrays = [np.random.default_rng(n).standard_normal((9, 20, 8), np.float32) for n in range(3)]
    here = [tj.tensor(array) for array in arrays]
    there = [tj.tensor(array, device=emulated) for array in arrays]
    with tj.config.scope(cache_bytes=0):
        f = tj.compile(attention)
        for _ in range(6):
            np.testing.assert_array_equal(f(*there).cpu().numpy(), f(*here).numpy())
        before = standin.counts()
        f(*there)
    since = standin.counts() - before
    assert since.pop("launches") == 9 * 3
    assert since == {"graph_launches": 1}


def test_branches_on_values_are_followed(device: str) -> None:
    @tj.compile
    def f(x: tj.Tensor) -> tj.Tensor:
        return x * 2 if x.sum() > 0 else x - 1

    for sign in (1, 1, -1, -1, 1, -1):
        x = tj.tensor(np.float32([3, -1]) * sign, device=device)
        assert f(x).tolist() == ([6, -2] if sign > 0 else [-4, 0])
    assert tj.explain(f).calls["replay"] == 4


def test_values_move_within_a_replayed_call(device: str) -> None:
    @tj.compile
    def f(x: tj.Tensor) -> tuple[tj.Tensor, tj.Tensor]:
        there = (x + 1).to(device) * 2
        return there, there.cpu() - tj.arange(3, dtype="float32")

    for n in range(5):
        there, here = f(tj.full((3,), float(n)))
        assert there.device == device
        assert there.tolist() == [2 * (n + 1)] * 3
        assert here.tolist() == [2 * (n + 1) - i for i in range(3)]
    assert tj.explain(f).calls == {"replay": 4, "record": 1, "eager": 0}


def test_a_call_may_compute_on_both_devices(device: str) -> None:
    @tj.compile
    def f(here: tj.Tensor, there: tj.Tensor) -> tuple[tj.Tensor, tj.Tensor]:
        a, b = here + 1, there + 2
        return a * 3, b * 4

    for n in range(4):
        here, there = f(tj.full((2,), float(n)), tj.full((2,), float(n), device=device))
        assert (here.tolist(), there.tolist()) == ([3 * (n + 1)] * 2, [4 * (n + 2)] * 2)
    assert tj.explain(f).calls["replay"] == 3


def test_a_function_with_a_device_takes_arguments_from_anywhere(device: str) -> None:
    @tj.compile(device="cuda")
    def f(x: tj.Tensor, more: dict[str, tj.Tensor]) -> tj.Tensor:
        return x.sum() + more["y"][0].max()

    for n in range(4):
        made = f(X + n, {"y": [tj.tensor(X)]})
        assert made.device == device
        np.testing.assert_allclose(made.item(), (X + n).sum() + X.max(), rtol=1e-5)
    assert tj.explain(f).calls == {"replay": 3, "record": 1, "eager": 0}


def test_the_device_can_be_the_cpu_by_name() -> None:
    f = tj.compile(lambda x: x + 1, device="cpu")
    np.testing.assert_array_equal(f(X), X + 1)


def test_random_numbers_are_the_cpus(device: str) -> None:
    x = tj.ones(64, device=device)
    f = tj.compile(lambda x: F.dropout(x, 0.5))
    tj.random.seed(5)
    tj.random.default_generator.on(device)
    tj.random.seed(5)
    expected = [F.dropout(tj.ones(64), 0.5).tolist() for _ in range(4)]
    assert [f(x).tolist() for _ in range(4)] == expected
    tj.random.seed(5)
    assert [F.dropout(x, 0.5).tolist() for _ in range(4)] == expected
    assert tj.random.normal(3, device=device).device == device


def test_compared_calls_agree(device: str) -> None:
    @tj.compile(verify=2)
    def f(x: tj.Tensor) -> tj.Tensor:
        x += 1
        return tj.exp(x).sum()

    x = tj.zeros(5, device=device)
    made = [f(x).item() for _ in range(6)]
    np.testing.assert_allclose(made, 5 * np.exp(np.arange(1, 7)), rtol=1e-5)
    assert tj.explain(f).calls["eager"] == 3
    assert not f.divergences


def test_ops_without_a_kernel_are_computed_by_numpy(device: str) -> None:
    @tj.compile
    def f(x: tj.Tensor) -> tj.Tensor:
        return tj.sort(x * 2) + 1

    for _ in range(3):
        np.testing.assert_array_equal(
            f(tj.tensor(X, device=device)).cpu().numpy(), np.sort(X * 2) + 1
        )
    assert "sort  test_compiled.py:" in str(tj.explain(f))


def test_the_memory_that_a_run_takes_is_limited(device: str) -> None:
    f = tj.compile(lambda x: tj.exp(x) + 1, memory_limit=100)
    with pytest.raises(tj.MemoryLimitError, match="memory_limit is 100 bytes"):
        f(tj.tensor(X, device=device))


class Model(nn.Module):
    def __init__(self) -> None:
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm1d(3 * 36)
        self.out = nn.Linear(3 * 36, 4)

    def forward(self, x: tj.Tensor) -> tj.Tensor:
        return self.out(F.gelu(self.norm(self.conv(x).relu().reshape(len(x), -1))))


def trained(device: str, *, compiled: bool, optimizer: type[optim.Optimizer]) -> list[object]:
    """The losses of some steps, and the parameters and buffers after them."""
    tj.random.seed(0)
    model = Model().to(device)
    assert {t.device for t in (*model.parameters(), *model.buffers())} == {device}
    descent = optimizer(model.parameters(), lr=1e-2)

    def step(images: tj.Tensor, labels: tj.Tensor) -> tj.Tensor:
        descent.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        descent.step()
        return loss

    run = tj.compile(step) if compiled else step
    rng = np.random.default_rng(1)
    losses = []
    for _ in range(4):
        images = tj.tensor(rng.standard_normal((5, 1, 8, 8), dtype=np.float32), device=device)
        losses.append(run(images, tj.tensor(rng.integers(0, 4, 5), device=device)).item())
    if compiled:
        assert tj.explain(run).calls["replay"] >= 1
    return [losses, *(t.tolist() for t in model.state_dict().values())]


@pytest.mark.parametrize("optimizer", [optim.SGD, optim.Adam])
def test_training_has_the_cpus_bits(device: str, optimizer: type[optim.Optimizer]) -> None:
    here = trained("cpu", compiled=False, optimizer=optimizer)
    assert trained(device, compiled=False, optimizer=optimizer) == here
    assert trained(device, compiled=True, optimizer=optimizer) == here


def test_a_graph_is_made_for_each_set_of_addresses_and_no_more(emulated: str) -> None:
    f = tj.compile(lambda x: tj.softmax(x @ x.T) @ x)
    arrays = [tj.tensor(X + n, device=emulated) for n in range(3)]
    expected = [f(tj.tensor(X + n)).tolist() for n in range(3)]
    for _ in range(5):
        assert [f(x).tolist() for x in arrays] == expected
    before = standin.counts()
    assert [f(x).tolist() for x in arrays] == expected
    assert (standin.counts() - before)["graph_launches"] == 3


def test_results_that_are_kept_are_not_written_again(device: str) -> None:
    f = tj.compile(lambda x: tj.softmax(x @ x.T) @ x)
    x = tj.tensor(X, device=device)
    kept = [f(x * n) for n in range(12)]
    for n, made in enumerate(kept):
        np.testing.assert_array_equal(made.cpu().numpy(), f(tj.tensor(X) * n).numpy())


def test_programs_that_share_a_kernel_may_need_different_amounts_of_shared_memory(
    device: str,
) -> None:
    rows = [
        np.random.default_rng(n).standard_normal((2, n), dtype=np.float32) for n in (20000, 14000)
    ]
    f = tj.compile(tj.softmax, dynamic=False)
    for x in (*rows, *rows):
        made = f(tj.tensor(x, device=device))
        np.testing.assert_array_equal(made.cpu().numpy(), f(tj.tensor(x)).numpy())


def test_shared_memory_that_a_text_declares_counts(device: str) -> None:
    """A row of 48 KiB is all that a block may have unasked, and the kernel has some bytes of its own."""
    x = tj.tensor(np.random.default_rng(0).standard_normal((3, 12 << 10), dtype=np.float32))
    f = tj.compile(tj.softmax, dynamic=False)
    made = f(x.to(device))
    np.testing.assert_array_equal(made.cpu().numpy(), f(x).numpy())
