"""PyTorch, eager and under torch.compile, as its users write it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.program import Inputs, Program, Suite, pure
from benchmarks.systems.numpy_suite import differences, sum_of_lines, sweep
from benchmarks.workloads import LAYER_NORM_EPSILON, LEARNING_RATE, LSTM_LEARNING_RATE, MOMENTUM

Jit = Callable[..., Any]
Tensor = torch.Tensor

suite = Suite({})
compiled = torch.compile
device = "cpu"
"""Where the next programs compute."""


def tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).to(device)


def array(value: Tensor) -> np.ndarray:
    return value.detach().cpu().numpy()


def leaves(*arrays: np.ndarray) -> list[Tensor]:
    return [tensor(array.copy()).requires_grad_() for array in arrays]


def forward(function: Callable[..., Any], jit: Jit, *args: Any) -> Program:
    function = jit(function)

    def call(*args: Any) -> Any:
        with torch.inference_mode():
            return function(*args)

    return pure(call, *args, to_numpy=array)


def forward_backward(
    function: Callable[..., Tensor], jit: Jit, inputs: list[Tensor], ct: Tensor
) -> Program:
    function = jit(function)

    def call() -> list[Tensor]:
        for x in inputs:
            x.grad = None
        y = function(*inputs)
        y.backward(ct)
        return [y, *(x.grad for x in inputs if x.grad is not None)]

    return pure(call, to_numpy=array)


@suite("small_1")
def small_1(d: Inputs, jit: Jit) -> Program:
    return pure(jit(lambda x: x * 2 + 1), tensor(d.xs[0]), to_numpy=array)


@suite("small_50")
def small_50(d: Inputs, jit: Jit) -> Program:
    return pure(jit(sum_of_lines), *map(tensor, d.xs), to_numpy=array)


@suite("chain_1e3", "chain_1e5", "chain_1e7")
def chain(d: Inputs, jit: Jit) -> Program:
    def chain(x: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return F.gelu(a * x + b, approximate="tanh") + torch.tanh(c) * torch.exp(-x * x)

    return forward(chain, jit, *map(tensor, (d.x, d.a, d.b, d.c)))


def softmax(x: Tensor) -> Tensor:
    return torch.softmax(x, -1)


@suite("softmax_f")
def softmax_forward(d: Inputs, jit: Jit) -> Program:
    return forward(softmax, jit, tensor(d.x))


@suite("softmax_fb")
def softmax_forward_backward(d: Inputs, jit: Jit) -> Program:
    return forward_backward(softmax, jit, leaves(d.x), tensor(d.ct))


@suite("attention_f")
def attention_forward(d: Inputs, jit: Jit) -> Program:
    return forward(F.scaled_dot_product_attention, jit, *map(tensor, (d.q, d.k, d.v)))


@suite("attention_fb")
def attention_forward_backward(d: Inputs, jit: Jit) -> Program:
    inputs = leaves(d.q, d.k, d.v)
    return forward_backward(F.scaled_dot_product_attention, jit, inputs, tensor(d.ct))


def lngelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    h = F.layer_norm(x, x.shape[-1:], weight, bias, LAYER_NORM_EPSILON)
    return x + F.gelu(h, approximate="tanh")


@suite("lngelu_f")
def lngelu_forward(d: Inputs, jit: Jit) -> Program:
    return forward(lngelu, jit, *map(tensor, (d.x, d.weight, d.bias)))


@suite("lngelu_fb")
def lngelu_forward_backward(d: Inputs, jit: Jit) -> Program:
    return forward_backward(lngelu, jit, leaves(d.x, d.weight, d.bias), tensor(d.ct))


@suite("adam")
def adam(d: Inputs, jit: Jit) -> Program:
    parameters = leaves(*d.parameters)
    for p, g in zip(parameters, d.gradients, strict=True):
        p.grad = tensor(g)
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE)

    def results() -> list[np.ndarray]:
        moments = [optimizer.state[p][key] for key in ("exp_avg", "exp_avg_sq") for p in parameters]
        return [array(value) for value in [*parameters, *moments]]

    return Program(jit(optimizer.step), results)


def train(
    d: Inputs, jit: Jit, loss_of: Callable[..., Tensor], parameters: list[Tensor], *args: Tensor
) -> Program:
    """By Adam, fused; weights lie as in torch.nn.Linear."""
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)

    def state() -> list[Any]:
        means = [array(optimizer.state[p]["exp_avg"]).T for p in parameters]
        return [*means, *(array(p).T for p in parameters if p.ndim == 2)]

    return trained_by(optimizer, jit, loss_of, args, state)


def trained_by(
    optimizer: torch.optim.Optimizer,
    jit: Jit,
    loss_of: Callable[..., Tensor],
    args: Sequence[Tensor],
    state: Callable[[], list[Any]],
) -> Program:
    """The loss compiled, backward and the optimizer called by the user."""
    loss_of = jit(loss_of)
    last = 0.0

    def step() -> None:
        nonlocal last
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(*args)
        loss.backward()
        optimizer.step()
        last = loss.item()

    return Program(step, lambda: [last, *state()])


def transposed(parameters: list[np.ndarray]) -> list[Tensor]:
    """Matrices as in torch.nn.Linear."""
    return leaves(*(np.ascontiguousarray(p.T) if p.ndim == 2 else p for p in parameters))


@suite("mlp_128", "mlp_8")
def mlp(d: Inputs, jit: Jit) -> Program:
    parameters = transposed(d.parameters)
    w1, b1, w2, b2, w3, b3 = parameters

    def loss(x: Tensor, y: Tensor) -> Tensor:
        h = F.relu(F.linear(x, w1, b1))
        h = F.relu(F.linear(h, w2, b2))
        return F.cross_entropy(F.linear(h, w3, b3), y)

    return train(d, jit, loss, parameters, tensor(d.x), tensor(d.y))


@suite("cnn")
def cnn(d: Inputs, jit: Jit) -> Program:
    parameters = transposed(d.parameters)
    k1, c1, k2, c2, w1, b1, w2, b2 = parameters
    optimizer = torch.optim.SGD(parameters, lr=LEARNING_RATE, momentum=MOMENTUM)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        h = F.relu(F.conv2d(x, k1, c1))
        h = F.max_pool2d(F.relu(F.conv2d(h, k2, c2)), 2)
        h = F.relu(F.linear(h.flatten(1), w1, b1))
        return F.cross_entropy(F.linear(h, w2, b2), y)

    def state() -> list[np.ndarray]:
        means = [array(optimizer.state[p]["momentum_buffer"]) for p in parameters]
        return [mean.T if mean.ndim == 2 else mean for mean in means]

    return trained_by(optimizer, jit, loss, (tensor(d.x), tensor(d.y)), state)


@suite("block")
def block(d: Inputs, jit: Jit) -> Program:
    parameters = transposed(d.parameters)
    g1, c1, w_qkv, b_qkv, w_out, b_out, g2, c2, w_up, b_up, w_down, b_down = parameters

    def loss(x: Tensor, target: Tensor) -> Tensor:
        batch, length, width = x.shape
        h = F.layer_norm(x, (width,), g1, c1, LAYER_NORM_EPSILON)
        qkv = F.linear(h, w_qkv, b_qkv).view(batch, length, 3, d.heads, width // d.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        x = x + F.linear(mixed, w_out, b_out)
        h = F.layer_norm(x, (width,), g2, c2, LAYER_NORM_EPSILON)
        h = F.gelu(F.linear(h, w_up, b_up), approximate="tanh")
        return F.mse_loss(x + F.linear(h, w_down, b_down), target)

    return train(d, jit, loss, parameters, tensor(d.x), tensor(d.target))


class NextWord(torch.nn.Module):
    def __init__(self, words: int, width: int, hidden: int) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(words, width)
        self.lstm = torch.nn.LSTM(width, hidden)
        self.out = torch.nn.Linear(hidden, words)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(self.table(x))
        return self.out(states)


@suite("lstm")
def lstm(d: Inputs, jit: Jit) -> Program:
    table, _, w_h, *_ = d.parameters
    model = NextWord(*table.shape, len(w_h)).to(device)
    start = [tensor(table), *(tensor(p.T) for p in d.parameters[1:])]
    model.load_state_dict(dict(zip(model.state_dict(), start, strict=True)))
    optimizer = torch.optim.SGD(model.parameters(), lr=LSTM_LEARNING_RATE)
    forward, x, y = jit(model), tensor(d.x), tensor(d.y)
    last = 0.0

    def step() -> None:
        nonlocal last
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(forward(x).flatten(0, 1), y.flatten())
        loss.backward()
        optimizer.step()
        last = loss.item()

    def results() -> list[Any]:
        table, *others = map(array, model.parameters())
        return [last, *differences([table, *(p.T for p in others)], d.parameters)]

    return Program(step, results)


@suite("black_scholes")
def black_scholes(d: Inputs, jit: Jit) -> Program:
    def price(spot: Tensor, strike: Tensor, years: Tensor) -> tuple[Tensor, Tensor]:
        spread = d.volatility * torch.sqrt(years)
        drift = (d.rate + 0.5 * d.volatility * d.volatility) * years
        d1 = (torch.log(spot / strike) + drift) / spread
        discounted = strike * torch.exp(-d.rate * years)
        n1 = 0.5 + 0.5 * torch.erf(d1 * 0.5**0.5)
        n2 = 0.5 + 0.5 * torch.erf((d1 - spread) * 0.5**0.5)
        call = spot * n1 - discounted * n2
        return call, call - spot + discounted

    return forward(price, jit, *map(tensor, (d.spot, d.strike, d.years)))


@suite("jacobi")
def jacobi(d: Inputs, jit: Jit) -> Program:
    a, b = tensor(d.a.copy()), tensor(d.b.copy())

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
        zr = zi = torch.zeros_like(cr)
        n = torch.zeros_like(cr, dtype=torch.int32)
        for _ in range(d.steps):
            inside = zr * zr + zi * zi < 4
            n = n + inside
            zr, zi = (
                torch.where(inside, zr * zr - zi * zi + cr, zr),
                torch.where(inside, 2 * zr * zi + ci, zi),
            )
        return n

    return forward(escape_times, jit, tensor(d.real), tensor(d.imaginary))


@suite("kmeans")
def kmeans(d: Inputs, jit: Jit) -> Program:
    def centres_of(points: Tensor, centres: Tensor) -> Tensor:
        nearest = ((centres * centres).sum(1) - 2 * points @ centres.T).argmin(1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        counts = torch.zeros_like(centres[:, 0]).index_add_(
            0, nearest, torch.ones_like(points[:, 0])
        )
        return sums / counts[:, None]

    return forward(centres_of, jit, tensor(d.points), tensor(d.centres))


@suite("pairwise")
def pairwise(d: Inputs, jit: Jit) -> Program:
    def potentials(points: Tensor) -> Tensor:
        squares = ((points[:, None] - points[None]) ** 2).sum(-1)
        return torch.exp(-torch.sqrt(squares)).sum(1)

    return forward(potentials, jit, tensor(d.points))


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
        with torch.inference_mode():
            x, r, p, rr = torch.zeros_like(b), b.clone(), b.clone(), b @ b
            while rr.sqrt().item() > d.tolerance:
                x, r, p, rr = iteration(a, x, r, p, rr)
            return x

    return pure(solve, tensor(d.a), tensor(d.b), to_numpy=array)
