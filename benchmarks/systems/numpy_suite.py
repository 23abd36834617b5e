"""NumPy, as its users write it. On float64 inputs it is the reference of every other system."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import erf

from benchmarks.program import Inputs, Program, Suite, pure
from benchmarks.workloads import (
    BETA1,
    BETA2,
    EPSILON,
    LAYER_NORM_EPSILON,
    LEARNING_RATE,
    LSTM_LEARNING_RATE,
    MOMENTUM,
)

Array = np.ndarray
Jit = Callable[..., Any]

suite = Suite({})

GELU_SCALE = float(np.sqrt(2 / np.pi))
GELU_CUBE = 0.044715


def gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(GELU_SCALE * (x + GELU_CUBE * x * x * x)))


def gelu_slope(x: Array) -> Array:
    t = np.tanh(GELU_SCALE * (x + GELU_CUBE * x * x * x))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * GELU_SCALE * (1 + 3 * GELU_CUBE * x * x)


@suite("small_1")
def small_1(d: Inputs, _: Jit) -> Program:
    return pure(lambda x: x * 2 + 1, d.xs[0])


@suite("small_50")
def small_50(d: Inputs, _: Jit) -> Program:
    return pure(sum_of_lines, *d.xs)


def sum_of_lines(*xs: Array) -> Array:
    total = xs[0] * 0
    for i, x in enumerate(xs):
        total = total + (x * i + 1)
    return total


@suite("chain_1e3", "chain_1e5", "chain_1e7")
def chain(d: Inputs, _: Jit) -> Program:
    def chain(x: Array, a: Array, b: Array, c: Array) -> Array:
        return gelu(a * x + b) + np.tanh(c) * np.exp(-x * x)

    return pure(chain, d.x, d.a, d.b, d.c)


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_vjp(ct: Array, y: Array) -> Array:
    return y * (ct - (ct * y).sum(-1, keepdims=True))


@suite("softmax_f")
def softmax_forward(d: Inputs, _: Jit) -> Program:
    return pure(softmax, d.x)


@suite("softmax_fb")
def softmax_forward_backward(d: Inputs, _: Jit) -> Program:
    def both(x: Array, ct: Array) -> tuple[Array, Array]:
        y = softmax(x)
        return y, softmax_vjp(ct, y)

    return pure(both, d.x, d.ct)


def attend(q: Array, k: Array) -> Array:
    return softmax(q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5)


@suite("attention_f")
def attention_forward(d: Inputs, _: Jit) -> Program:
    return pure(lambda q, k, v: attend(q, k) @ v, d.q, d.k, d.v)


@suite("attention_fb")
def attention_forward_backward(d: Inputs, _: Jit) -> Program:
    def both(q: Array, k: Array, v: Array, ct: Array) -> tuple[Array, ...]:
        shares = attend(q, k)
        slope = softmax_vjp(ct @ v.swapaxes(-1, -2), shares) * q.shape[-1] ** -0.5
        return shares @ v, slope @ k, slope.swapaxes(-1, -2) @ q, shares.swapaxes(-1, -2) @ ct

    return pure(both, d.q, d.k, d.v, d.ct)


def layer_norm(x: Array, weight: Array, bias: Array) -> tuple[Array, tuple[Array, Array]]:
    """The result, and what the backward pass needs."""
    centred = x - x.mean(-1, keepdims=True)
    scale = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + LAYER_NORM_EPSILON)
    normal = centred * scale
    return normal * weight + bias, (normal, scale)


def layer_norm_vjp(
    ct: Array, weight: Array, saved: tuple[Array, Array]
) -> tuple[Array, Array, Array]:
    normal, scale = saved
    rows = tuple(range(ct.ndim - 1))
    weighted = ct * weight
    mean = weighted.mean(-1, keepdims=True)
    slope = (weighted * normal).mean(-1, keepdims=True)
    return scale * (weighted - mean - normal * slope), (ct * normal).sum(rows), ct.sum(rows)


@suite("lngelu_f")
def lngelu_forward(d: Inputs, _: Jit) -> Program:
    def forward(x: Array, weight: Array, bias: Array) -> Array:
        return x + gelu(layer_norm(x, weight, bias)[0])

    return pure(forward, d.x, d.weight, d.bias)


@suite("lngelu_fb")
def lngelu_forward_backward(d: Inputs, _: Jit) -> Program:
    def both(x: Array, weight: Array, bias: Array, ct: Array) -> tuple[Array, ...]:
        h, saved = layer_norm(x, weight, bias)
        y = x + gelu(h)
        dx, dweight, dbias = layer_norm_vjp(ct * gelu_slope(h), weight, saved)
        return y, dx + ct, dweight, dbias

    return pure(both, d.x, d.weight, d.bias, d.ct)


class Adam:
    """The update of Kingma and Ba, out of place as NumPy users write it."""

    def __init__(self, parameters: list[Array]) -> None:
        self.parameters = list(parameters)
        self.mean = [np.zeros_like(p) for p in parameters]
        self.square = [np.zeros_like(p) for p in parameters]
        self.steps = 0

    def step(self, gradients: list[Array]) -> None:
        self.steps += 1
        mean_scale, square_scale = 1 - BETA1**self.steps, 1 - BETA2**self.steps
        for i, g in enumerate(gradients):
            self.mean[i] = BETA1 * self.mean[i] + (1 - BETA1) * g
            self.square[i] = BETA2 * self.square[i] + (1 - BETA2) * g * g
            spread = np.sqrt(self.square[i] / square_scale) + EPSILON
            self.parameters[i] = (
                self.parameters[i] - LEARNING_RATE * (self.mean[i] / mean_scale) / spread
            )


@suite("adam")
def adam(d: Inputs, _: Jit) -> Program:
    optimizer = Adam(d.parameters)
    return Program(
        lambda: optimizer.step(d.gradients),
        lambda: [*optimizer.parameters, *optimizer.mean, *optimizer.square],
    )


def train(
    parameters: list[Array], loss_and_gradients: Callable[[list[Array]], tuple[Any, list[Array]]]
) -> Program:
    """Checked: the loss, the optimizer's means (which are the gradients, scaled) and the weight matrices.

    Not the biases: the first step of Adam is the sign of the gradient, which rounding decides where that is near zero.
    """
    optimizer = Adam(parameters)
    loss: Any = None

    def step() -> None:
        nonlocal loss
        loss, gradients = loss_and_gradients(optimizer.parameters)
        optimizer.step(gradients)

    return Program(
        step, lambda: [loss, *optimizer.mean, *(p for p in optimizer.parameters if p.ndim == 2)]
    )


def cross_entropy(logits: Array, labels: Array) -> tuple[Any, Array]:
    """The mean loss and its gradient."""
    shifted = logits - logits.max(-1, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(-1, keepdims=True)
    rows = np.arange(len(labels))
    loss = (np.log(total[:, 0]) - shifted[rows, labels]).mean()
    gradient = e / total
    gradient[rows, labels] -= 1
    return loss, gradient / len(labels)


@suite("mlp_128", "mlp_8")
def mlp(d: Inputs, _: Jit) -> Program:
    def loss_and_gradients(parameters: list[Array]) -> tuple[Any, list[Array]]:
        w1, b1, w2, b2, w3, b3 = parameters
        h1 = np.maximum(d.x @ w1 + b1, 0)
        h2 = np.maximum(h1 @ w2 + b2, 0)
        loss, d3 = cross_entropy(h2 @ w3 + b3, d.y)
        d2 = (d3 @ w3.T) * (h2 > 0)
        d1 = (d2 @ w2.T) * (h1 > 0)
        return loss, [d.x.T @ d1, d1.sum(0), h1.T @ d2, d2.sum(0), h2.T @ d3, d3.sum(0)]

    return train(d.parameters, loss_and_gradients)


@suite("cnn")
def cnn(d: Inputs, _: Jit) -> Program:
    """By gradient descent with momentum. Checked: the loss and the momenta, which are the gradients."""
    parameters = list(d.parameters)
    means = [np.zeros_like(p) for p in parameters]
    loss: Any = None

    def step() -> None:
        nonlocal loss
        loss, gradients = cnn_gradients(parameters, d.x, d.y)
        for i, g in enumerate(gradients):
            means[i] = MOMENTUM * means[i] + g
            parameters[i] = parameters[i] - LEARNING_RATE * means[i]

    return Program(step, lambda: [loss, *means])


def cnn_gradients(parameters: list[Array], x: Array, y: Array) -> tuple[Any, list[Array]]:
    """Two convolutions, a pooling and two linear layers, with images as rows of windows."""
    k1, c1, k2, c2, w1, b1, w2, b2 = parameters
    seen1, flat1 = rows_of_windows(x), k1.reshape(len(k1), -1)
    h1 = np.maximum(seen1 @ flat1.T + c1, 0)
    seen2, flat2 = rows_of_windows(h1.transpose(0, 3, 1, 2)), k2.reshape(len(k2), -1)
    h2 = np.maximum(seen2 @ flat2.T + c2, 0).transpose(0, 3, 1, 2)
    pairs = h2.reshape(*h2.shape[:2], h2.shape[2] // 2, 2, h2.shape[3] // 2, 2)
    pooled = pairs.max((3, 5), keepdims=True)
    h3 = pooled.reshape(len(x), -1)
    h4 = np.maximum(h3 @ w1 + b1, 0)
    loss, d5 = cross_entropy(h4 @ w2 + b2, y)

    d4 = (d5 @ w2.T) * (h4 > 0)
    d3 = (d4 @ w1.T).reshape(pooled.shape) * (pairs == pooled)
    d2 = (d3.reshape(h2.shape) * (h2 > 0)).transpose(0, 2, 3, 1)
    spread = (d2 @ flat2).reshape(*d2.shape[:3], *k2.shape[1:])
    d1 = np.zeros_like(h1)
    for i in range(3):
        for j in range(3):
            d1[:, i : i + d2.shape[1], j : j + d2.shape[2]] += spread[..., i, j]
    d1 = d1 * (h1 > 0)

    def of_kernel(ct: Array, seen: Array, kernel: Array) -> Array:
        return (ct.reshape(-1, len(kernel)).T @ seen.reshape(-1, seen.shape[-1])).reshape(
            kernel.shape
        )

    return loss, [
        *(of_kernel(d1, seen1, k1), d1.sum((0, 1, 2))),
        *(of_kernel(d2, seen2, k2), d2.sum((0, 1, 2))),
        *(h3.T @ d4, d4.sum(0), h4.T @ d5, d5.sum(0)),
    ]


def rows_of_windows(x: Array) -> Array:
    """The 3 x 3 windows of x[batch, channels, height, width] as [batch, height - 2, width - 2, 9 channels]."""
    seen = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3)).transpose(0, 2, 3, 1, 4, 5)
    return seen.reshape(*seen.shape[:3], -1)


@suite("block")
def block(d: Inputs, _: Jit) -> Program:
    return train(
        d.parameters, lambda parameters: block_gradients(parameters, d.x, d.target, d.heads)
    )


def block_gradients(
    parameters: list[Array], x: Array, target: Array, heads: int
) -> tuple[Any, list[Array]]:
    """A transformer block, attention and feed-forward, under the mean squared error."""
    g1, c1, w_qkv, b_qkv, w_out, b_out, g2, c2, w_up, b_up, w_down, b_down = parameters
    batch, length, width = x.shape
    head = width // heads
    scale = head**-0.5

    h, saved1 = layer_norm(x, g1, c1)
    q, k, v = (h @ w_qkv + b_qkv).reshape(batch, length, 3, heads, head).transpose(2, 0, 3, 1, 4)
    attention = softmax(q @ k.swapaxes(-1, -2) * scale)
    mixed = (attention @ v).transpose(0, 2, 1, 3).reshape(batch, length, width)
    x1 = x + mixed @ w_out + b_out
    h2, saved2 = layer_norm(x1, g2, c2)
    up = h2 @ w_up + b_up
    active = gelu(up)
    error = x1 + active @ w_down + b_down - target
    loss = (error * error).mean()

    dy = error * (2 / error.size)
    dup = (dy @ w_down.T) * gelu_slope(up)
    dx1, dg2, dc2 = layer_norm_vjp(dup @ w_up.T, g2, saved2)
    dx1 = dx1 + dy
    dmixed = (dx1 @ w_out.T).reshape(batch, length, heads, head).transpose(0, 2, 1, 3)
    dv = attention.swapaxes(-1, -2) @ dmixed
    dscores = softmax_vjp(dmixed @ v.swapaxes(-1, -2), attention) * scale
    dq, dk = dscores @ k, dscores.swapaxes(-1, -2) @ q
    dqkv = np.stack([dq, dk, dv]).transpose(1, 3, 0, 2, 4).reshape(batch, length, 3 * width)
    _, dg1, dc1 = layer_norm_vjp(dqkv @ w_qkv.T, g1, saved1)
    return loss, [
        dg1,
        dc1,
        *linear_vjp(h, dqkv),
        *linear_vjp(mixed, dx1),
        dg2,
        dc2,
        *linear_vjp(h2, dup),
        *linear_vjp(active, dy),
    ]


def linear_vjp(x: Array, ct: Array) -> tuple[Array, Array]:
    """The gradients of the weight and of the bias of `x @ weight + bias`."""
    x, ct = x.reshape(-1, x.shape[-1]), ct.reshape(-1, ct.shape[-1])
    return x.T @ ct, ct.sum(0)


@suite("lstm")
def lstm(d: Inputs, _: Jit) -> Program:
    parameters = d.parameters
    loss: Any = None

    def step() -> None:
        nonlocal loss, parameters
        loss, gradients = lstm_gradients(parameters, d.x, d.y)
        parameters = [
            p - LSTM_LEARNING_RATE * g for p, g in zip(parameters, gradients, strict=True)
        ]

    return Program(step, lambda: [loss, *differences(parameters, d.parameters)])


def differences(parameters: list[Array], start: list[Array]) -> list[Array]:
    """What training has added; of gradient descent the gradients, scaled."""
    return [p - q for p, q in zip(parameters, start, strict=True)]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def lstm_gradients(parameters: list[Array], x: Array, y: Array) -> tuple[Any, list[Array]]:
    """An embedding, an LSTM and a linear layer under the cross entropy."""
    table, w_x, w_h, b_x, b_h, w_out, b_out = parameters
    length, batch = x.shape
    width = len(w_h)

    embedded = table[x]
    products = embedded @ w_x + b_x
    h = c = np.zeros((batch, width), table.dtype)
    hs, cs, gates = [h], [c], []
    for product in products:
        i, f, g, o = np.split(product + h @ w_h + b_h, 4, axis=1)
        gates.append((sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)))
        i, f, g, o = gates[-1]
        c = f * c + i * g
        h = o * np.tanh(c)
        hs.append(h)
        cs.append(c)
    states = np.stack(hs[1:])
    loss, dlogits = cross_entropy(states.reshape(-1, width) @ w_out + b_out, y.reshape(-1))

    dstates = (dlogits @ w_out.T).reshape(states.shape)
    dproducts = np.empty_like(products)
    dh = dc = np.zeros_like(h)
    for t in reversed(range(length)):
        i, f, g, o = gates[t]
        tanh_c = np.tanh(cs[t + 1])
        dh = dh + dstates[t]
        dc = dc + dh * o * (1 - tanh_c * tanh_c)
        di, df, dg, do = np.split(dproducts[t], 4, axis=1)
        di[:] = dc * g * i * (1 - i)
        df[:] = dc * cs[t] * f * (1 - f)
        dg[:] = dc * i * (1 - g * g)
        do[:] = dh * tanh_c * o * (1 - o)
        dh, dc = dproducts[t] @ w_h.T, dc * f
    dtable = np.zeros_like(table)
    np.add.at(dtable, x, dproducts @ w_x.T)
    dw_x, db = linear_vjp(embedded, dproducts)
    dw_h, _ = linear_vjp(np.stack(hs[:-1]), dproducts)
    return loss, [dtable, dw_x, dw_h, db, db, *linear_vjp(states, dlogits)]


@suite("black_scholes")
def black_scholes(d: Inputs, _: Jit) -> Program:
    def price(spot: Array, strike: Array, years: Array, rate: float, volatility: float) -> Any:
        spread = volatility * np.sqrt(years)
        d1 = (np.log(spot / strike) + (rate + 0.5 * volatility * volatility) * years) / spread
        discounted = strike * np.exp(-rate * years)
        n1 = 0.5 + 0.5 * erf(d1 * 0.5**0.5)
        n2 = 0.5 + 0.5 * erf((d1 - spread) * 0.5**0.5)
        call = spot * n1 - discounted * n2
        return call, call - spot + discounted

    return pure(price, d.spot, d.strike, d.years, d.rate, d.volatility)


@suite("jacobi")
def jacobi(d: Inputs, _: Jit) -> Program:
    a, b = d.a.copy(), d.b.copy()

    def step() -> None:
        for _ in range(d.steps):
            sweep(a, b)
            sweep(b, a)

    return Program(step, lambda: [a, b])


def sweep(a: Array, b: Array) -> None:
    b[1:-1, 1:-1] = 0.2 * (a[1:-1, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:] + a[2:, 1:-1] + a[:-2, 1:-1])


@suite("mandel")
def mandel(d: Inputs, _: Jit) -> Program:
    def escape_times(c: Array) -> Array:
        n, z = np.zeros(c.shape, np.int32), np.zeros_like(c)
        for _ in range(d.steps):
            inside = z.real * z.real + z.imag * z.imag < 4
            n[inside] += 1
            z[inside] = z[inside] * z[inside] + c[inside]
        return n

    return pure(escape_times, d.real + 1j * d.imaginary)


@suite("kmeans")
def kmeans(d: Inputs, _: Jit) -> Program:
    def centres_of(points: Array, centres: Array) -> Array:
        k = len(centres)
        nearest = ((centres * centres).sum(1) - 2 * points @ centres.T).argmin(1)
        counts = np.bincount(nearest, minlength=k)
        sums = np.stack([np.bincount(nearest, column, k) for column in points.T], 1)
        return sums.astype(points.dtype) / counts[:, None]

    return pure(centres_of, d.points, d.centres)


@suite("pairwise")
def pairwise(d: Inputs, _: Jit) -> Program:
    def potentials(points: Array) -> Array:
        squares = ((points[:, None] - points[None]) ** 2).sum(-1)
        return np.exp(-np.sqrt(squares)).sum(1)

    return pure(potentials, d.points)


@suite("cg")
def conjugate_gradient(d: Inputs, _: Jit) -> Program:
    def solve(a: Array, b: Array) -> Array:
        x, r, p = np.zeros_like(b), b.copy(), b.copy()
        rr = r @ r
        while np.sqrt(rr) > d.tolerance:
            q = a @ p
            alpha = rr / (p @ q)
            x = x + alpha * p
            r = r - alpha * q
            new = r @ r
            p = r + (new / rr) * p
            rr = new
        return x

    return pure(solve, d.a, d.b)
