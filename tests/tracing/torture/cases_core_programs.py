"""Ways that calls keep going as one program: what is read before it is written, and what is written twice."""

from __future__ import annotations

import numpy as np

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, matrix, values, vector


class Box:
    """State of a few attributes."""

    def __init__(self, **names):
        self.__dict__.update(names)


MANY = [0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 0.5, 3.0, 0.25, 0.0, -9.0, 1.0, 2.0]
"""The way of those above -3 is gone again and again."""


@case
def number_of_memory_that_is_written_later(compile):
    count = tj.tensor(0.0)

    @compile
    def f(x):
        before = count.item()
        count.add_(1.0)
        y = x * 2
        if y.sum() > -20:
            y = y + before
        return y, before, count * 2

    for k in MANY:
        yield f(vector() + k), count


@case
def number_of_a_value_that_is_written_later(compile):
    @compile
    def f(x):
        t = x.sum()
        before = t.item()
        t.add_(1.0)
        after = t.item()
        if t > -20:
            t = t + 1
        return t, before, after

    for k in MANY:
        yield f(vector() + k)


@case
def index_that_is_written_before_it_is_used(compile):
    table = tj.arange(4) * 1.5

    @compile
    def f(x, step):
        at = tj.tensor([0, 1])
        if x.sum() > -20:
            x = x + 1
        at.add_(step)
        if x.max() > -20:
            x = x * 2
        return x, tj.take(table, at, axis=0)

    for k in MANY:
        yield attempt(f, vector() + k, tj.tensor([0, 1]))
    yield attempt(f, vector(), tj.tensor([0, 2]))
    yield attempt(f, vector(), tj.tensor([0, 3]))
    yield attempt(f, vector(), tj.tensor([9, 1]))


@case
def one_value_in_two_places(compile):
    kept = vector()

    @compile
    def f(x):
        y = x * 2
        if y.sum() > -20:
            y = y + 1
        kept.copy_(y)
        return y

    for k in MANY:
        y = f(vector() + k)
        yield y, kept
        y.add_(100)
        yield y, kept
        kept.sub_(50)
        yield y, kept


@case
def one_value_in_three_places(compile):
    kept, other = vector(), vector() + 1

    @compile
    def f(x):
        y = x * 2
        if y.sum() > -20:
            other.copy_(kept)
        kept.copy_(x)
        return y, other, kept.copy()

    for k in MANY:
        x = vector() + k
        y, a, b = f(x)
        yield y, a, b, kept, x
        a.add_(100)
        b.add_(10)
        yield y, a, b, kept, x


@case
def memory_that_is_swapped(compile):
    a, b = vector(), vector() * 2

    @compile
    def f(x):
        kept = a * 1
        a.copy_(b)
        if (a + x).sum() > -20:
            b.copy_(kept)
        return a + b

    for k in MANY:
        yield f(vector() + k), a, b
        a.add_(k)
        yield a, b


@case
def memory_of_a_strided_array(compile):
    array = np.arange(8, dtype="f4")
    w = tj.asarray(array[::2], copy=False)

    @compile
    def f(x):
        y = x * 2
        if y.sum() > -20:
            y = y + 1
        w.add_(y[0])
        return y

    for k in MANY:
        yield f(vector() + k), w, values(array)


@case
def memory_of_a_reversed_array(compile):
    array = np.arange(4, dtype="f4")
    w = tj.asarray(array[::-1], copy=False)

    @compile
    def f(x):
        y = x * 2
        if y.sum() > -20:
            y = y + 1
        w.mul_(y.mean() + 1)
        return y

    for k in MANY:
        yield f(vector() + k), w, values(array)


@case
def memory_of_a_transposed_array(compile):
    array = np.arange(6, dtype="f4").reshape(2, 3)
    w = tj.asarray(array.T, copy=False)

    @compile
    def f(x):
        y = x * 2
        if y.sum() > -20:
            y = y + 1
        w.copy_(w * 0.5 + tj.arange(6).reshape(3, 2) + y[0])
        return y

    for k in MANY:
        yield f(vector() + k), w, values(array)


