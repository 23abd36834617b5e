"""JAX under jax.jit, as its users write it: pure functions, training state donated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.program import Inputs, Program, Suite, pure
from benchmarks.systems.numpy_suite import differences, sum_of_lines
from benchmarks.workloads import (
    BETA1,
    BETA2,
    EPSILON,
    LAYER_NORM_EPSILON,
    LEARNING_RATE,
    LSTM_LEARNING_RATE,
    MOMENTUM,
)

# Some workloads are in float64; inputs in float32 stay so.
jax.config.update("jax_enable_x64", True)

Jit = Callable[..., Any]
Array = jax.Array

suite = Suite({})
compiled = jax.jit


def function_of(function: Callable[..., Any], jit: Jit, *args: Any) -> Program:
    function = jit(function)

    def call(*args: Any) -> Any:
        return jax.block_until_ready(function(*args))

    return pure(call, *(jnp.asarray(a) if isinstance(a, np.ndarray) else a for a in args))


def loop(
    update: Callable[..., Any], state: Any, *args: Any, results: Callable[[Any], Any]
) -> Program:
    """A program whose step is `state = update(state, *args)`, in the state's own memory."""
    update = jax.jit(update, donate_argnums=0)
    state = jax.tree.map(jnp.array, state)
    args = jax.tree.map(jnp.asarray, args)

    def step() -> None:
        nonlocal state
        state = jax.block_until_ready(update(state, *args))

    return Program(step, lambda: [np.asarray(x) for x in jax.tree.leaves(results(state))])


def gelu(x: Array) -> Array:
    return jax.nn.gelu(x, approximate=True)


@suite("small_1")
def small_1(d: Inputs, jit: Jit) -> Program:
    return function_of(lambda x: x * 2 + 1, jit, d.xs[0])


@suite("small_50")
def small_50(d: Inputs, jit: Jit) -> Program:
    return function_of(sum_of_lines, jit, *d.xs)


@suite("chain_1e3", "chain_1e5", "chain_1e7")
def chain(d: Inputs, jit: Jit) -> Program:
    def chain(x: Array, a: Array, b: Array, c: Array) -> Array:
        return gelu(a * x + b) + jnp.tanh(c) * jnp.exp(-x * x)

    return function_of(chain, jit, d.x, d.a, d.b, d.c)


def with_gradients(function: Callable[..., Array]) -> Callable[..., tuple[Array, ...]]:
    def both(ct: Array, *inputs: Array) -> tuple[Array, ...]:
        y, pull = jax.vjp(function, *inputs)
        return (y, *pull(ct))

    return both


@suite("softmax_f")
def softmax_forward(d: Inputs, jit: Jit) -> Program:
    return function_of(jax.nn.softmax, jit, d.x)


@suite("softmax_fb")
def softmax_forward_backward(d: Inputs, jit: Jit) -> Program:
    return function_of(with_gradients(jax.nn.softmax), jit, d.ct, d.x)


def attention(q: Array, k: Array, v: Array) -> Array:
    scores = jnp.einsum("bhqe,bhke->bhqk", q, k) * q.shape[-1] ** -0.5
    return jnp.einsum("bhqk,bhke->bhqe", jax.nn.softmax(scores), v)


@suite("attention_f")
def attention_forward(d: Inputs, jit: Jit) -> Program:
    return function_of(attention, jit, d.q, d.k, d.v)


@suite("attention_fb")
def attention_forward_backward(d: Inputs, jit: Jit) -> Program:
    return function_of(with_gradients(attention), jit, d.ct, d.q, d.k, d.v)


def layer_norm(x: Array, weight: Array, bias: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred**2).mean(-1, keepdims=True)
    return centred * lax.rsqrt(variance + LAYER_NORM_EPSILON) * weight + bias


def lngelu(x: Array, weight: Array, bias: Array) -> Array:
    return x + gelu(layer_norm(x, weight, bias))


@suite("lngelu_f")
def lngelu_forward(d: Inputs, jit: Jit) -> Program:
    return function_of(lngelu, jit, d.x, d.weight, d.bias)


@suite("lngelu_fb")
def lngelu_forward_backward(d: Inputs, jit: Jit) -> Program:
    return function_of(with_gradients(lngelu), jit, d.ct, d.x, d.weight, d.bias)


AdamState = tuple[Sequence[Any], Sequence[Any], Sequence[Any], Any]
"""Parameters, means, squares and the number of steps."""


def adam_start(parameters: list[np.ndarray]) -> AdamState:
    zeros = [np.zeros_like(p) for p in parameters]
    return parameters, zeros, zeros, np.float32(0)


