"""The workloads as data: what they compute on, in which sizes, and how exactly they must agree with float64 NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.program import Inputs

Rng = np.random.Generator

LEARNING_RATE = 1e-3
BETA1, BETA2 = 0.9, 0.999
EPSILON = 1e-8
MOMENTUM = 0.9
LAYER_NORM_EPSILON = 1e-5
LSTM_LEARNING_RATE = 0.5


@dataclass(frozen=True, slots=True)
class Workload:
    """`make(rng, **full)` are the inputs that are timed, `make(rng, **small)` those of a quick check."""

    name: str
    make: Callable[..., Inputs]
    full: dict[str, int]
    small: dict[str, int]
    tolerance: float = 1e-4
    """Of the norm of the difference, over the norm of the float64 result."""

    def inputs(self, *, small: bool = False) -> Inputs:
        """The same arrays in every process."""
        return self.make(np.random.default_rng(1234), **(self.small if small else self.full))


def normal(rng: Rng, *shape: int, scale: float = 1.0) -> np.ndarray:
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def chain(rng: Rng, n: int) -> Inputs:
    return Inputs(x=normal(rng, n), a=normal(rng, n), b=normal(rng, n), c=normal(rng, n))


def rows(rng: Rng, m: int, n: int) -> Inputs:
    return Inputs(
        x=normal(rng, m, n),
        weight=1 + normal(rng, n, scale=0.1),
        bias=normal(rng, n, scale=0.1),
        ct=normal(rng, m, n),
    )


def small_arrays(rng: Rng, count: int) -> Inputs:
    return Inputs(xs=[normal(rng, 4) for _ in range(count)])


def adam(rng: Rng, count: int, n: int) -> Inputs:
    return Inputs(
        parameters=[normal(rng, n, n) for _ in range(count)],
        gradients=[normal(rng, n, n) for _ in range(count)],
    )


def linear(rng: Rng, inputs: int, outputs: int) -> list[np.ndarray]:
    return [normal(rng, inputs, outputs, scale=inputs**-0.5), normal(rng, outputs, scale=0.01)]


def mlp(rng: Rng, batch: int, pixels: int, hidden: int) -> Inputs:
    return Inputs(
        x=normal(rng, batch, pixels),
        y=rng.integers(0, 10, batch),
        parameters=linear(rng, pixels, hidden)
        + linear(rng, hidden, hidden)
        + linear(rng, hidden, 10),
    )


def cnn(rng: Rng, batch: int, pixels: int, channels: int, hidden: int) -> Inputs:
    """Two convolutions of 3 x 3, to `channels` and twice as many, a pooling of 2 x 2, and two linear layers."""
    pooled = (pixels - 4) // 2
    return Inputs(
        x=normal(rng, batch, 1, pixels, pixels),
        y=rng.integers(0, 10, batch),
        parameters=[
            normal(rng, channels, 1, 3, 3, scale=1 / 3),
            normal(rng, channels, scale=0.01),
            normal(rng, 2 * channels, channels, 3, 3, scale=(9 * channels) ** -0.5),
            normal(rng, 2 * channels, scale=0.01),
            *linear(rng, 2 * channels * pooled**2, hidden),
            *linear(rng, hidden, 10),
        ],
    )


def block(rng: Rng, batch: int, length: int, width: int) -> Inputs:
    def scale_and_shift() -> list[np.ndarray]:
        return [np.ones(width, np.float32), np.zeros(width, np.float32)]

    return Inputs(
        x=normal(rng, batch, length, width),
        target=normal(rng, batch, length, width),
        heads=4,
        parameters=[
            *scale_and_shift(),
            *linear(rng, width, 3 * width),
            *linear(rng, width, width),
            *scale_and_shift(),
            *linear(rng, width, 4 * width),
            *linear(rng, 4 * width, width),
        ],
    )


def attention(rng: Rng, batch: int, heads: int, length: int, width: int) -> Inputs:
    """Of heads of one width: queries, keys, values, and the cotangent of what comes out."""
    q, k, v, ct = (normal(rng, batch, heads, length, width) for _ in range(4))
    return Inputs(q=q, k=k, v=v, ct=ct)


def lstm(rng: Rng, words: int, width: int, hidden: int, length: int, batch: int) -> Inputs:
    """A model of the next word; gates stand in PyTorch's order."""
    gates = 4 * hidden
    return Inputs(
        x=rng.integers(0, words, (length, batch)),
        y=rng.integers(0, words, (length, batch)),
        parameters=[
            normal(rng, words, width),
            normal(rng, width, gates, scale=hidden**-0.5),
            normal(rng, hidden, gates, scale=hidden**-0.5),
            normal(rng, gates, scale=0.05),
            normal(rng, gates, scale=0.05),
            *linear(rng, hidden, words),
        ],
    )


def black_scholes(rng: Rng, n: int) -> Inputs:
    return Inputs(
        spot=rng.uniform(10, 50, n),
        strike=rng.uniform(10, 50, n),
        years=rng.uniform(1, 2, n),
        rate=0.1,
        volatility=0.2,
    )


