"""lgamma, digamma and polygamma as users call them; how accurate they are is tested with the other math functions."""

from __future__ import annotations

from functools import partial
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import special

import tracejit as tj
from tests.ops.scalars import evaluate
from tracejit import ops

X = np.array([0.1, 1.4616, 2.5, 30.0, -0.4, -2.5, -7.9])


@pytest.fixture(autouse=True)
def numpy_interpreter() -> None:
    """These tests run on the interpreters that `import tracejit` installs."""
    return


def exactly(n: int) -> np.ndarray:
    """polygamma(n, x) by mpmath at each X."""
    with mpmath.workdps(30):
        return np.array([float(mpmath.psi(n, mpmath.mpf(x))) for x in X])


def test_polygamma_counts_from_digamma() -> None:
    x = tj.tensor(X)
    for n in (0, 1, 2, 3, 4, 11):
        np.testing.assert_allclose(tj.polygamma(n, x).numpy(), exactly(n), rtol=1e-12)
        assert x.polygamma(n).tolist() == tj.polygamma(n, x).tolist()
    assert x.digamma().tolist() == tj.digamma(x).tolist() == tj.polygamma(0, x).tolist()
    assert x.lgamma().tolist() == tj.lgamma(x).tolist()


@pytest.mark.parametrize("n", [-1, 0.5, None])
def test_orders_that_are_no_counts_are_refused_at_the_users_line(n: object) -> None:
    message = r"test_gamma.py:\d+: polygamma: n is an integer of at least 0"
    with pytest.raises(ValueError, match=message):
        tj.polygamma(n, tj.tensor(X))


@pytest.mark.parametrize("n", [2, 3, 4, 7, 170])
def test_poles_and_ends_are_those_of_scipy(n: int) -> None:
    x = np.array([0.0, -0.0, -1.0, -7.0, -1e300, np.inf, np.nan])
    np.testing.assert_array_equal(
        bits(tj.polygamma(n, tj.tensor(x))), bits(special.polygamma(n, x))
    )


def bits(x: Any) -> np.ndarray:
    """Of floats, with one NaN for all."""
    x = np.asarray(x)
    return np.where(np.isnan(x), np.nan, x).view(np.uint64)


@pytest.mark.parametrize("n", [150, 170, 200, 1000])
def test_large_orders_overflow_where_the_result_does_and_nowhere_before(n: int) -> None:
    """n! alone is infinite from 171 on."""
    x = np.array([0.5, 40.0, 100.0, 1e3, 1e5])
    with mpmath.workdps(30):
        terms = [mpmath.fsum((mpmath.mpf(v) + k) ** -(n + 1) for k in range(3000)) for v in x]
        rest = [(v + 3000 - mpmath.mpf(1) / 2) ** -n / n for v in map(mpmath.mpf, x)]
        sums = [mpmath.factorial(n) * (term + tail) for term, tail in zip(terms, rest)]
        expected = [-float(total) if n % 2 == 0 else float(total) for total in sums]
    np.testing.assert_allclose(tj.polygamma(n, tj.tensor(x)).numpy(), expected, rtol=1e-7)


def test_terms_that_are_too_large_cancel_in_the_middle_between_poles() -> None:
    """170! / 0.5^171 is infinite; what the terms about -3.5 leave is the function of 4.5."""
    x = tj.tensor(np.array([-3.5, 4.5]))
    at_middle, of_4_5 = tj.polygamma(170, x).tolist()
    assert -1e196 < at_middle == of_4_5 < -1e194


def test_a_compiled_function_takes_the_order_as_an_argument() -> None:
    compiled = tj.compile(tj.polygamma)
    x = tj.tensor(X)
    for n in (2, 0, 3, 1, 2, 5):
        assert compiled(n, x).tolist() == tj.polygamma(n, x).tolist()
    with pytest.raises(ValueError, match="at least 0, not -1"):
        compiled(-1, x)


@pytest.mark.parametrize("shape", [(), (0,), (3, 2)])
def test_every_shape_and_stride_is_taken(shape: tuple[int, ...]) -> None:
    x = np.linspace(0.5, 4, max(1, int(np.prod(shape))))[: int(np.prod(shape))].reshape(shape)
    found = tj.polygamma(2, tj.tensor(x).T if x.ndim else tj.tensor(x)).numpy()
    np.testing.assert_allclose(found, special.polygamma(2, x.T), rtol=1e-13)
    assert found.shape == x.T.shape


@pytest.mark.parametrize("n", [2, 5])
def test_scalar_rules_give_what_eval_gives(n: int) -> None:
    op = ops.REGISTRY["polygamma"]
    for dtype in (np.float32, np.float64):
        x = np.concatenate([X, [0.0, -2.0, np.inf, np.nan]]).astype(dtype)
        expected = op.eval(x, n=n)
        np.testing.assert_allclose(evaluate(op, x, n=n), expected, rtol=100 * np.finfo(dtype).eps)
        assert expected.dtype == dtype


def test_gradients_are_the_next_function() -> None:
    def total(x: tj.Tensor) -> tj.Tensor:
        return tj.lgamma(x).sum()

    x = tj.tensor(X)
    first = tj.grad(total)
    np.testing.assert_allclose(first(x).numpy(), exactly(0), rtol=1e-12)
    second = tj.grad(lambda x: first(x).sum())
    np.testing.assert_allclose(second(x).numpy(), exactly(1), rtol=1e-12)
    third = tj.grad(lambda x: second(x).sum())
    np.testing.assert_allclose(third(x).numpy(), exactly(2), rtol=1e-12)
    np.testing.assert_allclose(tj.grad(lambda x: third(x).sum())(x).numpy(), exactly(3), rtol=1e-12)


def test_compiled_programs_have_the_bits_of_eager_execution_where_some_lanes_are_negative() -> None:
    def blend(x: tj.Tensor) -> tj.Tensor:
        return tj.lgamma(x) * tj.digamma(x) + tj.polygamma(1, x) * tj.polygamma(2, x)

    compiled = tj.compile(blend)
    for dtype in (np.float32, np.float64):
        x = np.random.default_rng(0).uniform(-6, 6, 1003).astype(dtype)
        for part in (x, np.abs(x), x[:1], -np.abs(x[:21])):
            eager = blend(tj.tensor(part)).numpy()
            assert compiled(tj.tensor(part)).numpy().tobytes() == eager.tobytes()


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_halves_are_computed_in_float32(name: str) -> None:
    x = tj.tensor([0.25, 3.0, -1.5], dtype=name)
    for function in (tj.lgamma, tj.digamma, partial(tj.polygamma, 3)):
        expected = tj.astype(function(tj.astype(x, "float32")), name)
        assert function(x).tolist() == expected.tolist()


def test_integers_become_the_default_float() -> None:
    x = tj.tensor([1, 2, 3])
    assert tj.lgamma(x).dtype is tj.polygamma(2, x).dtype is tj.log(x).dtype