def adam_update(state: AdamState, gradients: Sequence[Array]) -> AdamState:
    parameters, means, squares, steps = state
    steps = steps + 1
    mean_scale = 1 - jnp.float32(BETA1) ** steps
    square_scale = 1 - jnp.float32(BETA2) ** steps
    means = [BETA1 * m + (1 - BETA1) * g for m, g in zip(means, gradients, strict=True)]
    squares = [BETA2 * v + (1 - BETA2) * g * g for v, g in zip(squares, gradients, strict=True)]
    parameters = [
        p - LEARNING_RATE * (m / mean_scale) / (jnp.sqrt(v / square_scale) + EPSILON)
        for p, m, v in zip(parameters, means, squares, strict=True)
    ]
    return parameters, means, squares, steps


@suite("adam")
def adam(d: Inputs, _: Jit) -> Program:
    return loop(adam_update, adam_start(d.parameters), d.gradients, results=lambda state: state[:3])


def train(d: Inputs, loss_of: Callable[..., Array], *args: np.ndarray) -> Program:
    def update(state: Any, *args: Array) -> Any:
        adam_state, _ = state
        loss, gradients = jax.value_and_grad(loss_of)(adam_state[0], *args)
        return adam_update(adam_state, gradients), loss

    def results(state: Any) -> Any:
        (parameters, means, _, _), loss = state
        return loss, means, [p for p in parameters if p.ndim == 2]

    return loop(update, (adam_start(d.parameters), np.float32(0)), *args, results=results)


def cross_entropy(logits: Array, labels: Array) -> Array:
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()


@suite("mlp_128", "mlp_8")
def mlp(d: Inputs, _: Jit) -> Program:
    def loss(parameters: Sequence[Array], x: Array, y: Array) -> Array:
        w1, b1, w2, b2, w3, b3 = parameters
        h = jax.nn.relu(x @ w1 + b1)
        h = jax.nn.relu(h @ w2 + b2)
        return cross_entropy(h @ w3 + b3, y)

    return train(d, loss, d.x, d.y)


@suite("cnn")
def cnn(d: Inputs, _: Jit) -> Program:
    def convolved(x: Array, kernel: Array, bias: Array) -> Array:
        return lax.conv_general_dilated(x, kernel, (1, 1), "VALID") + bias[:, None, None]

    def loss_of(parameters: Sequence[Array], x: Array, y: Array) -> Array:
        k1, c1, k2, c2, w1, b1, w2, b2 = parameters
        h = jax.nn.relu(convolved(x, k1, c1))
        h = jax.nn.relu(convolved(h, k2, c2))
        window = (1, 1, 2, 2)
        h = lax.reduce_window(h, -jnp.inf, lax.max, window, window, "VALID")
        h = jax.nn.relu(h.reshape(len(x), -1) @ w1 + b1)
        return cross_entropy(h @ w2 + b2, y)

    def update(state: Any, x: Array, y: Array) -> Any:
        parameters, means, _ = state
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x, y)
        means = [MOMENTUM * m + g for m, g in zip(means, gradients, strict=True)]
        moved = [p - LEARNING_RATE * m for p, m in zip(parameters, means, strict=True)]
        return moved, means, loss

    start = d.parameters, [np.zeros_like(p) for p in d.parameters], np.float32(0)
    return loop(update, start, d.x, d.y, results=lambda state: (state[2], state[1]))


