"""Views and slices: the elements that NumPy gives, and layouts that say where they lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices

from tests.ops.interpreter import lift
from tracejit import dispatch, ops
from tracejit._errors import AxisError, DTypeError, ShapeError
from tracejit.ops.op import Layout, Op, Params, View
from tracejit.ops.shape import row_major

SHAPES = array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape, dtype=int), dtype=np.int32).reshape(shape)


class Views:
    """Follows each view by its layout alone."""

    def __init__(self) -> None:
        self.layouts: dict[int, tuple[Any, Layout, np.ndarray]] = {}

    def of(self, value: Any) -> tuple[Layout, np.ndarray]:
        if id(value) in self.layouts:
            return self.layouts[id(value)][1:]
        flat = np.ascontiguousarray(value.array).ravel()
        return Layout(value.array.shape, row_major(value.array.shape)), flat

    def bind(self, op: Op, args: tuple[Any, ...], params: Params) -> Any:
        out = dispatch.below(self).bind(op, args, params)
        if isinstance(op.recipe, View):
            layout, flat = self.of(args[0])
            found = op.recipe.layout(layout, **params)
            if found is not None:
                self.layouts[id(out)] = (out, found, flat)
        return out

    def elements(self, value: Any) -> np.ndarray:
        layout, flat = self.of(value)
        places = np.full(layout.shape, layout.offset)
        for axis, stride in enumerate(layout.strides):
            steps = [1] * len(layout.shape)
            steps[axis] = layout.shape[axis]
            places = places + np.arange(layout.shape[axis]).reshape(steps) * stride
        return flat[places] if places.size else np.empty(layout.shape, flat.dtype)


def check(function: Any, x: np.ndarray, expected: np.ndarray) -> None:
    """The elements are right, and so are those that the layouts lead to."""
    with dispatch.pushed(Views()) as views:
        found = function(lift(x))
        np.testing.assert_array_equal(found.array, expected)
        assert found.array.shape == expected.shape
        np.testing.assert_array_equal(views.elements(found), expected)


@given(st.data())
def test_chains_of_views_are_those_of_numpy(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    x = numbered(shape)
    steps, expected = [], x
    for _ in range(data.draw(st.integers(1, 4))):
        step, expected = data.draw(
            st.sampled_from([permuted, reshaped, sliced, repeated, flipped])
        )(data, expected)
        steps.append(step)

    def chain(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    check(chain, x, expected)


def permuted(data: st.DataObject, x: np.ndarray) -> Any:
    axes = data.draw(st.permutations(range(x.ndim)))
    return lambda v: ops.permute_dims(v, axes), x.transpose(axes)


def reshaped(data: st.DataObject, x: np.ndarray) -> Any:
    factors = [n for n in x.shape if n != 1]
    cut = data.draw(st.integers(0, len(factors)))
    shape = (int(np.prod(factors[:cut])), 1, *factors[cut:])
    return lambda v: ops.reshape(v, shape), x.reshape(shape)


def sliced(data: st.DataObject, x: np.ndarray) -> Any:
    key = data.draw(basic_indices(x.shape, allow_newaxis=True, max_dims=6))
    return lambda v: ops.getitem(v, key), np.asarray(x[key])


def repeated(data: st.DataObject, x: np.ndarray) -> Any:
    kept = tuple(data.draw(st.integers(0, 3)) if n == 1 else n for n in x.shape)
    shape = (*data.draw(array_shapes(min_dims=0, max_dims=2, max_side=3)), *kept)
    return lambda v: ops.broadcast_to(v, shape), np.broadcast_to(x, shape)


def flipped(data: st.DataObject, x: np.ndarray) -> Any:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1)) if x.ndim else None
    return lambda v: ops.flip(v, axis), np.flip(x, axis)


def test_a_reshape_that_strides_do_not_allow_has_no_layout() -> None:
    layout = ops.REGISTRY["reshape"].recipe.layout
    assert layout(Layout((4, 3), (1, 4)), shape=(12,)) is None
    assert layout(Layout((4, 3), (1, 4)), shape=(2, 2, 3)) == Layout((2, 2, 3), (2, 1, 4))
    assert layout(Layout((2, 3, 4), (24, 8, 2), 5), shape=(6, 4)) == Layout((6, 4), (8, 2), 5)


@pytest.mark.parametrize(
    ("name", "args", "function"),
    [
        ("squeeze", (), np.squeeze),
        ("squeeze", ((0, -1),), np.squeeze),
        ("expand_dims", (1,), np.expand_dims),
        ("expand_dims", ((0, -1),), np.expand_dims),
        ("moveaxis", (0, -1), np.moveaxis),
        ("moveaxis", ((0, 1), (2, 0)), np.moveaxis),
        ("swapaxes", (0, -2), np.swapaxes),
        ("transpose", (), np.transpose),
        ("matrix_transpose", (), np.matrix_transpose),
        ("flip", ((0, 2),), np.flip),
        ("flatten", (), np.ravel),
        ("tile", (2,), np.tile),
        ("tile", ((2, 1, 1, 3, 1),), np.tile),
        ("roll", (2,), np.roll),
        ("repeat", (3,), np.repeat),
    ],
    ids=lambda part: getattr(part, "__name__", str(part)),
)
def test_rearrangements_are_those_of_numpy(name: str, args: Any, function: Any) -> None:
    x = numbered((1, 3, 2, 1))
    found = getattr(ops, name)(x, *args).array
    expected = function(x, *args)
    np.testing.assert_array_equal(found, expected)
    assert found.shape == expected.shape


def test_reshape_computes_one_extent() -> None:
    assert ops.reshape(np.ones((2, 6)), (3, -1)).aval.shape == (3, 4)
    with pytest.raises(ShapeError, match=r"reshape: f64\[2,6\]: cannot become \(5, -1\)"):
        ops.reshape(np.ones((2, 6)), (5, -1))
    with pytest.raises(ShapeError, match="12 elements, not 10"):
        ops.reshape(np.ones((2, 6)), (5, 2))


@pytest.mark.parametrize("axis", [0, -1, None])
def test_concat_promotes_and_joins(axis: int | None) -> None:
    x, y = np.ones((2, 3), np.int8), np.zeros((2, 3), np.float32)
    found = ops.concat([x, y, x], axis=axis).array
    expected = np.concatenate([x, y, x], axis=axis)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_stack_split_and_unstack_undo_each_other() -> None:
    parts = [numbered((2, 3)) + k for k in range(4)]
    for axis in (0, 1, -1):
        joined = ops.stack(parts, axis=axis)
        np.testing.assert_array_equal(joined.array, np.stack(parts, axis=axis))
        for part, again in zip(parts, ops.unstack(joined, axis=axis), strict=True):
            np.testing.assert_array_equal(again.array, part)
    x = numbered((7, 2))
    for found, expected in zip(ops.split(x, [2, 3, 9]), np.split(x, [2, 3, 9]), strict=True):
        np.testing.assert_array_equal(found.array, expected)
    with pytest.raises(ShapeError, match="3 equal parts"):
        ops.split(x, 3)


@pytest.mark.parametrize("widths", [1, (1, 2), [(0, 2), (3, 0)]], ids=str)
def test_pad_is_that_of_numpy(widths: Any) -> None:
    x = numbered((2, 3))
    np.testing.assert_array_equal(ops.pad(x, widths, 9).array, np.pad(x, widths, constant_values=9))


@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
@pytest.mark.parametrize("shift", [0, 1, -2, 7])
def test_roll_wraps_around(shift: int, axis: Any) -> None:
    x = numbered((3, 4))
    np.testing.assert_array_equal(ops.roll(x, shift, axis=axis).array, np.roll(x, shift, axis=axis))


@pytest.mark.parametrize("indexing", ["xy", "ij"])
def test_meshgrid_is_that_of_numpy(indexing: Any) -> None:
    arrays = [np.arange(3), np.arange(2.0), np.arange(4)]
    for found, expected in zip(
        ops.meshgrid(*arrays, indexing=indexing), np.meshgrid(*arrays, indexing=indexing)
    ):
        np.testing.assert_array_equal(found.array, expected)


def test_misfits_are_refused_with_a_reason() -> None:
    x = np.ones((2, 3), np.float32)
    with pytest.raises(AxisError):
        ops.expand_dims(x, 4)
    with pytest.raises(ShapeError, match="axis 1 has extent 3, not 1"):
        ops.squeeze(x, 1)
    with pytest.raises(ShapeError, match="does not broadcast to"):
        ops.broadcast_to(x, (3, 2))
    with pytest.raises(ShapeError, match="differ in other places than axis 0"):
        ops.concat([x, np.ones((2, 4))])
    with pytest.raises(ShapeError, match="use stack"):
        ops.concat([1.0, 2.0])
    with pytest.raises(ShapeError, match="name each axis once"):
        ops.permute_dims(x, (0, 0))
    with pytest.raises(DTypeError):
        ops.REGISTRY["concat"].infer(lift(x).aval, lift(x.astype(int)).aval, axis=0)
