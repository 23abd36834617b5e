"""Contractions agree with NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tracejit import ops
from tracejit._errors import ShapeError

RNG = np.random.default_rng(7)
SHAPES = [
    ((2, 3), (3, 4)),
    ((3,), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3,)),
    ((5, 2, 3), (3, 4)),
    ((5, 1, 2, 3), (4, 3, 2)),
    ((3,), (4, 3, 2)),
    ((0, 3), (3, 4)),
    ((2, 0), (0, 4)),
]
EQUATIONS = [
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("ii", [(3, 3)]),
    ("ii->i", [(3, 3)]),
    ("ij->", [(2, 3)]),
    ("ba", [(2, 3)]),
    ("i,j,k->kji", [(2,), (3,), (4,)]),
    ("...ij->...ji", [(2, 3, 4)]),
    ("...a,...a->...", [(2, 3), (3,)]),
    ("...ij,...jk", [(2, 3, 4), (5, 1, 4, 2)]),
    ("ijk,jl,lm->im", [(2, 3, 4), (3, 5), (5, 6)]),
    ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
    ("iij,jkk->ik", [(3, 3, 2), (2, 4, 4)]),
    ("ij,ij->ij", [(2, 3), (2, 3)]),
    ("a,b->", [(2,), (3,)]),
]


@pytest.mark.parametrize(
    "dtype", [np.float64, np.float32, np.float16, np.int32, np.uint8, np.bool_]
)
@pytest.mark.parametrize(("left", "right"), SHAPES, ids=str)
def test_matmul_is_that_of_numpy(left: Any, right: Any, dtype: Any) -> None:
    x, y = RNG.integers(0, 3, left).astype(dtype), RNG.integers(0, 3, right).astype(dtype)
    found, expected = ops.matmul(x, y).array, np.asarray(np.matmul(x, y))
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_half_floats_are_multiplied_in_single() -> None:
    x = np.full((1, 4096), 1.0009765625, np.float16)
    assert ops.matmul(x, x.T).array[0, 0] == np.float16(4096 * 1.0009765625**2)


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS)
def test_einsum_is_that_of_numpy(equation: str, shapes: Any) -> None:
    arrays = [RNG.normal(size=shape) for shape in shapes]
    found, expected = ops.einsum(equation, *arrays).array, np.einsum(equation, *arrays)
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("axes", [0, 1, 2, ((0, 2), (1, 0)), (-1, 0)], ids=str)
def test_tensordot_is_that_of_numpy(axes: Any) -> None:
    x = RNG.normal(size=(3, 4, 5) if axes != 2 else (2, 5, 3))
    y = RNG.normal(size=(5, 3, 2))
    np.testing.assert_allclose(
        ops.tensordot(x, y, axes=axes).array, np.tensordot(x, y, axes=axes), rtol=1e-12
    )


@pytest.mark.parametrize(
    "shapes",
    [((), (3,)), ((3,), (3,)), ((2, 3), (3, 4)), ((2, 3), (4, 3, 2)), ((2, 3), (3,))],
    ids=str,
)
def test_dot_is_that_of_numpy(shapes: Any) -> None:
    x, y = (RNG.normal(size=shape) for shape in shapes)
    np.testing.assert_allclose(ops.dot(x, y).array, np.dot(x, y), rtol=1e-12)


def test_products_of_vectors_are_those_of_numpy() -> None:
    x, y = RNG.normal(size=(4, 2, 3)), RNG.normal(size=(2, 3))
    np.testing.assert_allclose(ops.vecdot(x, y).array, np.vecdot(x, y), rtol=1e-12)
    np.testing.assert_allclose(
        ops.vecdot(x, y[None], axis=-2).array, np.vecdot(x, y[None], axis=-2), rtol=1e-12
    )
    np.testing.assert_array_equal(ops.outer(x, y).array, np.outer(x, y))
    np.testing.assert_array_equal(ops.kron(x[0], y).array, np.kron(x[0], y))
    np.testing.assert_allclose(ops.trace(x, offset=1).array, np.trace(x, 1, -2, -1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ops.matmul(np.ones((8, 3)), np.ones((4, 2))),
            r"f64\[8,3\] @ f64\[4,2\]: inner sizes differ \(3 != 4\)",
        ),
        (
            lambda: ops.matmul(np.ones((2, 4, 3)), np.ones((5, 3, 2))),
            r"do not broadcast \(axis -1: 2 != 5\)",
        ),
        (lambda: ops.matmul(1.0, np.ones(3)), "needs one dimension or more"),
        (lambda: ops.einsum("ij,jk", np.ones((2, 3))), "2 terms for 1 operands"),
        (lambda: ops.einsum("ij", np.ones(3)), "does not fit the dimensions"),
        (
            lambda: ops.einsum("ij,jk", np.ones((2, 3)), np.ones((4, 2))),
            r"the sizes of 'j' differ \(3 != 4\)",
        ),
        (lambda: ops.einsum("ii", np.ones((1, 3))), "sizes of 'i' differ"),
        (lambda: ops.einsum("ii->i", np.ones((3, 1))), "sizes of 'i' differ"),
        (lambda: ops.einsum("i->k", np.ones(3)), "twice, or only there"),
        (lambda: ops.tensordot(np.ones((2, 3)), np.ones((2, 3)), axes=1), "the sizes of axes"),
        (lambda: ops.vecdot(np.ones(2), np.ones(3)), r"axis -1 differs \(2 != 3\)"),
    ],
)
def test_misfits_are_refused_with_a_reason(call: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        call()