@case
def memory_that_numpy_holds(compile):
    w = vector()
    seen = w.numpy()

    @compile
    def f(x):
        w.add_(x)
        y = x * 2 if w.sum() > -100 else x
        w.mul_(0.5)
        return y

    for k in MANY:
        yield f(vector() + k), w, values(seen)
        seen[0] += 1


@case
def memory_that_numpy_holds_in_part(compile):
    w = matrix()
    seen = w[0].numpy()

    @compile
    def f(x):
        w.T.add_(x)
        y = x * 2 if w.sum() > -100 else x
        w[:, 0].mul_(0.5)
        return y, w[0]

    for k in MANY:
        yield f(matrix() + k), w, values(seen)
        seen[1] += 1


@case
def views_of_memory_on_both_sides_of_a_decision(compile):
    w = matrix()
    row, column = w[0], w[:, 1]

    @compile
    def f(x):
        row.add_(x[0])
        if column.sum() > -100:
            column.mul_(0.5)
        return w * 1, row, column

    for k in MANY:
        yield f(matrix() + k), w, row, column


@case
def same_memory_by_two_arguments(compile):
    @compile
    def f(a, b):
        a.add_(1)
        if a.sum() > -100:
            b.mul_(0.5)
        return a + b

    a, b = vector(), vector()
    for _ in range(8):
        yield f(a, b), a, b
    for _ in range(8):
        yield f(a, a), a
    view = a[:]
    for _ in range(8):
        yield f(a, view), a, view
    for _ in range(8):
        yield f(a[:2], a[1:]), a
    yield f(a, b), a, b


@case
def writes_before_between_and_after_decisions(compile):
    w, v = vector(), vector() * 3

    @compile
    def f(x):
        w.add_(x)
        v.sub_(w)
        if w.sum() > -100:
            w.mul_(0.5)
        v.add_(w)
        if v.max() > -100:
            w.add_(v)
        v.mul_(0.25)
        return w - v

    for k in MANY:
        yield f(vector() + k), w, v


@case
def miss_after_partial_work(compile):
    w = vector()
    log = []

    @compile
    def f(x):
        w.add_(x)
        log.append(1.0)
        if w.sum() > 60:
            w.copy_(x * 0)
            log.append("full")
        tj.random.uniform((2,))
        if w.max() > 30:
            raise ValueError("too large")
        return w * 2

    for k in [1.0] * 8 + [40.0, 1.0, 1.0, 60.0, 1.0, 1.0, 1.0, 1.0, 28.0, 2.0]:
        yield attempt(f, vector() + k), w, log


@case
def draws_on_both_sides_of_a_decision(compile):
    g = tj.random.Generator(3)

    @compile
    def f(x):
        noise = g.uniform((3,))
        y = x + noise
        if y.sum() > -20:
            y = y * tj.random.normal((3,))
        return y + g.uniform((3,))

    for k in MANY:
        yield f(vector() + k), g.state


@case
def seed_inside_on_one_side(compile):
    g = tj.random.Generator(3)

    @compile
    def f(x):
        y = x + g.uniform((3,))
        if y.sum() > 1:
            g.seed(7)
        return y + g.uniform((3,))

    for k in MANY:
        yield f(vector() + k), g.state


@case
def gradients_on_both_sides_of_a_decision(compile):
    w = vector().requires_grad_()

    @compile
    def f(x):
        loss = (w * x).sum()
        loss.backward()
        if loss > -100:
            loss = (w * w * x).sum()
            loss.backward()
        return loss

    for at, k in enumerate(MANY):
        yield f(vector() + k), w, w.grad
        if at % 3 == 2:
            w.grad = None
        if at % 5 == 4:
            kept = w.grad
            yield f(vector() + k), kept


@case
def update_after_a_decision_on_a_gradient(compile):
    w = vector().requires_grad_()

    @compile
    def f(x):
        w.grad = None
        loss = (w * w * x).sum()
        loss.backward()
        if w.grad.abs().max() > -1:
            with tj.no_grad():
                w.sub_(0.1 * w.grad)
        return loss, w.grad

    for k in MANY:
        loss, grad = f(vector() + k)
        yield loss, grad, w, w.grad is grad
        grad.add_(1)
        yield w, w.grad


