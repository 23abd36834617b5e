"""Numba: loops under njit(parallel, fastmath), which is how its users get the most from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, prange

from benchmarks.program import Inputs, Program, Suite, pure
from benchmarks.workloads import BETA1, BETA2, EPSILON, LAYER_NORM_EPSILON, LEARNING_RATE

Array = np.ndarray
Jit = Callable[..., Any]

suite = Suite({})
parallel = njit(parallel=True, fastmath=True)
inline = njit(fastmath=True, inline="always")

# Numbers of a wider type would widen the float32 arithmetic.
f32 = np.float32
HALF, ONE, TWO, THREE, FOUR = map(f32, (0.5, 1, 2, 3, 4))
GELU_SCALE, GELU_CUBE = f32(math.sqrt(2 / math.pi)), f32(0.044715)
ROW_EPSILON = f32(LAYER_NORM_EPSILON)

PARTS = 8
"""Into how many partial sums a reduction over rows is split."""


@inline
def gelu(x):
    return HALF * x * (ONE + math.tanh(GELU_SCALE * (x + GELU_CUBE * x * x * x)))


@inline
def gelu_slope(x):
    t = math.tanh(GELU_SCALE * (x + GELU_CUBE * x * x * x))
    inner = GELU_SCALE * (ONE + THREE * GELU_CUBE * x * x)
    return HALF * (ONE + t) + HALF * x * (ONE - t * t) * inner


@njit
def line(x):
    return x * TWO + ONE


@suite("small_1")
def small_1(d: Inputs, _: Jit) -> Program:
    return pure(line, d.xs[0])


@njit
def sum_of_lines(xs):
    total = xs[0] * f32(0)
    for i in range(len(xs)):
        total += xs[i] * f32(i) + ONE
    return total


@suite("small_50")
def small_50(d: Inputs, _: Jit) -> Program:
    return pure(lambda *xs: sum_of_lines(xs), *d.xs)


@parallel
def chain_loop(x, a, b, c):
    y = np.empty_like(x)
    for i in prange(x.size):
        y[i] = gelu(a[i] * x[i] + b[i]) + math.tanh(c[i]) * math.exp(-x[i] * x[i])
    return y


@suite("chain_1e3", "chain_1e5", "chain_1e7")
def chain(d: Inputs, _: Jit) -> Program:
    return pure(chain_loop, d.x, d.a, d.b, d.c)


@parallel
def softmax_loop(x):
    y = np.empty_like(x)
    for i in prange(x.shape[0]):
        largest = x[i, 0]
        for j in range(x.shape[1]):
            largest = max(largest, x[i, j])
        total = f32(0)
        for j in range(x.shape[1]):
            y[i, j] = math.exp(x[i, j] - largest)
            total += y[i, j]
        for j in range(x.shape[1]):
            y[i, j] *= ONE / total
    return y


@parallel
def softmax_both_loop(x, ct):
    y = softmax_loop(x)
    dx = np.empty_like(x)
    for i in prange(x.shape[0]):
        total = f32(0)
        for j in range(x.shape[1]):
            total += y[i, j] * ct[i, j]
        for j in range(x.shape[1]):
            dx[i, j] = y[i, j] * (ct[i, j] - total)
    return y, dx


@suite("softmax_f")
def softmax_forward(d: Inputs, _: Jit) -> Program:
    return pure(softmax_loop, d.x)


@suite("softmax_fb")
def softmax_forward_backward(d: Inputs, _: Jit) -> Program:
    return pure(softmax_both_loop, d.x, d.ct)


@inline
def row_statistics(x, i):
    n = f32(x.shape[1])
    total = f32(0)
    for j in range(x.shape[1]):
        total += x[i, j]
    mean = total / n
    squares = f32(0)
    for j in range(x.shape[1]):
        squares += (x[i, j] - mean) * (x[i, j] - mean)
    return mean, ONE / f32(math.sqrt(squares / n + ROW_EPSILON))


@parallel
def lngelu_loop(x, weight, bias):
    y = np.empty_like(x)
    for i in prange(x.shape[0]):
        mean, scale = row_statistics(x, i)
        for j in range(x.shape[1]):
            y[i, j] = x[i, j] + gelu((x[i, j] - mean) * scale * weight[j] + bias[j])
    return y


@parallel
def lngelu_both_loop(x, weight, bias, ct):
    m, n = x.shape
    y, dx = np.empty_like(x), np.empty_like(x)
    dweight, dbias = np.zeros((PARTS, n), np.float32), np.zeros((PARTS, n), np.float32)
    for part in prange(PARTS):
        weighted = np.empty(n, np.float32)
        for i in range(part * m // PARTS, (part + 1) * m // PARTS):
            mean, scale = row_statistics(x, i)
            total, slope = f32(0), f32(0)
            for j in range(n):
                normal = (x[i, j] - mean) * scale
                h = normal * weight[j] + bias[j]
                y[i, j] = x[i, j] + gelu(h)
                g = ct[i, j] * gelu_slope(h)
                dweight[part, j] += g * normal
                dbias[part, j] += g
                weighted[j] = g * weight[j]
                total += weighted[j]
                slope += weighted[j] * normal
            total /= f32(n)
            slope /= f32(n)
            for j in range(n):
                normal = (x[i, j] - mean) * scale
                dx[i, j] = ct[i, j] + scale * (weighted[j] - total - normal * slope)
    return y, dx, dweight.sum(0), dbias.sum(0)


@suite("lngelu_f")
def lngelu_forward(d: Inputs, _: Jit) -> Program:
    return pure(lngelu_loop, d.x, d.weight, d.bias)


@suite("lngelu_fb")
def lngelu_forward_backward(d: Inputs, _: Jit) -> Program:
    return pure(lngelu_both_loop, d.x, d.weight, d.bias, d.ct)


@parallel
def adam_loop(p, g, m, v, mean_scale, square_scale):
    for i in prange(p.size):
        m[i] = f32(BETA1) * m[i] + f32(1 - BETA1) * g[i]
        v[i] = f32(BETA2) * v[i] + f32(1 - BETA2) * g[i] * g[i]
        spread = math.sqrt(v[i] / square_scale) + f32(EPSILON)
        p[i] -= f32(LEARNING_RATE) * (m[i] / mean_scale) / spread


@suite("adam")
def adam(d: Inputs, _: Jit) -> Program:
    parameters = [p.copy() for p in d.parameters]
    means = [np.zeros_like(p) for p in parameters]
    squares = [np.zeros_like(p) for p in parameters]
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        scales = f32(1 - BETA1**steps), f32(1 - BETA2**steps)
        for arrays in zip(parameters, d.gradients, means, squares, strict=True):
            adam_loop(*(array.reshape(-1) for array in arrays), *scales)

    return Program(step, lambda: [*parameters, *means, *squares])


@parallel
def price_loop(spot, strike, years, rate, volatility):
    call, put = np.empty_like(spot), np.empty_like(spot)
    for i in prange(spot.size):
        spread = volatility * math.sqrt(years[i])
        drift = (rate + 0.5 * volatility * volatility) * years[i]
        d1 = (math.log(spot[i] / strike[i]) + drift) / spread
        discounted = strike[i] * math.exp(-rate * years[i])
        n1 = 0.5 + 0.5 * math.erf(d1 * math.sqrt(0.5))
        n2 = 0.5 + 0.5 * math.erf((d1 - spread) * math.sqrt(0.5))
        call[i] = spot[i] * n1 - discounted * n2
        put[i] = call[i] - spot[i] + discounted
    return call, put


@suite("black_scholes")
def black_scholes(d: Inputs, _: Jit) -> Program:
    return pure(price_loop, d.spot, d.strike, d.years, d.rate, d.volatility)


@inline
def stencil(a, i, j):
    return 0.2 * (a[i, j] + a[i, j - 1] + a[i, j + 1] + a[i + 1, j] + a[i - 1, j])


@parallel
def jacobi_loop(a, b, steps):
    n, m = a.shape
    for _ in range(steps):
        for i in prange(1, n - 1):
            for j in range(1, m - 1):
                b[i, j] = stencil(a, i, j)
        for i in prange(1, n - 1):
            for j in range(1, m - 1):
                a[i, j] = stencil(b, i, j)


@suite("jacobi")
def jacobi(d: Inputs, _: Jit) -> Program:
    a, b = d.a.copy(), d.b.copy()
    return Program(lambda: jacobi_loop(a, b, d.steps), lambda: [a, b])


@parallel
def escape_times_loop(cr, ci, steps):
    n = np.empty(cr.shape, np.int32)
    for i in prange(cr.shape[0]):
        for j in range(cr.shape[1]):
            zr = zi = f32(0)
            k = 0
            while k < steps and zr * zr + zi * zi < FOUR:
                zr, zi = zr * zr - zi * zi + cr[i, j], TWO * zr * zi + ci[i, j]
                k += 1
            n[i, j] = k
    return n


@suite("mandel")
def mandel(d: Inputs, _: Jit) -> Program:
    return pure(escape_times_loop, d.real, d.imaginary, d.steps)


@parallel
def centres_loop(points, centres):
    n, dimensions = points.shape
    k = len(centres)
    sums = np.zeros((PARTS, k, dimensions), np.float32)
    counts = np.zeros((PARTS, k), np.float32)
    for part in prange(PARTS):
        for i in range(part * n // PARTS, (part + 1) * n // PARTS):
            best, nearest = f32(np.inf), 0
            for c in range(k):
                distance = f32(0)
                for u in range(dimensions):
                    away = points[i, u] - centres[c, u]
                    distance += away * away
                if distance < best:
                    best, nearest = distance, c
            counts[part, nearest] += ONE
            for u in range(dimensions):
                sums[part, nearest, u] += points[i, u]
    return sums.sum(0) / counts.sum(0).reshape(-1, 1)


@suite("kmeans")
def kmeans(d: Inputs, _: Jit) -> Program:
    return pure(centres_loop, d.points, d.centres)


@parallel
def potentials_loop(points):
    n, dimensions = points.shape
    result = np.empty(n, np.float32)
    for i in prange(n):
        total = f32(0)
        for j in range(n):
            square = f32(0)
            for u in range(dimensions):
                away = points[i, u] - points[j, u]
                square += away * away
            total += math.exp(-math.sqrt(square))
        result[i] = total
    return result


@suite("pairwise")
def pairwise(d: Inputs, _: Jit) -> Program:
    return pure(potentials_loop, d.points)


@njit(fastmath=True)
def solve_loop(a, b, tolerance):
    x, r, p = np.zeros_like(b), b.copy(), b.copy()
    rr = np.dot(r, r)
    while math.sqrt(rr) > tolerance:
        q = np.dot(a, p)
        alpha = rr / np.dot(p, q)
        x += alpha * p
        r -= alpha * q
        new = np.dot(r, r)
        p = r + (new / rr) * p
        rr = new
    return x


@suite("cg")
def conjugate_gradient(d: Inputs, _: Jit) -> Program:
    return pure(solve_loop, d.a, d.b, d.tolerance)
