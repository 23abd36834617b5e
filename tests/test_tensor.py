"""Tensors as values: NumPy is the oracle for shapes, views, indexing, writing and printing."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import numpy as np
import pytest

import tracejit as tj
from tracejit._errors import AxisError, DeviceUnavailable, DTypeError


@pytest.fixture(params=["numpy", "compiled"], autouse=True)
def eager(request: pytest.FixtureRequest) -> Iterator[None]:
    with tj.config.scope(eager=request.param):
        yield


def random_array(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).random(shape, np.float32)


def assert_same(tensor: tj.Tensor, array: np.ndarray) -> None:
    assert tensor.shape == array.shape
    assert tensor.dtype.numpy == array.dtype
    np.testing.assert_array_equal(tensor.detach().numpy(), array)


# Making


def test_python_floats_become_the_default_dtype_and_arrays_keep_theirs() -> None:
    assert tj.tensor([1.0]).dtype is tj.float32
    assert tj.tensor([1, 2]).dtype is tj.int64
    assert tj.tensor([True]).dtype is tj.bool
    assert tj.tensor(np.zeros(2)).dtype is tj.float64
    assert tj.tensor([np.float64(1), np.float64(2)]).dtype is tj.float64
    with tj.config.scope(default_dtype=tj.float64):
        assert tj.tensor([1.0]).dtype is tj.float64


def test_a_tensor_of_tensors_gathers_them() -> None:
    assert_same(tj.tensor([tj.tensor(1.0), 2.0]), np.array([1, 2], np.float32))


@pytest.mark.parametrize("data", [["a"], [object()], np.array(["x"]), np.array([1 + 2j])])
def test_what_is_no_number_is_refused_with_a_type_error(data: object) -> None:
    with pytest.raises(TypeError, match=r"test_tensor.py:\d+"):
        tj.tensor(data)


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(DeviceUnavailable, match="cuda"):
        tj.tensor([1.0], device="cuda:99")
    with pytest.raises(DeviceUnavailable, match="tpu"):
        tj.zeros((2,), device="tpu")


def test_tensor_copies_and_asarray_shares() -> None:
    array = random_array(3)
    copied, shared = tj.tensor(array), tj.asarray(array)
    array[0] = 9
    assert copied[0].item() != 9
    assert shared[0].item() == 9
    shared[1] = 5
    assert array[1] == 5


def test_asarray_of_read_only_or_foreign_endian_memory_copies() -> None:
    frozen = random_array(3)
    frozen.flags.writeable = False
    t = tj.asarray(frozen)
    t[0] = 2
    assert frozen[0] != 2
    assert_same(tj.asarray(np.arange(3, dtype=">f4")), np.arange(3, dtype=np.float32))
    with pytest.raises(ValueError, match="only by a copy"):
        tj.asarray(frozen, copy=False)


def test_negative_and_gapped_strides_of_arrays_are_kept() -> None:
    array = random_array(6, 4)
    for view in (
        array[::-1],
        array[::2, ::-1],
        array.T,
        array[1:1],
        np.broadcast_to(array[0], (3, 4)),
    ):
        assert_same(tj.asarray(view), view)
        assert_same(tj.asarray(view) + 1, view + 1)


# Views and indexing

KEYS = [
    0, -1, (0, 1), (..., 2), slice(None), (slice(None, None, -1), None, 1), (slice(1, 1),), (slice(5, 0, -2),),
    (slice(None), slice(2, None, -2)), None, ..., (0, 1, 2), (), (slice(-2, None), slice(0, 3, 2)),
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_basic_indexing_gives_numpys_view(key: object) -> None:
    array = random_array(2, 3, 4)
    t = tj.tensor(array)
    part = t[key]
    assert_same(part, np.asarray(array[key]))
    part += 1
    view = array[key]
    array[key] = view + 1
    assert_same(t, array)


ADVANCED = [
    [0, -1, 2], np.array([[1], [3]]), (slice(1, 3), [0, 1]), ([0, 1], slice(None), [1, 2]), ([0, 1], 1), (None, [1, 2], None, 1),
    (slice(None), [0, 1], [1, 1]), (..., [0, 2]), (slice(None, None, -1), [True, False, True, False, True]), (slice(None), []),
    np.array([True, False, True, True]), (0, np.eye(5, 6, dtype=bool)), (slice(None), np.eye(5, 6, dtype=bool)),
]  # fmt: skip


@pytest.mark.parametrize("key", ADVANCED, ids=str)
def test_indexing_by_arrays_gathers_and_writes_as_numpy_does(key: object) -> None:
    array = random_array(4, 5, 6)
    assert_same(tj.tensor(array)[key], array[key])
    for value in (3.0, random_array(*array[key].shape), np.float64(2)):
        expected, t = array.copy(), tj.tensor(array)
        expected[key] = value
        t[key] = value
        assert_same(t, expected)


def test_the_last_of_equal_indices_wins() -> None:
    t, array = tj.zeros((3,)), np.zeros(3, np.float32)
    key, value = [1, 1, 2, 1], np.arange(4, dtype=np.float32)
    t[key] = value
    array[key] = value
    assert_same(t, array)


def test_masks_select_and_fill() -> None:
    array = random_array(3, 4)
    t = tj.tensor(array)
    assert_same(t[t > 0.5], array[array > 0.5])
    t[t > 0.5] = -1
    array[array > 0.5] = -1
    assert_same(t, array)
    t[t < 0] = tj.arange(int((array < 0).sum()), dtype=tj.float32)
    array[array < 0] = np.arange((array < 0).sum())
    assert_same(t, array)


def test_indices_outside_are_refused_with_the_users_line() -> None:
    t = tj.zeros((2, 3))
    for key in (2, (0, -4), [0, 2], tj.tensor([0, 5]), (0, 0, 0), 1.5):
        with pytest.raises(IndexError, match=r"test_tensor.py:\d+"):
            t[key]


def test_views_share_and_copies_do_not() -> None:
    t = tj.zeros((4, 4))
    t.T[0] = 1
    t.reshape(2, 8)[1] += 2
    t.broadcast_to((2, 4, 4))
    copied = t.copy()
    copied[:] = 7
    assert t.sum().item() == 4 + 16
    assert t.T.reshape((16,)).base is None  # only a copy has that order


def test_overlapping_writes_read_completely_first() -> None:
    for target, source in (
        (slice(1, None), slice(None, -1)),
        (slice(None, -1), slice(1, None)),
        (slice(None), slice(None, None, -1)),
    ):
        t, array = tj.arange(10), np.arange(10)
        t[target] = t[source]
        array[target] = array[source].copy()
        assert_same(t, array)


def test_a_row_becomes_a_column_as_it_was_before() -> None:
    x = np.arange(16, dtype=np.float32).reshape(4, 4)
    for row, column in ((1, 3), (3, 0), (2, 2)):
        t, expected = tj.tensor(x), x.copy()
        expected[:, column] = x[row]
        t[:, column] = t[row]
        np.testing.assert_array_equal(t.numpy(), expected)


def test_a_broadcast_view_cannot_be_written() -> None:
    view = tj.zeros((3, 1)).broadcast_to((3, 4))
    row = view[:, 0]
    for write in (lambda: view.add_(1), lambda: view.__setitem__(0, 1), lambda: row.fill_(1)):
        with pytest.raises(ValueError, match="broadcast view"):
            write()


def test_in_place_ops_keep_shape_and_kind_of_dtype() -> None:
    t = tj.zeros((3,), dtype=tj.int64)
    with pytest.raises(DTypeError, match="cannot be cast to int64 in place"):
        t += 1.5
    with pytest.raises(ValueError, match="does not fit"):
        t += tj.zeros((2, 3), dtype=tj.int64)
    single = tj.ones((2,))
    single += np.ones(2)
    assert single.dtype is tj.float32
    t[...] = 2.9  # assignment casts, as in NumPy
    assert t.tolist() == [2, 2, 2]


def test_in_place_methods_give_what_their_namesakes_give() -> None:
    array = random_array(5) + 0.5
    for name in ("exp", "log", "sqrt", "tanh", "neg", "square", "sigmoid", "relu", "abs", "round"):
        t = tj.tensor(array)
        same = getattr(t, f"{name}_")()
        assert same is t
        function = tj.negative if name == "neg" else getattr(tj, name)
        assert_same(t, function(tj.tensor(array)).numpy())


# Empty and 0-d


def test_tensors_without_elements_or_dimensions_work() -> None:
    empty = tj.zeros((0, 3))
    assert_same(empty + 1, np.zeros((0, 3), np.float32))
    assert_same(empty.sum(0), np.zeros(3, np.float32))
    assert_same(empty.T, np.zeros((3, 0), np.float32))
    empty[:] = 3
    tj.zeros((3, 0)).fill_(1)
    scalar = tj.tensor(2.0)
    scalar += 1
    scalar[...] = scalar * 2
    assert (scalar.item(), scalar.shape, scalar.ndim) == (6.0, (), 0)


# Python's protocols


def test_numbers_of_python_come_from_single_elements_only() -> None:
    assert (int(tj.tensor(3.7)), float(tj.tensor([2])), bool(tj.tensor([[0]]))) == (3, 2.0, False)
    assert [10, 11, 12][tj.tensor(1)] == 11
    with pytest.raises(ValueError, match="ambiguous"):
        bool(tj.zeros((2,)))
    with pytest.raises(ValueError, match="one element"):
        float(tj.zeros((2,)))
    with pytest.raises(TypeError, match="0-d integer"):
        [1][tj.tensor(0.0)]


def test_iteration_length_and_membership() -> None:
    t = tj.tensor([[1, 2], [3, 4]])
    assert [row.tolist() for row in t] == [[1, 2], [3, 4]]
    assert len(t) == 2
    assert 3 in t
    assert 5 not in t
    with pytest.raises(TypeError, match="0-d"):
        iter(tj.tensor(1))


def test_operators_leave_strangers_to_their_own() -> None:
    class Stranger:
        def __radd__(self, other: object) -> str:
            return "mine"

    t = tj.tensor([1.0])
    assert t + Stranger() == "mine"
    assert (t == "text") is False
    with pytest.raises(TypeError):
        t + "text"


def test_pickle_and_copy_keep_values_dtype_and_flag() -> None:
    for dtype in (tj.float32, tj.bfloat16, tj.int8, tj.bool):
        t = tj.tensor([[1, 0], [1, 1]]).astype(dtype)
        again = pickle.loads(pickle.dumps(t.T))
        assert again.dtype is dtype
        assert again.tolist() == t.T.tolist()
    leaf = tj.tensor([1.0], requires_grad=True)
    (leaf * 2).sum().backward()
    twin = copy.deepcopy({"a": leaf, "b": leaf})
    assert twin["a"] is twin["b"]
    assert twin["a"].requires_grad
    assert twin["a"].grad.tolist() == [2.0]
    twin["a"].detach()[0] = 5
    assert leaf.item() == 1


# Printing


def test_repr_shows_what_the_text_alone_would_not_say() -> None:
    assert repr(tj.tensor([1.0, 2.5])) == "tensor([1. , 2.5])"
    assert repr(tj.tensor(3)) == "tensor(3)"
    assert repr(tj.tensor([1.0], dtype="float64")) == "tensor([1.], dtype=float64)"
    assert repr(tj.tensor([1], dtype="uint8")) == "tensor([1], dtype=uint8)"
    assert repr(tj.tensor([])) == "tensor([], dtype=float32)"
    assert repr(tj.tensor([1.0], requires_grad=True)) == "tensor([1.], requires_grad=True)"
    assert repr(tj.tensor([[1, 2], [3, 4]])) == "tensor([[1, 2],\n        [3, 4]])"
    assert repr(tj.tensor([True])) == "tensor([ True])"
    assert f"{tj.tensor(1.23456):.2f}" == "1.23"


def test_errors_of_axes_name_the_axis() -> None:
    with pytest.raises(AxisError, match="axis 3"):
        tj.zeros((2, 2)).sum(3)


def test_an_augmented_item_assignment_writes_once() -> None:
    t = tj.zeros((3,))
    t[1:] += 2
    assert (t.tolist(), t.storage.version) == ([0, 2, 2], 1)


def test_a_result_that_nobody_holds_gives_its_memory_to_the_target() -> None:
    t, other = tj.zeros((4,)), tj.ones((4,))
    view = t[1:]
    t += 1
    t.copy_(other)
    t += 1
    assert (view.tolist(), other.tolist()) == ([2, 2, 2], [1, 1, 1, 1])
    kept = t * 2
    t.copy_(kept)
    t += 1
    assert kept.tolist() == [4, 4, 4, 4]


def test_ragged_sequences_and_integers_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"test_tensor.py:\d+: .*inhomogeneous"):
        tj.tensor([[1], [2, 3]])
    with pytest.raises(OverflowError, match="300"):
        tj.tensor([300], dtype=tj.uint8)
    assert tj.tensor([1.7], dtype=tj.int8).tolist() == [1]


def test_nonzero_gives_places_by_axis() -> None:
    array = np.array([[0, 1], [2, 0]])
    for found, expected in zip(tj.nonzero(tj.tensor(array)), np.nonzero(array), strict=True):
        assert_same(found, expected)


def test_the_text_of_an_empty_tensor_tells_its_shape() -> None:
    assert repr(tj.zeros((2, 0))) == "tensor([], shape=(2, 0), dtype=float32)"
    assert repr(tj.zeros((0,))) == "tensor([], dtype=float32)"
