"""Compiled, every op gives what its `eval` gives: exactly, or within the documented error of a function."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.ops.test_pointwise import ELEMENTWISE, accepted, same
from tracejit import dispatch, dtypes, ops
from tracejit._errors import DTypeError
from tracejit.dtypes import ALL
from tracejit.ops.op import Op

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

ROUNDED = {
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "digamma", "erf", "erfc", "erfinv", "exp", "expm1",
    "hypot", "lgamma", "log", "log10", "log1p", "log2", "logaddexp", "logit", "power", "sigmoid", "sin", "sinh", "softplus",
    "tan", "tanh", "trigamma", "xlogy",
}  # fmt: skip
"""Ops that NumPy, too, computes with an error; all others are exact."""
ULPS = 8
LOOSE = {"lgamma": 128, "digamma": 128}
"""Ops whose `eval` is inaccurate near their zeros."""
RNG = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def numpy_interpreter() -> None:
    """These tests run on the interpreters that `import tracejit` installs."""
    return


@pytest.mark.parametrize("op", ELEMENTWISE, ids=str)
def test_pointwise_ops_give_what_eval_gives(op: Op) -> None:
    arity = op.recipe.scalar.__code__.co_argcount - 1
    for dtype in ALL:
        try:
            arrays = accepted(op, arity, dtype)
        except DTypeError:
            continue
        if arrays is not None:
            half = dtype in dtypes.HALF
            found = np.asarray(dispatch.bind(op, tuple(map(tj.tensor, arrays)), {}))
            ulps = 1 if half else LOOSE.get(op.name, ULPS)
            same(found, op.eval(*arrays), ulps=ulps if op.name in ROUNDED else 0)


def close(found: Any, expected: Any, rtol: float = 1e-12) -> None:
    array = np.asarray(found)
    assert array.dtype == np.asarray(expected).dtype
    assert array.shape == np.shape(expected)
    np.testing.assert_allclose(
        array.astype(float), np.asarray(expected).astype(float), rtol=rtol, atol=1e-13
    )


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 2)], ids=str)
def test_folds_give_what_numpy_gives(axis: Any) -> None:
    x = RNG.normal(size=(5, 6, 7))
    for name in ("sum", "prod", "max", "min", "any", "all", "mean", "var", "std"):
        close(getattr(ops, name)(tj.tensor(x), axis=axis), getattr(np, name)(x, axis=axis))


@pytest.mark.parametrize("dtype", [d for d in dtypes.NUMERIC if d is not dtypes.bfloat16], ids=str)
def test_folds_take_every_dtype(dtype: Any) -> None:
    x = RNG.integers(0, 5, (9, 8)).astype(dtype.numpy)
    for name in ("sum", "max", "min", "argmax", "argmin", "mean"):
        close(getattr(ops, name)(tj.tensor(x), axis=0), getattr(np, name)(x, axis=0), rtol=1e-3)


def test_arrangements_give_what_numpy_gives() -> None:
    x = RNG.normal(size=(3, 4, 5))
    t = tj.tensor(x)
    close(ops.reshape(ops.transpose(t), (6, 10)), x.T.reshape(6, 10))
    close(ops.flip(t, (0, 2)), np.flip(x, (0, 2)))
    close(ops.roll(t, 3, axis=1), np.roll(x, 3, axis=1))
    close(ops.concat([t, ops.flip(t)], axis=1), np.concatenate([x, np.flip(x)], 1))
    close(ops.stack([t, t], axis=-1), np.stack([x, x], -1))
    close(
        ops.pad(t, ((0, 1), (2, 0), (1, 1)), 3.0),
        np.pad(x, ((0, 1), (2, 0), (1, 1)), constant_values=3),
    )
    close(ops.tile(t, (2, 1, 2)), np.tile(x, (2, 1, 2)))
    close(ops.repeat(t, 2, axis=1), np.repeat(x, 2, 1))
    close(ops.tril(t, k=1), np.tril(x, 1))
    close(ops.cumulative_sum(t, axis=1), np.cumsum(x, 1))


def test_indexing_gives_what_numpy_gives() -> None:
    x = RNG.normal(size=(3, 4, 5))
    t = tj.tensor(x)
    key = np.s_[::2, [0, -1], [1, 2]]
    close(ops.getitem(t, key), x[key])
    for key in (np.s_[::2, 1:3], np.s_[[2, 0]]):
        written = x.copy()
        written[key] = 7
        close(ops.set_item(t, key, 7.0), written)
    added = np.zeros((3, 2))
    np.add.at(added, [0, 2, 0], np.arange(6.0).reshape(3, 2))
    close(
        ops.scatter_add(tj.tensor(np.zeros((3, 2))), [0, 2, 0], np.arange(6.0).reshape(3, 2)), added
    )
    close(ops.one_hot([0, 2], 3), np.eye(3, dtype=np.float32)[[0, 2]])


def test_creation_gives_what_numpy_gives() -> None:
    close(ops.arange(3, 20, 2), np.arange(3, 20, 2))
    close(ops.arange(0, 1, 0.1, dtype="float64"), np.arange(0, 1, 0.1))
    close(ops.linspace(0, 10, 7, dtype="int8"), np.linspace(0, 10, 7, dtype="int8"))
    close(ops.eye(3, 4, k=1, dtype="float64"), np.eye(3, 4, 1))
    close(ops.full((2, 3), 2.5, dtype="float16"), np.full((2, 3), 2.5, np.float16))
    close(ops.zeros((2, 0), dtype="int8"), np.zeros((2, 0), np.int8))


def test_contractions_give_what_numpy_gives() -> None:
    x, y = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(4, 5))
    close(ops.matmul(tj.tensor(x), tj.tensor(y)), x @ y)
    close(ops.einsum("ijk,kl->lj", tj.tensor(x), tj.tensor(y)), np.einsum("ijk,kl->lj", x, y))
    close(
        ops.matmul(np.ones((2, 3), np.int8), np.ones((3, 2), np.int8)), np.full((2, 2), 3, np.int8)
    )


def test_random_draws_are_those_of_eval() -> None:
    state = np.array([2**63 + 5, 2**32 - 3], np.uint64)
    params = {"length": 40, "word": 2, "dtype": dtypes.uint64}
    drawn = dispatch.bind(
        ops.REGISTRY["philox"], (tj.tensor(state[0]), tj.tensor(state[1])), params
    )
    np.testing.assert_array_equal(np.asarray(drawn), ops.REGISTRY["philox"].eval(*state, **params))
    assert np.asarray(ops.random.advance(state, 4)).tolist() == [2**63 + 5, 2**32 + 1]
