"""What the array API asks for beyond the ops, and what the namespace tells of itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit._errors import DeviceUnavailable, ShapeError

REPEATED = np.array([[3.0, -1.0, 3.0], [np.nan, 0.0, np.nan]])


def test_reshape_copies_when_asked_and_only_then() -> None:
    x = tj.arange(6)
    tj.reshape(x, (2, 3))[0, 0] = 9
    tj.reshape(x, (3, 2), copy=False)[0, 1] = 8
    tj.reshape(x, (3, 2), copy=True)[0, 0] = 7
    assert x.tolist() == [9, 8, 2, 3, 4, 5]


def test_reshape_refuses_a_copy_that_is_needed() -> None:
    x = tj.arange(6).reshape(2, 3).T
    assert tj.reshape(x, 6).tolist() == [0, 3, 1, 4, 2, 5]
    with pytest.raises(ValueError, match=r"test_standard.py:\d+: reshape: .* only by a copy"):
        tj.reshape(x, 6, copy=False)


def test_devices_are_checked() -> None:
    x = tj.zeros(2)
    assert tj.astype(x, "int8", device="cpu").dtype is tj.int8
    assert x.to_device("cpu") is x
    for move in (lambda: tj.astype(x, "int8", device="tpu"), lambda: x.to_device("tpu")):
        with pytest.raises(DeviceUnavailable):
            move()


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "bfloat16", "float64"])
def test_nonzero_is_numpys(dtype: str) -> None:
    x = tj.tensor([[0, 1, 0], [2, 0, 3]]).astype(dtype)
    found, expected = tj.nonzero(x), np.nonzero(np.asarray(x))
    assert [i.dtype for i in found] == [tj.int64] * 2
    np.testing.assert_array_equal(found, expected)


def test_a_number_has_no_axis_for_nonzero() -> None:
    with pytest.raises(ShapeError, match=r"test_standard.py:\d+: nonzero"):
        tj.nonzero(tj.tensor(1.0))


def test_distinct_elements_are_numpys() -> None:
    found, expected = tj.unique_all(tj.tensor(REPEATED)), np.unique_all(REPEATED)
    assert found._fields == expected._fields
    for ours, numpys in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, numpys, strict=True)
    assert tj.unique_values(REPEATED).shape == (5,)
    assert tj.unique_counts([2, 1, 2]).counts.tolist() == [1, 2]
    assert tj.unique_inverse([2, 1, 2]).inverse_indices.tolist() == [1, 0, 1]
    assert tj.unique_values(tj.tensor([2, 1, 2], dtype="bfloat16")).tolist() == [1.0, 2.0]
    assert tj.unique_values(tj.zeros(0)).shape == (0,)


def test_the_gradient_of_a_distinct_element_goes_to_the_first_of_its_kind() -> None:
    x = tj.tensor([3.0, 1.0, 3.0], requires_grad=True)
    (tj.unique_values(x) * tj.tensor([10.0, 20.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [20.0, 10.0, 0.0]


PROGRAMS: dict[str, Callable[[Any], Any]] = {
    "sort": lambda x: tj.sort(x * 2, axis=0, descending=True) + 1,
    "argsort": lambda x: tj.take_along_axis(x, tj.argsort(x - 1), axis=-1) * x,
    "searchsorted": lambda x: tj.searchsorted(tj.sort(x[0]), x * 0.5) + 1,
    "isin": lambda x: tj.where(tj.isin(x, x[0] + 1), x, -x),
    "diff": lambda x: tj.diff(x * x, prepend=0.5, n=2) * 0.1,
    "repeat": lambda x: tj.repeat(x + 1, [2, 0, 3], axis=0) * 3,
    "repeat by values": lambda x: tj.repeat(x, tj.astype(x[:, 0] > 0, "int64") + 1, axis=0) - 1,
    "nonzero": lambda x: x[tj.nonzero(x > 0)] * 2,
    "unique": lambda x: tj.unique_inverse(tj.round(x)).values * 2,
    "reshape": lambda x: tj.reshape(x + 1, -1, copy=True) * 2,
    "empty": lambda x: tj.sort(x[:0] * 2) + 1,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_compiled_programs_give_the_same_bits(name: str) -> None:
    program = PROGRAMS[name]
    x = tj.tensor(np.random.default_rng(2).normal(size=(3, 4)), dtype="float32")
    compiled = tj.compile(program)
    for argument in (x, x * 2):  # the second call has other values, and so perhaps other shapes
        np.testing.assert_array_equal(compiled(argument), program(argument), strict=True)


def test_a_tensor_and_the_namespace_name_each_other() -> None:
    assert tj.zeros(1).__array_namespace__() is tj
    assert tj.__array_api_version__ == "2024.12"


def test_the_namespace_tells_what_it_has() -> None:
    info = tj.__array_namespace_info__()
    assert info.capabilities()["data-dependent shapes"]
    assert info.default_device() in info.devices() == tj.devices()
    assert info.default_dtypes() == {
        "real floating": tj.float32, "integral": tj.int64, "indexing": tj.int64,
    }  # fmt: skip
    assert info.dtypes(kind="signed integer").keys() == {"int8", "int16", "int32", "int64"}
    assert info.dtypes(kind=("bool", "real floating"), device="cpu") == {
        "bool": tj.bool, "float32": tj.float32, "float64": tj.float64,
    }  # fmt: skip
    assert "bfloat16" not in info.dtypes()


def test_signatures_name_the_arguments() -> None:
    assert str(inspect.signature(tj.where)) == "(condition, x, y, /)"  # type: ignore[arg-type]
    assert {"dtype", "device", "requires_grad"} <= inspect.signature(tj.linspace).parameters.keys()
    assert "name" in inspect.signature(type(tj.where)).parameters
