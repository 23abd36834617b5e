"""Sorting and searching are NumPy's, for every dtype; what NumPy has not is made of it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.gradient import check_gradient
from tracejit import ops
from tracejit._errors import AxisError, ShapeError
from tracejit.dtypes import ALL, DType

RNG = np.random.default_rng(11)
TIED = RNG.integers(0, 3, (4, 5, 3))


def of(dtype: DType) -> np.ndarray:
    return TIED.astype(np.float32).astype(dtype.numpy)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_sorting_is_numpys(dtype: DType, axis: int) -> None:
    x = of(dtype)
    expected = np.sort(x, axis=axis)
    found = ops.sort(x, axis=axis).array
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        ops.sort(x, axis=axis, descending=True).array, np.flip(expected, axis)
    )


@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_equal_elements_keep_their_order_in_both_directions(dtype: DType) -> None:
    x = of(dtype)
    np.testing.assert_array_equal(ops.argsort(x).array, np.argsort(x, kind="stable"))
    downwards = ops.argsort(x, descending=True).array
    assert downwards.dtype == np.int64
    np.testing.assert_array_equal(downwards, np.argsort(-x.astype(int), kind="stable"))


def test_without_a_promise_equal_elements_have_numpys_order() -> None:
    x = RNG.integers(0, 3, (3, 100)).astype(np.float32)
    np.testing.assert_array_equal(ops.argsort(x, stable=False).array, np.argsort(x))
    zeros = np.where(x > 1, 0.0, -0.0)
    for stable in (True, False):
        found = ops.sort(zeros, stable=stable).array
        assert found.tobytes() == np.sort(zeros, stable=stable).tobytes()


def test_nan_is_sorted_behind_every_number() -> None:
    x = np.array([np.nan, -np.inf, np.inf, 0.0])
    np.testing.assert_array_equal(ops.argsort(x).array, [1, 3, 2, 0])
    np.testing.assert_array_equal(ops.argsort(x, descending=True).array, [0, 2, 3, 1])


def test_a_number_cannot_be_sorted() -> None:
    with pytest.raises(AxisError):
        ops.sort(np.array(1.0))


def test_the_gradient_of_an_element_goes_where_it_came_from() -> None:
    x = RNG.normal(size=(3, 4))
    for axis in (0, 1):
        check_gradient(lambda x, axis=axis: ops.square(ops.sort(x, axis=axis)), x)
    check_gradient(lambda x: ops.square(ops.sort(x, descending=True)), x)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_searching_is_numpys(dtype: DType, side: str) -> None:
    x, values = np.sort(of(dtype).ravel()), of(dtype)[0]
    expected = np.searchsorted(x, values, side=side)
    found = ops.searchsorted(x, values, side=side).array
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, expected)


def test_searching_takes_an_order_numbers_and_other_dtypes() -> None:
    x = np.array([3, 1, 2])
    assert ops.searchsorted(x, 2, sorter=np.argsort(x)).array == 1
    assert ops.searchsorted(np.sort(x), np.array([1.5])).array.tolist() == [1]
    with pytest.raises(ShapeError):
        ops.searchsorted(np.zeros((2, 2)), 1)
    with pytest.raises(ValueError, match="side"):
        ops.searchsorted(x, 2, side="middle")


@pytest.mark.parametrize("invert", [False, True])
def test_membership_is_numpys(invert: bool) -> None:
    x = np.array([[0.0, 2.0], [np.nan, 9.0]])
    for values in ([2, 7], [], [np.nan, 0.0], [9, 9, 2], np.array([[2], [0]])):
        expected = np.isin(x, np.asarray(values, float), invert=invert)
        np.testing.assert_array_equal(ops.isin(x, values, invert=invert).array, expected)


def test_a_number_is_looked_for_in_the_dtype_of_the_elements() -> None:
    for dtype, number, found in (
        (np.float64, 0.1, True),
        (np.float32, 0.1, True),
        (int, 1.5, False),
    ):
        x = np.array([0.1, 1.0]).astype(dtype)
        assert ops.isin(x, number).array.tolist() == [found, False]


@pytest.mark.parametrize("n", range(5))
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_differences_are_numpys(n: int, axis: int) -> None:
    for x in (TIED, TIED.astype(np.uint8), TIED > 0, np.ones((0, 3)), np.ones((1, 1))):
        if n <= x.shape[axis] or n == 0:
            expected = np.diff(x, n=n, axis=axis)
            found = ops.diff(x, n=n, axis=axis).array
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)


def test_differences_begin_and_end_with_what_is_put_there() -> None:
    x = np.array([[1, 3], [6, 10]])
    for options in ({"prepend": 0}, {"append": x}, {"prepend": [[1], [2]], "append": 3}):
        known = {name: np.asarray(part) for name, part in options.items()}
        np.testing.assert_array_equal(ops.diff(x, **known).array, np.diff(x, **known))
    assert ops.diff(np.float32([1, 2]), prepend=0.5).array.dtype == np.float32
    with pytest.raises(ValueError, match="negative"):
        ops.diff(x, n=-1)


def test_the_gradient_of_differences() -> None:
    x = RNG.normal(size=(3, 4))
    check_gradient(lambda x, y: ops.square(ops.diff(x, n=2, prepend=y)), x, np.array([[0.5]] * 3))
