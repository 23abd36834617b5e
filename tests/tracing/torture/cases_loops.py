"""Loops: `while` on data, loops whose bounds change, and what they carry from round to round."""

from __future__ import annotations

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, vector


@case
def while_data(compile):
    @compile
    def f(x):
        while x.sum() < 50:
            x = x * 2 + 1
        return x

    for k in [0, 0, 0, 5, 5, 30, 1, 0]:
        yield f(vector() + k)


@case
def while_float_err(compile):
    @compile
    def f(x, goal):
        error, rounds = 1.0, 0
        while error > 1e-3 and rounds < 50:
            x = (x + goal / x) / 2
            error = float((x * x - goal).abs().max())
            rounds += 1
        return x, rounds, error

    for k in [2.0, 2.0, 3.0, 3.0, 100.0, 2.0]:
        yield f(tj.tensor([1.0, 4.0]), tj.tensor([k, k + 1]))


@case
def while_inner_branch(compile):
    @compile
    def f(x):
        while x.sum() < 60:
            if x.max() > 10:
                x = x + 20
            else:
                x = x * 2 + 3
        return x

    for k in [0, 0, 0, 1, 9, 0, 40]:
        yield f(vector() + k)


@case
def while_swap_two(compile):
    @compile
    def f(a, b):
        while a.sum() < 40:
            a, b = b, a + b
        return a, b

    for k in [1, 1, 1, 2, 9, 1]:
        yield f(vector() + k, vector())


@case
def while_nested(compile):
    @compile
    def f(x):
        rounds = 0
        while x.sum() < 100:
            y = x
            while y.max() < 20:
                y = y * 3 + 1
                rounds += 1
            x = x + y
        return x, rounds

    for k in [0, 0, 0, 3, 3, 12, 0]:
        yield f(vector() + k)


@case
def while_break_continue(compile):
    @compile
    def f(x, odd):
        rounds = 0
        while True:
            rounds += 1
            x = x + rounds
            if x.sum() > 40:
                break
            if rounds % 2 == odd:
                continue
            x = x * 1.5
        return x, rounds

    for k, odd in [(0, 0)] * 4 + [(5, 0)] * 2 + [(0, 1)] * 3:
        yield f(vector() + k, odd)


@case
def while_state_inside(compile):
    state = {"rounds": 0, "best": None}

    @compile
    def f(x):
        while x.sum() < 20:
            x = x + 3
            state["rounds"] += 1
            state["best"] = x
        return x

    for k in [0, 0, 0, 2, 2, 9]:
        yield f(vector() + k), state


@case
def while_list_inside(compile):
    @compile
    def f(x):
        steps = []
        while x.sum() < 20:
            x = x + 3
            steps.append(x)
        return steps

    for k in [0, 0, 0, 2, 9, 0]:
        yield f(vector() + k)


@case
def while_outer_holds(compile):
    weight = vector()

    @compile
    def f(x):
        first = x * weight
        while x.sum() < 30:
            x = x + first * 0 + 2
        return x + first

    for k in [0, 0, 0, 4, 9, 0]:
        yield f(vector() + k)
    weight = weight * 2
    for k in [0, 0, 0]:
        yield f(vector() + k)


@case
def while_old_value_kept(compile):
    @compile
    def f(x):
        before = x
        while x.sum() < 30:
            before = x
            x = x * 2 + 1
        return x, before, x - before

    for k in [0, 0, 0, 4, 9, 15]:
        yield f(vector() + k)


@case
def while_dtype_change(compile):
    @compile
    def f(x):
        while x.sum() < 30:
            x = x * 1.5 if x.sum() > 10 else x + 2
        return x

    for start in [[1, 2, 3]] * 4 + [[5, 6, 7], [1.0, 2.0, 3.0], [50, 0, 0]]:
        yield f(tj.tensor(start))


