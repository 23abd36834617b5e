"""`for k in range(...)`: how often it goes round depends on data or on numbers; what `k` is meanwhile, and afterwards."""

# ruff: noqa: B007, B023  # loop variables that are used after, set in, and captured in their loops

from __future__ import annotations

import builtins
import inspect
import sys
from enum import IntEnum

import numpy as np

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, vector


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


COUNTS = (3, 5, 5, 4, 0, 9, 7, 1, 12, 2, 0, 6)


@case
def counted_until_it_is_small(compile):
    @compile
    def f(x, least):
        for k in range(90):
            x = x * 0.5
            if x.abs().max() < least:
                break
        else:
            k = -1
        return x, k

    for least in (0.1, 0.01, 1.0, 0.5, 1e-9, 0.0, 1e-3, 0.2, 0.02):
        yield f(vector(), least)


@case
def counted_by_a_number_that_changes(compile):
    @compile
    def f(x, n):
        total = 0
        for k in range(n):
            x = x * 0.5 + k
            total += k
        return x, total

    for n in COUNTS:
        yield f(vector(), n)


@case
def counted_from_to_and_by(compile):
    @compile
    def f(x, start, stop, step):
        for k in range(start, stop, step):
            x = x + k
        return x, k

    for bounds in (
        (0, 3, 1), (1, 5, 1), (1, 9, 2), (0, 9, 3), (5, 0, -1), (7, 1, -2), (3, 3, 1), (3, 0, 1), (0, 1, 0), (-5, -1, 2),
        (0, 4, 1),
    ):  # fmt: skip
        yield attempt(f, vector(), *bounds)


@case
def counted_variable_after_the_loop(compile):
    @compile
    def f(x, n):
        for k in range(n):
            x = x + 1
        return x, k

    @compile
    def g(x, n):
        k = 17
        for k in range(n):
            x = x + 1
        return x, k

    for n in COUNTS:
        yield attempt(f, vector(), n), g(vector(), n)


@case
def counted_variable_set_in_the_loop(compile):
    @compile
    def f(x, n, most):
        for k in range(n):
            k = k * k
            x = x + k
            if x.sum() > most:
                break
        return x, k

    for n, most in ((5, 9.0), (5, 30.0), (7, 1e9), (3, 0.0), (6, 80.0), (7, 1e9), (8, 1e9)):
        yield f(vector(), n, most)


@case
def counted_variable_captured_and_deleted(compile):
    @compile
    def f(x, n):
        kept = []
        for k in range(n):
            kept.append(lambda v: v * k)
            x = kept[0](x)
        return x, [g(1) for g in kept]

    @compile
    def g(x, n):
        for k in range(n):
            x = x + k
            del k
        return x

    for n in COUNTS:
        yield f(vector(), n), g(vector(), n)


@case
def counted_places_of_a_tensor(compile):
    @compile
    def f(x, most):
        total = x[0] * 0
        for k in range(len(x)):
            total = total + x[k]
            if total > most:
                break
        return total, k

    for most in (0.0, 2.0, 5.0, 100.0, 3.0, 9.0, 2.0):
        yield f(tj.arange(8.0), most)


@case
def counted_loops_in_loops(compile):
    @compile
    def f(x, n, m):
        seen = 0
        for i in range(n):
            for j in range(m):
                if j == i:
                    continue
                x = x * 0.75 + j
                seen += 1
                if x.sum() > 6:
                    break
            else:
                x = x - 0.5
            if x.min() < -3:
                return x, i, "low"
        return x, seen

    for n, m in ((2, 2), (3, 2), (3, 5), (5, 4), (1, 6), (0, 3), (4, 0), (6, 6), (5, 4)):
        yield f(vector(), n, m)


@case
def counted_loop_with_a_while_inside(compile):
    @compile
    def f(x, n):
        for k in range(n):
            while x.abs().max() > 1 + k:
                x = x * 0.5
            x = x + 2
        return x

    for n in COUNTS:
        yield f(vector() * n, n)


@case
def counted_with_else_and_its_own_jumps(compile):
    @compile
    def f(x, n):
        for i in range(n):
            for j in range(2):
                x = x + j
                if x.sum() > 10:
                    break
            else:
                continue
            break
        else:
            x = -x
        return x

    @compile
    def g(x, n):
        for i in range(n):
            for j in range(3):
                x = x + j
            else:
                if x.sum() > 12:
                    break
        return x, i

    for n in COUNTS:
        yield f(vector(), n), attempt(g, vector(), n)


@case
def counted_by_what_is_no_plain_number(compile):
    class Three(IntEnum):
        N = 3

    class Index:
        def __index__(self):
            return 2

    @compile
    def f(x, n):
        for k in range(n):
            x = x * 0.5
            if x.sum() > 100:
                break
        return x

    for n in (
        True,
        Three.N,
        np.int64(4),
        Index(),
        2.0,
        "2",
        None,
        tj.tensor(3),
        [1],
        3,
        4,
        -1,
        10**30 * 0,
    ):
        yield attempt(f, vector(), n)
    yield attempt(compile(lambda x: [x for _ in range()]), vector())


@case
def counted_by_another_range(compile):
    state = Box(calls=0)

    def backwards(n):
        state.calls += 1
        yield from reversed(list(builtins.range(n)))

    @compile
    def f(x, n, range=builtins.range):
        for k in range(n):
            x = x * 2 + k
        return x, k

    @compile
    def g(x, range):
        for k in range(3):
            x = x * 2 + k
            if x.sum() > 1e9:
                break
        return x

    for n in (3, 4, 3, 5, 6):
        yield f(vector(), n), f(vector(), n, backwards), state.calls
        yield g(vector(), builtins.range), g(vector(), backwards), state.calls