@case
def graph_of_memory_that_a_decision_splits(compile):
    w = vector().requires_grad_()

    @compile
    def f(x):
        y = w * x
        if y.sum() > -100:
            y = y * w
        return y

    for k in MANY:
        y = f(vector() + k)
        y.sum().backward()
        yield y, w, w.grad


@case
def graph_that_is_kept_over_a_write(compile):
    w = vector().requires_grad_()
    h = vector()

    @compile
    def f(x):
        h.copy_(x)
        y = w * h
        if y.sum() > -100:
            y = y + 1
        return y

    kept = []
    for k in MANY:
        y = f(vector() + k)
        kept.append(y)
        yield attempt(y.sum().backward), w.grad
    yield [attempt(y.sum().backward) for y in kept[:3]], w.grad


@case
def arrays_on_both_sides_of_a_decision(compile):
    total = np.zeros(3, "f4")

    @compile
    def f(x, total):
        total += x
        if total.sum() > -100:
            total *= 0.5
        return total + x

    for k in MANY:
        yield f(np.ones(3, "f4") * k, total), total


@case
def write_of_an_array_after_the_last_decision(compile):
    total = np.zeros(6, "f4")[::2]

    @compile
    def f(x, total):
        y = x * 2
        if y.sum() > -100:
            y = y + 1
        total += y
        return y

    for k in MANY:
        yield f(np.ones(3, "f4") * k, total), total


@case
def view_of_written_memory_is_returned(compile):
    w = matrix()

    @compile
    def f(x):
        w.add_(x)
        part = w[1]
        if part.sum() > -100:
            w.mul_(0.5)
        return part, w.T, w.reshape(-1)[1:]

    for k in MANY:
        a, b, c = f(matrix() + k)
        yield a, b, c, w
        a.add_(1)
        c.mul_(2)
        yield a, b, c, w


@case
def number_of_a_counter_too_large_for_a_tensor(compile):
    state = Box(n=1)
    w = vector()

    @compile
    def f(x):
        w.add_(x * state.n)
        return w * 1

    for n in [1, 2, 3, 4, 5, 2**53 + 1, 2**70, 10**400, 3]:
        state.n = n
        yield attempt(f, vector()), w


@case
def float_of_a_schedule_too_large_for_a_tensor(compile):
    w = vector()

    @compile
    def f(x, rate):
        w.add_(x * rate)
        return w * 1

    for rate in [1.0, 2.0, 3.0, 1e39, float("inf"), float("nan"), -0.0, 1e-46, 1e300, 2.0]:
        yield attempt(f, vector(), rate), w
        w.copy_(vector())


@case
def decision_by_a_signed_zero(compile):
    @compile
    def f(x):
        value = x.sum().item()
        if value == 0:
            return x, f"{value}", 1.0 if str(value) == "0.0" else -1.0
        return x * value, "", 0.0

    for start in [0.0, 0.0, -0.0, 0.0, -0.0, 1.0, 0.0, -0.0, float("nan"), float("nan")] * 2:
        yield f(tj.tensor([start]))


@case
def branch_on_the_bits_of_a_number(compile):
    @compile
    def f(x):
        n = int(x.sum())
        return [x * k for k in range(n)], n

    for k in [0.0, 0.0, 1.0, 0.5, 1.0, 0.0, 2.0, 0.0] * 2:
        yield f(tj.tensor([1.0, k]))


@case
def flag_that_is_an_outside_tensor(compile):
    flag = tj.tensor(True)
    w = vector()

    @compile
    def f(x):
        w.add_(x)
        if flag:
            w.mul_(0.5)
        flag.copy_(w.sum() > 0)
        return w * 2, flag

    for k in MANY:
        yield f(vector() + k), w, flag


@case
def count_that_is_an_outside_tensor(compile):
    count = tj.tensor(0)

    @compile
    def f(x):
        count.add_(1)
        n = count.item()
        if n % 3 == 0:
            x = x * 2
        return x, n

    for k in MANY:
        yield f(vector() + k), count
