"""CuPy: what one fused function or plain ops can say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy
import numpy as np

from benchmarks.program import Inputs, Program, Suite, pure

Jit = Callable[..., Any]

suite = Suite({})
compiled = cupy.fuse()


@suite("chain_1e3", "chain_1e5", "chain_1e7")
def chain(d: Inputs, jit: Jit) -> Program:
    def chain(x: Any, a: Any, b: Any, c: Any) -> Any:
        u = a * x + b
        inner = np.float32((2 / np.pi) ** 0.5) * (u + np.float32(0.044715) * u * u * u)
        gelu = u * np.float32(0.5) * (np.float32(1) + cupy.tanh(inner))
        return gelu + cupy.tanh(c) * cupy.exp(-x * x)

    return pure(jit(chain), *map(cupy.asarray, (d.x, d.a, d.b, d.c)), to_numpy=cupy.asnumpy)


@suite("softmax_f")
def softmax(d: Inputs, jit: Jit) -> Program:
    def softmax(x: Any) -> Any:
        e = cupy.exp(x - x.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    return pure(softmax, cupy.asarray(d.x), to_numpy=cupy.asnumpy)
