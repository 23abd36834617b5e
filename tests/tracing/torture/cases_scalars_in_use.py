"""Python numbers and names that change between calls, used as indices, keys, sizes, text and truth."""

from __future__ import annotations

import enum
import math

import numpy as np

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, vector

NAN = float("nan")


class Box:
    pass


class Mode(enum.Enum):
    ADD = 1
    MUL = 2


@case
def numbers_as_indices_and_keys(compile):
    table = {0: "zero", 1: "one", 2: "two"}

    @compile
    def f(x, k):
        parts = [x, x * 2, x * 3]
        return parts[k], table.get(k), "abc"[k], "ab" * k, parts[:k], x[k], x[k:]

    for k in [0, 1, 2, 2, -1, 3, True, 1.0, 0]:
        yield attempt(f, vector(), k)


@case
def numbers_as_axes(compile):
    @compile
    def f(x, axis):
        return x.sum(axis=axis), tj.flip(x, axis=axis)

    for axis in [0, 0, 0, 1, 1, -1, None, (0, 1), [0], 2]:
        yield attempt(f, tj.arange(6).reshape(2, 3), axis)


@case
def numbers_in_text(compile):
    @compile
    def f(x, k):
        old_style = "%s" % k  # noqa: UP031  # the case
        return f"{k}", f"{k:.2f}", str(k), repr(k), old_style, format(k, "g"), x * k

    for k in [1.0, 2.0, 3.0, 1e22, -0.0, NAN, 1, 2, True]:
        yield f(vector(), k)


@case
def min_and_max_of_numbers(compile):
    @compile
    def f(x, a, b):
        return x * max(a, b), min(a, b), max(a, b, key=abs), sum([a, b]), sorted([a, b])

    for a, b in [
        (1.0, 2.0),
        (2.0, 3.0),
        (5.0, 3.0),
        (0.0, -0.0),
        (-0.0, 0.0),
        (NAN, 1.0),
        (1, 1.0),
    ]:
        yield f(vector(), a, b)
        yield f(vector(), b, a)


@case
def methods_of_numbers(compile):
    @compile
    def f(n, k):
        return n.bit_length(), n.real, k.is_integer(), k.hex(), hash(n), n.__add__(1), int(k)

    for n, k in [(3, 1.0), (3, 1.0), (4, 2.0), (5, 2.5), (2**70, math.inf), (-1, -0.0), (3, 1.0)]:
        yield attempt(f, n, k)


@case
def branch_on_the_truth_of_a_number(compile):
    @compile
    def f(x, k):
        y = x * 2 if k else x
        return y, not k, k and x, k or "nothing"

    for k in [1.0, 2.0, 3.0, 0.0, -0.0, NAN, 0, 1, None, "", "a"]:
        yield f(vector(), k)


@case
def compare_numbers_of_two_types(compile):
    @compile
    def f(x, a, b):
        return a == b, a < b, a in (1, 2.0), {a: x}.get(b) is x

    for a, b in [
        (1, 1.0),
        (1, 1.0),
        (2, 1.0),
        (True, 1),
        (2**53, 2.0**53),
        (2**53 + 1, 2.0**53),
        (NAN, 1),
    ]:
        yield f(vector(), a, b)
    yield f(vector(), NAN, NAN)


@case
def number_from_a_list_at_a_changing_place(compile):
    state = {"at": 0, "factors": [1.0, 0.5, 0.25]}

    @compile
    def f(x):
        k = state["factors"][state["at"]]
        state["at"] = (state["at"] + 1) % len(state["factors"])
        return x * k

    for _ in range(8):
        yield f(vector()), state
    state["factors"].append(7.0)
    for _ in range(5):
        yield f(vector()), state


@case
def scalar_as_shape(compile):
    @compile
    def f(x, n):
        return tj.zeros((n, 2)) + n, x.reshape(n, -1)

    for n in [2, 2, 2, 3, 4, 1, 6, 5]:
        yield attempt(f, tj.arange(12), n)


@case
def scalar_range(compile):
    @compile
    def f(n):
        return tj.arange(n) * n, list(range(n))

    for n in [3, 3, 3, 4, 5, 0, 1, 3]:
        yield f(n)


@case
def enum_and_string_mode(compile):
    @compile
    def f(x, mode, name="a"):
        if mode is Mode.ADD:
            return x + 1, name
        if mode == Mode.MUL and name in ("a", "b"):
            return x * 2, name
        return x, mode

    for mode in [*thrice(Mode.ADD, Mode.MUL), "MUL", 2]:
        yield f(vector(), mode)
    for name in thrice("b", "c"):
        yield f(vector(), Mode.MUL, name)


@case
def enum_value_patched(compile):
    class Level(enum.Enum):
        LOW = 1.0
        HIGH = 2.0

    state = Box()

    @compile
    def f(x):
        return x * state.level.value, state.level.name

    for state.level in thrice(Level.LOW, Level.HIGH):
        yield f(vector())
    Level.HIGH._value_ = 9.0
    for _ in range(3):
        yield f(vector())


@case
def large_int_and_str_identity(compile):
    @compile
    def f(a, b):
        return a is b, a == b

    big, text = 10**20, "".join(["te", "xt"])
    for a, b in (
        [(big, big)] * 3 + [(big, 10**19 * 10)] * 3 + [(text, text), (text, "te" + "xt"[:])]
    ):
        yield f(a, b)


@case
def changing_numbers_are_written(compile):
    data = tj.zeros(4, dtype=tj.float64)
    single, whole = tj.zeros(4), tj.zeros(4, dtype=tj.int64)

    @compile
    def f(x, a, n):
        x[0] = a
        x[1:3] = a * 2
        single.fill_(a)
        single[n] = a / 3
        whole[0] = n
        data[...] = a
        return x

    for a, n in [(0.1, 1), (0.2, 1), (0.3, 1), (0.7, 2), (float("nan"), 2), (-0.0, 1), (1e300, 1)]:
        yield f(np.zeros(4), a, n), data, single, whole


@case
def numbers_given_to_methods_and_draws(compile):
    @compile
    def f(x, c):
        mask = x > 0
        y = x.clip(-1, c) + x.lerp(x * 2, c) + x.masked_fill(mask, c) + tj.where(mask, c, x)
        y = y + x.add(c, alpha=c).clamp(max=c) + (x * 1).masked_fill_(mask, c)
        return y, x.eq(c), x.half().mul(c), tj.random.uniform((2,), -c, c)

    @compile
    def g(x, c):
        return tj.random.bernoulli(c, (3,)), tj.nn.functional.dropout(x, c)

    @compile
    def h(x, c):
        return tj.where(x > 0, c, x.long()), x.long().masked_fill(x > 0, c), (x > 0).add(c)

    numbers = [
        0.1, 0.2, 0.3, 0.0, -0.0, 1.0, NAN, math.inf, 1e60, -0.5, 2, 3, 10**30, True, np.float32(0.3), np.float64(0.4), 0.9,
    ]  # fmt: skip
    for turn, number in enumerate(numbers):
        tj.random.seed(turn)
        yield (
            attempt(f, vector(), number),
            attempt(g, vector(), number),
            attempt(h, vector(), number),
        )
