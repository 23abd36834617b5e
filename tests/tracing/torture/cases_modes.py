"""Modes of tracejit and of NumPy, switched outside and inside: gradients, the default dtype, settings, error states."""

from __future__ import annotations

import numpy as np

import tracejit as tj
from tests.tracing.torture.harness import attempt, case, matrix, thrice, vector


def array(*more):
    return np.array([1.0, -2.0, 3.0, *more])


def leaf():
    return vector().requires_grad_()


@case
def default_dtype_switched(compile):
    @compile
    def f(x):
        return tj.zeros(2), tj.tensor([0.5]), x * 0.5, tj.ones(2) * x.sum()

    for dtype in thrice(tj.float32, tj.float64, tj.float32):
        tj.set_default_dtype(dtype)
        yield f(tj.tensor([1, 2]))


@case
def default_dtype_switched_inside(compile):
    @compile
    def f(wide):
        if wide:
            tj.set_default_dtype(tj.float64)
        return tj.zeros(2)

    for wide in [False, False, False, True, False, True]:
        yield f(wide)
        tj.set_default_dtype(tj.float32)
        yield f(False)


@case
def global_mode_switch(compile):
    w = vector().requires_grad_()

    @compile
    def f(x):
        y = x * w
        return y, y.requires_grad

    for _ in range(3):
        yield f(vector())
    with tj.no_grad():
        for _ in range(3):
            yield f(vector())
        with tj.enable_grad():
            yield f(vector())
    for _ in range(3):
        yield f(vector())


@case
def modes_inside_and_left_by_an_exception(compile):
    w = vector().requires_grad_()

    @compile
    def f(x, y):
        with tj.no_grad():
            inner = w * x
            product = inner @ y
        return product, inner.requires_grad, (w * x).requires_grad

    for y in [*thrice(vector()), matrix(), vector(), matrix()]:
        yield attempt(f, vector(), y), tj.is_grad_enabled()


@case
def config_changed_between_calls(compile):
    @compile
    def f(x):
        return tj.exp(x) * 2 + x.sum()

    for fuse in thrice(True, False, True):
        with tj.config.scope(fuse=fuse):
            yield f(vector())


@case
def errstate_switched(compile):
    @compile
    def f(a):
        return a / a, np.sqrt(a), a // 2

    for mode in thrice("ignore", "warn", "ignore"):
        with np.errstate(all=mode):
            yield f(np.array([0.0, 4.0, -1.0]))


@case
def errstate_raises_in_compiled_code(compile):
    @compile
    def f(a):
        return a / (a - 1)

    for k in range(3):
        with np.errstate(all="raise"):
            yield attempt(f, array() - k)


@case
def no_grad_as_a_decorator(compile):
    w = leaf()

    @compile
    @tj.no_grad()
    def f(x):
        return w * x

    @tj.no_grad()
    @compile
    def g(x):
        with tj.enable_grad():
            return w * x

    for _ in range(4):
        yield f(vector()), g(vector()), w


@case
def no_grad_around_what_is_called(compile):
    w = leaf()

    class Mean:
        value = vector()

        @tj.no_grad()
        def update(self, x):
            self.value = self.value * 0.5 + w * x
            return self.value

    @tj.no_grad()
    def evaluate(x, *, scale=1.0):
        return w * x * scale

    mean = Mean()

    @compile
    def f(x):
        return w * x + evaluate(x, scale=2.0), mean.update(x), mean.value

    for _ in range(4):
        y, z, value = f(vector())
        yield y, z, value, y.requires_grad, z.requires_grad


@case
def limits_of_dtypes(compile):
    limits = tj.finfo(tj.float16)

    @compile
    def f(x):
        x = tj.where(x > 0, x, tj.finfo(x.dtype).min)
        return x + tj.iinfo(tj.int8).max + limits.eps, limits.bits

    for dtype in (tj.float32, tj.float32, tj.float64, tj.float64):
        yield f(vector().astype(dtype))
    limits = tj.finfo(tj.float32)
    for _ in range(2):
        yield f(vector())


@case
def leaf_flag_switched(compile):
    w = vector()

    @compile
    def f(x):
        y = w * x
        return y, y.requires_grad, w.requires_grad

    for w.requires_grad in thrice(False, True, False):
        yield f(vector())


@case
def write_to_a_leaf_is_refused(compile):
    w = vector()

    @compile
    def f(x):
        w.add_(x)
        return w * 2

    for w.requires_grad in thrice(False, True):
        yield attempt(f, vector()), w
    with tj.no_grad():
        for _ in range(3):
            yield attempt(f, vector()), w
