"""Pointwise ops give what NumPy gives, and their scalar rules give what their `eval` gives."""

from __future__ import annotations

from itertools import product
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.ops.scalars import TABLE, evaluate
from tracejit import dispatch, dtypes, ops
from tracejit._errors import DTypeError, ShapeError
from tracejit.codegen.kernel.fn import Fn
from tracejit.dtypes import ALL, DType
from tracejit.ops.op import Op, Pointwise
from tracejit.ops.registry import REGISTRY

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

UNARY = {
    "abs": np.abs, "acos": np.arccos, "acosh": np.arccosh, "asin": np.arcsin, "asinh": np.arcsinh, "atan": np.arctan,
    "atanh": np.arctanh, "bitwise_invert": np.invert, "ceil": np.ceil, "cos": np.cos, "cosh": np.cosh, "exp": np.exp,
    "expm1": np.expm1, "floor": np.floor, "isfinite": np.isfinite, "isinf": np.isinf, "isnan": np.isnan, "log": np.log,
    "log10": np.log10, "log1p": np.log1p, "log2": np.log2, "logical_not": np.logical_not, "negative": np.negative,
    "positive": np.positive, "sign": np.sign, "signbit": np.signbit, "sin": np.sin, "sinh": np.sinh, "sqrt": np.sqrt,
    "square": np.square, "tan": np.tan, "tanh": np.tanh, "trunc": np.trunc,
}  # fmt: skip
BINARY = {
    "add": np.add, "atan2": np.arctan2, "bitwise_and": np.bitwise_and, "bitwise_left_shift": np.left_shift,
    "bitwise_or": np.bitwise_or, "bitwise_right_shift": np.right_shift, "bitwise_xor": np.bitwise_xor,
    "copysign": np.copysign, "divide": np.divide, "equal": np.equal, "floor_divide": np.floor_divide, "greater": np.greater,
    "greater_equal": np.greater_equal, "hypot": np.hypot, "less": np.less, "less_equal": np.less_equal,
    "logaddexp": np.logaddexp, "logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor,
    "maximum": np.maximum, "minimum": np.minimum, "multiply": np.multiply, "nextafter": np.nextafter,
    "not_equal": np.not_equal, "power": np.power, "remainder": np.remainder, "subtract": np.subtract,
}  # fmt: skip
FLOATS = (
    np.nan,
    np.inf,
    -np.inf,
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.75,
    1.5,
    2.5,
    -2.5,
    3.0,
    -7.25,
    1e-3,
    -1e-42,
    300.0,
    6e4,
    -6e4,
)


def samples(dtype: DType) -> np.ndarray:
    """Elements at which something special happens, and some others."""
    if dtype is dtypes.bool_:
        return np.array([False, True])
    if dtype.is_float:
        return np.array(FLOATS, dtype.numpy)
    limits = dtypes.iinfo(dtype)
    chosen = {0, 1, 2, 3, 7, -1, -2, -9, int(limits.min), int(limits.max), 31, 63}
    return np.array(sorted(v for v in chosen if limits.min <= v <= limits.max), dtype.numpy)


def same(found: np.ndarray, expected: np.ndarray, ulps: int = 0) -> None:
    """Equal bits, NaNs alike, or within a few units in the last place."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if expected.dtype.kind in "biu":
        np.testing.assert_array_equal(found, expected)
        return
    half = expected.dtype.itemsize == 2
    eps = float(ml_dtypes.finfo(expected.dtype).eps)
    found, expected = (a.astype(np.float64) if half else a for a in (found, expected))
    if ulps == 0:
        np.testing.assert_array_equal(
            np.signbit(found[found == 0]), np.signbit(expected[expected == 0])
        )
    np.testing.assert_allclose(found, expected, rtol=ulps * eps, atol=ulps * 1e-44)


def numpy_result(function: Any, *arrays: np.ndarray) -> np.ndarray | None:
    """NumPy's own answer, or None where NumPy has none for these dtypes."""
    try:
        with np.errstate(all="ignore"):
            return np.asarray(function(*arrays))
    except (TypeError, ValueError):
        return None


def test_the_tables_name_functions_of_ours() -> None:
    assert all(hasattr(ops, name) or name == "power" for name in UNARY | BINARY)