@suite("block")
def block(d: Inputs, _: Jit) -> Program:
    def loss(parameters: Sequence[Array], x: Array, target: Array) -> Array:
        g1, c1, w_qkv, b_qkv, w_out, b_out, g2, c2, w_up, b_up, w_down, b_down = parameters
        batch, length, width = x.shape
        qkv = layer_norm(x, g1, c1) @ w_qkv + b_qkv
        qkv = qkv.reshape(batch, length, 3, d.heads, width // d.heads)
        q, k, v = qkv.transpose(2, 0, 3, 1, 4)
        scores = jnp.einsum("bhqe,bhke->bhqk", q, k) * q.shape[-1] ** -0.5
        mixed = jnp.einsum("bhqk,bhke->bqhe", jax.nn.softmax(scores), v).reshape(x.shape)
        x = x + mixed @ w_out + b_out
        y = x + gelu(layer_norm(x, g2, c2) @ w_up + b_up) @ w_down + b_down
        return ((y - target) ** 2).mean()

    return train(d, loss, d.x, d.target)


@suite("lstm")
def lstm(d: Inputs, _: Jit) -> Program:
    def loss(parameters: Sequence[Array], x: Array, y: Array) -> Array:
        table, w_x, w_h, b_x, b_h, w_out, b_out = parameters

        def cell(state: tuple[Array, Array], product: Array) -> tuple[tuple[Array, Array], Array]:
            h, c = state
            i, f, g, o = jnp.split(product + h @ w_h + b_h, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zero = jnp.zeros((x.shape[1], len(w_h)), table.dtype)
        _, states = lax.scan(cell, (zero, zero), table[x] @ w_x + b_x)
        return cross_entropy(states.reshape(-1, len(w_h)) @ w_out + b_out, y.reshape(-1))

    def update(state: Any, x: Array, y: Array) -> Any:
        parameters, _ = state
        value, gradients = jax.value_and_grad(loss)(parameters, x, y)
        return jax.tree.map(lambda p, g: p - LSTM_LEARNING_RATE * g, parameters, gradients), value

    def results(state: Any) -> Any:
        parameters, value = state
        return value, differences([np.asarray(p) for p in parameters], d.parameters)

    return loop(update, (d.parameters, np.float32(0)), d.x, d.y, results=results)


@suite("black_scholes")
def black_scholes(d: Inputs, jit: Jit) -> Program:
    def price(spot: Array, strike: Array, years: Array) -> tuple[Array, Array]:
        spread = d.volatility * jnp.sqrt(years)
        drift = (d.rate + 0.5 * d.volatility * d.volatility) * years
        d1 = (jnp.log(spot / strike) + drift) / spread
        discounted = strike * jnp.exp(-d.rate * years)
        n1 = 0.5 + 0.5 * lax.erf(d1 * 0.5**0.5)
        n2 = 0.5 + 0.5 * lax.erf((d1 - spread) * 0.5**0.5)
        call = spot * n1 - discounted * n2
        return call, call - spot + discounted

    return function_of(price, jit, d.spot, d.strike, d.years)


@suite("jacobi")
def jacobi(d: Inputs, _: Jit) -> Program:
    def sweep(a: Array, b: Array) -> Array:
        neighbours = a[1:-1, :-2] + a[1:-1, 2:] + a[2:, 1:-1] + a[:-2, 1:-1]
        return b.at[1:-1, 1:-1].set(0.2 * (a[1:-1, 1:-1] + neighbours))

    def two_sweeps(_: int, state: tuple[Array, Array]) -> tuple[Array, Array]:
        a, b = state
        b = sweep(a, b)
        return sweep(b, a), b

    def update(state: tuple[Array, Array]) -> tuple[Array, Array]:
        return lax.fori_loop(0, d.steps, two_sweeps, state)

    return loop(update, (d.a, d.b), results=lambda state: state)


@suite("mandel")
def mandel(d: Inputs, jit: Jit) -> Program:
    def escape_times(cr: Array, ci: Array) -> Array:
        def iteration(_: int, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            zr, zi, n = state
            inside = zr * zr + zi * zi < 4
            return (
                jnp.where(inside, zr * zr - zi * zi + cr, zr),
                jnp.where(inside, 2 * zr * zi + ci, zi),
                n + inside,
            )

        zero = jnp.zeros_like(cr)
        start = zero, zero, jnp.zeros(cr.shape, jnp.int32)
        return lax.fori_loop(0, d.steps, iteration, start)[2]

    return function_of(escape_times, jit, d.real, d.imaginary)


@suite("kmeans")
def kmeans(d: Inputs, jit: Jit) -> Program:
    def centres_of(points: Array, centres: Array) -> Array:
        nearest = ((centres * centres).sum(1) - 2 * points @ centres.T).argmin(1)
        sums = jax.ops.segment_sum(points, nearest, len(centres))
        ones = jnp.ones(len(points), points.dtype)
        return sums / jax.ops.segment_sum(ones, nearest, len(centres))[:, None]

    return function_of(centres_of, jit, d.points, d.centres)


@suite("pairwise")
def pairwise(d: Inputs, jit: Jit) -> Program:
    def potentials(points: Array) -> Array:
        squares = ((points[:, None] - points[None]) ** 2).sum(-1)
        return jnp.exp(-jnp.sqrt(squares)).sum(1)

    return function_of(potentials, jit, d.points)


@suite("cg")
def conjugate_gradient(d: Inputs, jit: Jit) -> Program:
    def solve(a: Array, b: Array) -> Array:
        def iteration(state: tuple[Array, ...]) -> tuple[Array, ...]:
            x, r, p, rr = state
            q = a @ p
            alpha = rr / (p @ q)
            x, r = x + alpha * p, r - alpha * q
            new = r @ r
            return x, r, r + (new / rr) * p, new

        start = jnp.zeros_like(b), b, b, b @ b
        return lax.while_loop(lambda state: jnp.sqrt(state[3]) > d.tolerance, iteration, start)[0]

    return function_of(solve, jit, d.a, d.b)
