"""Sizes that change from call to call, and what a function may make of them."""

from __future__ import annotations

import numpy as np

import tracejit as tj
from tests.tracing.torture.harness import attempt, case
from tracejit import nn, optim
from tracejit.nn import functional as F


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


def rows(count, width=3):
    return tj.tensor((np.arange(count * width) % 7 - 3).reshape(count, width).astype(np.float32))


SIZES = [4, 5, 6, 1, 7, 0, 2, 8, 5]


@case
def size_that_broadcasts(compile):
    other = rows(5)

    @compile
    def f(x):
        return x + other

    for size in [5, 1, 5, 1, 1, 4, 5]:
        yield attempt(f, rows(size))
    for size in [2, 5, 3, 5]:
        yield attempt(f, rows(size))


@case
def sizes_that_happen_to_be_equal(compile):
    @compile
    def f(x, y):
        return x.shape == y.shape, x.shape[0] - y.shape[0], x @ y.T

    for n, m in [(2, 2), (3, 3), (4, 5), (6, 6), (5, 4), (7, 7)]:
        yield f(rows(n), rows(m))


@case
def size_decides_in_many_ways(compile):
    @compile
    def f(x):
        n = x.shape[0]
        if n > 6:
            return x[:6].sum()
        if n % 2:
            return x * n
        return {n: "even", "half": n // 2, "name": f"{n} rows"}

    for size in SIZES:
        yield f(rows(size))


@case
def size_kept_in_state(compile):
    state = Box(largest=0, seen=[], total=0)

    @compile
    def f(x):
        n = len(x)
        state.largest = max(state.largest, n)
        state.seen.append(n)
        state.total += x.size
        return n

    for size in SIZES:
        yield f(rows(size)), state


@case
def results_kept_by_size(compile):
    kept = {}

    @compile
    def f(x):
        kept[x.shape[0]] = x.sum()
        return len(kept)

    for size in [*SIZES, *SIZES, *SIZES]:
        yield f(rows(size)), kept


@case
def shape_kept_and_compared_later(compile):
    state = Box(shape=None)

    @compile
    def f(x):
        same = x.shape == state.shape
        state.shape = x.shape
        return same, x * 2

    for size in [3, 3, 4, 4, 4, 5, 3, 3]:
        yield f(rows(size)), state


@case
def part_of_any_size_kept_in_state(compile):
    state = Box(last=None, part=None, product=None)

    @compile
    def f(x):
        state.last = x
        state.part = x[1:]
        state.product = x * 2
        return state.product.sum()

    for size in [3, 4, 5, 6]:
        x = rows(size)
        yield f(x), state, state.last is x, state.part.base is x
        x[1] = 9.0
        yield state


@case
def memory_written_at_any_size(compile):
    @compile
    def f(x, y):
        x[: len(y)] += y
        x[-1] = 0
        return x

    for n, m in [(4, 2), (5, 2), (6, 3), (6, 6), (3, 1), (2, 2), (3, 5)]:
        x = rows(n)
        yield attempt(f, x, rows(m)), x
    x = rows(6)
    yield attempt(f, x, x[2:]), x


@case
def gradients_at_any_size(compile):
    weight = rows(3).requires_grad_()

    @compile
    def f(x):
        return ((x @ weight) ** 2).mean() + x.shape[0]

    for size in [2, 3, 4, 5, 5, 2, 1]:
        out = f(rows(size))
        out.backward()
        yield out, weight.grad


@case
def error_at_any_size(compile):
    @compile
    def f(x, index):
        try:
            return x[index] + x.reshape(2, -1).sum()
        except (IndexError, ValueError) as error:
            return type(error).__name__

    for size, index in [(2, 0), (4, 3), (6, 3), (6, 5), (6, 6), (8, 7), (5, 2), (10, 12)]:
        yield f(rows(size), index)


@case
def loops_over_any_size(compile):
    @compile
    def f(x):
        total = x.sum()
        while total < 40:
            total = total + x.shape[0]
        for k in range(3):
            x = x * k + len(x)
        return total, x

    for size in [2, 3, 4, 5, 6, 7]:
        yield f(rows(size))


@case
def loop_as_often_as_the_size_says(compile):
    @compile
    def f(x):
        y = x
        for k in range(x.shape[0]):
            y = y * 0.5 + k
        return y

    for size in SIZES:
        yield f(rows(size))


@case
def generator_drawn_from_at_any_size(compile):
    generator = tj.random.Generator(3)

    @compile
    def f(x):
        return x + generator.normal(x.shape), generator.random((len(x),))

    for size in [2, 3, 4, 5, 3]:
        yield f(rows(size)), generator.state


@case
def arrays_at_any_size(compile):
    kept = []

    @compile
    def f(a):
        kept.append(a)
        a *= 2
        out = np.zeros_like(a)
        out += a
        return out, a.T, a[:, 0] / a.shape[0], a.nbytes, np.arange(len(a)), out.sum(axis=0)

    for size in [2, 3, 4, 5, 1, 0, 3]:
        a = rows(size).numpy().copy()
        yield attempt(f, a), a, kept[-1] is a


@case
def arrays_of_two_open_sizes(compile):
    @compile
    def f(a, b):
        return a[:, None] * b, (a.sum() + b.sum()) / (a.size * b.size), np.concatenate([a, b])

    for n, m in [(2, 3), (3, 4), (5, 5), (6, 2), (2, 6), (4, 4)]:
        yield f(np.arange(float(n)), np.arange(float(m)))


@case
def model_called_with_one_row_and_with_many(compile):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    for parameter in model.parameters():
        parameter.detach().fill_(0.25)
    optimizer = optim.AdamW(model.parameters(), lr=0.1)

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    for size in [4, 6, 3, 1, 5, 8, 2]:
        labels = tj.tensor(np.arange(size) % 2)
        yield attempt(step, rows(size), labels), list(model.parameters())
    model.eval()
    for size in [4, 6, 3, 1, 5]:
        yield step(rows(size), tj.tensor(np.arange(size) % 2))


@case
def dtype_and_rank_change_with_the_size(compile):
    @compile
    def f(x):
        return (x * 2).sum(axis=0)

    for size in [2, 3, 4, 5]:
        yield f(rows(size))
        yield f(rows(size).astype(tj.float64))
        yield f(rows(size)[0])
        yield f(rows(size).T)
        yield f(rows(size).numpy())


@case
def leaf_of_any_size(compile):
    @compile
    def f(x):
        return (x * x).sum()

    for size in [2, 3, 4, 5, 3, 4]:
        x = rows(size).requires_grad_()
        out = f(x)
        out.backward()
        yield out, x.grad


@case
def closure_and_object_over_any_size(compile):
    @compile
    def f(x):
        n = x.shape[0]

        def scaled(y):
            return y * n + x.shape[1]

        return Box(function=scaled, rows=n, first=x[0], shape=x.shape), scaled(x)

    for size in [2, 3, 4, 5]:
        made, value = f(rows(size))
        yield made.rows, made.shape, made.first, made.function(rows(2)), value


@case
def last_row_of_any_size_before_a_decision(compile):
    state = Box(rows=rows(4), total=tj.zeros(3))

    @compile
    def f():
        last = state.rows[-1]
        if (last * 2).sum() > -100:
            state.total.add_(last)
        return last.sum()

    for size in [4, 5, 6, 7, 8, 9, 10, 11, 12, 4]:
        state.rows = rows(size)
        yield f(), state.total


@case
def arrays_made_beside_one_of_any_size(compile):
    @compile
    def f(a, n):
        return np.arange(n), np.zeros((n, 2)), np.ones(len(a)), np.arange(a.shape[0], n), np.eye(n)

    for size, n in [(2, 3), (3, 3), (3, 3), (4, 5), (5, 7), (4, 5), (6, 3), (3, 3)]:
        yield f(np.arange(float(size)), n)
