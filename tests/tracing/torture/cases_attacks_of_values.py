"""Attacks by way of values: numbers that change used in every place, what is made and kept, and writes in pieces."""

from __future__ import annotations

import math

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, vector

NUMBERS = [3, 4, 5, 0, -1, True, 2.0, 1 << 70, float("nan"), -0.0, 0.0, float("inf"), 3, "a", None]


class Box:
    def __init__(self, **state):
        self.__dict__.update(state)


@case
def number_that_changes_in_methods(compile):
    @compile
    def f(x, n):
        found = n.bit_length(), n.real, n.__add__(1), (n).__class__, n.conjugate(), n.numerator
        return x, found, isinstance(n, int), type(n) is int, isinstance(n, (bool, str))

    for n in NUMBERS:
        yield attempt(f, vector(), n)


@case
def number_that_changes_in_containers(compile):
    @compile
    def f(x, n):
        table = {n: 1, "n": n}
        return (
            n in (1, 3),
            n in {4, 5},
            [0, 1, 2, 3, 4, 5][n],
            table,
            sorted([n, 2]),
            [n] == [3],
            (n,),
        )

    for n in NUMBERS:
        yield attempt(f, vector(), n)


@case
def number_that_changes_in_text(compile):
    @compile
    def f(x, n):
        text = f"{n:>5}", format(n, ">7"), str(n).zfill(4), f"{n!r:>{6}}", "{:>{w}}".format(1, w=n)
        return x, text, str(n) + "!", len(str(n)), str(n).upper(), repr([n])

    for n in NUMBERS:
        yield attempt(f, vector(), n)


@case
def number_that_changes_in_arithmetic(compile):
    state = Box(n=1)

    @compile
    def f(x):
        n = state.n
        parts = (
            n // 2,
            n % 2,
            -n,
            abs(n),
            n & 1,
            n**2,
            divmod(n, 2),
            round(n / 3, 2),
            max(n, 3),
            n == "a",
        )
        return x * n, parts, n if n else "none", not n, math.floor(n), n is None

    for state.n in NUMBERS:
        yield attempt(f, vector())


@case
def number_that_changes_divides(compile):
    @compile
    def f(x, n):
        try:
            return x / n, 1 / n, 1 % n
        except ZeroDivisionError as error:
            return x, str(error)

    for n in [3, 4, 5, 0, 0, 0.0, -0.0, 7, 2.0, 0]:
        yield attempt(f, vector(), n)


@case
def number_that_changes_slices(compile):
    @compile
    def f(x, n):
        return x[:n], x[n:], [1, 2, 3][:n], "abc"[n:], list(range(n)), "ab" * n, [0] * n

    for n in [1, 2, 3, 0, -1, True, 5, 1.0, None]:
        yield attempt(f, vector(), n)


@case
def method_of_a_list_that_the_call_made(compile):
    @compile
    def f(x):
        made = []
        return made.append, made, x.sum

    for _ in range(4):
        push, made, total = f(vector())
        push(1.0)
        yield made, total()


@case
def class_of_an_object_is_changed(compile):
    class C:
        rate = 2.0

    class D:
        rate = 3.0

    box = C()

    @compile
    def f(x):
        before = box.rate
        box.__class__ = D
        return x * before, x * box.rate

    for _ in range(4):
        box.__class__ = C
        yield f(vector()), type(box).__name__


@case
def lists_written_in_pieces(compile):
    parts = []

    @compile
    def f(x):
        parts[1:2] = [7.0, 8.0]
        del parts[::3]
        parts.insert(0, parts.pop())
        copy = parts[:]
        parts.reverse()
        parts[0] += 1
        return x * parts[0], copy

    for start in thrice([1.0, 2.0, 3.0], [5.0, 6.0, 7.0, 8.0]):
        parts[:] = start
        yield f(vector()), parts


@case
def dicts_written_in_pieces(compile):
    table = {}

    @compile
    def f(x):
        table.setdefault("a", []).append(1.0)
        last = table.popitem()
        table["b"] = last
        table.update({"c": x.sum()})
        removed = table.pop("z", None)
        return x, removed, [*table], table.get("b")

    for start in thrice({"z": 1.0}, {"a": [], "z": 2.0}, {}):
        table.clear()
        table.update(start, a=[]) if "a" in start else table.update(start)
        yield f(vector()), table


@case
def sets_written_in_pieces(compile):
    seen = set()

    @compile
    def f(x, more):
        fresh = more not in seen
        seen.add(more)
        seen.discard("b")
        return x * len(seen), fresh, sorted(seen)

    for start, more in zip(thrice({"a"}, {"b"}, {"a", "b", "c"}), "abcabcabc"):
        seen.clear()
        seen.update(start)
        yield f(vector(), more), seen
    for more in "aabbcc":
        yield f(vector(), more), seen


@case
def sets_joined_in_place(compile):
    seen = {"a"}

    @compile
    def f(x):
        seen.update(["b", "c"])
        other = seen | {"d"}
        return x * len(seen), sorted(other), seen & {"a"}, seen <= other, seen.isdisjoint({"q"})

    for start in thrice({"a"}, {"a", "q"}):
        seen.clear()
        seen.update(start)
        yield f(vector()), seen


@case
def exceptions_that_are_kept(compile):
    @compile
    def f(x, n):
        try:
            raise ValueError("bad", n)
        except ValueError as error:
            kept = error
        finally:
            n = n + 1
        return x * n, kept.args, isinstance(kept, ValueError)

    for n in [1, 2, 3, 4, 5]:
        yield attempt(f, vector(), n)


@case
def keywords_that_are_a_kind_of_text(compile):
    class Name(str):
        __slots__ = ()

    @compile
    def f(x, **named):
        return x, [type(name).__name__ for name in named]

    for name in thrice("rate", Name("rate"), "rate"):
        yield f(vector(), **{name: 1.0})


@case
def tensors_as_keys_and_in_sets(compile):
    a, b = tj.ones(2), tj.zeros(2)
    table = {a: 1.0, b: 2.0}

    @compile
    def f(x, key):
        return x * table[key], key in table, len({a, b, key}), next(iter(table)) is key

    for key in thrice(a, b, a):
        yield attempt(f, vector(), key)


@case
def generators_that_are_closed_early(compile):
    log = []

    @compile
    def f(x):
        def steps():
            try:
                for k in range(3):
                    log.append(k)
                    yield x * k
            finally:
                log.append("end")

        walk = steps()
        first = next(walk)
        walk.close()
        return first, len(log), attempt(next, walk)

    for _ in range(4):
        yield f(vector()), log


@case
def values_sent_into_generators(compile):
    @compile
    def f(x, n):
        def running():
            total = 0.0
            while True:
                total = total + (yield total)

        walk = running()
        next(walk)
        return x * walk.send(n), walk.send(2 * n), walk.gi_frame is None

    for n in [1.0, 2.0, 3.0, 4, 5]:
        yield attempt(f, vector(), n)
