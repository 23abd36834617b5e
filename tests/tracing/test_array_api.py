"""Programs written against the array API alone give the same bits compiled as eager, and NumPy's values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj

Program = Callable[[Any], Any]
RNG = np.random.default_rng(17)


def standardized(x: Any) -> Any:
    xp = x.__array_namespace__()
    center = xp.mean(x, axis=0, keepdims=True)
    return (x - center) / (xp.std(x, axis=0, correction=1, keepdims=True) + 1e-3)


def gaussian_kernel(x: Any) -> Any:
    xp = x.__array_namespace__()
    squares = xp.sum(x * x, axis=1)
    products = xp.matmul(x, xp.matrix_transpose(x))
    return xp.exp(-(squares[:, None] + squares[None, :] - 2 * products) / 8)


def nearest_center(x: Any) -> Any:
    xp = x.__array_namespace__()
    centers = x[:3, :]
    distances = xp.sum(xp.square(x[:, None, :] - centers[None, :, :]), axis=-1)
    chosen = xp.argmin(distances, axis=1)
    member = xp.astype(chosen[:, None] == xp.arange(3)[None, :], x.dtype)
    return xp.matmul(member.T, x) / xp.sum(member, axis=0)[:, None], chosen


def histogram(x: Any) -> Any:
    xp = x.__array_namespace__()
    flat = xp.reshape(x, (-1,))
    edges = xp.linspace(-2.0, 2.0, 9, dtype=x.dtype)
    bins = xp.clip(xp.searchsorted(edges, flat, side="right"), 1, 8) - 1
    return xp.sum(xp.astype(bins[:, None] == xp.arange(8)[None, :], xp.int64), axis=0)


def ranks(x: Any) -> Any:
    xp = x.__array_namespace__()
    order = xp.argsort(x, axis=0)
    return xp.argsort(order, axis=0) + 1, xp.take_along_axis(x, order, axis=0), xp.sort(x, axis=0)


def smoothed(x: Any) -> Any:
    xp = x.__array_namespace__()
    sums = xp.cumulative_sum(x, axis=0, include_initial=True)
    means = (sums[3:, :] - sums[:-3, :]) / 3
    return xp.where(xp.isfinite(means), means, xp.roll(x, 1, axis=0)[:-2, :]), xp.diff(
        means, axis=0
    )


def clamped_log(x: Any) -> Any:
    xp = x.__array_namespace__()
    positive = xp.where(x > 0, x, xp.ones_like(x))
    return xp.log1p(positive) * xp.sign(x) + xp.expm1(-xp.abs(x)), xp.any(x > 1), xp.all(x < 9)


def most_common(x: Any) -> Any:
    xp = x.__array_namespace__()
    values, counts = xp.unique_counts(xp.round(x))
    return values[xp.argmax(counts)], xp.max(counts)


def outliers(x: Any) -> Any:
    xp = x.__array_namespace__()
    extreme = xp.abs(x - xp.mean(x)) > xp.std(x)
    rows, columns = xp.nonzero(extreme)
    return x[extreme], rows * x.shape[1] + columns, xp.count_nonzero(extreme)


def power_iteration(x: Any) -> Any:
    xp = x.__array_namespace__()
    matrix = xp.matmul(xp.matrix_transpose(x), x)
    vector = xp.ones(matrix.shape[0], dtype=x.dtype)
    for _ in range(4):
        vector = xp.matmul(matrix, vector)
        vector = vector / xp.sqrt(xp.vecdot(vector, vector))
    return xp.vecdot(vector, xp.matmul(matrix, vector)), xp.abs(vector)


def polynomial(x: Any) -> Any:
    xp = x.__array_namespace__()
    result = xp.zeros_like(x)
    for coefficient in (0.5, -1.0, 0.25, 2.0):
        result = result * x + coefficient
    stacked = xp.stack([x, result, xp.flip(result, axis=1)])
    return xp.permute_dims(stacked, (1, 2, 0)), xp.concat(xp.unstack(stacked), axis=1)


PROGRAMS: list[Program] = [
    standardized, gaussian_kernel, nearest_center, histogram, ranks, smoothed, clamped_log, most_common, outliers,
    power_iteration, polynomial,
]  # fmt: skip


def parts(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_programs_give_the_same_bits_compiled_as_eager(program: Program, dtype: str) -> None:
    compiled = tj.compile(program)
    for shape in ((9, 4), (9, 4), (20, 5)):
        x = tj.tensor(RNG.normal(size=shape), dtype=dtype)
        for found, expected in zip(parts(compiled(x)), parts(program(x)), strict=True):
            np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_programs_give_numpys_values(program: Program) -> None:
    x = RNG.normal(size=(9, 4))
    for found, expected in zip(parts(program(tj.tensor(x))), parts(program(x)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
        assert found.dtype.numpy == np.asarray(expected).dtype


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_programs_on_arrays_give_arrays(program: Program) -> None:
    x = RNG.normal(size=(9, 4))
    for found, expected in zip(parts(tj.compile(program)(x)), parts(program(x)), strict=True):
        assert type(found) is type(expected)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