@case
def counted_with_state_in_the_loop(compile):
    state = Box(n=0, seen=[], w=tj.ones(3), v=tj.zeros(3))

    @compile
    def f(x, n, least):
        state.w.copy_(x)
        for k in range(n):
            state.w.mul_(0.5)
            state.v += state.w
            state.n += 1
            if state.w.abs().max() < least:
                state.seen.append(k)
                break
        return state.w * 2

    for n, least in zip(COUNTS, (0.1, 0.5, 0.01, 0.2, 1.0, 0.1) * 2):
        yield f(vector(), n, least), state


@case
def counted_with_memory_written_in_the_loop(compile):
    state = Box(w=tj.ones(3), v=tj.zeros(3))

    @compile
    def f(x, n, least):
        state.w.copy_(x)
        view = state.v[1:]
        for k in range(n):
            state.w.mul_(0.5)
            view.add_(state.w[1:])
            x[0] = x[0] - k
            if state.w.abs().max() < least:
                break
        return state.w * 2, x.sum()

    for n, least in zip(COUNTS * 2, (0.1, 0.5, 0.01, 0.2, 1.0, 0.1) * 4):
        x = vector()
        yield f(x, n, least), state, x
        if n == 9:
            state.v = state.w


@case
def counted_with_memory_met_in_the_loop(compile):
    rows = [tj.ones(3), tj.zeros(3), tj.tensor([2.0, 1.0, 0.0])]

    @compile
    def f(x, n, least):
        for k in range(n):
            row = rows[k % 3]
            row.add_(x)
            x = x * 0.5
            if x.abs().max() < least:
                break
        return x

    for n, least in zip(COUNTS, (0.1, 0.5, 0.01, 0.2, 1.0, 0.1) * 2):
        yield f(vector(), n, least), rows
        rows[0] = rows[1] if n == 4 else rows[0]


@case
def counted_with_exceptions_in_the_loop(compile):
    @compile
    def f(x, n, bad):
        log = []
        for k in range(n):
            try:
                if k == bad:
                    raise ValueError(k)
                if x.sum() > 20:
                    continue
                x = x + k
            except ValueError as error:
                log.append(str(error))
            finally:
                log.append(k)
            if k > 5:
                raise KeyError(k)
        return x, log

    for n, bad in ((3, 1), (4, 2), (5, 9), (6, 3), (9, 2), (9, 2), (5, 5), (3, 1)):
        yield attempt(f, vector(), n, bad)


@case
def counted_in_a_generator(compile):
    def steps(x, n):
        for k in range(n):
            x = x * 0.5
            if x.abs().max() < 0.1:
                return
            yield k, x

    @compile
    def f(x, n):
        return [(k, v + 1) for k, v in steps(x, n)]

    for n in COUNTS:
        yield f(vector(), n)


@case
def counted_by_a_number_from_data(compile):
    @compile
    def f(x, n):
        for k in range(int(n)):
            x = x * 0.5 + k
        for j in range(int(x.abs().max())):
            x = x - 0.25
        return x, int(n)

    for n in COUNTS:
        yield f(vector(), tj.tensor(n))


@case
def counted_training_steps(compile):
    w = tj.tensor([1.0, -2.0, 0.5], requires_grad=True)

    @compile
    def f(x, n, enough):
        for k in range(n):
            loss = ((w * x).sum() - 1) ** 2
            loss.backward()
            with tj.no_grad():
                w.sub_(w.grad * 0.01)
            w.grad = None
            if loss < enough:
                break
        return loss.detach(), k

    for n, enough in (
        (2, 0.1),
        (3, 0.1),
        (4, 1e-3),
        (9, 1e-3),
        (5, 10.0),
        (9, 0.0),
        (9, 0.0),
        (9, 0.0),
    ):
        yield f(vector(), n, enough), w


@case
def counted_names_that_come_and_go(compile):
    @compile
    def f(x, n):
        for k in range(n):
            if k == 1:
                late = x * 3
            elif k > 1:
                x = late + k
                late = x * 0.1
            x = x + 1
            if x.sum() > 50:
                break
        return (x, late) if n > 1 else x

    for n in COUNTS:
        yield attempt(f, vector(), n)


@case
def counted_far(compile):
    @compile
    def f(x, n, least):
        for k in range(n):
            x = x * 0.99
            if x.abs().max() < least:
                break
        return x, k

    for n, least in (
        (600, 1e-9),
        (700, 1e-9),
        (800, 0.1),
        (650, 1e-9),
        (10**40, 0.5),
        (10**40, 0.25),
    ):
        yield f(vector(), n, least)


@case
def counted_far_with_places(compile):
    @compile
    def f(x, n):
        total = x[0] * 0
        for k in range(n):
            total = total + x[k % 3]
        return total

    for n in thrice(300, 301, 450):
        yield f(vector(), n)


@case
def counted_loop_whose_frame_is_looked_at(compile):
    @compile
    def f(x, n):
        for k in range(n):
            x = x + k
        return x, sorted(sys._getframe().f_locals), sorted(locals())

    @compile
    def g(x, n):
        for k in range(n):
            x = x + k
        return x, sorted(inspect.currentframe().f_locals)

    for n in (3, 3, 4, 3, 5):
        yield f(vector(), n), g(vector(), n)
