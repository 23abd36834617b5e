"""Python numbers that change between calls: their values, types, signs and sizes."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, thrice, vector

NAN = float("nan")


class Box:
    pass


class Metres(int):
    def __mul__(self, other):
        return "metres"

    __rmul__ = __mul__


@case
def np_scalar_vs_0d(compile):
    @compile
    def f(x, k):
        return x * k, k

    for k in [*thrice(np.float64(2)), *thrice(np.float32(2)), *thrice(np.array(2.0)), np.int64(2)]:
        yield f(vector(), k)
    for k in [tj.tensor(2.0), 2.0, np.array(2.0), np.float64(2)]:
        yield f(vector(), k)


@case
def py_scalar_changes(compile):
    @compile
    def f(x, k):
        return x * k, k + 1

    for k in [1.0, 2.0, 3.0, 4.0, 0.1, 1e300, 1, 2, 3]:
        yield f(vector(), k)


@case
def py_scalar_special(compile):
    @compile
    def f(x, k):
        return x * k, x + k, k

    for k in [1.0, 0.0, -0.0, NAN, math.inf, -math.inf, 5e-324, 1e308, -0.0, -NAN]:
        yield f(vector(), k)


@case
def scalar_kind(compile):
    @compile
    def f(x, k):
        return x + k

    for k in [*thrice(1, 1.0, True), 2, False, 0.0, 2**31, -1]:
        yield attempt(f, tj.tensor([1, 2, 3]), k)


@case
def math_on_scalars(compile):
    @compile
    def f(x, k):
        return x * math.sqrt(k) + math.floor(k), round(k, 1), divmod(k, 3)

    for k in [1.0, 2.0, 3.0, 4.5, 4.5, 4, -1.0, NAN, 2.0]:
        yield attempt(f, vector(), k)


@case
def lr_schedule(compile):
    state = Box()
    state.lr, state.w = 0.5, vector()

    @compile
    def step(g):
        state.w = state.w - g * state.lr
        state.lr *= 0.5
        return state.w

    for k in range(8):
        yield step(vector() + k), state
    state.lr = 1
    for k in range(3):
        yield step(vector() + k), state


@case
def nan_zero_guard(compile):
    state = Box()

    @compile
    def f(x):
        return x * state.k, x / state.k

    for state.k in [*thrice(0.0, -0.0, NAN, 0.0), 0, NAN * 1.0]:
        yield attempt(f, vector())


@case
def signed_zero_float_of_tensor(compile):
    @compile
    def f(x):
        k = float(x)
        return math.copysign(1.0, k), {0.0: "zero"}.get(k), k

    for k in [0.0, 0.0, 0.0, -0.0, -0.0, 1.0, NAN, 0.0]:
        yield f(tj.tensor(k))


@case
def int_float_bool_same_value(compile):
    state = Box()

    @compile
    def f(x):
        return x * state.k, [state.k], f"{state.k}"

    for state.k in thrice(1, True, 1.0, 1):
        yield f(tj.tensor([1, 2]))


@case
def int_subclass(compile):
    @compile
    def f(k, n):
        return k * n, n * 1, n + 1, n

    for n in [2, 2, 2, Metres(2), Metres(2), True, 2]:
        yield f(3, n)


@case
def numbers_beyond_64_bits(compile):
    state = Box()

    @compile
    def f(n):
        state.n = n * n + 1
        return state.n, n > 2**62, n % 7

    for n in [1, 2, 3, 2**31, 2**32, 2**62, 2**63, 2**64, -(2**63), 10**30, 3]:
        yield f(n), state


@case
def numbers_that_do_not_fit_a_tensor(compile):
    state = Box()

    @compile
    def f(x):
        return x + state.n

    for state.n in [1, 2, 3, 2**63 - 1, 2**63, 2**64, -(2**63), 4]:
        yield attempt(f, tj.tensor([0, 1]))
    for state.n in [1, 2, 200, 300, -1]:
        yield attempt(f, tj.tensor([0, 1], dtype=tj.uint8))


@case
def operators_that_change_the_type(compile):
    @compile
    def f(a, b):
        return a**b, a / b, a // b, a % b, -a, ~a if type(a) is int else None

    for a, b in [(2, 3), (2, 3), (2, 3), (2, -1), (-2, 3), (2, 0), (2.0, 3), (-8, 1 / 3), (7, -2)]:
        yield attempt(f, a, b)


@case
def division_by_a_number_that_becomes_zero(compile):
    state = {"n": 3, "done": 0}

    @compile
    def f(x):
        y = x * (6 // state["n"])
        state["n"] -= 1
        state["done"] += 1
        return y

    for _ in range(5):
        yield attempt(f, vector()), state
    state["n"] = -1
    for _ in range(3):
        yield attempt(f, vector()), state


@case
def exact_numbers_of_other_classes(compile):
    @compile
    def f(a, b):
        return a + b, a * 2, a == b

    for a in [Fraction(1, 3), Fraction(1, 3), Fraction(2, 3), Decimal("0.1"), 1j, 0.5, 1]:
        yield attempt(f, a, a)
        yield attempt(f, a, 1)


@case
def number_that_a_tensor_gives(compile):
    state = Box()
    state.k = 1.0

    @compile
    def f(x):
        y = x * state.k
        state.k = y.sum().item()
        state.n = int(y.max())
        return y, state.n > 3

    for k in range(6):
        yield f(vector() + k), state
    state.k = 2
    for k in range(3):
        yield f(vector() + k), state


@case
def number_stored_and_returned_is_one_object(compile):
    state = Box()

    @compile
    def f(k):
        state.k = [k * 1.5]
        return state.k

    for k in [1.0, 2.0, 3.0, 3.0, 5.0]:
        yield f(k), state


@case
def bool_arithmetic(compile):
    @compile
    def f(x, flag):
        return x * flag, flag + flag, flag & True, flag == 1, [10, 20][flag], -flag

    for flag in [*thrice(True, False), 1, 0, np.True_]:
        yield attempt(f, vector(), flag)


@case
def accumulating_float_counter(compile):
    state = Box()
    state.total, state.n = 0.0, 0

    @compile
    def f(x, k):
        state.total += k
        state.n += 1
        return x * (state.total / state.n)

    for k in [0.1, 0.2, 0.3, 0.3, -0.9, 1e308, 1e308, NAN]:
        yield f(vector(), k), state
