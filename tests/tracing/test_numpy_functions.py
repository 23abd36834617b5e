"""NumPy's functions in compiled functions: they mean what NumPy says, and are replayed."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

MOVES = """
    np.where(x > 0, x, 0)
    np.where(x > 0, x, 0.5)
    np.where(x > 0, 1, 0)
    np.where(x > 0, 1.5, 0)
    np.where(x, [1, 2, 3, 4], x)
    np.where(x.sum() > 0, 1.0, 2.0)
    np.multiply(x, 2, out=np.empty_like(x))
    np.empty_like(x, dtype=np.int16).shape
    np.copy(x)
    np.copy(x[0, 0])
    np.array(x)
    np.array(x, dtype=np.float64)
    np.array(x, np.float32)
    np.array([x[0], x[1]])
    np.array([[x[0, 0], 1.5], [0, x[1, 1]]])
    np.array([x[0, 0], 2], dtype=np.float64)
    np.ascontiguousarray(x)
    np.ascontiguousarray(x) is x
    np.ascontiguousarray(x.T)
    np.ascontiguousarray(x[:, 1:])
    np.vstack([x, x[0]])
    np.vstack((x[0], [1, 2, 3, 4]))
    np.hstack([x, x])
    np.hstack([x[0], x[0, 0]])
    np.column_stack([x[:, 0], x])
    np.append(x, x)
    np.append(x, 0.1)
    np.append(x, [[0.1, 1, 2, 3]], axis=0)
    np.diag(x[0])
    np.diag(x[0], 2)
    np.diag(x[0], -1)
    np.diag(x)
    np.diag(x, 1) + 0
    np.fliplr(x)
    np.flipud(x)
    np.rot90(x)
    np.rot90(x, 2)
    np.rot90(x, -1, axes=(1, 0))
    np.rot90(x, 4)
    np.atleast_1d(x[0, 0], x)
    np.atleast_1d(x) is x
    np.atleast_2d(x[0])
    np.atleast_2d(x.max())
    np.select([x > 1, x > 0], [x, 2.5], -1)
    np.select([x > 1], [1])
    np.real(x)
    np.real(x) is x
    np.conj(x)
    np.nan_to_num(x)
    np.nan_to_num(x, nan=1.5, posinf=9, neginf=-9)
    np.ptp(x[:2], axis=1)
    np.max(x, axis=0, initial=1)
    np.min(x, initial=-2, where=x > 0, keepdims=True)
    np.any(x, axis=0, where=x > 0)
    np.heaviside(x, 0.5)
    np.copyto(x, 1)
    (np.copyto(x, x[0]), x)[1]
    (np.copyto(x, -x, where=x > 0), x)[1]
    (x.fill(2), x)[1]
    x.conj() is x
    x.round(1)
    x.round()
    np.round(x)
    x.copy()
    np.zeros_like(x.max())
    np.astype(x[0, 0, ...], np.float32)
    np.stack([x[0, 0], 0.1])
    x + [0.1, 0.2, 0.3, 0.4]
    np.dot(x, 0.1)
    np.outer(x, 0.1)
    np.searchsorted([0.1, 0.5], x[0])
    np.isin(x, 0.1)
    np.allclose(x, x)
    np.allclose(x, x + 1)
    np.allclose(x, x, equal_nan=True)
    np.array_equal(x, x)
    np.array_equal(x, x, equal_nan=True)
    np.array_equal(x, x[0])
    np.isclose(x, x + 1e-7)
    np.isclose(x, 1, atol=0.5)
    np.isclose(0, x, equal_nan=True)
    np.isclose(x, np.float64(1), atol=0.5)
    np.nan_to_num(x, nan=np.float64(2))
    np.sum(x * 1.5, initial=np.float64(2))
    np.trace(x)
    np.trace(np.stack([x, -x]))
    np.nanmax(x, axis=0)
    np.nanmin(x)
    np.pad(x, 1)
    np.pad(x, 1, mode="constant")
    np.pad(x, ((1, 0), (0, 2)), constant_values=2)
    np.pad(x, 1, "edge")
    np.pad(x, ((1, 0), (2, 1)), mode="reflect")
    np.pad(x, (1, 2), mode="symmetric")
    np.pad(x, ((0, 0), (3, 9)), mode="wrap")
    np.pad(x, 0, mode="edge")
    np.median(x)
    np.median(x[:2], axis=0)
    np.median(x, axis=1, keepdims=True)
    np.median(x, keepdims=True)
    np.quantile(x * np.float64(1), 0.3)
    np.quantile(x * np.float64(1), [0, 0.55, 1], axis=-1, keepdims=True)
    np.percentile(x * np.float64(1), [25, 75], axis=0)
    np.percentile(x * np.float64(1), 90)
    (np.fill_diagonal(x, 7), x)[1]
    (np.fill_diagonal(x.T, -2), x)[1]
    x[np.ix_([0, 2], [1])]
    x[np.ix_(np.argsort(x[:, 0]), [1, 0])]
    np.indices((2, 2)) + x[0, 0]
    np.linspace(x.min() * np.float64(1), 3, 5)
    np.linspace(x[0, 0] * np.float64(0), x[0, 0] * np.float64(0))
    np.hanning(4) * x
    (np.add.at(x, [0, 0, 2], 1), x)[1]
    (np.subtract.at(x, (slice(None), [1, 1]), x[:, :2]), x)[1]
    x[[0, np.argmax(x[:, 0])]]
    x[[1, x[0].argmin() % 2], [x[1].argmax(), 0]]
    list(zip(x, x[::-1]))
    [i * row for i, row in enumerate(x)]
    [*reversed(x)][0] + tuple(x)[1]
    dict(enumerate(x[0]))[2]
    x.dtype.name, x.dtype.kind, x.dtype.itemsize
    np.finfo(np.float32).eps * x + np.iinfo(np.int8).max
    round(x.sum(), 1)
    np.float32(x.max())
