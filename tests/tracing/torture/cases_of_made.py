"""What a call makes, shows, and finds in memory."""

# ruff: noqa: B007, UP031  # a loop variable is state that the compiled function reads; long results
import copy
import enum
import functools
import math
import sys
from collections import deque

import numpy as np

from tests.tracing.torture.harness import case, thrice, vector


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


@case
def deque_with_a_length(compile):

    @compile
    def f(x):
        d = deque([1, 2, 3], maxlen=2)
        return (d, d.maxlen, x)

    for k in range(4):
        d, m, x = f(vector())
        d.append(5)
        yield (list(d), m, x)


@case
def closures_of_every_kind_returned(compile):
    scale = 2.0

    @compile
    def f(x, k):
        n = 0
        y = x * k

        def count(step=k, *, times=2):
            """counts"""
            nonlocal n
            n += step * times
            return n + scale

        def rec(m: int) -> int:
            return y if m == 0 else rec(m - 1)

        @functools.wraps(count)
        def wrapped(*a, **kw):
            return count(*a, **kw)

        count.tag = [k]
        count()
        return (count, rec, wrapped, lambda: n, [lambda z, i=i: z * i + k for i in range(2)])

    for scale, k in [(2.0, 1.0), (2.0, 1.5), (2.0, 2.0), (3.0, 2.0), (3.0, 4.0), (3.0, 5.0)]:
        c, r, w, l, ls = f(vector(), k)
        yield (
            c(1),
            c(),
            r(3),
            w(2),
            l(),
            [q(2.0) for q in ls],
            c.__name__,
            c.__doc__,
            w.__name__,
            w.__wrapped__ is c,
            c.tag,
            c.__defaults__,
            c.__kwdefaults__,
            r.__annotations__,
            l.__qualname__,
            c.__closure__[0].cell_contents,
            c.__code__ is w.__wrapped__.__code__,
            c,
            l,
        )


@case
def array_over_the_memory_of_a_tensor(compile):
    x = vector()
    other = np.array([5.0, 6.0, 7.0], dtype=np.float32)

    @compile
    def f(a):
        y = x * 2
        a[0] = 100
        z = x * 2
        return (y, z)

    for k in range(3):
        yield (f(other + k), x)
    seen = x.numpy()
    for k in range(3):
        seen[0] = 1.0
        yield (f(seen), x)


@case
def array_of_state_over_the_memory_of_a_tensor(compile):
    x = vector()
    array = x.numpy()

    @compile
    def f():
        y = x * 2
        array[0] = 100
        z = x * 2
        x.add_(1)
        return (y, z, array.copy())

    for k in range(4):
        array[0] = 1
        yield (f(), x)


@case
def tensor_printed_before_it_is_written(compile):
    w = vector()

    @compile
    def f(x):
        y = x * 2
        print("w", w, y, x[1:])
        w.add_(1)
        y.mul_(2)
        print(w, y)
        return y

    for k in range(5):
        yield (f(vector()), w)


@case
def copies_of_nested_state(compile):
    state = Box(d={"a": [1.0, {"b": 2.0}], "t": vector()}, l=[1, 2], s={1, 2})

    @compile
    def f(x):
        d = copy.deepcopy(state.d)
        d["a"].append(x)
        e = copy.copy(state.d)
        e["new"] = 1
        t = copy.deepcopy(x)
        t.add_(1)
        return (
            d,
            e,
            copy.copy(state.l),
            copy.deepcopy((1, "a")),
            t,
            e["a"] is state.d["a"],
            copy.deepcopy([state.l, state.l]),
        )

    for k in range(5):
        state.d["a"][0] = k / 2
        yield (f(vector() + k), state)


@case
def text_of_an_enum_of_its_own(compile):
    prefix = "a"

    class E(enum.Enum):
        A = 1

        def __str__(self):
            return prefix + self.name

    @compile
    def f(x):
        return (f"{E.A}", str(E.A), "%s" % E.A, f"{E.A}", x)

    for prefix in thrice("a", "b"):
        yield f(vector())


@case
def imports_of_what_is_replaced(compile):

    @compile
    def f(x):
        import os.path
        import os.path as q
        from collections import deque
        from math import pi as p
        from math import sqrt

        return (x * sqrt(4.0) * p, q.sep, deque([1]), os.sep)

    before = math.sqrt
    try:
        for k in range(6):
            if k == 3:
                math.sqrt = math.cos
            yield f(vector())
        fake = type(math)("math")
        fake.sqrt = math.sin
        fake.pi = 3.0
        sys.modules["math"] = fake
        try:
            for k in range(3):
                yield f(vector())
        finally:
            sys.modules["math"] = math
    finally:
        math.sqrt = before
