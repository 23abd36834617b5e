"""The gradient rules agree with finite differences, to the second order where that is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.ops.gradient import check_gradient, pullback
from tests.ops.interpreter import lift
from tracejit import ops
from tracejit.ops.reduce import first_max
from tracejit.ops.scan import linear_scan
from tracejit.ops.slicing import update_slice
from tracejit.ops.windows import windows

RNG = np.random.default_rng(5)
ANY = RNG.normal(size=(3, 4))
OTHER = RNG.normal(size=(3, 4))
ROW = RNG.normal(size=(1, 4))
POSITIVE = RNG.uniform(0.5, 2.0, (3, 4))
UNIT = RNG.uniform(-0.9, 0.9, (3, 4))
LARGE = RNG.uniform(1.2, 3.0, (3, 4))
ZEROS = np.array([[1.5, 0.0, -2.0, 0.5], [0.0, 0.0, 3.0, 1.0], [0.5, 0.25, 2.0, -1.0]])
INDICES = np.array([[2, 0], [0, 0]])

UNARY = {
    "abs": ANY, "acos": UNIT, "acosh": LARGE, "asin": UNIT, "asinh": ANY, "atan": ANY, "atanh": UNIT, "cos": ANY,
    "cosh": ANY, "erf": ANY, "erfc": ANY, "erfinv": UNIT, "exp": ANY, "expm1": ANY, "lgamma": ANY, "log": POSITIVE,
    "log10": POSITIVE, "log1p": POSITIVE, "log2": POSITIVE, "negative": ANY, "positive": ANY, "reciprocal": POSITIVE,
    "relu": ANY, "sigmoid": ANY, "sign": ANY, "sin": ANY, "sinh": ANY, "softplus": ANY, "sqrt": POSITIVE, "square": ANY,
    "tan": UNIT, "tanh": ANY, "floor": ANY, "ceil": ANY, "round": ANY, "trunc": ANY,
}  # fmt: skip
BINARY = {
    "add": (ANY, ROW), "atan2": (ANY, ROW), "copysign": (ANY, ROW), "divide": (ANY, POSITIVE), "hypot": (ANY, ROW),
    "logaddexp": (ANY, ROW), "maximum": (ANY, ROW), "minimum": (ROW, ANY), "multiply": (ANY, ROW), "pow": (POSITIVE, ROW),
    "remainder": (ANY, POSITIVE), "subtract": (ROW, ANY), "floor_divide": (ANY, POSITIVE), "matmul": (ANY, ANY.T),
    "outer": (ANY, ROW), "mse_loss": (ANY, OTHER), "xlogy": (ANY, POSITIVE),
}  # fmt: skip

FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "where": (lambda x, y: ops.where(ANY > 0, x, y), (ANY, ROW)),
    "clip": (lambda x: ops.clip(x, -0.5, 0.5), (ANY,)),
    "clip bounds": (ops.clip, (ANY, ROW - 1, np.array(0.5))),
    "addcdiv": (
        lambda x, a, b, value: ops.addcdiv(x, a, b, value=value),
        (ANY, OTHER, POSITIVE, np.array(-1.5)),
    ),
    "lerp": (ops.lerp, (ANY, OTHER, np.array([[0.25], [0.75], [1.5]]))),
    "logit": (ops.logit, (UNIT**2 + 0.05,)),
    "logit eps": (lambda x: ops.logit(x, 0.1), (UNIT**2,)),
    "polygamma": (lambda x: ops.polygamma(1, x), (ANY,)),
    "polygamma 2": (lambda x: ops.polygamma(2, x), (POSITIVE,)),
    "polygamma 3": (lambda x: ops.polygamma(3, x), (ANY,)),
    "pow 2": (lambda x: ops.pow(x, 2), (ANY,)),
    "pow 3": (lambda x: ops.pow(x, 3), (ANY,)),
    "pow 0.5": (lambda x: ops.pow(x, 0.5), (POSITIVE,)),
    "pow -1.5": (lambda x: ops.pow(x, -1.5), (POSITIVE,)),
    "2 ** x": (lambda x: ops.pow(2.0, x), (ANY,)),
    "sum": (lambda x: ops.sum(x, axis=0), (ANY,)),
    "sum keepdims": (lambda x: ops.sum(x, axis=-1, keepdims=True), (ANY,)),
    "mean": (ops.mean, (ANY,)),
    "var": (lambda x: ops.var(x, axis=1, correction=1), (ANY,)),
    "std": (ops.std, (ANY,)),
    "max": (lambda x: ops.max(x, axis=1), (ANY,)),
    "min": (lambda x: ops.min(x), (ANY,)),
    "prod": (lambda x: ops.prod(x, axis=1), (ZEROS,)),
    "prod of all": (ops.prod, (POSITIVE,)),
    "cumulative_sum": (lambda x: ops.cumulative_sum(x, axis=1), (ANY,)),
    "cumulative_prod": (lambda x: ops.cumulative_prod(x, axis=1), (ZEROS,)),
    "linear_scan": (lambda x, y: linear_scan(x, y, axis=0), (ANY, OTHER)),
    "reshape": (lambda x: ops.square(ops.reshape(x, (2, 6))), (ANY,)),
    "permute": (lambda x: ops.square(ops.permute_dims(x, (1, 0))), (ANY,)),
    "broadcast_to": (lambda x: ops.square(ops.broadcast_to(x, (2, 3, 4))), (ROW,)),
    "slice": (lambda x: ops.square(ops.getitem(x, np.s_[1:, ::2])), (ANY,)),
    "slice backwards": (lambda x: ops.square(ops.getitem(x, np.s_[::-1, 3:0:-2])), (ANY,)),
    "row": (lambda x: ops.square(ops.getitem(x, 1)), (ANY,)),
    "flip": (lambda x: ops.square(ops.flip(x)), (ANY,)),
    "update": (
        lambda x, y: ops.square(update_slice(x, y, start=(0, 1), stop=(3, 3), step=(1, 1))),
        (ANY, ROW[:, :1]),
    ),
    "set_item": (lambda x, y: ops.square(ops.set_item(x, np.s_[:, ::2], y)), (ANY, ANY[:, :2])),
    "set_item indices": (lambda x, y: ops.square(ops.set_item(x, [2, 0], y)), (ANY, ANY[:2])),
    "pad": (lambda x, y: ops.square(ops.pad(x, ((1, 0), (0, 2)), y)), (ANY, np.array(2.0))),
    "concat": (lambda x, y: ops.square(ops.concat([x, y, x])), (ANY, ROW)),
    "stack": (lambda x, y: ops.square(ops.stack([x, y], axis=1)), (ANY, OTHER)),
    "take": (lambda x: ops.square(ops.take(x, INDICES, axis=0)), (ANY,)),
    "take_along_axis": (
        lambda x: ops.square(ops.take_along_axis(x, INDICES[[0, 1, 0]], axis=1)),
        (ANY,),
    ),
    "getitem": (lambda x: ops.square(ops.getitem(x, ([0, 2, 0], [1, -1, 1]))), (ANY,)),
    "scatter_add": (lambda x, y: ops.square(ops.scatter_add(x, [0, 2, 0], y)), (ANY, OTHER)),
    "diagonal": (lambda x: ops.square(ops.diagonal(x, offset=1)), (ANY,)),
    "roll": (lambda x: ops.square(ops.roll(x, 1)), (ANY,)),
    "repeat": (lambda x: ops.square(ops.repeat(x, 2, axis=1)), (ANY,)),
    "tile": (lambda x: ops.square(ops.tile(x, (2, 2))), (ANY,)),
    "tril": (lambda x: ops.square(ops.tril(x, k=1)), (ANY,)),
    "triu": (lambda x: ops.square(ops.triu(x)), (ANY,)),
    "full": (lambda x: ops.square(ops.full((2, 3), x)), (np.array(2.0),)),
    "batched matmul": (ops.matmul, (RNG.normal(size=(2, 3, 4)), ANY.T)),
    "vector matmul": (ops.matmul, (ROW[0], ANY.T)),
    "einsum": (lambda x, y: ops.einsum("bij,kj->bki", x, y), (RNG.normal(size=(2, 3, 4)), ANY)),
    "einsum trace": (lambda x: ops.einsum("ii", ops.square(x)), (ANY[:, :3],)),
    "tensordot": (lambda x, y: ops.tensordot(x, y, axes=((0, 1), (0, 1))), (ANY, OTHER)),
    "vecdot": (ops.vecdot, (ANY, OTHER)),
    "softmax": (ops.softmax, (ANY,)),
    "log_softmax": (ops.log_softmax, (ANY,)),
    "logsumexp": (lambda x: ops.logsumexp(x, axis=1), (ANY,)),
    "cross_entropy": (lambda x: ops.cross_entropy(x, np.array([0, 3, 1])), (ANY,)),
    "cross_entropy of probabilities": (ops.cross_entropy, (ANY, UNIT**2)),
    "layer_norm": (ops.layer_norm, (ANY, ROW[0], ROW[0] + 1)),
    "batch_norm": (ops.batch_norm, (ANY, ROW[0], ROW[0] ** 2 + 0.5, ROW[0], ROW[0])),
    "moments": (lambda x: ops.concat(ops.moments(x, axis=0)), (ANY,)),
    "gelu": (ops.gelu, (ANY,)),
    "gelu by tanh": (lambda x: ops.gelu(x, approximate="tanh"), (ANY,)),
    "silu": (ops.silu, (ANY,)),
    "dropout": (lambda x: ops.dropout(x, np.array([1, 2], np.uint64), 0.5), (ANY,)),
    "windows": (
        lambda x: ops.square(windows(x, (2, 2), stride=(1, 2), dilation=(1, 1))),
        (ANY,),
    ),
    "first_max": (lambda x: first_max(ops.square(x), (0, 1)), (ANY,)),
    "astype": (lambda x: ops.astype(ops.square(x), "float64"), (ANY,)),
}


@pytest.mark.parametrize("name", UNARY)
def test_gradients_of_unary_functions(name: str) -> None:
    check_gradient(getattr(ops, name), UNARY[name], order=2)


@pytest.mark.parametrize("name", BINARY)
def test_gradients_of_binary_functions(name: str) -> None:
    check_gradient(getattr(ops, name), *BINARY[name], order=2)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_of_functions(name: str) -> None:
    function, arrays = FUNCTIONS[name]
    check_gradient(function, *arrays, order=2)


def test_ties_share_the_gradient_equally() -> None:
    (ct,) = pullback(ops.max, (lift(np.array([1.0, 3.0, 3.0])),), lift(np.array(1.0)))
    assert ct.array.tolist() == [0, 0.5, 0.5]
    x, y = pullback(
        ops.maximum, (lift(np.array([2.0, 1.0])), lift(np.array([2.0, 3.0]))), lift(np.ones(2))
    )
    assert x.array.tolist() == [0.5, 0]
    assert y.array.tolist() == [0.5, 1]


def test_powers_have_a_gradient_at_zero() -> None:
    x, y = lift(np.array([0.0, 0.0, 2.0])), lift(np.array([0.0, 2.0, 0.0]))
    wrt_x, wrt_y = pullback(ops.pow, (x, y), lift(np.ones(3)))
    assert wrt_x.array.tolist() == [0, 0, 0]
    assert wrt_y.array[1:].tolist() == [0, np.log(2.0)]


def test_integers_and_numbers_have_no_cotangent() -> None:
    op = ops.REGISTRY["take"]
    args, params = op.coerce(lift(ANY), lift(np.array([0, 1])), axis=0)
    out = op(*args, **params)
    assert op.vjp(out, out, *args, **params)[1] is None
    args, _ = ops.multiply.coerce(lift(ANY), 2.0)
    assert ops.multiply.vjp(lift(ANY), lift(ANY), *args)[1] is None


def test_stop_gradient_stops() -> None:
    (ct,) = pullback(
        lambda x: ops.multiply(x, ops.stop_gradient(x)), (lift(ANY),), lift(np.ones((3, 4)))
    )
    np.testing.assert_array_equal(ct.array, ANY)


def test_half_floats_have_half_cotangents() -> None:
    x = lift(ANY.astype(np.float16))
    for function in (
        ops.sum,
        ops.mean,
        ops.softmax,
        ops.layer_norm,
        lambda v: ops.matmul(v, ops.transpose(v)),
    ):
        out = function(x)
        (ct,) = pullback(function, (x,), out)
        assert ct.aval is x.aval