"""
"""Of which every element is exact."""
SUMS = """
    np.inner(x, x)
    np.inner(x[0], x[1])
    np.vdot(x, x)
    np.linalg.norm(x)
    np.linalg.norm(x, axis=1)
    np.linalg.norm(x, axis=(0, 1), keepdims=True)
    np.linalg.norm(x, "fro")
    np.linalg.norm(x[0], 1)
    np.linalg.norm(x, np.inf, 0)
    np.linalg.norm(x, -np.inf, 1, True)
    np.linalg.norm(x, 2, axis=-1)
    np.average(x)
    np.average(x, axis=0)
    np.average(x, weights=x * x + 1)
    np.average(x, axis=1, weights=[1, 2, 3, 4.5])
    np.average(x, axis=-1, weights=np.arange(4) + x[0] * x[0], keepdims=True)
    np.nansum(x)
    np.nansum(x, axis=0, keepdims=True)
    np.nanprod(x, axis=1)
    np.nanmean(x)
    np.nanmean(x, axis=1)
    np.degrees(x)
    np.radians(x)
    np.deg2rad(x) + np.rad2deg(x)
    np.sinc(x)
    np.trapezoid(x)
    np.trapezoid(x, dx=2, axis=0)
    np.trapezoid(x, np.arange(4.0) * x[0])
    np.trapezoid(x, x * 2, axis=0)
    np.trapezoid(x, dx=np.float64(2))
    np.gradient(x[0], np.float64(2))
    np.gradient(x[0])
    np.gradient(x)
    np.gradient(x, 0.5, 2)
    np.gradient(x, 3, axis=1)
    np.gradient(x, x[0, 0] + 9, axis=(1, 0))
    np.cross(x[:, :3], x[:, 1:])
    np.cross(x[:, :3], x[0, :3], axis=-1)
    np.polyval([1, 2, 0.5], x)
    np.polyval(x[0], x)
    np.interp(x, [-1.0, 0.5, 2], [3, 4, 7])
    np.interp(0.3, np.arange(4) + x[0, 0], x[1])
    np.convolve(x[0], x[1])
    np.convolve(x[0], x[1, :2], "same")
    np.convolve(x[0, :2], x[1, :3], mode="valid")
    np.correlate(x[0], x[1])
    np.correlate(x[0], x[1, :3], "full")
    np.correlate(x[0], x[1, :2], "same")
    np.sum(x, axis=0, initial=2)
    np.sum(x, where=x > 0)
    np.prod(x, axis=1, where=x > 0, initial=3)
    np.mean(x, axis=0, where=x > -9)
    np.mean(x, dtype=np.float64)
    np.divide(x, 3, dtype=np.float64)
    np.add(x, x, dtype=np.float64)
    np.sqrt(x * x, where=x > 0, out=np.zeros_like(x, dtype=float))
    np.full_like(x, 0.1, dtype=float)
    np.multiply(x, 2, where=x > 0, out=x)
    x.cumsum()
    x.cumsum(1)
    x.cumprod(axis=0)
    x.sum(0, np.float64)
    x.sum(axis=1, initial=5)
    x.mean(axis=0, keepdims=True)
    x.std(ddof=1)
    x.var(0)
