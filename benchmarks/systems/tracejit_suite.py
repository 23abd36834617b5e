"""tracejit, eager and under tj.compile, as its users write it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tracejit as tj
import tracejit.nn.functional as F
from benchmarks.program import Inputs, Program, Suite, pure
from benchmarks.systems.numpy_suite import differences, sum_of_lines, sweep
from benchmarks.workloads import LAYER_NORM_EPSILON, LEARNING_RATE, LSTM_LEARNING_RATE, MOMENTUM

Jit = Callable[..., Any]
Tensor = tj.Tensor

suite = Suite({})
compiled = tj.compile
device = "cpu"
"""Where the next programs compute."""


def tensor(array: np.ndarray) -> Tensor:
    return tj.tensor(array, device=device)


def array(value: Any) -> np.ndarray:
    """A copy: memory that NumPy shares would have to be up to date after every write."""
    if not isinstance(value, Tensor):
        return np.asarray(value)
    return value.detach().copy().numpy() if value.device == "cpu" else value.detach().cpu().numpy()


def leaves(*arrays: np.ndarray) -> list[Tensor]:
    return [tensor(array).requires_grad_() for array in arrays]


def function_of(function: Callable[..., Any], jit: Jit, *args: Any) -> Program:
    tensors = [tensor(a) if isinstance(a, np.ndarray) else a for a in args]
    return pure(jit(function), *tensors, to_numpy=array)


def on_arrays(function: Callable[..., Any], jit: Jit, *args: np.ndarray) -> Program:
    """NumPy arrays in and out where the function is compiled, as for NumPy and Numba; eager code needs tensors."""
    return pure(jit(function), *args) if jit is compiled else function_of(function, jit, *args)


def forward_backward(
    function: Callable[..., Tensor], jit: Jit, inputs: list[Tensor], ct: np.ndarray
) -> Program:
    @jit
    def both(inputs: list[Tensor], ct: Tensor) -> list[Tensor]:
        for x in inputs:
            x.grad = None
        y = function(*inputs)
        y.backward(ct)
        return [y, *(x.grad for x in inputs if x.grad is not None)]

    return pure(both, inputs, tensor(ct), to_numpy=array)


@suite("small_1")
def small_1(d: Inputs, jit: Jit) -> Program:
    return on_arrays(lambda x: x * 2 + 1, jit, d.xs[0])


@suite("small_50")
def small_50(d: Inputs, jit: Jit) -> Program:
    return on_arrays(sum_of_lines, jit, *d.xs)


@suite("chain_1e3", "chain_1e5", "chain_1e7")
def chain(d: Inputs, jit: Jit) -> Program:
    def chain(x: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return F.gelu(a * x + b, approximate="tanh") + tj.tanh(c) * tj.exp(-x * x)

    return function_of(chain, jit, d.x, d.a, d.b, d.c)


def softmax(x: Tensor) -> Tensor:
    return F.softmax(x, -1)


@suite("softmax_f")
def softmax_forward(d: Inputs, jit: Jit) -> Program:
    return function_of(softmax, jit, d.x)


@suite("softmax_fb")
def softmax_forward_backward(d: Inputs, jit: Jit) -> Program:
    return forward_backward(softmax, jit, leaves(d.x), d.ct)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.softmax(q @ k.mT * q.shape[-1] ** -0.5, -1) @ v


@suite("attention_f")
def attention_forward(d: Inputs, jit: Jit) -> Program:
    return function_of(attention, jit, d.q, d.k, d.v)


@suite("attention_fb")
def attention_forward_backward(d: Inputs, jit: Jit) -> Program:
    return forward_backward(attention, jit, leaves(d.q, d.k, d.v), d.ct)


def lngelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    h = F.layer_norm(x, x.shape[-1:], weight, bias, LAYER_NORM_EPSILON)
    return x + F.gelu(h, approximate="tanh")


@suite("lngelu_f")
def lngelu_forward(d: Inputs, jit: Jit) -> Program:
    return function_of(lngelu, jit, d.x, d.weight, d.bias)


@suite("lngelu_fb")
def lngelu_forward_backward(d: Inputs, jit: Jit) -> Program:
    return forward_backward(lngelu, jit, leaves(d.x, d.weight, d.bias), d.ct)


@suite("adam")
def adam(d: Inputs, jit: Jit) -> Program:
    parameters = leaves(*d.parameters)
    for p, g in zip(parameters, d.gradients, strict=True):
        p.grad = tensor(g)
    optimizer = tj.optim.Adam(parameters, lr=LEARNING_RATE)

    def results() -> list[np.ndarray]:
        moments = [optimizer.state[p][key] for key in ("exp_avg", "exp_avg_sq") for p in parameters]
        return [array(value) for value in [*parameters, *moments]]

    return Program(jit(optimizer.step), results)


def train(
    jit: Jit, loss_of: Callable[..., Tensor], parameters: list[Tensor], *args: np.ndarray
) -> Program:
    """By Adam."""
    optimizer = tj.optim.Adam(parameters, lr=LEARNING_RATE)

    def state() -> list[Any]:
        means = [array(optimizer.state[p]["exp_avg"]) for p in parameters]
        return [*means, *(array(p) for p in parameters if p.ndim == 2)]

    return trained_by(optimizer, jit, loss_of, args, state)


def trained_by(
    optimizer: tj.optim.Optimizer,
    jit: Jit,
    loss_of: Callable[..., Tensor],
    args: Sequence[np.ndarray],
    state: Callable[[], list[Any]],
) -> Program:
    """The whole step compiled: forward, backward and optimizer."""
    batch = [tensor(arg) for arg in args]
    last = 0.0

    @jit
    def train_step(*batch: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(*batch)
        loss.backward()
        optimizer.step()
        return loss

    def step() -> None:
        nonlocal last
        last = train_step(*batch).item()

    return Program(step, lambda: [last, *state()])


@suite("mlp_128", "mlp_8")
def mlp(d: Inputs, jit: Jit) -> Program:
    parameters = leaves(*d.parameters)
    w1, b1, w2, b2, w3, b3 = parameters

    def loss(x: Tensor, y: Tensor) -> Tensor:
        h = F.relu(x @ w1 + b1)
        h = F.relu(h @ w2 + b2)
        return F.cross_entropy(h @ w3 + b3, y)

    return train(jit, loss, parameters, d.x, d.y)


@suite("cnn")
def cnn(d: Inputs, jit: Jit) -> Program:
    parameters = leaves(*d.parameters)
    k1, c1, k2, c2, w1, b1, w2, b2 = parameters
    optimizer = tj.optim.SGD(parameters, lr=LEARNING_RATE, momentum=MOMENTUM)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        h = F.relu(F.conv2d(x, k1, c1))
        h = F.max_pool2d(F.relu(F.conv2d(h, k2, c2)), 2)
        h = F.relu(h.reshape((len(x), -1)) @ w1 + b1)
        return F.cross_entropy(h @ w2 + b2, y)

    def state() -> list[np.ndarray]:
        return [array(optimizer.state[p]["momentum_buffer"]) for p in parameters]

    return trained_by(optimizer, jit, loss, (d.x, d.y), state)


@suite("block")
def block(d: Inputs, jit: Jit) -> Program:
    parameters = leaves(*d.parameters)
    g1, c1, w_qkv, b_qkv, w_out, b_out, g2, c2, w_up, b_up, w_down, b_down = parameters

    def loss(x: Tensor, target: Tensor) -> Tensor:
        batch, length, width = x.shape
        h = F.layer_norm(x, (width,), g1, c1, LAYER_NORM_EPSILON)
        qkv = (h @ w_qkv + b_qkv).reshape((batch, length, 3, d.heads, width // d.heads))
        q, k, v = tj.permute_dims(qkv, (2, 0, 3, 1, 4))
        attention = F.softmax(q @ k.mT * q.shape[-1] ** -0.5, -1)
        mixed = tj.permute_dims(attention @ v, (0, 2, 1, 3)).reshape(x.shape)
        x = x + mixed @ w_out + b_out
        h = F.layer_norm(x, (width,), g2, c2, LAYER_NORM_EPSILON)
        h = F.gelu(h @ w_up + b_up, approximate="tanh")
        return F.mse_loss(x + h @ w_down + b_down, target)

    return train(jit, loss, parameters, d.x, d.target)


class NextWord(tj.nn.Module):
    def __init__(self, words: int, width: int, hidden: int) -> None:
        self.table = tj.nn.Embedding(words, width)
        self.lstm = tj.nn.LSTM(width, hidden)
        self.out = tj.nn.Linear(hidden, words)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(self.table(x))
        return self.out(states)


@suite("lstm")
def lstm(d: Inputs, jit: Jit) -> Program:
    table, _, w_h, *_ = d.parameters
    model = NextWord(*table.shape, len(w_h)).to(device)
    start = [table, *(p.T for p in d.parameters[1:])]
    model.load_state_dict(dict(zip(model.state_dict(), start, strict=True)))
    optimizer = tj.optim.SGD(model.parameters(), lr=LSTM_LEARNING_RATE)
    batch = tensor(d.x), tensor(d.y)
    last = 0.0

    @jit
    def train_step(x: Tensor, y: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x).reshape((-1, len(table))), y.reshape((-1,)))
        loss.backward()
        optimizer.step()
        return loss

    def step() -> None:
        nonlocal last
        last = train_step(*batch).item()

    def results() -> list[Any]:
        table, *others = map(array, model.parameters())
        return [last, *differences([table, *(p.T for p in others)], d.parameters)]

    return Program(step, results)


@suite("black_scholes")
def black_scholes(d: Inputs, jit: Jit) -> Program:
    def price(spot: Tensor, strike: Tensor, years: Tensor) -> tuple[Tensor, Tensor]:
        spread = d.volatility * tj.sqrt(years)
        drift = (d.rate + 0.5 * d.volatility * d.volatility) * years
        d1 = (tj.log(spot / strike) + drift) / spread
        discounted = strike * tj.exp(-d.rate * years)
        n1 = 0.5 + 0.5 * tj.erf(d1 * 0.5**0.5)
        n2 = 0.5 + 0.5 * tj.erf((d1 - spread) * 0.5**0.5)
        call = spot * n1 - discounted * n2
        return call, call - spot + discounted

    return function_of(price, jit, d.spot, d.strike, d.years)


@suite("jacobi")
def jacobi(d: Inputs, jit: Jit) -> Program:
    a, b = tensor(d.a), tensor(d.b)

    @jit
    def two_sweeps(a: Tensor, b: Tensor) -> None:
        sweep(a, b)
        sweep(b, a)

    def step() -> None:
        for _ in range(d.steps):
            two_sweeps(a, b)

    return Program(step, lambda: [array(a), array(b)])


@suite("mandel")
def mandel(d: Inputs, jit: Jit) -> Program:
    def escape_times(cr: Tensor, ci: Tensor) -> Tensor:
        zr = zi = tj.zeros_like(cr)
        n = tj.zeros_like(cr, dtype=tj.int32)
        for _ in range(d.steps):
            inside = zr * zr + zi * zi < 4
            n = n + inside
            zr, zi = (
                tj.where(inside, zr * zr - zi * zi + cr, zr),
                tj.where(inside, 2 * zr * zi + ci, zi),
            )
        return n

    return function_of(escape_times, jit, d.real, d.imaginary)


@suite("kmeans")
def kmeans(d: Inputs, jit: Jit) -> Program:
    def centres_of(points: Tensor, centres: Tensor) -> Tensor:
        nearest = ((centres * centres).sum(1) - 2 * points @ centres.T).argmin(1)
        members = F.one_hot(nearest, len(centres)).astype(points.dtype)
        return members.T @ points / members.sum(0)[:, None]

    return function_of(centres_of, jit, d.points, d.centres)


@suite("pairwise")
def pairwise(d: Inputs, jit: Jit) -> Program:
    def potentials(points: Tensor) -> Tensor:
        squares = ((points[:, None] - points[None]) ** 2).sum(-1)
        return tj.exp(-tj.sqrt(squares)).sum(1)

    return function_of(potentials, jit, d.points)


@suite("cg")
def conjugate_gradient(d: Inputs, jit: Jit) -> Program:
    @jit
    def iteration(a: Tensor, x: Tensor, r: Tensor, p: Tensor, rr: Tensor) -> tuple[Tensor, ...]:
        q = a @ p
        alpha = rr / (p @ q)
        x, r = x + alpha * p, r - alpha * q
        new = r @ r
        return x, r, r + (new / rr) * p, new

    def solve(a: Tensor, b: Tensor) -> Tensor:
        x, r, p, rr = tj.zeros_like(b), b, b, b @ b
        while tj.sqrt(rr) > d.tolerance:
            x, r, p, rr = iteration(a, x, r, p, rr)
        return x

    return pure(solve, tensor(d.a), tensor(d.b), to_numpy=array)
