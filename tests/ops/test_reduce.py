"""Reductions agree with NumPy, and their order is fixed by the shape."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tracejit import dtypes, ops
from tracejit._errors import AxisError, ShapeError
from tracejit.dtypes import ALL, DType
from tracejit.ops.families import reduction_groups

AXES = [None, 0, -1, (0, 2), (1, 2), (0, 1, 2), ()]
FOLDS = {
    "sum": np.sum,
    "prod": np.prod,
    "max": np.max,
    "min": np.min,
    "any": np.any,
    "all": np.all,
    "mean": np.mean,
}


def data(dtype: DType, shape: tuple[int, ...] = (2, 3, 4)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 5, shape).astype(dtype.numpy)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("name", FOLDS)
def test_folds_take_any_axes(name: str, axis: Any, keepdims: bool) -> None:
    x = np.random.default_rng(1).normal(size=(2, 3, 4))
    found = getattr(ops, name)(x, axis=axis, keepdims=keepdims).array
    expected = np.asarray(FOLDS[name](x, axis=axis, keepdims=keepdims))
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert found.shape == expected.shape


@pytest.mark.parametrize("dtype", [d for d in ALL if d is not dtypes.bfloat16], ids=str)
@pytest.mark.parametrize(
    "name", [*FOLDS, "var", "std", "argmax", "argmin", "cumulative_sum", "cumulative_prod"]
)
def test_folds_have_the_dtype_and_value_of_numpy(name: str, dtype: DType) -> None:
    x = data(dtype)
    function = {"cumulative_sum": np.cumsum, "cumulative_prod": np.cumprod}.get(name) or getattr(
        np, name
    )
    expected = np.asarray(function(x, axis=1))
    found = getattr(ops, name)(x, axis=1).array
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(
        found, expected, rtol=4 * np.finfo(np.float16).eps if dtype.itemsize == 2 else 1e-6
    )


@pytest.mark.parametrize("name", ["sum", "prod", "any", "all", "mean"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_folds_of_no_elements_are_those_of_numpy(name: str) -> None:
    x = np.ones((2, 0), np.float32)
    np.testing.assert_array_equal(getattr(ops, name)(x, axis=1).array, getattr(np, name)(x, axis=1))
    assert getattr(ops, name)(np.ones((0, 2), np.float32), axis=1).array.shape == (0,)


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
def test_no_elements_have_no_extreme(name: str) -> None:
    with pytest.raises(ValueError, match="hold no elements"):
        getattr(ops, name)(np.ones((2, 0)), axis=1)
    assert getattr(ops, name)(np.ones((0, 2)), axis=1).array.shape == (0,)


def test_a_nan_is_the_extreme() -> None:
    x = np.array([1.0, np.nan, 3.0, np.nan])
    assert np.isnan(ops.max(x).array)
    assert np.isnan(ops.min(x).array)
    assert ops.argmax(x).array == ops.argmin(x).array == 1


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_places_count_in_row_major_order(axis: int | None, keepdims: bool) -> None:
    x = np.random.default_rng(2).integers(0, 4, (3, 5, 2))
    for name in ("argmax", "argmin"):
        expected = getattr(np, name)(x, axis=axis, keepdims=keepdims)
        np.testing.assert_array_equal(
            getattr(ops, name)(x, axis=axis, keepdims=keepdims).array, expected
        )


def test_half_floats_are_added_in_single() -> None:
    x = np.full(4096, 1.0009765625, np.float16)
    assert ops.sum(x).array == np.float16(4096 * 1.0009765625)
    y = np.full(1000, 1.0, ml_dtypes.bfloat16)
    assert ops.sum(y).array == 1000.0
    assert ops.mean(y).array.dtype == ml_dtypes.bfloat16


@pytest.mark.parametrize("correction", [0, 1, 2.5, 12])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_variance_divides_by_the_count_less_the_correction(correction: float) -> None:
    x = np.random.default_rng(3).normal(size=(4, 12))
    np.testing.assert_allclose(
        ops.var(x, axis=1, correction=correction).array, np.var(x, axis=1, ddof=correction)
    )
    np.testing.assert_allclose(
        ops.std(x, axis=1, correction=correction).array, np.std(x, axis=1, ddof=correction)
    )


def test_running_sums_may_begin_with_nothing() -> None:
    x = np.arange(1.0, 7.0).reshape(2, 3)
    np.testing.assert_array_equal(
        ops.cumulative_sum(x, axis=1, include_initial=True).array, [[0, 1, 3, 6], [0, 4, 9, 15]]
    )
    np.testing.assert_array_equal(
        ops.cumulative_prod(x, axis=0, include_initial=True).array,
        [[1, 1, 1], [1, 2, 3], [4, 10, 18]],
    )
    with pytest.raises(ShapeError, match="needs an axis"):
        ops.cumulative_sum(x)


def test_count_nonzero_counts() -> None:
    assert ops.count_nonzero(np.array([[0.0, 1.0], [np.nan, 0.0]]), axis=0).array.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("shape", "axes", "groups"),
    [
        ((4096, 1024), (0, 1), [(1,), (0,)]),
        ((1000, 10), (0, 1), [(0, 1)]),
        ((8, 16, 16, 4), (0, 1, 2, 3), [(1, 2, 3), (0,)]),
        ((5, 6, 7), (0, 2), [(2,), (0,)]),
        ((1, 1024), (0, 1), [(0, 1)]),
        ((5, 6, 7), (), []),
    ],
)
def test_reduced_axes_form_groups_by_the_shape_alone(shape: Any, axes: Any, groups: Any) -> None:
    assert reduction_groups(shape, axes) == groups


@pytest.mark.parametrize("axis", [3, -4, (0, 5)])
def test_axes_outside_the_array_are_refused(axis: Any) -> None:
    with pytest.raises(
        AxisError,
        match=r"test_reduce.py:\d+: sum: axis -?\d is out of bounds for an array of 3 dimensions",
    ):
        ops.sum(np.ones((2, 3, 4)), axis=axis)


def test_an_axis_named_twice_is_refused() -> None:
    with pytest.raises(ShapeError, match="named twice"):
        ops.sum(np.ones((2, 3)), axis=(0, -2))