@pytest.mark.parametrize("dtype", [d for d in ALL if d is not dtypes.bfloat16], ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_unary_ops_agree_with_numpy(name: str, dtype: DType) -> None:
    x = samples(dtype)
    expected = numpy_result(UNARY[name], x)
    if expected is None:
        with pytest.raises(DTypeError):
            getattr(ops, name)(x)
        return
    if name == "signbit" and not dtype.is_float:
        expected = np.signbit(x.astype(np.float64))
    same(getattr(ops, name)(x).array, expected, ulps=1)


@pytest.mark.parametrize("dtype", [d for d in ALL if d is not dtypes.bfloat16], ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_binary_ops_agree_with_numpy(name: str, dtype: DType) -> None:
    x, y = samples(dtype)[:, None], samples(dtype)[None, :]
    if name == "power" and dtype.is_integer:
        y = abs(y) % 8
    function = REGISTRY["power"] if name == "power" else getattr(ops, name)
    expected = numpy_result(BINARY[name], x, y)
    if expected is None:
        with pytest.raises(DTypeError):
            function(x, y)
        return
    if not dtype.is_float and name in ("copysign", "nextafter", "logaddexp", "hypot", "atan2"):
        assert function(x, y).array.dtype.kind == "f"
        return
    same(function(x, y).array, expected, ulps=1)


@pytest.mark.parametrize("name", ["add", "multiply", "divide", "maximum", "less", "bitwise_and"])
def test_mixed_dtypes_promote_as_in_numpy(name: str) -> None:
    for a, b in product(ALL, ALL):
        if dtypes.bfloat16 in (a, b):
            continue
        x, y = np.ones((2, 1), a.numpy), np.ones(3, b.numpy)
        expected = numpy_result(BINARY[name], x, y)
        if expected is None:
            with pytest.raises(DTypeError):
                getattr(ops, name)(x, y)
        else:
            same(getattr(ops, name)(x, y).array, expected)


POINTWISE = [op for op in REGISTRY.values() if isinstance(op.recipe, Pointwise)]
ELEMENTWISE = [
    op
    for op in POINTWISE
    if op.recipe.scalar.__code__.co_kwonlyargcount == 0 and op.name != "advance"
]
LOOSE = {
    "logaddexp": 8,
    "softplus": 4,
    "sigmoid": 2,
    "erf": 1,
    "erfc": 4,
    "erfinv": 4,
    "lgamma": 128,
    "digamma": 128,
    "trigamma": 4,
}


def accepted(op: Op, arity: int, dtype: DType) -> list[np.ndarray] | None:
    """Samples along an axis for each argument, if the op computes in `dtype`."""
    x = samples(dtype)
    grids = [x.reshape((-1,) + (1,) * (arity - 1 - place)) for place in range(arity)]
    if op.name == "where":
        grids[0] = np.array([False, True]).reshape(2, 1, 1)
        return grids
    args, _ = op.coerce(*map(dispatch.lift, grids))
    return grids if all(arg.aval.dtype is dtype for arg in args) else None


@pytest.mark.parametrize("dtype", ALL, ids=str)
@pytest.mark.parametrize("op", ELEMENTWISE, ids=str)
def test_scalar_rules_give_what_eval_gives(op: Op, dtype: DType) -> None:
    arity = op.recipe.scalar.__code__.co_argcount - 1
    try:
        arrays = accepted(op, arity, dtype)
    except DTypeError:
        return
    if arrays is not None:
        same(evaluate(op, *arrays), op.eval(*arrays), ulps=LOOSE.get(op.name, 0))


@pytest.mark.parametrize(("source", "target"), list(product(ALL, ALL)), ids=str)
def test_astype_is_that_of_numpy(source: DType, target: DType) -> None:
    x = samples(source)
    if source.is_float and target.is_integer:
        x = x[np.isfinite(x) & (x >= 0) & (x < 100)]
    if source.is_float and target is dtypes.bool_:
        x = x[~np.isnan(x)]
    expected = x.astype(target.numpy)
    same(ops.astype(x, target).array, expected)
    same(evaluate(REGISTRY["astype"], x, dtype=target), expected)


def test_every_scalar_function_but_fma_is_covered() -> None:
    assert TABLE.keys() == set(Fn) - {Fn.FMA, Fn.CAST}


def test_sixteen_bit_floats_round_once_per_op() -> None:
    x = np.array([1.0009765625, 3.0], np.float16)
    same(
        ops.logaddexp(x, x).array,
        np.logaddexp(x.astype(np.float32), x.astype(np.float32)).astype(np.float16),
    )
    y = np.array([1.0, 2.0], ml_dtypes.bfloat16)
    assert ops.exp(y).array.dtype == ml_dtypes.bfloat16
    assert ops.add(y, np.float16(1)).array.dtype == np.float32


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 1, 2)])
def test_all_shapes_and_strides_are_taken(shape: tuple[int, ...]) -> None:
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    same(ops.add(x, 1).array, x + 1)
    same(ops.exp(x.T).array, np.exp(x.T), ulps=1)
    strided = np.arange(12.0).reshape(3, 4)[::-1, ::2]
    same(ops.multiply(strided, strided[:1]).array, strided * strided[:1])


def test_integer_division_by_zero_is_zero() -> None:
    x = np.array([5, -5, 0], np.int32)
    assert ops.floor_divide(x, 0).array.tolist() == [0, 0, 0]
    assert ops.remainder(x, 0).array.tolist() == [0, 0, 0]


