"""What a workload cannot do without: multiply-adds of its products, bytes of its inputs and results, scalar functions.

Counted by hand from what is computed, not from how: a training step reads and writes each parameter and each moment once, and
whatever lies between its inputs and its results need not be in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from benchmarks.program import Inputs
from benchmarks.workloads import WORKLOADS


@dataclass(frozen=True, slots=True)
class Work:
    """Of one step.

    flops   floating-point operations of matrix products and convolutions, a multiply-add counted as two
    nbytes  of memory that has to be read or written
    tile    sizes of the same workload that stay in a core's cache, for what its pointwise functions take
    times   how often that tile is in the whole
    """

    flops: float = 0.0
    nbytes: float = 0.0
    tile: dict[str, int] = field(default_factory=dict)
    times: float = 0.0


def of(name: str) -> Work | None:
    """None for a workload that is all overhead."""
    count = COUNTS.get(name.split("_")[0] if name.startswith("chain") else name)
    return None if count is None else count(**WORKLOADS[name].full)


def chain(n: int) -> Work:
    tile = min(n, 16_384)
    return Work(nbytes=20 * n, tile={"n": tile}, times=n / tile)


def rows(nbytes: int) -> Callable[..., Work]:
    """So many bytes for each element, in rows."""

    def count(m: int, n: int) -> Work:
        return Work(nbytes=nbytes * m * n, tile={"m": 16, "n": n}, times=m / 16)

    return count


def adam(count: int, n: int) -> Work:
    """Parameters and two moments are read and written, gradients read."""
    return Work(nbytes=28 * count * n * n, tile={"count": 1, "n": 100}, times=count * n * n / 1e4)


def training(forward: float, parameters: float, *, first: float = 0.0, states: int = 2) -> Work:
    """The backward pass computes two products for each forward one, of the `first` only the parameters' gradient."""
    return Work(flops=3 * forward - first, nbytes=4 * parameters * 2 * (1 + states))


def mlp(batch: int, pixels: int, hidden: int) -> Work:
    sizes = ((pixels, hidden), (hidden, hidden), (hidden, 10))
    parameters = sum(a * b + b for a, b in sizes)
    forward = sum(2 * batch * a * b for a, b in sizes)
    return training(forward, parameters, first=2 * batch * pixels * hidden)


def cnn(batch: int, pixels: int, channels: int, hidden: int) -> Work:
    first, second, pooled = pixels - 2, pixels - 4, (pixels - 4) // 2
    flat = 2 * channels * pooled**2
    weights = 9 * channels, 18 * channels**2, flat * hidden, hidden * 10
    positions = first**2, second**2, 1, 1
    products = [2 * batch * n * p for n, p in zip(weights, positions, strict=True)]
    return training(sum(products), sum(weights), first=products[0], states=1)


def block(batch: int, length: int, width: int) -> Work:
    tokens = batch * length
    parameters = 12 * width**2 + 13 * width
    attention = 2 * 2 * tokens * length * width
    return training(2 * tokens * 12 * width**2 + attention, parameters)


def lstm(words: int, width: int, hidden: int, length: int, batch: int) -> Work:
    """The gradient of the embedding is as much work as that of a product's left operand; SGD keeps nothing."""
    weights = width * 4 * hidden, hidden * 4 * hidden, hidden * words
    forward = 2 * length * batch * sum(weights)
    return training(forward, sum(weights) + words * width, states=0)


def black_scholes(n: int) -> Work:
    """Of float64: three arrays read, two written."""
    return Work(nbytes=40 * n, tile={"n": 8192}, times=n / 8192)


def jacobi(n: int, steps: int) -> Work:
    """Two sweeps a step, each of which reads one array of float64 and writes another."""
    tile = {"n": 130, "steps": steps}
    return Work(nbytes=2 * steps * 16 * n * n, tile=tile, times=n * n / 130**2)


def mandel(n: int, steps: int) -> Work:
    """Two coordinates of float32 read, one int32 written; how many steps a point takes is as in the whole picture."""
    return Work(nbytes=12 * n * n, tile={"n": 125, "steps": steps}, times=n * n / 125**2)


def kmeans(n: int, dimensions: int, clusters: int) -> Work:
    """Each point is added to one centre."""
    return Work(flops=2 * n * dimensions * clusters + n * dimensions, nbytes=4 * n * dimensions)


def pairwise(n: int) -> Work:
    """Coordinates fit any cache; the tile has a 144th of the pairs."""
    return Work(nbytes=16 * n, tile={"n": n // 12}, times=144)


def conjugate_gradient(n: int, condition: int) -> Work:
    """The matrix of float64 is read once in each iteration."""
    inputs = WORKLOADS["cg"].make(np.random.default_rng(1234), n=n, condition=condition)
    return Work(nbytes=iterations(inputs) * 8 * n * n, flops=iterations(inputs) * 2 * n * n)


def iterations(d: Inputs) -> int:
    """That the method takes for a system."""
    r = p = d.b
    rr, count = r @ r, 0
    while rr**0.5 > d.tolerance:
        q = d.a @ p
        r = r - rr / (p @ q) * q
        rr, before = r @ r, rr
        p = r + rr / before * p
        count += 1
    return count


COUNTS: dict[str, Callable[..., Work]] = {
    "chain": chain,
    "softmax_f": rows(8),
    "softmax_fb": rows(16),
    "lngelu_f": rows(8),
    "lngelu_fb": rows(16),
    "adam": adam,
    "mlp_128": mlp,
    "mlp_8": mlp,
    "cnn": cnn,
    "block": block,
    "lstm": lstm,
    "black_scholes": black_scholes,
    "jacobi": jacobi,
    "mandel": mandel,
    "kmeans": kmeans,
    "pairwise": pairwise,
    "cg": conjugate_gradient,
}
