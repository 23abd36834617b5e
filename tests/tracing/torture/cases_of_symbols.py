"""Numbers that change from call to call, wherever they go."""

# ruff: noqa: B007, UP031, C416, F841  # a loop variable is state that the compiled function reads; long results
from collections import namedtuple
from typing import NamedTuple

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, vector


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


@case
def iterators_advanced_by_operators(compile):
    g = (i for i in range(100))

    @compile
    def f(x):
        l = []
        l += [next(g)] if False else []
        return x

    h = iter([1, 2, 3, 4, 5, 6])

    @compile
    def f2(x):
        return (x, 2 in h)

    it = iter([[1], [2], [3], [4]])

    @compile
    def f3(x):
        l = [0]
        l += next_part[0]
        return l

    for k in range(4):
        yield (f(vector()), f2(vector()))
    for k in range(4):
        next_part = [iter([k])]
        yield f3(vector())


@case
def numbers_written_under_an_iterator(compile):
    lst = [0.0, 0.0, 0.0]
    d = {"a": 0.0, "b": 1.0}

    @compile
    def f(x, k):
        out = []
        for i, v in enumerate(lst):
            out.append(v)
            if i + 1 < 3:
                lst[i + 1] = v + k
        view = d.values()
        d["a"] = k
        return (x * sum(out), out, list(view), len(view))

    for k in [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]:
        lst[:] = [0.0, 0.0, 0.0]
        d["a"] = 0.0
        yield (f(vector(), k), list(lst), dict(d))


@case
def numbers_written_under_a_zip(compile):
    lst = [0.0, 0.0, 0.0]

    @compile
    def f(x, k):
        out = []
        for v, i in zip(lst, range(3)):
            out.append(v)
            if i + 1 < 3:
                lst[i + 1] = k + i
        return (x * sum(out), out)

    for k in [1.0, 1.0, 2.0, 3.0, 3.0]:
        lst[:] = [0.0] * 3
        yield (f(vector(), k), list(lst))


@case
def changing_numbers_as_keyword_arguments(compile):
    options = {"k": 2.0, "b": 1.0}

    def scaled(x, k, b):
        return x * k + b

    @compile
    def f(x):
        return (scaled(x, **options), [*options], {**options}, dict(**options))

    for options["k"] in [2.0, 2.0, 3.0, 3.0, 4.0, 5.0, 5.0]:
        yield f(vector())


@case
def powers_of_numbers_from_tensors(compile):

    @compile
    def f(x):
        v = x.sum().item()
        n = int(v)
        k = 2**n
        return (type(k), k, max(n, 2.5), type(max(n, 2.5)), v**0.5)

    for k in [1.0, 2.0, 3.0, 4.0, -1.0, -5.0, 1.0, 0.0]:
        yield attempt(f, vector() + k)


@case
def types_that_depend_on_values(compile):
    t = tj.tensor([1, 2, 3])

    @compile
    def f(x, n, m):
        k = 2**n
        j = max(n, m)
        p = abs(m) ** 0.5
        q = m**0.5
        return (
            t * k,
            type(k),
            type(j),
            t * j,
            isinstance(j, int),
            k,
            j,
            q,
            type(q),
            type(round(m)),
            min(n, m),
        )

    for n, m in [
        (1, 0.5),
        (2, 1.5),
        (3, 2.5),
        (4, 3.5),
        (4, 9.5),
        (-1, 0.5),
        (-2, 4.5),
        (3, -1.0),
        (5, -2.0),
        (2, 2.0),
        (2, 1.5),
    ]:
        yield attempt(f, vector(), n, m)


@case
def views_of_changing_numbers_are_kept(compile):
    d = {"a": 1.0}
    state = Box(v=None, l=[])

    @compile
    def f(x, keep):
        s = x * sum(d.values())
        if keep:
            state.v = d.values()
            state.l.append(d.items())
            return (s, d.items(), d.values())
        return (s, type(d.values()) is type({}.values()))

    for d["a"], keep in [
        (1.0, False),
        (2.0, False),
        (3.0, False),
        (4.0, False),
        (5.0, True),
        (6.0, True),
        (6.0, True),
    ]:
        out = f(vector(), keep)
        yield (
            out[0],
            [type(o).__name__ for o in out],
            type(state.v).__name__,
            [type(o).__name__ for o in state.l],
        )


