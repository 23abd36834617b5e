"""Loops over data through which objects, functions and gradients go: who shares what with whom, during and after them."""

from __future__ import annotations

import itertools
from collections import deque

import tracejit as tj
from tests.tracing.torture.harness import case, vector
from tracejit import nn, optim

LEAST = (0.1, 0.5, 0.01, 0.2, 4.0, 0.1, 0.003, 1.0, 0.05, 0.3, 0.001, 2.0)


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


@case
def loop_before_a_variable_around_is_written(compile):
    last, best = None, tj.zeros(3)

    @compile
    def f(x, least):
        nonlocal last, best
        while x.abs().max() > least:
            x = x * 0.5
        last, best = x, best + x
        return last is x, best

    for least in LEAST:
        yield f(vector(), least), last, best
        best = best * 2 if least == 0.2 else best


@case
def loop_with_variables_of_several_functions(compile):
    def counter(start):
        count = start

        def bump(by):
            nonlocal count
            count += by
            return count

        return bump

    one, other = counter(0), counter(10.0)

    @compile
    def f(x, least):
        while x.abs().max() > least:
            x = x * 0.5 + 0.001 * other(0.5)
            one(2)
            if one(0) > 400:
                break
        return x, one(0), other(0)

    for least in LEAST:
        yield f(vector(), max(least, 0.2))


@case
def loop_that_moves_the_parts_of_its_objects(compile):
    @compile
    def f(x, least):
        left, right = Box(x=x, n=0), Box(x=x * 2, n=0)
        first = left
        while left.x.abs().max() > least:
            left.x, right.x = right.x * 0.25, left.x * 0.5
            left, right = right, left
        return left, right, first is left, first is right

    for least in LEAST:
        yield f(vector(), least)


@case
def loop_that_shares_a_list_with_who_calls_it(compile):
    def inner(kept, x, least):
        while x.abs().max() > least:
            x = x * 0.5
            kept[0] = x
            if x.abs().max() < 0.05:
                kept = [x, *kept[1:]]
        kept.append(x)
        return x, kept

    @compile
    def f(x, least):
        mine = [x, x]
        x, theirs = inner(mine, x, least)
        return mine, theirs, mine is theirs

    for least in LEAST:
        yield f(vector(), least)


@case
def loop_whose_rounds_use_up_iterators(compile):
    @compile
    def f(x, least):
        rows = [x, x * 2, x * 3]
        while rows[0].abs().max() > least:
            rows = [a * 0.5 + b * c for a, b, c in zip(rows, itertools.repeat(0.0), rows)]
            rows = [*reversed(rows)]
            if sum(row.sum() for row in rows) > 1e6:
                break
        return rows, any(row.sum() > 0 for row in rows)

    for least in LEAST:
        yield f(vector(), least)


@case
def loop_that_takes_from_an_iterator(compile):
    @compile
    def f(x, least):
        rates = iter([0.5, 0.25] * 30)
        while x.abs().max() > least:
            x = x * next(rates)
        return x, next(rates)

    for least in (0.1, 0.1, 0.01, 0.5, 0.1, 0.003):
        yield f(vector(), least)


@case
def loop_that_keeps_some_of_its_values(compile):
    @compile
    def f(x, least):
        last = deque(maxlen=2)
        last.extend([x, x])
        while x.abs().max() > least:
            x = x * 0.5
            last.append(x)
        x.add_(1)
        return last, last[-1] is x

    for least in LEAST:
        yield f(vector(), least)


@case
def loop_with_functions_that_close_over_its_values(compile):
    @compile
    def f(x, least):
        n = 0

        def shrunk(by=0.5):
            return x * by + n * 0.0

        held = shrunk
        while x.abs().max() > least and n < 50:
            x = held()
            n += 1
            held = (lambda y=x, k=n: y * 0.5 + k * 0.0) if n % 3 == 2 else shrunk
        return x, n, held(), held is shrunk

    for least in LEAST:
        yield f(vector(), least)


@case
def loop_of_views_of_each_other(compile):
    @compile
    def f(x, least):
        y = x * 1
        a, b = y[:2], y[1:]
        while y.abs().max() > least:
            y = y * 0.5
            a, b = y[1:], a
        a.add_(1)
        return y, a, b

    for least in LEAST:
        yield f(vector(), least)


def trained(compile, rounds, make=optim.SGD, **options):
    tj.random.seed(1)
    model = nn.Linear(3, 2)
    optimizer = make(model.parameters(), lr=0.05, **options)
    f = compile(rounds(model, optimizer))
    return model, optimizer, f


@case
def loop_of_whole_training_steps(compile):
    def rounds(model, optimizer):
        def f(x, least):
            n = 0
            while True:
                optimizer.zero_grad()
                loss = (model(x * 0.5) ** 2).mean()
                loss.backward()
                optimizer.step()
                n += 1
                if loss < least or n >= 20:
                    return loss, n, model.weight.grad

        return f

    model, optimizer, f = trained(compile, rounds, momentum=0.5)
    for least in LEAST:
        yield f(vector(), least * 0.1), model, optimizer.state


@case
def loop_after_a_training_step(compile):
    def rounds(model, optimizer):
        def f(x, least):
            optimizer.zero_grad()
            loss = ((model(x) - 1) ** 2).mean()
            loss.backward()
            with tj.no_grad():
                while sum((p.grad * p.grad).sum() for p in model.parameters()) > least:
                    for p in model.parameters():
                        p.grad.mul_(0.5)
            optimizer.step()
            with tj.no_grad():
                while model.weight.abs().max() > 0.25:
                    model.weight.mul_(0.875)
            return loss

        return f

    model, optimizer, f = trained(compile, rounds, optim.Adam)
    for least in LEAST:
        yield f(vector(), least), model, [*optimizer.state.values()]


@case
def loop_that_goes_on_with_new_leaves(compile):
    @compile
    def f(x, least):
        w = tj.zeros(3).requires_grad_()
        first, n = w, 0
        while n < 12:
            ((w - x) ** 2).sum().backward()
            if w.grad.abs().max() < least:
                break
            w = (w - w.grad * 0.25).detach().requires_grad_()
            n += 1
        return w, w.grad, first.grad, first is w

    for least in LEAST:
        yield f(vector(), least)


@case
def loop_between_a_graph_and_its_backward(compile):
    w = tj.tensor([1.0, 0.5, -1.0], requires_grad=True)

    @compile
    def f(x, least):
        w.grad = None
        h = (w * x).exp()
        y = x
        while y.abs().max() > least:
            y = y * 0.5
            if 0.001 < y.abs().max() < 0.002:
                h.sum().backward()
        is_over = False
        try:
            h.sum().backward()
        except RuntimeError:
            is_over = True
        return is_over, y

    for least in LEAST:
        yield f(vector(), least), w.grad


@case
def loop_through_which_gradients_flow(compile):
    w = tj.tensor([0.5, 0.25, -0.5], requires_grad=True)

    @compile
    def f(x, least):
        w.grad = None
        h = x * w
        while h.abs().max() > least:
            h = h * w
        h.sum().backward()
        return h, w.grad

    for least in (0.1, 0.1, 0.01, 0.01, 0.1, 0.003, 0.01, 0.1):
        yield f(vector(), least), w
