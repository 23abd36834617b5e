"""Recorded, fused and compiled, every function and its gradient have the bits that they have eagerly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tracejit as tj
from tests.ops.test_vjp import BINARY, FUNCTIONS, UNARY
from tracejit import ops

Case = tuple[Callable[..., Any], tuple[np.ndarray, ...]]
CASES: dict[str, Case] = {
    **FUNCTIONS,
    **{name: (getattr(ops, name), (x,)) for name, x in UNARY.items()},
    **{name: (getattr(ops, name), arrays) for name, arrays in BINARY.items()},
}


@pytest.fixture(autouse=True)
def numpy_interpreter() -> None:
    """These tests run on the interpreters that `import tracejit` installs."""


def bits(values: Any) -> list[bytes]:
    return [np.asarray(value).tobytes() for value in values]


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_have_their_eager_bits(name: str) -> None:
    function, arrays = CASES[name]
    places = tuple(range(len(arrays)))

    def energy(*args: Any) -> Any:
        return ops.sum(ops.square(function(*args)))

    def both(*args: Any) -> Any:
        return function(*args), *tj.grad(energy, argnums=places)(*args)

    args = [tj.tensor(array.astype(np.float32)) for array in arrays]
    assert bits(tj.compile(both)(*args)) == bits(both(*args))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_sixteen_bit_floats_round_after_each_op_fused_or_not(dtype: Any) -> None:
    def chain(x: Any, y: Any) -> Any:
        z = ops.tanh(ops.add(ops.multiply(x, y), 1))
        return z, ops.softmax(z), ops.sum(ops.exp(z), axis=0), ops.layer_norm(ops.sigmoid(z))

    x, y = (tj.tensor(CASES["stack"][1][k].astype(dtype)) for k in (0, 1))
    assert bits(tj.compile(chain)(x, y)) == bits(chain(x, y))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_integers_have_their_eager_bits(dtype: Any) -> None:
    def program(x: Any, y: Any) -> Any:
        return (
            *(x // y, x % y, x << 1, x >> y, ~x, x ^ y, ops.pow(x, 3), ops.where(x > y, x, y)),
            *(ops.sum(x, axis=0), ops.cumulative_sum(x, axis=0), ops.matmul(x, ops.transpose(y))),
            *(ops.take(x, [0, -1], axis=1), ops.one_hot(x % 4, 4), x.astype("float32") / y),
        )

    x = tj.tensor(np.arange(12).reshape(3, 4).astype(dtype))
    y = tj.tensor((np.arange(12)[::-1].reshape(3, 4) % 5).astype(dtype))
    assert bits(tj.compile(program)(x, y)) == bits(program(x, y))


def test_random_streams_have_their_eager_bits() -> None:
    def program(state: Any) -> Any:
        return (
            ops.random.normal(state, 50),
            ops.random.normal(state, (5, 10), dtype="float64"),
            ops.random.uniform(ops.random.advance(state, 50), 7, dtype="float16"),
            ops.random.integers(state, 0, 100, 9),
            ops.random.bernoulli(state, 0.3, 20),
            ops.random.advance(state, 50),
        )

    state = tj.tensor(ops.random.new_state(3))
    assert bits(tj.compile(program)(state)) == bits(program(state))


def test_created_arrays_have_their_eager_bits() -> None:
    def program() -> Any:
        return (
            *(ops.arange(5), ops.arange(0, 1, 0.3), ops.linspace(0, 1, 5), ops.eye(3, k=1)),
            *(ops.tril(ops.ones((3, 3))), ops.full((2, 2), 2.5), ops.zeros(3, dtype="int8")),
        )

    assert bits(tj.compile(program)()) == bits(program())
