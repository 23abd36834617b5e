"""Sliding windows: the elements that loops find, layouts that lead to them, and a transpose that adds them up again."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from tests.ops.gradient import check_gradient
from tests.ops.interpreter import lift
from tests.ops.test_shape import check, numbered
from tracejit import ops
from tracejit._errors import ShapeError
from tracejit.ops.op import Op
from tracejit.ops.windows import Extents, add_windows, window_count, windows

WINDOWS: Op = ops.REGISTRY["windows"]
CASES: list[tuple[tuple[int, ...], Extents, Extents, Extents]] = [
    # shape of x, size, stride, dilation
    ((7,), (3,), (1,), (1,)),
    ((2, 7), (3,), (2,), (2,)),
    ((2, 3, 6, 7), (3, 2), (1, 1), (1, 1)),
    ((2, 6, 7), (2, 3), (2, 1), (1, 2)),
    ((2, 6, 6), (2, 3), (2, 3), (1, 1)),
    ((2, 7, 8), (2, 3), (2, 3), (1, 1)),
    ((2, 5, 5), (2, 2), (3, 4), (1, 1)),
    ((3, 4, 5), (4, 5), (1, 1), (1, 1)),
    ((3, 4, 5), (3, 5), (1, 2), (1, 1)),
    ((2, 4, 4), (1, 1), (1, 1), (1, 1)),
    ((2, 4, 4), (1, 1), (2, 3), (1, 1)),
    ((2, 3, 3), (4, 2), (1, 1), (1, 1)),
    ((0, 4, 4), (2, 2), (1, 1), (1, 1)),
    ((2, 3, 4, 5), (2, 2, 3), (1, 2, 1), (1, 1, 2)),
]
each_case = pytest.mark.parametrize(("shape", "size", "stride", "dilation"), CASES, ids=str)


def places(
    shape: tuple[int, ...], size: Extents, stride: Extents, dilation: Extents
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """For each place in each window the place in x, both along the last axes."""
    spatial = shape[len(shape) - len(size) :]
    counts = tuple(map(window_count, spatial, size, stride, dilation))
    found = []
    for inside in product(*map(range, size)):
        for window in product(*map(range, counts)):
            at = tuple(o * s + i * d for o, s, i, d in zip(window, stride, inside, dilation))
            found.append(((*inside, *window), at))
    return found


def seen(x: np.ndarray, size: Extents, stride: Extents, dilation: Extents) -> np.ndarray:
    """The windows, element by element."""
    lead = x.ndim - len(size)
    counts = tuple(map(window_count, x.shape[lead:], size, stride, dilation))
    out = np.empty((*x.shape[:lead], *size, *counts), x.dtype)
    for place, at in places(x.shape, size, stride, dilation):
        out[(..., *place)] = x[(..., *at)]
    return out


@each_case
def test_windows_are_those_that_loops_find(
    shape: tuple[int, ...], size: Extents, stride: Extents, dilation: Extents
) -> None:
    x = numbered(shape)
    expected = seen(x, size, stride, dilation)
    params: dict[str, Any] = {"stride": stride, "dilation": dilation}
    check(lambda v: windows(v, size, **params), x, expected)
    check(lambda v: WINDOWS(v, size=size, **params), x, expected)


@each_case
def test_windows_of_any_strided_view_have_a_layout(
    shape: tuple[int, ...], size: Extents, stride: Extents, dilation: Extents
) -> None:
    x = numbered((2, *shape[::-1])) * 3
    expected = seen(x[1].T, size, stride, dilation)
    params: dict[str, Any] = {"size": size, "stride": stride, "dilation": dilation}
    check(lambda v: WINDOWS(ops.transpose(ops.getitem(v, 1)), **params), x, expected)


@each_case
def test_adding_windows_up_is_the_transpose(
    shape: tuple[int, ...], size: Extents, stride: Extents, dilation: Extents
) -> None:
    """Integers: any order of additions is right."""
    lead = len(shape) - len(size)
    ct = seen(numbered(shape), size, stride, dilation)
    ct = numbered(ct.shape) + 1
    expected = np.zeros(shape, ct.dtype)
    for place, at in places(shape, size, stride, dilation):
        expected[(..., *at)] += ct[(..., *place)]
    found = add_windows(lift(ct), shape[lead:], stride=stride, dilation=dilation)
    np.testing.assert_array_equal(found.array, expected)
    assert found.array.shape == expected.shape


@pytest.mark.parametrize("case", [case for case in CASES if 0 not in case[0]], ids=str)
def test_gradients_of_windows(case: tuple[tuple[int, ...], Extents, Extents, Extents]) -> None:
    shape, size, stride, dilation = case
    if window_count(shape[-1], size[-1], stride[-1], dilation[-1]) and size != (4, 2):
        x = np.random.default_rng(0).normal(size=shape)

        def squares(v: Any) -> Any:
            return ops.square(windows(v, size, stride=stride, dilation=dilation))

        check_gradient(squares, x, order=2)


def test_windows_that_do_not_fit_are_none() -> None:
    assert window_count(3, 4, 1, 1) == 0
    assert window_count(5, 3, 1, 2) == 1
    assert window_count(4, 3, 1, 2) == 0


@pytest.mark.parametrize("params", [((0,), (1,), (1,)), ((2,), (0,), (1,)), ((2, 2), (1,), (1,))])
def test_windows_refuse_sizes_that_are_none(params: tuple[Extents, Extents, Extents]) -> None:
    size, stride, dilation = params
    with pytest.raises(ShapeError, match=r"windows: i32\[5\]: needs sizes, strides and dilations"):
        WINDOWS(lift(numbered((5,))), size=size, stride=stride, dilation=dilation)


def test_the_first_of_the_largest_has_the_gradient() -> None:
    x = lift(np.array([[1.0, 3.0, 3.0], [3.0, 0.0, 2.0]]))
    op = ops.REGISTRY["first_max"]
    (ct,) = op.vjp(lift(np.array(5.0)), op(x, axes=(0, 1)), x, axes=(0, 1))
    assert ct.array.tolist() == [[0, 5, 0], [0, 0, 0]]
    (ct,) = op.vjp(lift(np.array([1.0, 2.0])), op(x, axes=(1,)), x, axes=(1,))
    assert ct.array.tolist() == [[0, 1, 0], [2, 0, 0]]