"""
"""Of which sums may differ in their last bits."""


METHODS = """
    np.add.reduce(x)
    np.add.reduce(x, axis=1, keepdims=True)
    np.add.reduce(x, None)
    np.maximum.reduce(x)
    np.minimum.reduce(x, axis=-1, initial=1)
    np.multiply.reduce(x, axis=0, where=x > 0)
    np.logical_and.reduce(x > 0)
    np.logical_or.reduce(x)
    np.add.accumulate(x)
    np.multiply.accumulate(x, axis=1)
    np.maximum.accumulate(x)
    np.minimum.accumulate(x, axis=1)
    np.multiply.outer(x[0], x[1])
    np.subtract.outer(x, [1, 2.5])
    np.greater.outer(x[0], x)
"""
"""Of ufuncs."""


def compile_text(expression: str) -> Callable[[np.ndarray], Any]:
    """A function with the expression as its source text."""
    text, name = f"def f(x):\n    return {expression}\n", f"<{expression}>"
    linecache.cache[name] = len(text), None, text.splitlines(True), name
    scope: dict[str, Any] = {"np": np}
    exec(compile(text, name, "exec"), scope)
    return scope["f"]


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


LEFT_TO_NUMPY = """
    np.where(x)
    np.where(x > 0, x)
    np.where(x > 0, x, 1j)
    np.full_like(x, 1, order="F")
    np.copy(x, order="Q")
    np.array(x, ndmin=5)
    np.array([x, [1, 2]])
    np.vstack([x, 1])
    np.vstack([x, x], dtype=np.float64)
    np.append(x, x, axis=5)
    np.diag(x, 1.5)
    np.fliplr(x[0])
    np.rot90(x, 1, (0, 0))
    np.select([x], [x])
    np.select([x > 0], [x, x])
    np.nan_to_num(x, copy=False)
    np.inner(x, x[0, :2])
    np.linalg.norm(x, 3, axis=0)
    np.linalg.norm(x, "nuc")
    np.linalg.norm(x[0], "fro")
    np.average(x, weights=0 * x)
    np.average(x, weights=[1, 2, 3])
    np.average(x, returned=True)
    np.ptp(x > 0)
    np.nansum(x, initial=3)
    np.allclose(x, x, rtol=[1e-5])
    np.array_equal(x, "a")
    np.copyto(x, 1j)
    np.copyto(x, x[None, None])
    np.copyto(x, 1, where=1)
    np.sum(x, initial=[1])
    np.sum(x, where=x)
    np.sum(x, axis=0, out=np.zeros(7))
    np.max(x, where=x > 0)
    np.max(x, axis=9)
    np.mean(x, dtype=complex)
    np.divide(x, 2, dtype=np.int32)
    np.add(x, 1, casting="no")
    np.add(x, 1, where=x, out=x)
    np.gradient(x, x[0])
    np.gradient(x[:, :1])
    np.polyval(x, x)
    np.interp(x, [1, 2], [3, 4, 5])
    np.convolve(x, x)
    np.round(x > 0)
    x.fill([1])
    x.sum(x=1)
    np.pad(x, 1, mode="linear_ramp")
    np.pad(x, 1, mode="reflect", reflect_type="odd")
    np.pad(x, -1)
    np.pad(x, {0: 1})
    np.median(x, axis=(0, 1))
    np.median(x > 0)
    np.median(x[:0])
    np.quantile(x, 1.5)
    np.quantile(x, 0.5, method="lower")
    np.quantile(x.astype(int), 1)
    np.quantile(np.abs(x).astype("u1"), [0, 1])
    np.quantile(x.astype("f4"), 0.3)
    np.percentile(x, 30, axis=(0, 1))
    (np.fill_diagonal(x, [1, 2, 3]), x)[1]
    np.ix_(x[0] > 0, [1])
    np.ix_(x)
    np.linspace(x[0], x[1], 3)
    np.linspace(x[0, 0], 1, 3, retstep=True)
    np.linspace(x[0, 0], 1, 1)
    (np.add.at(x, [9], 1), x)[1]
    (np.multiply.at(x, [0, 0], 2), x)[1]
    np.add.at(x.astype(int), 0, 1.5)
    x[[0, x[0, 0]]]
    x[[0, x.argmax()]]
