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


@pytest.mark.parametrize("dtype", dtypes.FLOATING)
def test_limits_of_floats_are_python_numbers(dtype: DType) -> None:
    found, expected = dtypes.finfo(dtype), ml_dtypes.finfo(dtype.numpy)
    for name in ("bits", "eps", "max", "min", "smallest_normal"):
        assert getattr(found, name) == getattr(expected, name)
        assert type(getattr(found, name)) in (int, float)
    assert found.dtype is dtype


@pytest.mark.parametrize("dtype", dtypes.INTEGERS)
def test_limits_of_integers_are_python_numbers(dtype: DType) -> None:
    found, expected = dtypes.iinfo(dtype), np.iinfo(dtype.numpy)
    assert (found.bits, found.max, found.min) == (expected.bits, expected.max, expected.min)
    assert found.dtype is dtype


def test_limits_are_told_of_values_types_and_names() -> None:
    assert dtypes.iinfo(np.zeros(2, np.uint8)) == dtypes.iinfo("uint8") == dtypes.iinfo(np.uint8)
    assert dtypes.finfo(np.float32(1)) == dtypes.finfo(dtypes.float32)
    with pytest.raises(DTypeError):
        dtypes.finfo(dtypes.int8)
    with pytest.raises(DTypeError):
        dtypes.iinfo(float)


def test_values_are_cast_by_their_dtype() -> None:
    assert dtypes.can_cast(np.zeros(2, np.int8), dtypes.int64)
    assert not dtypes.can_cast(np.float64, "float32")


def test_kinds_of_dtypes_are_those_of_the_array_api() -> None:
    assert dtypes.isdtype("uint8", "integral")
    assert dtypes.isdtype("uint8", "unsigned integer")
    assert not dtypes.isdtype(dtypes.bool_, "numeric")
    assert dtypes.isdtype(dtypes.bfloat16, ("bool", "real floating"))
    assert dtypes.isdtype(np.float32, dtypes.float32)
    assert not dtypes.isdtype(dtypes.float32, "complex floating")
    with pytest.raises(ValueError, match="no kind of dtype"):
        dtypes.isdtype(dtypes.float32, "float")
