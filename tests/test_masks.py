"""Reading and writing by masks is NumPy's, with masks of any number of dimensions, beside every other kind of key."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import tracejit as tj

SHAPES = [(), (2,), (2, 0), (2, 3), (2, 3, 2)]
MASKS = [
    True,
    np.False_,
    np.array([True, False]),
    np.array([[True, False, True], [False, True, False]]),
    np.zeros((2, 0), bool),  # of no elements, whatever the axis has
]
OTHERS = [Ellipsis, None, slice(None, None, -1), -1, [1, 0]]
KEYS = [
    *MASKS,
    *product(MASKS, MASKS + OTHERS),
    *product(OTHERS, MASKS),
    *product(OTHERS, MASKS, OTHERS[:4]),
]


def shown(key: Any) -> str:
    return str(key).replace("\n", "")


@pytest.mark.parametrize("key", KEYS, ids=shown)
def test_masks_select_what_they_select_in_numpy(key: Any) -> None:
    for shape in SHAPES:
        array = np.arange(np.prod(shape, dtype=int)).reshape(shape)
        tensor = tj.tensor(array)
        try:
            expected = array[key]
        except IndexError:
            with pytest.raises((IndexError, ValueError)):
                tensor[key]
            continue
        np.testing.assert_array_equal(tensor[key], expected, strict=True)
        array[key] = tensor[key] = 9
        np.testing.assert_array_equal(tensor, array)


def test_a_mask_that_is_a_tensor_selects_as_an_array_does() -> None:
    x = tj.arange(6).reshape(2, 3)
    assert x[x > 3].tolist() == [4, 5]
    assert x[tj.tensor(True)].shape == (1, 2, 3)
    assert x[tj.tensor(False), 0].shape == (0, 3)


def test_a_number_is_written_where_a_single_bool_holds() -> None:
    x = tj.tensor(1.0)
    x[tj.tensor(False)] = 2.0
    assert x.item() == 1.0
    x[x < 2.0] = 3.0
    assert x.item() == 3.0


def test_a_mask_of_another_shape_is_refused_with_the_users_line() -> None:
    with pytest.raises(IndexError, match=r"test_masks.py:\d+: a mask of shape \(2,\)"):
        tj.zeros(3)[tj.tensor([True, False])]
    with pytest.raises(IndexError, match="does not fit"):
        tj.zeros((2, 3))[:, tj.ones((2, 3)) > 0]


def test_gradients_flow_through_single_bools() -> None:
    x = tj.tensor([1.0, 2.0], requires_grad=True)
    (x[True] * 3.0).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3.0, 3.0]


def test_masks_in_compiled_functions_select_as_outside() -> None:
    def program(x: tj.Tensor) -> tuple[tj.Tensor, ...]:
        y = x * 2
        y[y > 4] = 0.5
        return y[y < 3], y[x[0] > 0], y[x > 1]

    x = tj.arange(5, dtype="float32")
    for found, expected in zip(tj.compile(program)(x), program(x), strict=True):
        np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize("key", [[0, 2], np.array([True, False, True])], ids=str)
def test_numbers_are_written_in_the_dtype_of_what_they_are_written_to(key: Any) -> None:
    for dtype, number in (("f8", 0.1), ("f4", 0.1), ("i8", 2.5), ("f8", 2**60 + 1), ("u1", True)):
        expected = np.zeros(3, dtype)
        expected[key] = number
        found = tj.zeros(3, dtype=expected.dtype)
        found[key] = number
        np.testing.assert_array_equal(found.numpy(), expected)
        added = tj.add_at(tj.zeros(3, dtype=expected.dtype), [0, 2], number)
        np.testing.assert_array_equal(added.numpy(), expected)
    with pytest.raises(OverflowError):
        tj.zeros(3, dtype=tj.int8)[key] = 300
