"""Loops over data together with gradients, randomness, containers, closures and what is done after them."""

from __future__ import annotations

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, matrix, vector


class Box:
    """State of a few attributes."""

    def __init__(self, **names):
        self.__dict__.update(names)


KS = [0.0, 0.0, 0.0, 4.0, 9.0, 1.0, 0.0, 30.0, 2.0, 4.0, 0.5]


@case
def loop_then_draws(compile):
    @compile
    def f(x):
        while x.sum() < 60:
            x = x * 1.5 + 2 if x.max() < 10 else x + 7
        return x + tj.random.normal((3,))

    for k in KS:
        yield f(vector() + k)


@case
def loop_then_a_write_to_its_result_and_to_state(compile):
    w = vector()

    @compile
    def f(x):
        y = x
        while y.sum() < 60:
            y = y * 1.5 + 2
        y = y + 0
        y.add_(w)
        w.add_(y)
        return y, x

    for k in KS:
        x = vector() + k
        yield f(x), w, x
        w.copy_(vector())


@case
def loop_that_may_give_its_argument(compile):
    @compile
    def f(x):
        while x.sum() < 20:
            x = x + 5
        return x

    for k in KS:
        x = vector() + k
        y = f(x)
        y.mul_(2)
        yield y, x, y is x


@case
def loop_that_may_give_one_of_two_tensors(compile):
    @compile
    def f(x, y):
        best = y
        while x.sum() < 40:
            x = x * 1.5 + 2
            if x.max() > 12:
                best = x
        return best, x

    for k in KS:
        x, y = vector() + k, vector()
        best, last = f(x, y)
        best.add_(1)
        yield best, last, x, y, best is y, best is last


@case
def loop_with_a_backward_pass_each_round(compile):
    w = vector().requires_grad_()

    @compile
    def f(x):
        rounds = 0
        while rounds < 6:
            loss = ((w * x) ** 2).sum()
            if loss < 2.0:
                break
            w.grad = None
            loss.backward()
            with tj.no_grad():
                w.sub_(0.02 * w.grad)
            rounds += 1
        return loss, rounds

    for k in [0.0] * 5 + [1.0] * 4:
        yield f(vector() * 0.5 + k), w, w.grad


@case
def gradient_of_a_function_with_a_loop(compile):
    def inner(x):
        while x.sum() < 30:
            x = x * 1.5 + 2
        return (x * x).sum()

    @compile
    def f(x):
        return tj.value_and_grad(inner)(x)

    for k in KS:
        yield f(vector() + k)


@case
def loop_with_a_dict_of_its_own(compile):
    @compile
    def f(x):
        state = {"x": x, "n": 0}
        while state["x"].sum() < 40:
            state = {"x": state["x"] * 1.5 + 2, "n": state["n"] + 1}
        return state

    for k in KS:
        yield f(vector() + k)


@case
def loop_with_an_object_of_its_own(compile):
    class Pair:
        def __init__(self, x, n):
            self.x, self.n = x, n

        def next(self):
            return Pair(self.x * 1.5 + 2, self.n + 1)

    @compile
    def f(x):
        pair = Pair(x, 0)
        while pair.x.sum() < 40:
            pair = pair.next()
        return pair, pair.n * 2

    for k in KS:
        yield f(vector() + k)


@case
def loop_that_leaves_functions_behind(compile):
    @compile
    def f(x):
        made = []
        while x.sum() < 30:
            x = x + 4
            made.append(lambda y, x=x: y + x)
        return [g(x) for g in made], x

    for k in [0.0, 0.0, 0.0, 4.0, 9.0, 1.0, 0.0]:
        yield f(vector() + k)


@case
def loop_with_finally_and_continue(compile):
    @compile
    def f(x):
        n = skipped = 0
        while x.sum() < 60:
            try:
                n += 1
                if x.max() > 8:
                    skipped += 1
                    x = x + 9
                    continue
                x = x + 2
            finally:
                x = x + 0.5
        return x, n, skipped

    for k in KS:
        yield f(vector() + k)


@case
def loop_of_a_compiled_function_inside(compile):
    @compile
    def inner(x, y):
        while x.sum() < 30:
            x = x + y
            if x.sum() > 15:
                y = y + 1
        return x

    @compile
    def f(x):
        y = x.abs() + 1
        return inner(x, y), inner(y, x.abs() + 1), y

    for k in KS:
        yield f(vector() + k), inner(vector() + k, vector().abs())


@case
def loop_of_a_method_that_changes_its_object(compile):
    class Solver:
        def __init__(self):
            self.x, self.rounds, self.rate = vector(), 0, 1.5

        def solve(self, goal):
            while self.x.sum() < goal:
                self.x = self.x * self.rate + 2
                self.rounds += 1
            return self.x

    solver = Solver()
    step = compile(solver.solve)
    for goal in [20.0, 20.0, 40.0, 60.0, 60.0, 90.0, 50.0]:
        yield step(goal), solver
        solver.x = vector()


@case
def loop_over_views_of_its_argument(compile):
    @compile
    def f(x):
        row = x[0]
        while row.sum() < 30:
            row = row + x[1].abs() + 1
        x[0] = row
        return row, x.sum()

    for k in KS:
        x = matrix() + k
        yield f(x), x


@case
def loop_with_a_walrus_and_a_comprehension(compile):
    @compile
    def f(x):
        sums = []
        while (total := x.sum()) < 40:
            x = tj.stack([part * 1.5 + 2 for part in x])
            sums = [total, *sums[:1]]
        return x, total, sums

    for k in KS:
        yield f(vector() + k)


@case
def loop_with_an_assertion(compile):
    @compile
    def f(x):
        while x.sum() < 60:
            assert x.min() < 12, "large"
            x = x * 1.5 + 2
        return x

    for k in [*KS, 14.0, 13.0, 0.0]:
        yield attempt(f, vector() + k)


@case
def loop_over_whole_numbers(compile):
    @compile
    def f(a, b):
        rounds = 0
        while b != 0:
            a, b = b, a % b
            rounds += 1
        return a, rounds

    for a, b in [(12, 18), (12, 18), (7, 3), (100, 75), (5, 0), (0, 5), (1071, 462), (13, 13)]:
        yield f(tj.tensor(a), tj.tensor(b))
        yield f(a, b)
