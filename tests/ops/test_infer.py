"""`infer` foretells what `eval` gives: the interpreter of these tests asserts it at every op, so random calls suffice."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays, mutually_broadcastable_shapes

from tests.ops.interpreter import Value
from tracejit import ops
from tracejit._errors import DTypeError
from tracejit.dtypes import ALL
from tracejit.ops.op import Op, Pointwise
from tracejit.ops.registry import REGISTRY

DTYPES = st.sampled_from([dtype.numpy for dtype in ALL])
BINARY = [
    op
    for op in REGISTRY.values()
    if isinstance(op.recipe, Pointwise)
    and op.recipe.scalar.__code__.co_argcount == 3
    and not op.recipe.scalar.__code__.co_kwonlyargcount
    and op.name not in ("advance", "multiply_high")
]


@given(st.data())
@pytest.mark.parametrize("op", BINARY, ids=str)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_binary_ops_broadcast_and_promote(op: Op, data: st.DataObject) -> None:
    shapes, shape = data.draw(
        mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3)
    )
    x, y = (np.ones(each, data.draw(DTYPES)) for each in shapes)
    try:
        found = op(x, y)
    except DTypeError:
        return
    assert found.array.shape == shape


@pytest.mark.parametrize(
    "name", ["atan2", "copysign", "divide", "hypot", "logaddexp", "nextafter", "pow"]
)
def test_functions_of_integers_give_the_dtype_that_numpy_chooses(name: str) -> None:
    for first, second in product((dtype for dtype in ALL if not dtype.is_float), repeat=2):
        x, y = np.ones(2, first.numpy), np.ones(2, second.numpy)
        expected = getattr(np, name)(x, y)
        assert getattr(ops, name)(x, y).array.dtype == expected.dtype


@given(st.data())
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_folds_remove_or_keep_their_axes(data: st.DataObject) -> None:
    x = np.ones(data.draw(st.lists(st.integers(1, 3), max_size=4)), data.draw(DTYPES))
    axes = tuple(data.draw(st.sets(st.integers(0, x.ndim - 1)))) if x.ndim else None
    keepdims = data.draw(st.booleans())
    expected = np.sum(x.astype(float), axis=axes, keepdims=keepdims).shape
    for fold in (ops.sum, ops.prod, ops.max, ops.any, ops.mean, ops.var):
        assert fold(x, axis=axes, keepdims=keepdims).array.shape == expected


@given(st.data())
def test_products_of_any_shapes(data: st.DataObject) -> None:
    drawn = data.draw(
        mutually_broadcastable_shapes(
            signature=np.matmul.signature, max_dims=2, min_side=0, max_side=3
        )
    )
    x, y = (
        data.draw(arrays(np.int64, shape, elements=st.integers(-9, 9)))
        for shape in drawn.input_shapes
    )
    for dtype in (np.int64, np.float32):
        expected = np.matmul(x.astype(dtype), y.astype(dtype))
        np.testing.assert_array_equal(ops.matmul(x.astype(dtype), y.astype(dtype)).array, expected)


@given(st.data())
def test_take_replaces_an_axis(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    x = np.arange(np.prod(shape)).reshape(shape)
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    extent = x.shape[axis]
    places = st.lists(st.integers(0, 3), max_size=2).map(tuple)
    indices = data.draw(arrays(np.int32, places, elements=st.integers(-extent, extent - 1)))
    np.testing.assert_array_equal(
        ops.take(x, indices, axis=axis).array, np.take(x, indices, axis=axis)
    )


@given(st.integers(0, 40), st.integers(1, 9))
def test_sequences_have_the_length_of_a_range(stop: int, step: int) -> None:
    found = ops.arange(0, stop, step)
    assert isinstance(found, Value)
    assert found.array.tolist() == list(range(0, stop, step))