def jacobi(_: Rng, n: int, steps: int) -> Inputs:
    i, j = np.arange(n)[:, None], np.arange(n)[None]
    return Inputs(a=i * (j + 2) / n, b=i * (j + 3) / n, steps=steps)


def mandel(_: Rng, n: int, steps: int) -> Inputs:
    real = np.linspace(-2.25, 0.75, n, dtype=np.float32)
    imaginary = np.linspace(-1.25, 1.25, n, dtype=np.float32)
    x, y = np.meshgrid(real, imaginary)
    return Inputs(real=x, imaginary=y, steps=steps)


def kmeans(rng: Rng, n: int, dimensions: int, clusters: int) -> Inputs:
    return Inputs(points=normal(rng, n, dimensions), centres=normal(rng, clusters, dimensions))


def pairwise(rng: Rng, n: int) -> Inputs:
    return Inputs(points=normal(rng, n, 3))


def conjugate_gradient(rng: Rng, n: int, condition: int) -> Inputs:
    q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    a = (q * np.linspace(1.0, condition, n)) @ q.T
    return Inputs(a=(a + a.T) / 2, b=rng.standard_normal(n), tolerance=1e-8)


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("small_1", small_arrays, {"count": 1}, {"count": 1}),
        Workload("small_50", small_arrays, {"count": 50}, {"count": 5}),
        Workload("chain_1e3", chain, {"n": 1_000}, {"n": 37}),
        Workload("chain_1e5", chain, {"n": 100_000}, {"n": 37}),
        Workload("chain_1e7", chain, {"n": 10_000_000}, {"n": 37}),
        Workload("softmax_f", rows, {"m": 4096, "n": 1024}, {"m": 3, "n": 17}),
        Workload("softmax_fb", rows, {"m": 4096, "n": 1024}, {"m": 3, "n": 17}),
        Workload("lngelu_f", rows, {"m": 2048, "n": 1024}, {"m": 3, "n": 17}),
        Workload("lngelu_fb", rows, {"m": 2048, "n": 1024}, {"m": 3, "n": 17}),
        Workload("adam", adam, {"count": 20, "n": 500}, {"count": 3, "n": 5}),
        Workload(
            "mlp_128",
            mlp,
            {"batch": 128, "pixels": 784, "hidden": 512},
            {"batch": 6, "pixels": 20, "hidden": 16},
        ),
        Workload(
            "mlp_8",
            mlp,
            {"batch": 8, "pixels": 784, "hidden": 512},
            {"batch": 3, "pixels": 20, "hidden": 16},
        ),
        Workload(
            "cnn",
            cnn,
            {"batch": 64, "pixels": 28, "channels": 32, "hidden": 128},
            {"batch": 3, "pixels": 10, "channels": 4, "hidden": 12},
        ),
        Workload(
            "block",
            block,
            {"batch": 8, "length": 128, "width": 256},
            {"batch": 2, "length": 5, "width": 16},
        ),
        # Checked is what a step adds to parameters in float32, which are larger.
        Workload(
            "lstm",
            lstm,
            {"words": 2000, "width": 128, "hidden": 256, "length": 32, "batch": 16},
            {"words": 11, "width": 6, "hidden": 5, "length": 4, "batch": 3},
            5e-3,
        ),
        Workload("black_scholes", black_scholes, {"n": 4_000_000}, {"n": 37}, 1e-10),
        Workload("jacobi", jacobi, {"n": 1300, "steps": 100}, {"n": 9, "steps": 3}, 1e-10),
        # A point on the boundary of the set may escape a step earlier or later.
        Workload("mandel", mandel, {"n": 1000, "steps": 50}, {"n": 16, "steps": 8}, 5e-3),
        # A point as far from two centres may go to either.
        Workload(
            "kmeans",
            kmeans,
            {"n": 100_000, "dimensions": 16, "clusters": 32},
            {"n": 200, "dimensions": 4, "clusters": 3},
            2e-3,
        ),
        Workload("pairwise", pairwise, {"n": 3000}, {"n": 21}),
        Workload("cg", conjugate_gradient, {"n": 1000, "condition": 1500}, {"n": 12, "condition": 10}, 1e-6),
    )
}  # fmt: skip


ON_GPUS = {
    name: Workload(
        name,
        attention,
        {"batch": 2, "heads": 8, "length": 4096, "width": 64},
        {"batch": 2, "heads": 2, "length": 9, "width": 4},
    )
    for name in ("attention_f", "attention_fb")
}
"""Further ones, for GPUs alone: forward, and with gradients."""


def to_float64(value: Any) -> Any:
    """The same inputs in the precision of the reference."""
    match value:
        case Inputs():
            return Inputs(**{name: to_float64(item) for name, item in vars(value).items()})
        case list():
            return [to_float64(item) for item in value]
        case np.ndarray() if value.dtype == np.float32:
            return value.astype(np.float64)
        case _:
            return value