"""
"""What tracejit's functions do not take."""


def data(dtype: str, rows: int, seed: int) -> np.ndarray:
    numbers = np.random.default_rng(seed).integers(-24, 24, (rows, 4))
    return (numbers / 8).astype(dtype) if dtype[0] == "f" else numbers.astype(dtype) // 8


def check(found: Any, expected: Any, *, exact: bool) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, tuple | list):
        assert len(found) == len(expected)
        for part, other in zip(found, expected):
            check(part, other, exact=exact)
    elif isinstance(expected, np.ndarray | np.generic):
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        eps = 0 if exact or expected.dtype.kind != "f" else np.finfo(expected.dtype).eps
        np.testing.assert_allclose(found, expected, rtol=8 * eps, atol=8 * eps)
    else:
        assert found == expected


def agrees(f: Callable[..., Any], inputs: list[np.ndarray], *, exact: bool) -> Any:
    """Compiled, it gives and does what NumPy does."""
    compiled = tj.compile(f)
    for x in inputs:
        twin = x.copy()
        check(compiled(x), f(twin), exact=exact)
        np.testing.assert_allclose(x, twin, rtol=0 if exact else 1e-5)
    return compiled


@pytest.mark.parametrize("dtype", ["f8", "f4", "i4"])
@pytest.mark.parametrize("expression", lines(MOVES) + lines(SUMS) + lines(METHODS))
def test_a_function_of_numpys_is_replayed_and_means_what_numpy_says(expression: str, dtype: str):
    inputs = [data(dtype, 3, seed) for seed in range(4)] + [data(dtype, 5, 9)]
    exact = expression in MOVES
    compiled = agrees(compile_text(expression), inputs, exact=exact)
    assert compiled.calls["replay"] > 0, compiled.replays.reason


@pytest.mark.parametrize("expression", lines(MOVES) + lines(SUMS) + lines(METHODS))
def test_what_is_no_number_is_told_as_by_numpy(expression: str):
    special = np.array([[np.nan, np.inf, -np.inf, 0], [1, np.nan, 2, -0.0], [np.inf, 1, 1, -1]])
    agrees(compile_text(expression), [special.copy() for _ in range(3)], exact=expression in MOVES)


@pytest.mark.parametrize("expression", lines(LEFT_TO_NUMPY))
def test_other_arguments_mean_what_numpy_says_or_raise_its_errors(expression: str):
    f = compile_text(expression)
    compiled = tj.compile(f)
    for seed in range(3):
        x = data("f8", 3, seed)
        found, expected = outcome(compiled, x.copy()), outcome(f, x)
        if isinstance(expected, Exception):
            assert isinstance(found, type(expected)) or type(found).__mro__[1] is type(expected)
        else:
            check(found, expected, exact=False)


def outcome(f: Callable[..., Any], x: np.ndarray) -> Any:
    try:
        return f(x)
    except (TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        return error


@pytest.mark.parametrize("expression", ["x + x.sum(initial=2)", "np.linalg.norm(x)", "np.copy(x)"])
@pytest.mark.parametrize("shape", [(0,), (0, 3), ()])
def test_arrays_of_no_elements_or_dimensions(expression: str, shape: tuple[int, ...]):
    compiled = agrees(compile_text(expression), [np.full(shape, 2.5)] * 3, exact=False)
    assert compiled.calls["replay"] > 0


@pytest.mark.parametrize("call", ["np.fliplr(x)", "np.rot90(x)", "np.atleast_2d(x)", "np.diag(x)"])
def test_views_share_memory(call: str):
    x = data("f8", 4, 0)
    assert np.shares_memory(tj.compile(compile_text(call))(x), x)


@pytest.mark.parametrize("call", ["np.copy(x)", "np.array(x)", "np.vstack([x])", "np.array([x])"])
def test_copies_share_none(call: str):
    x = data("f8", 4, 0)
    compiled = tj.compile(compile_text(call))
    assert not any(np.shares_memory(compiled(x), x) for _ in range(3))


def test_a_decision_by_values_is_taken_anew_at_each_call():
    @tj.compile
    def f(x, y):
        return x + 1 if np.allclose(x, y) else x - 1

    x = np.ones(3)
    assert [f(x, x + shift)[0] for shift in (0, 0, 1, 1, 0)] == [2, 2, 0, 0, 2]
    assert f.calls["replay"] == 3
