"""Promotion is NumPy's, over the whole table."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from tracejit import dtypes
from tracejit._errors import DTypeError
from tracejit.dtypes import ALL, DType, as_dtype, can_cast, from_numpy, promote, result_type

PAIRS = [(a, b) for a in ALL for b in ALL]


def numpy_promotes(a: DType, b: DType) -> bool:
    try:
        np.promote_types(a.numpy, b.numpy)
    except TypeError:
        return False
    return True


@pytest.mark.parametrize(("a", "b"), [pair for pair in PAIRS if numpy_promotes(*pair)], ids=str)
def test_promotion_is_that_of_numpy(a: DType, b: DType) -> None:
    assert promote(a, b).numpy == np.promote_types(a.numpy, b.numpy)
    assert can_cast(a, b) == np.can_cast(a.numpy, b.numpy)


def test_bfloat16_meets_what_numpy_has_no_rule_for_in_the_least_float_that_holds_both() -> None:
    undefined = {(a, b): promote(a, b) for a, b in PAIRS if not numpy_promotes(a, b)}
    assert undefined
    for (a, b), dtype in undefined.items():
        assert dtype.is_float
        assert can_cast(a, dtype)
        assert can_cast(b, dtype)
    assert promote(dtypes.float16, dtypes.bfloat16) is dtypes.float32


def test_promotion_is_commutative() -> None:
    assert all(promote(a, b) is promote(b, a) for a, b in PAIRS)


@pytest.mark.parametrize("number", [True, 1, 1.0])
@pytest.mark.parametrize("dtype", [d for d in ALL if d is not dtypes.bfloat16], ids=str)
def test_python_numbers_are_weak(dtype: DType, number: float) -> None:
    assert result_type(dtype, number).numpy == np.result_type(dtype.numpy, number)


def test_python_numbers_alone_have_the_dtypes_of_numpy() -> None:
    assert result_type(True) is dtypes.bool_
    assert result_type(1, True) is dtypes.int64
    assert result_type(1, 2.5) is dtypes.float64
    assert result_type(dtypes.bfloat16, 2.5) is dtypes.bfloat16


def test_result_type_takes_arrays_and_numpy_numbers() -> None:
    assert result_type(np.ones(2, np.int8), np.float32(1)) is dtypes.float32
    assert result_type(np.float64(1), dtypes.float32) is dtypes.float64
    with pytest.raises(DTypeError):
        result_type()


@pytest.mark.parametrize(
    ("spec", "dtype"),
    [
        ("float32", dtypes.float32),
        ("bool", dtypes.bool_),
        ("bfloat16", dtypes.bfloat16),
        (np.uint8, dtypes.uint8),
        (np.dtype(">f8"), dtypes.float64),
        (ml_dtypes.bfloat16, dtypes.bfloat16),
        (bool, dtypes.bool_),
        (int, dtypes.int64),
        (float, dtypes.float64),
        (dtypes.int16, dtypes.int16),
    ],
)
def test_as_dtype_knows_every_way_to_name_a_dtype(spec: object, dtype: DType) -> None:
    assert as_dtype(spec) is dtype


def test_from_numpy_is_the_inverse_of_numpy() -> None:
    assert all(from_numpy(dtype.numpy) is dtype for dtype in ALL)


@pytest.mark.parametrize("spec", [np.complex64, object, "U3", "M8[s]", "no such dtype"])
def test_dtypes_that_cannot_be_computed_with_are_refused(spec: object) -> None:
    with pytest.raises(DTypeError):
        as_dtype(spec)


def test_limits_are_those_of_numpy() -> None:
    assert dtypes.iinfo("uint8").max == 255
    assert dtypes.finfo(dtypes.float32).eps == np.finfo(np.float32).eps
    assert float(dtypes.finfo("bfloat16").eps) == 2**-7
    with pytest.raises(DTypeError):
        dtypes.finfo(dtypes.int8)
    with pytest.raises(DTypeError):
        dtypes.iinfo(float)