def test_comparisons_take_any_python_integer() -> None:
    x = np.array([0, 255], np.uint8)
    assert ops.less(x, 300).array.tolist() == [True, True]
    assert ops.greater(x, -1).array.tolist() == [True, True]
    assert ops.equal(2**70, x).array.tolist() == [False, False]
    assert ops.less(np.array([2**63 - 1]), 2**63).array.tolist() == [True]


@pytest.mark.parametrize(
    "name", ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
)
def test_signed_and_unsigned_integers_compare_by_value(name: str) -> None:
    x = np.array([-1, 0, 2**63 - 1, -(2**63)])[:, None]
    y = np.array([0, 2**63 - 1, 2**63, 2**64 - 1], np.uint64)
    op = getattr(ops, name)
    for left, right in ((x, y), (y, x), (x.astype(np.int8), y)):
        expected = getattr(np, name)(left, right)
        same(op(left, right).array, expected)
        same(
            evaluate(
                op,
                *(
                    array.astype(np.int64) if array.dtype == np.int8 else array
                    for array in (left, right)
                ),
            ),
            expected,
        )


def test_arguments_are_counted() -> None:
    with pytest.raises(TypeError, match=r"add takes 2 arguments, got 1"):
        ops.add(np.ones(2))


def test_python_integers_out_of_range_overflow_as_in_numpy() -> None:
    with pytest.raises(
        OverflowError, match=r"test_pointwise.py:\d+: Python integer 300 out of bounds for uint8"
    ):
        ops.add(np.ones(2, np.uint8), 300)


def test_numpy_numbers_keep_their_dtype() -> None:
    assert ops.add(np.ones(2, np.float32), np.float64(1)).array.dtype == np.float64
    assert ops.add(np.ones(2, np.float32), 1.0).array.dtype == np.float32


@pytest.mark.parametrize(
    ("exponent", "name"),
    [(2, "square"), (0.5, "sqrt"), (-1, "reciprocal"), (1, None), (3, "power")],
)
def test_powers_with_an_exact_operation_use_it(exponent: float, name: str | None) -> None:
    x = np.array([0.5, 1.5, 2.0], np.float32)
    same(ops.pow(x, exponent).array, x**exponent, ulps=1)
    assert name is None or name in REGISTRY


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.bool_, np.float16])
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 2.0, True])
def test_powers_have_the_dtype_of_numpy(dtype: Any, exponent: float) -> None:
    x = np.array([0, 1, 1], dtype)
    same(ops.pow(x, exponent).array, np.power(x, exponent))


def test_integers_have_no_negative_powers() -> None:
    with pytest.raises(ValueError, match="negative integer powers"):
        ops.pow(np.array([2]), -1)
    assert ops.pow(np.array([2, 1, -1, 0]), np.array(-3)).array.tolist() == [0, 1, -1, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.uint8], ids=str)
@pytest.mark.parametrize(
    "bounds", [(None, 2), (-1, None), (-1, 2), (3, 1), (-300, 300), (None, None)]
)
def test_clip_is_that_of_numpy(dtype: Any, bounds: tuple[int | None, int | None]) -> None:
    x = np.array([0, 1, 5, 100], dtype)
    least, most = bounds
    if least == -1 and dtype is np.uint8:
        least = 0
    expected = x if least is most is None or least == -300 else np.clip(x, least, most)
    same(ops.clip(x, *bounds).array, expected)


def test_where_promotes_its_choices_and_takes_any_condition() -> None:
    found = ops.where(np.array([0.0, 2.0]), np.float32(1), np.array([[3], [4]], np.int8)).array
    same(
        found,
        np.where([False, True], np.float32(1), np.array([[3], [4]], np.int8)).astype(np.float32),
    )


def test_shapes_that_do_not_broadcast_are_named() -> None:
    message = (
        r"\w+.py:\d+: add: f32\[2,3\], f32\[4\]: the shapes do not broadcast \(axis -1: 3 != 4\)"
    )
    with pytest.raises(ShapeError, match=message):
        ops.add(np.ones((2, 3), np.float32), np.ones(4, np.float32))


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("subtract", (np.array([True]), np.array([True]))),
        ("bitwise_and", (np.ones(2), np.ones(2))),
        ("bitwise_left_shift", (np.ones(2), 1)),
        ("add", (np.array(["a"]), 1)),
        ("add", (np.ones(2), 1j)),
        ("exp", (np.array([object()]),)),
    ],
)
def test_dtypes_that_an_op_does_not_take_are_refused(name: str, args: tuple[Any, ...]) -> None:
    with pytest.raises(DTypeError):
        getattr(ops, name)(*args)


def test_parts_of_real_numbers_are_the_numbers_and_zeros() -> None:
    x = np.float32([1.5, -2.0])
    for ours, numpys in ((ops.real, np.real), (ops.imag, np.imag), (ops.conj, np.conj)):
        np.testing.assert_array_equal(ours(x).array, numpys(x), strict=True)
    with pytest.raises(DTypeError):
        ops.conj(np.array([True]))
