"""NumPy programs mean the same compiled: values, dtypes, types, writes and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tests.tracing.numpy_expressions import EXPRESSIONS
from tests.tracing.numpy_programs import PROGRAMS

OURS_NAME_THE_LINE = (TypeError, ValueError, IndexError)


def outcome(function: Callable[..., Any], *args: Any) -> tuple[Any, tuple[Any, ...]]:
    """What a call returns, or the kind of error that it raises, and its arguments afterwards."""
    np.random.seed(0)
    try:
        with np.errstate(all="ignore"):
            return function(*args), args
    except Exception as error:  # any error of the program is an outcome
        return next(
            kind for kind in (*OURS_NAME_THE_LINE, Exception) if isinstance(error, kind)
        ), args


def assert_same(found: Any, expected: Any) -> None:
    """Alike in type, dtype and shape, and near in value."""
    if isinstance(expected, (list, tuple, dict)):
        assert type(found) is type(expected)
        assert len(found) == len(expected)
        pairs = (
            zip(found.items(), expected.items())
            if isinstance(expected, dict)
            else zip(found, expected)
        )
        for a, b in pairs:
            assert_same(a, b)
    elif isinstance(expected, (np.ndarray, np.generic)):
        assert type(found) is type(expected)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        if expected.dtype.kind in "fc":
            tolerance = 1e-4 if expected.dtype.itemsize <= 4 else 1e-10
            np.testing.assert_allclose(found, expected, tolerance, tolerance)
        else:
            np.testing.assert_array_equal(found, expected)
    elif not callable(expected):
        assert type(found) is type(expected)
        assert found == expected or found == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_program_means_what_it_means_without(program: Callable[..., Any], dtype: Any) -> None:
    def arguments() -> tuple[Any, Any]:
        rng = np.random.default_rng(4)
        return rng.random((8, 8)).astype(dtype), rng.standard_normal((8, 8)).astype(dtype)

    compiled = tj.compile(program)
    expected = outcome(program, *arguments())
    for _ in range(2):
        assert_same(outcome(compiled, *arguments()), expected)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_numpy_calls_mean_what_they_mean_without(expression: str) -> None:
    def arguments() -> tuple[Any, Any]:
        rng = np.random.default_rng(7)
        return rng.standard_normal(10), rng.standard_normal((4, 5))

    program = eval(f"lambda a, b: ({expression}, a, b)", {"np": np})
    compiled = tj.compile(program)
    assert_same(outcome(compiled, *arguments()), outcome(program, *arguments()))


@pytest.mark.parametrize(
    ("program", "kind"),
    [
        (lambda a: a @ np.ones((3, 3)), ValueError),
        (lambda a: a + np.ones(5), ValueError),
        (lambda a: a[10], IndexError),
        (lambda a: np.take(a, np.arange(4) + a.size), IndexError),
        (lambda a: a.reshape(5), ValueError),
        (lambda a: np.sum(a, axis=3), ValueError),
        (lambda a: bool(a), ValueError),
        (lambda a: np.linalg.inv(np.zeros((2, 2)) * a[0]), np.linalg.LinAlgError),
        (lambda a: a.nosuch, AttributeError),
        (lambda a: ~a, TypeError),
        (lambda a: {a: 1}, TypeError),
        (lambda a: np.add(a, 1.5, out=np.zeros(6, int)), TypeError),
    ],
)
def test_a_program_fails_as_it_fails_without_and_leaves_its_writes(
    program: Callable[..., Any], kind: type[Exception]
) -> None:
    def fails(a: Any) -> Any:
        a[0] += 1
        program(a)

    plain, seen = np.arange(6.0), np.arange(6.0)
    with pytest.raises(kind):
        fails(plain)
    with pytest.raises(kind):
        tj.compile(fails)(seen)
    assert seen.tolist() == plain.tolist()
