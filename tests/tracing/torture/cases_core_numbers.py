"""Numbers that become inputs, and loops over data that meet them: what is computed anew, and what decides."""

from __future__ import annotations

import math

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, vector


class Box:
    """State of a few attributes."""

    def __init__(self, **names):
        self.__dict__.update(names)


KS = [0.0, 0.0, 0.0, 4.0, 9.0, 1.0, 0.0, 30.0, 2.0, 4.0, 0.5]


@case
def loop_bounded_by_a_changing_number(compile):
    @compile
    def f(x, limit):
        rounds = 0
        while x.sum() < limit:
            x = x * 1.5 + 2
            rounds += 1
        return x, rounds, limit

    for at, k in enumerate(KS * 2):
        yield f(vector() + k, 20.0 + 7 * at)


@case
def loop_that_counts_down_a_changing_number(compile):
    box = Box(n=9, step=0.5)

    @compile
    def f(x):
        n, step = box.n, box.step
        while x.sum() < 60 and n > 0:
            x = x + step * n
            n -= 1
            step = step + 0.25
        box.n = n + 3
        return x, n, step

    for k in KS * 2:
        yield f(vector() + k), box
        box.step += 0.125


@case
def loop_whose_count_is_a_key_and_an_index(compile):
    names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]

    @compile
    def f(x):
        seen, n = {}, 0
        while x.sum() < 40 and n < 11:
            x = x + 3
            n += 1
            seen[names[n]] = n
        return x, seen

    for k in KS:
        yield f(vector() + k)


@case
def loop_that_reads_a_number_of_a_tensor(compile):
    @compile
    def f(x):
        best, rounds = -math.inf, 0
        while rounds < 8:
            value = x.max().item()
            if value <= best + 0.5:
                break
            best = value
            x = (x + 4) * 0.75
            rounds += 1
        return x, best, rounds

    for k in KS:
        yield f(vector() + k)


@case
def loop_that_swaps_numbers(compile):
    @compile
    def f(x):
        a, b = 0, 1
        while x.sum() < 60:
            a, b = b, a + b
            x = x + b
        return x, a, b

    for k in KS:
        yield f(vector() + k)


@case
def loop_that_keeps_the_number_of_its_caller(compile):
    box = Box(last=0.0)

    def inner(x, n):
        start = n
        while x.sum() < 60:
            n = n + 1.5
            x = x + n
        box.last = n
        return x, start

    @compile
    def f(x, n):
        y, start = inner(x, n)
        return y, n, start, start * 2 + n

    for at, k in enumerate(KS):
        yield f(vector() + k, 1.0 + at), box


@case
def loop_over_a_number_with_text(compile):
    @compile
    def f(x, name):
        text, n = name, 0
        while x.sum() < 40:
            x = x + 4
            n += 1
            text = f"{name}{n}"
        return x, text, len(text)

    for at, k in enumerate(KS):
        yield f(vector() + k, f"r{at % 3}")


@case
def two_loops_one_after_the_other(compile):
    @compile
    def f(x):
        n = 0
        while x.sum() < 30:
            x = x + 3
            n += 1
        y = x * 0.1
        while y.sum() < n:
            y = y + 0.5
            n = n - 0.25
        return x, y, n

    for k in KS:
        yield f(vector() + k)


@case
def loop_called_twice_with_what_it_gave(compile):
    def grown(x, y):
        while x.sum() < y.sum() + 10:
            x = x + 2
            y = y * 0.9 if y.sum() > 3 else y
        return x, y

    @compile
    def f(x):
        a, b = grown(x, x * 1)
        c, d = grown(b, a)
        return a, b, c, d, c is b

    for k in KS:
        yield f(vector() + k)


@case
def number_read_twice_around_a_loop(compile):
    box = Box(n=1, r=1.0)

    @compile
    def f(x):
        before = box.n * box.r
        while x.sum() < 40:
            x = x + box.r
            if x.sum() > 20:
                x = x + box.n
        return x, before, box.n * box.r

    for at, k in enumerate(KS * 2):
        box.n, box.r = 1 + at % 4, 1.0 + at % 3
        yield f(vector() + k)