@case
def class_given_to_map(compile):
    k = 2.0

    class V:
        def __init__(self, x):
            self.x = x * k

    @compile
    def f(x):
        return (
            [v.x for v in map(V, [x, x + 1])],
            list(map(int, "123")),
            list(filter(None, [0, 1])),
            list(map(lambda a, b: a + b, [1], [k])),
        )

    for k in thrice(2.0, 3.0):
        yield f(vector())


@case
def changing_numbers_in_slots(compile):

    class S:
        __slots__ = ("k", "other")

    @compile
    def f(x, k):
        s = S()
        s.k = k
        s.other = (k, [k])
        return (s, x)

    @compile
    def g(x, k):
        s = S()
        s.k = k * 2
        x.numpy()
        return s

    for k in [1.0, 2.0, 3.0]:
        yield (f(vector(), k), g(vector(), k))


@case
def text_of_changing_numbers(compile):
    log = []
    state = Box(last="", n=0)

    @compile
    def f(x, k):
        s = f"{k:>8}|{k!r}" + " end"
        log.append(s)
        state.last = "%s %d" % (k, 3)
        print(s, "k=%.2f" % k)
        t = f"{k} {k + 1}"
        d = {s: 1}
        return (
            s,
            t,
            s == t,
            len(s),
            s.upper(),
            s[0],
            [c for c in s][:2],
            "|" in s,
            s and 1,
            ",".join([s, t]),
            x * k,
            d,
            s * 2,
            min(s, t),
            sorted([s, t]),
        )

    for k in [1.0, 1.0, 2.0, 2.0, 3.0, 4.0, float("nan")]:
        yield (f(vector(), k), list(log), state)


@case
def text_of_numbers_from_tensors(compile):
    log = []

    @compile
    def f(x):
        v = x.sum().item()
        log.append(f"loss {v:.3f}")
        print(f"{v:.2f} {x.sum():.1f}")
        return x * 2

    for k in range(6):
        yield (f(vector() + k), list(log))


@case
def tolist_of_few_elements(compile):

    @compile
    def f(x):
        l = x.tolist()
        print(l[0])
        return (
            x * l[0],
            l,
            sum(l),
            max(l) * 2,
            [v + 1 for v in l],
            x[1:].tolist(),
            x.reshape(3, 1).tolist(),
        )

    for k in range(5):
        yield f(vector() + k)
    for k in range(3):
        yield f(tj.tensor([1, 2, 3]) + k)


@case
def methods_of_named_tuples(compile):
    P = namedtuple("P", "x y", defaults=[5])

    class N(NamedTuple):
        a: object
        b: int = 3

        def twice(self):
            return self.a * 2

    p = P(1.0, 2.0)

    @compile
    def f(x, k):
        return (
            P(x, k),
            P(x),
            P._make([x, 1]),
            P(x)._replace(y=k),
            P(1, k)._asdict(),
            N(x).twice(),
            N(x, b=4),
            p._replace(y=k).x,
            p.x * k,
            P(x).y,
            P._fields,
        )

    for k in [1.0, 1.0, 2.0, 3.0, 4.0]:
        p = P(k, 2.0)
        yield f(vector(), k)


@case
def messages_that_name_the_class_of_a_number(compile):
    messages = (
        lambda n: sum([n, "a"]), lambda n: ",".join([n]), lambda n: n(), lambda n: n[0], lambda n: n + "a",
        lambda n: [0][n], lambda n: len(n), lambda n: n.more, lambda n: sorted([n, "a"]), lambda n: "%d" % [n],
    )  # fmt: skip

    for message in messages:

        @compile
        def f(x, n, message=message):
            try:
                return x, message(n)
            except (TypeError, IndexError, AttributeError) as error:
                return x, str(error)

        for n in (1, 2, 3, 2.5, 4.5):
            yield f(vector(), n)
