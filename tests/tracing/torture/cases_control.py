"""Ways through a function: branches on data, values that come back as Python numbers, context managers."""

from __future__ import annotations

import warnings
from contextlib import contextmanager

import tracejit as tj
from tests.tracing.torture.harness import case, thrice, values, vector


@case
def early_return(compile):
    @compile
    def f(x):
        if x.sum() < 0:
            return None
        if x.max() > 10:
            return x, "large"
        return x * 2

    for k in [0, 0, 0, -5, -5, 20, 20, 0]:
        yield f(vector() + k)


@case
def int_of_tensor(compile):
    @compile
    def f(x, n):
        return x * int(n), [x] * int(n)

    for n in [2, 2, 2, 3, 3, 2, 0, 3]:
        yield f(vector(), tj.tensor(n))


@case
def item_arith(compile):
    @compile
    def f(x):
        n = x.sum().item()
        return x * (n * 2 + 1), n // 2, -n

    for k in [0, 1, 2, 3, 3, 0]:
        yield f(vector() + k)
    yield f(tj.tensor([1, 2, 4]))
    yield f(tj.tensor([True, True]))


@case
def tolist_feeds_back(compile):
    @compile
    def f(x, factors):
        first, *rest = factors.tolist()
        return x * first, sum(rest)

    for factors in [*thrice([2.0, 3.0]), [0.5, 0.25], [2.0, 3.0, 4.0], [2.0, 3.0]]:
        yield f(vector(), tj.tensor(factors))


@case
def max_of_tensors(compile):
    @compile
    def f(a, b):
        return max(a, b), min(a, b), max(a, b) is a

    for a, b in [(1.0, 2.0)] * 3 + [(3.0, 2.0)] * 3 + [(2.0, 2.0)] * 2 + [(float("nan"), 1.0)] * 2:
        yield f(tj.tensor(a), tj.tensor(b))


@case
def sort_by_value(compile):
    @compile
    def f(*tensors):
        return sorted(tensors, key=lambda t: float(t.sum()))

    x, y, z = vector(), vector() + 1, vector() - 1
    for order in [(x, y, z)] * 3 + [(z, x, y)] * 2 + [(y, x)] * 2 + [(x, x, y)] * 2:
        yield f(*order)


@case
def walrus_chain(compile):
    @compile
    def f(x):
        if (total := x.sum()) > 3 and (top := x.max()) > 4:
            return total * top
        return total

    for k in [0, 0, 0, 2, 2, 5, 5, 0]:
        yield f(vector() + k)


@case
def chained_compare(compile):
    @compile
    def f(x):
        if 0 < x.sum() < 5 <= x.max() + 4:
            return x + 1
        return x - 1

    for k in [0, 0, 0, -3, -3, 3, 3, 0]:
        yield f(vector() + k)


@case
def early_stop_loop(compile):
    @compile
    def f(x, tolerance):
        for step in range(20):
            x = x / 2
            if x.abs().max() < tolerance:
                return x, step
        return x, None

    for tolerance in [1.0, 1.0, 1.0, 0.5, 0.25, 1.0, 0.0]:
        yield f(vector(), tolerance)


@case
def contextmanager_(compile):
    depth = [0]

    @contextmanager
    def deeper():
        depth[0] += 1
        try:
            yield depth[0]
        finally:
            depth[0] -= 1

    @compile
    def f(x):
        with deeper() as level:
            return x * (level + depth[0])

    for depth[0] in thrice(0, 1):
        yield f(vector()), depth


@case
def warn_once(compile):
    state = {"warned": False}

    @compile
    def f(x):
        if not state["warned"]:
            warnings.warn("only once", UserWarning, stacklevel=1)
            state["warned"] = True
        return x * 2

    for _ in range(4):
        yield f(vector()), state
    state["warned"] = False
    for _ in range(3):
        yield f(vector()), state


@case
def trace_of_dead_then_ok(compile):
    log = []

    @compile
    def f(x, noisy):
        if noisy:
            log.append(str(x.sum()))
        return x * 2

    for noisy in [True, *[False] * 12, True, False]:
        yield f(vector(), noisy), log


@case
def results_that_nobody_keeps(compile):
    @compile
    def f(x):
        return x * 2, x + 1

    for k in range(6):
        yield values(f(vector() + k))
