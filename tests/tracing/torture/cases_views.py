"""Parts of a larger tensor as arguments: batches, which begin at another place in each call."""

from __future__ import annotations

import numpy as np

import tracejit as tj
from tests.tracing.torture.harness import attempt, case
from tracejit import nn, optim
from tracejit.nn import functional as F


def rows(count: int = 12) -> tj.Tensor:
    return tj.tensor((np.arange(3 * count) % 7 - 3).reshape(count, 3).astype(np.float32))


@case
def batches_are_parts_of_one_tensor(compile):
    data = rows()

    @compile
    def f(x):
        return tj.tanh(x).sum()

    for begin in [0, 2, 4, 6, 8, 10, 0]:
        yield f(data[begin : begin + 2])


@case
def training_on_parts_of_one_tensor(compile):
    data, labels = rows(), tj.tensor(np.arange(12) % 3)
    model = nn.Linear(3, 3)
    for parameter in model.parameters():
        parameter.detach().fill_(0.5)
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    @compile
    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(2):
        for begin in range(0, 12, 4):
            yield step(data[begin : begin + 4], labels[begin : begin + 4]), list(model.parameters())


@case
def bad_label_in_a_part(compile):
    data, labels = rows(), tj.tensor([0, 1, 2, 0, 1, 2, 0, 1, 3, 0, 1, 2])

    @compile
    def f(x, y):
        return F.cross_entropy(x, y)

    for begin in range(0, 12, 2):
        yield attempt(f, data[begin : begin + 2], labels[begin : begin + 2])


@case
def item_of_a_part(compile):
    data = rows()

    @compile
    def f(x):
        return x[1].item() * 2, x.tolist()

    for place in [0, 1, 2, 3, 4]:
        yield f(data[place])


@case
def decision_on_a_part(compile):
    data = rows()

    @compile
    def f(x):
        return x * 2 if x.sum() > 0 else x - 1

    for place in [0, 1, 2, 3, 4, 5, 6]:
        yield f(data[place])


@case
def part_is_returned(compile):
    data = rows()

    @compile
    def f(x):
        return x, x[1:], x.T

    for begin in [0, 2, 4, 4, 2]:
        whole, tail, turned = f(data[begin : begin + 3])
        turned[0, 0] = 100 + begin
        tail.add_(1)
        yield whole, tail, data, turned.base is whole


@case
def part_is_written(compile):
    data = rows()

    @compile
    def f(x):
        total = x.sum()
        x.add_(1)
        return total + x.sum()

    for begin in [0, 2, 4, 4, 2, 8]:
        yield f(data[begin : begin + 3]), data


@case
def part_is_written_in_a_loop(compile):
    data = rows()

    @compile
    def f(x, count):
        for _ in range(count):
            x.add_(x.sum())
        return x * 2

    for begin, count in [(0, 1), (2, 2), (4, 3), (4, 2), (2, 2), (2, 4), (2, 4)]:
        yield f(data[begin : begin + 3], count), data


@case
def part_is_written_after_a_loop_has_read_it(compile):
    data = rows()

    @compile
    def f(x):
        total = x.sum()
        while total < 10:
            total = total + x.abs().sum() + 1
        x.add_(total)
        return total

    for begin in [0, 2, 4, 4, 2, 2, 0]:
        yield f(data[begin : begin + 3]), data


@case
def part_and_its_base(compile):
    data = rows()

    @compile
    def f(x, base):
        before = x * 2
        base.add_(1)
        return before + x, x.sum()

    for begin in [0, 2, 4, 4, 2, 8]:
        yield f(data[begin : begin + 3], data), data


@case
def part_written_before_another_is_read(compile):
    state = {"data": rows()}

    @compile
    def f(x, begin):
        state["data"][0].mul_(2)
        return x + state["data"][begin]

    for place in [0, 1, 0, 1, 2, 3]:
        yield f(state["data"][place], 1), state


@case
def two_parts_that_overlap(compile):
    data = rows()

    @compile
    def f(x, y):
        x.add_(1)
        return y * 2

    for first, second in [(0, 6), (0, 6), (2, 8), (2, 3), (2, 3), (3, 2), (0, 0)]:
        yield f(data[first : first + 2], data[second : second + 2]), data


@case
def parts_of_parts(compile):
    data = rows()

    @compile
    def f(x):
        return x[0] + x[-1], x.T.sum(axis=0), x[::-1] * 2

    for begin in [0, 2, 4]:
        yield f(data[begin : begin + 6][1:5])
    yield f(data[::-1][2:6])
    yield f(data[::-1][1:5])
    yield f(data[::2][1:5])
    yield f(data.T[:, 2:6].T)


@case
def part_of_a_tensor_in_state(compile):
    class Loader:
        pass

    loader = Loader()
    loader.data = rows()
    loader.batch = loader.data[:2]

    @compile
    def f():
        return loader.batch * 3

    for begin in [0, 0, 2, 4, 6]:
        loader.batch = loader.data[begin : begin + 2]
        yield f()
    loader.batch = rows()[:2]
    yield f()
    loader.batch = rows(2)
    yield f()


@case
def part_of_what_requires_grad(compile):
    data = rows()

    @compile
    def f(x):
        return (x * 2).sum()

    yield f(data[0])
    yield f(data[1])
    data.requires_grad_()
    for place in [1, 2, 3]:
        out = f(data[place])
        out.backward()
        yield out, data.grad


@case
def what_is_saved_of_a_part(compile):
    data = rows()
    weight = tj.tensor([1.0, 2.0, 3.0], requires_grad=True)

    @compile
    def f(x):
        return (x * weight).sum()

    for place in [0, 1, 2, 3, 3]:
        out = f(data[place])
        out.backward()
        yield out, weight.grad


@case
def part_and_the_same_part_detached(compile):
    data = rows()

    @compile
    def f(x, y):
        return x * 2, y * 3

    for begin in [0, 2]:
        part = data[begin : begin + 2]
        yield f(part, part.detach())
    for first, second in [(0, 2), (4, 2), (2, 2)]:
        yield f(data[first : first + 2], data[second : second + 2])
    for begin in [0, 2]:
        yield f(tj.stop_gradient(data)[begin:4], tj.stop_gradient(data[begin:4]))


@case
def part_and_a_part_of_the_base(compile):
    data = rows()

    @compile
    def f(x, base):
        return x * 2, base[:2] * 3, x.detach() + base.detach()[2:4]

    for begin in [0, 2, 4, 2]:
        yield f(data[begin : begin + 2], data)
