"""`python -m benchmarks.ceilings`: a long pointwise chain against what the machine allows.

A chain over 10^7 elements can be no faster than its memory is read and written (at the bandwidth of a triad over as much memory),
nor than its arithmetic is done (the time of a tile that stays in a core's second-level cache, over the number of cores). All are
timed in turn, in one process.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tracejit as tj
from tracejit.nn import functional as F

SIZE = 10_000_000
TILE = 16_384
"""Elements: five float32 arrays of so many take 320 KiB."""
ROUNDS = 31


def chain(x: Any, a: Any, b: Any, c: Any) -> Any:
    return F.gelu(a * x + b, approximate="tanh") + tj.tanh(c) * tj.exp(-x * x)


def triad(x: Any, a: Any) -> Any:
    return x * 3.0 + a


def seconds(call: Callable[[], Any], calls: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def alone(call: Callable[[], Any], calls: int) -> float:
    """Seconds on one thread."""
    before = tj.get_num_threads()
    tj.set_num_threads(1)
    try:
        return seconds(call, calls)
    finally:
        tj.set_num_threads(before)


def measured(size: int = SIZE, rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds of the chain and of the two bounds: medians."""
    rng = np.random.default_rng(0)
    arrays = [tj.tensor(rng.standard_normal(size, np.float32)) for _ in range(4)]
    tiles = [array[:TILE].copy() for array in arrays]
    long, tile, three = (tj.compile(f, dynamic=False) for f in (chain, chain, triad))
    for _ in range(20):
        tile(*tiles)
    for _ in range(3):
        long(*arrays)
        three(*arrays[:2])
    taken = [
        (
            seconds(lambda: long(*arrays)),
            seconds(lambda: three(*arrays[:2])) * 5 / 3,
            alone(lambda: tile(*tiles), 50) * size / TILE / tj.get_num_threads(),
        )
        for _ in range(rounds)
    ]
    names = "chain", "memory", "arithmetic"
    return dict(zip(names, map(statistics.median, zip(*taken, strict=True)), strict=True))


def main() -> int:
    found = measured()
    bound = max(found["memory"], found["arithmetic"])
    for name, each in found.items():
        print(f"{name}: {1e3 * each:.2f} ms")
    print(f"the chain takes {found['chain'] / bound:.2f} of what the machine allows")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
