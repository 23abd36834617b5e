"""Indexing by every kind of key, and what is written at an index."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices, integer_array_indices

from tests.ops.interpreter import lift
from tracejit import dispatch, ops
from tracejit._errors import ShapeError
from tracejit.ops.op import View

X = np.arange(60.0).reshape(3, 4, 5)
KEYS = [
    np.s_[0],
    np.s_[-1, ..., 2],
    np.s_[::-2, 1:3, None],
    np.s_[[0, 2]],
    np.s_[:, [0, -1]],
    np.s_[0, :, [1, 2]],
    np.s_[[0, 1], :, [1, 2]],
    np.s_[:, [0, 1], [1, 2]],
    np.s_[[[0], [1]], [0, 1, 2]],
    np.s_[..., [0, 1], 3],
    np.s_[0, [1, 2], None, :],
    np.s_[:, None, [1, 0], ::2],
    np.s_[None, [1, 2], None, -1],
    np.s_[[], 0],
    np.s_[[0, 0, 1], 1:3, [4, 4, -5]],
    np.s_[...],
    np.s_[1:1, 5:],
    np.s_[np.int64(1), np.array(2)],
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_reading_is_that_of_numpy(key: Any) -> None:
    expected = X[
        tuple(np.asarray(k, int) if isinstance(k, list) else k for k in key)
        if isinstance(key, tuple)
        else key
    ]
    found = ops.getitem(X, key).array
    assert found.shape == np.shape(expected)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_writing_is_that_of_numpy(key: Any) -> None:
    known = (
        tuple(np.asarray(k, int) if isinstance(k, list) else k for k in key)
        if isinstance(key, tuple)
        else key
    )
    for part in (
        7.0,
        np.arange(X[known].size, dtype=float).reshape(X[known].shape),
        np.ones((1, *X[known].shape)),
    ):
        expected = X.copy()
        expected[known] = part
        np.testing.assert_array_equal(ops.set_item(X, key, part).array, expected)
        added = X.copy()
        np.add.at(added, known, np.broadcast_to(part, (1, *X[known].shape))[0])
        if np.ndim(part) <= X[known].ndim:
            np.testing.assert_array_equal(ops.add_at(X, key, part).array, added)


@given(st.data())
def test_random_keys_read_as_in_numpy(data: st.DataObject) -> None:
    shape = data.draw(array_shapes(min_dims=1, max_dims=4, max_side=4))
    x = np.arange(np.prod(shape)).reshape(shape)
    key = data.draw(
        st.one_of(basic_indices(shape, allow_newaxis=True), integer_array_indices(shape))
    )
    np.testing.assert_array_equal(ops.getitem(x, key).array, x[key])


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (5, "index 5 is out of bounds for axis 0 with size 3"),
        ((0, -5), "index -5 is out of bounds for axis 1 with size 4"),
        ([0, 3], "index 3 is out of bounds for axis 0 with size 3"),
        ((0, 0, 0, 0), "too many indices"),
        ((..., 0, ...), "single ellipsis"),
        (1.5, "is no index"),
        ("a", "is no index"),
        ([0.5], "integer dtype"),
        (True, "a bool is no index"),
        (np.array([True, False, True]), "depends on data"),
    ],
)
def test_what_is_no_index_is_an_index_error(key: Any, message: str) -> None:
    with pytest.raises(IndexError, match=rf"test_index.py:\d+: .*{message}"):
        ops.getitem(X, key)


def test_basic_keys_are_views() -> None:
    notes: list[Any] = []

    class Spy:
        def bind(self, op: Any, args: Any, params: Any) -> Any:
            notes.append(op)
            return dispatch.below(self).bind(op, args, params)

    with dispatch.pushed(Spy()):
        ops.getitem(X, np.s_[::2, None, 1, ::-1])
    assert all(isinstance(op.recipe, View) for op in notes)


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_take_counts_negative_indices_from_the_end(axis: int | None) -> None:
    for indices in (2, [0, -1, 1], [[0, 1], [-1, -2]], []):
        expected = np.take(X, np.asarray(indices, int), axis=axis)
        np.testing.assert_array_equal(ops.take(X, indices, axis=axis).array, expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_take_along_axis_is_that_of_numpy(axis: int) -> None:
    indices = np.argsort(np.sin(X), axis=axis)
    np.testing.assert_array_equal(
        ops.take_along_axis(X, indices, axis=axis).array, np.take_along_axis(X, indices, axis=axis)
    )


def test_scatter_add_adds_up_repeated_indices() -> None:
    found = ops.scatter_add(np.zeros((3, 2)), [0, 2, 0], np.arange(6.0).reshape(3, 2)).array
    np.testing.assert_array_equal(found, [[4, 6], [0, 0], [2, 3]])
    assert ops.scatter_add(np.zeros(3, np.float16), [1] * 4096, np.float16(1.0)).array[1] == 4096
    with pytest.raises(ShapeError, match="do not broadcast"):
        ops.scatter_add(np.zeros((3, 2)), [0, 1], np.ones((3, 2)))


def test_one_hot_marks_the_label() -> None:
    found = ops.one_hot([[0, 2], [5, -1]], 3).array
    assert found.tolist() == [[[1, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 0]]]
    assert found.dtype == np.float32


@pytest.mark.parametrize("offset", [-3, -1, 0, 2, 5])
@pytest.mark.parametrize("axes", [(0, 1), (2, 0), (-1, -2)])
def test_diagonals_are_those_of_numpy(offset: int, axes: tuple[int, int]) -> None:
    found = ops.diagonal(X, offset=offset, axis1=axes[0], axis2=axes[1]).array
    np.testing.assert_array_equal(found, np.diagonal(X, offset, *axes))


def test_indices_must_be_integers() -> None:
    with pytest.raises(IndexError, match="integer dtype"):
        ops.take(lift(X), np.array([0.0]))


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_each_place_is_repeated_as_often_as_its_number_says(axis: int | None) -> None:
    extent = X.size if axis is None else X.shape[axis]
    counts = np.arange(extent) % 3
    for repeats in (counts, counts.astype(np.uint8), counts.tolist(), 2, [2], np.array(0)):
        expected = np.repeat(X, repeats, axis=axis)
        np.testing.assert_array_equal(ops.repeat(X, repeats, axis=axis).array, expected)
    np.testing.assert_array_equal(ops.repeat(np.zeros(0), np.zeros(0, int)).array, np.zeros(0))


def test_numbers_of_repeats_must_fit_the_axis() -> None:
    with pytest.raises(ShapeError, match="one integer for each of 3 places"):
        ops.repeat(X, [1, 2], axis=0)
    with pytest.raises(ShapeError, match="one integer"):
        ops.repeat(X, [1.5, 2.0, 1.0], axis=0)


def test_arrays_of_indices_must_broadcast() -> None:
    for use in (ops.getitem, lambda x, key: ops.set_item(x, key, 0.0)):
        with pytest.raises(IndexError, match=r"shapes \(2,\) and \(3,\) do not broadcast"):
            use(X, np.s_[[0, 1], [0, 1, 2]])