@case
def numbers_at_the_edge_of_their_types(compile):
    box = Box(n=1, r=1.0)

    @compile
    def f(x):
        n, r = box.n, box.r
        return n * n, r * r, n + r, x * r, x + 1 / (abs(r) + 1), -n, r - r, r != r, str(n), n % 7

    for n, r in [
        (1, 1.0),
        (2, 2.0),
        (3, 3.0),
        (2**62, 1e200),
        (-(2**63), -1e308),
        (10**30, math.inf),
        (0, math.nan),
        (5, -0.0),
    ]:
        for _ in range(2):
            box.n, box.r = n, r
            yield attempt(f, vector())


@case
def number_becomes_another_type_later(compile):
    box = Box(n=1)

    @compile
    def f(x):
        n = box.n
        return x * n, n, type(n).__name__, n == 1, n + 1

    for n in [1, 2, 3, 4, 4.0, 5.0, True, False, 6, 7.5, 1]:
        for _ in range(2):
            box.n = n
            yield f(vector())


@case
def numbers_chosen_by_each_other(compile):
    box = Box(a=1, b=2.0, c=3)

    @compile
    def f(x):
        a, b, c = box.a, box.b, box.c
        chosen = a if a > b else b if b > c else c
        total = sum([a, b, c]) + max(a, b, c) - min(a, b, c)
        return (
            x * chosen,
            chosen,
            total,
            a or b,
            a and c,
            not a,
            sorted([a, b, c]),
            a in (1, 2, 3),
            [a, b, c].index(c),
        )

    for a, b, c in [
        (1, 2.0, 3),
        (2, 3.0, 4),
        (3, 4.0, 5),
        (5, 4.0, 3),
        (0, 9.0, 3),
        (3, 3.0, 3),
        (7, -1.0, 7),
        (0, 0.0, 0),
    ]:
        for _ in range(2):
            box.a, box.b, box.c = a, b, c
            yield f(vector())


@case
def schedule_over_a_loop_of_steps(compile):
    w = vector().requires_grad_()
    box = Box(step=0)

    @compile
    def f(x):
        box.step += 1
        rate = 0.1 / (1 + box.step * 0.5)
        for _ in range(3):
            w.grad = None
            loss = ((w * x) ** 2).sum()
            loss.backward()
            if loss < 1e-3:
                break
            with tj.no_grad():
                w.sub_(w.grad * rate)
        return loss

    for k in [0.0] * 6 + [1.0] * 6 + [0.1]:
        yield f(vector() * 0.3 + k * 0.1), w, box


@case
def loop_whose_number_is_used_again_in_its_round(compile):
    @compile
    def f(x):
        n, text, last, parts = 0, "", 0.0, (0, 0)
        while x.sum() < 60:
            n += 1
            last = n * 2.5
            text = f"{n}:{last}"
            parts = divmod(n, 3)
            x = x + n + last * 0.125
        return x, n, text, last, parts

    for k in KS:
        yield f(vector() + k)


@case
def loop_of_wide_numbers(compile):
    @compile
    def f(x):
        n, r = 1, 1.0
        while x.sum() < 60:
            r = r + 0.1
            n = n + 1
            x = x * r + n
        return x, n, r

    for k in KS:
        yield f(tj.tensor([1.0, 2.0, k], dtype=tj.float64))


@case
def loop_that_uses_a_number_before_and_after_it_changes(compile):
    @compile
    def f(x):
        n = 1
        while x.sum() < 60:
            before = n + 0.5
            n = n + 1
            x = x + before * n
            after = n - before
        return x, n, before, after

    for k in [0.0, 0.0, 0.0, 4.0, 9.0, 1.0, 2.0, 0.0]:
        yield f(vector() + k)