@case
def while_collatz(compile):
    @compile
    def f(n):
        steps = 0
        while n != 1:
            n = tj.where(n % 2 == 0, n // 2, n * 3 + 1)
            steps += 1
        return steps

    for n in [6, 6, 6, 7, 1, 9, 6]:
        yield f(tj.tensor(n))


@case
def while_else_and_for_inside(compile):
    log = []

    @compile
    def f(x):
        while x.sum() < 40:
            for k in range(2):
                x = x + k
            if x.max() > 14:
                break
        else:
            log.append("else")
        return x

    for k in [0, 0, 0, 11, 30, 0, 0]:
        yield f(vector() + k), log


@case
def while_generator_frames(compile):
    @compile
    def f(x):
        def halves(y):
            while y.max() > 1:
                y = y / 2
                yield y

        return [part + 1 for part in halves(x)]

    for k in [1, 1, 1, 9, 0, 1]:
        yield f(vector() + k)


@case
def while_on_a_python_number(compile):
    @compile
    def f(x, n):
        while n > 0:
            x = x + n
            n -= 1
        return x

    for n in [3, 3, 3, 4, 5, 6, 0, 3, 2.5, True]:
        yield f(vector(), n)


@case
def while_with_in_place_writes(compile):
    total = vector()

    @compile
    def f(x):
        rounds = 0
        while total.sum() < 40:
            total.add_(x)
            rounds += 1
        return rounds

    for k in [1, 1, 1, 2]:
        yield f(vector() + k), total
        total.copy_(vector())
    total = total[:2]
    for k in [1, 1, 1]:
        yield f(vector()[:2].abs() + k), total


@case
def while_draws_until_it_fits(compile):
    g = tj.random.Generator(5)

    @compile
    def f(limit):
        rounds, x = 0, g.random((2,))
        while x.sum() > limit and rounds < 30:
            x = g.random((2,))
            rounds += 1
        return x, rounds

    for limit in [0.5, 0.5, 0.5, 0.9, 0.3, 0.5]:
        yield f(limit), g


@case
def for_over_range_of_a_changing_number(compile):
    @compile
    def f(x, n):
        for k in range(n):
            x = x * k + 1
        return x

    for n in [2, 2, 2, 3, 4, 5, 0, 2, -1]:
        yield f(vector(), n)
    yield attempt(f, vector(), 2.0)


@case
def for_over_rows_of_a_tensor(compile):
    @compile
    def f(rows):
        total = rows[0] * 0
        for row in rows:
            total = total * 2 + row
        return total

    for n in thrice(2, 3, 1):
        yield f(tj.arange(3 * n).reshape(n, 3))


@case
def for_over_a_list_that_it_extends(compile):
    work = [1.0]

    @compile
    def f(x):
        for k in work:
            x = x + k
            if len(work) < 4:
                work.append(k + 1)
        return x

    for _ in range(3):
        yield f(vector()), work
    del work[2:]
    for _ in range(3):
        yield f(vector()), work


@case
def for_else_with_state(compile):
    goals = [5.0, 6.0, 7.0]

    @compile
    def f(x):
        for at, goal in enumerate(goals):
            if x.sum() < goal:
                found = at
                break
        else:
            found = None
        return x * 2, found

    for k in [0, 0, 0, 1, 1, 3, 3, 0]:
        yield f(vector() + k)
    goals.insert(0, -1.0)
    for _ in range(3):
        yield f(vector())


@case
def nested_comprehension_over_state(compile):
    table = [[1.0, 2.0], [3.0]]

    @compile
    def f(x):
        return [x * k for row in table for k in row if k != 2.0]

    for _ in range(3):
        yield f(vector())
    table[1].append(2.0)
    for _ in range(3):
        yield f(vector())
    table.append([9.0])
    for _ in range(3):
        yield f(vector())


@case
def loop_variable_after_the_loop(compile):
    @compile
    def f(x, n):
        k = -1
        for k in range(n):  # noqa: B007  # it is read after the loop
            pass
        return x * k

    for n in [3, 3, 3, 0, 0, 5]:
        yield f(vector(), n)
