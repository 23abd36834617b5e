"""`python -m benchmarks.replay`: what replaying costs beyond the programs that it runs, and what recording costs.

Guards are timed apart from the programs; recordings, apart from compiling. Nothing is compared: the peers have no such parts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import tracejit as tj
from tracejit import nn, optim
from tracejit.nn import functional as F

ROUNDS = 25
LAYERS = 20


def train_step(model: nn.Module, optimizer: optim.Optimizer, x: Any, y: Any) -> Any:
    """One step of training: forward, backward, update."""
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


def network(width: int, layers: int, classes: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for _ in range(layers - 1):
        parts += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(width, classes))


def of_a_training_step(width: int, batch: int) -> dict[str, float]:
    """Seconds of a replayed step of a network of 3 layers: its guards, its effects and result, and all of it."""
    model = network(width, 3, 10)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    step = tj.compile(train_step)
    args = (model, optimizer, tj.ones((batch, width)), tj.zeros(batch, dtype=tj.int64))
    for _ in range(4):
        step(*args)
    assert step.calls["replay"] >= 2, tj.explain(step).reasons
    (root,) = [each for each in step.replays.tree.roots if each.hits]
    slots: list[Any] = [None] * step.replays.tree.capacity
    assert root.enter(slots, args, {}) == 0
    root.run(slots)
    return {
        f"guards of a 3-layer training step, width {width}": median(
            lambda: root.enter(slots, args, {}), 200
        ),
        f"its effects and result, width {width}": median(lambda: root.commit(slots, args, {}), 200),
        f"all of it, width {width}": median(lambda: step(*args), 50),
    }


def median(call: Callable[[], Any], calls: int) -> float:
    """Seconds for one of so many calls in a row."""
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        taken.append((time.perf_counter() - start) / calls)
    return statistics.median(taken)


def of_a_recording() -> dict[str, float]:
    """Seconds to record the forward pass of a network of 20 layers, whose program is compiled already."""
    model = network(32, LAYERS, 10)
    x = tj.ones((4, 32))

    def forward(x: Any) -> Any:
        return model(x)

    taken = []
    with tj.no_grad():
        tj.compile(forward)(x)
        for _ in range(ROUNDS):
            again = tj.compile(forward)
            start = time.perf_counter()
            again(x)
            taken.append(time.perf_counter() - start)
    return {f"recording {LAYERS} layers, beyond compiling": statistics.median(taken)}


def of_sizes() -> dict[str, float]:
    """Seconds of the first and of later calls of a training step with a batch of another size, and of all of one size."""
    model = network(64, 3, 10)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    step = tj.compile(train_step)
    first: list[float] = []
    later: list[float] = []
    sizes = range(8, 8 + ROUNDS)
    for taken in (first, later):
        for size in sizes:
            args = (model, optimizer, tj.ones((size, 64)), tj.zeros(size, dtype=tj.int64))
            start = time.perf_counter()
            step(*args)
            taken.append(time.perf_counter() - start)
    assert step.calls["record"] <= 3, tj.explain(step).misses
    return {
        "a training step, first call of a size": statistics.median(first[3:]),
        "a training step, later calls of many sizes": statistics.median(later),
    }


def main() -> int:
    figures = of_a_training_step(64, 16) | of_a_training_step(4, 1) | of_a_recording() | of_sizes()
    for name, seconds in figures.items():
        print(f"{name}: {seconds * 1e6:,.1f} us")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
