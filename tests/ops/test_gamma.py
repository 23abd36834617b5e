"""lgamma, digamma and polygamma as users call them; how accurate they are is tested with the other math functions."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

import tracejit as tj
from tracejit import AutogradError

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
    for n in (0, 1):
        np.testing.assert_allclose(tj.polygamma(n, x).numpy(), exactly(n), rtol=1e-12)
        assert x.polygamma(n).tolist() == tj.polygamma(n, x).tolist()
    assert x.digamma().tolist() == tj.digamma(x).tolist() == tj.polygamma(0, x).tolist()
    assert x.lgamma().tolist() == tj.lgamma(x).tolist()


@pytest.mark.parametrize("n", [-1, 2, 0.5])
def test_other_polygammas_are_refused_at_the_users_line(n: int) -> None:
    with pytest.raises(ValueError, match=r"test_gamma.py:\d+: polygamma: n is 0 or 1"):
        tj.polygamma(n, tj.tensor(X))


def test_gradients_are_the_next_function() -> None:
    def total(x: tj.Tensor) -> tj.Tensor:
        return tj.lgamma(x).sum()

    x = tj.tensor(X)
    first = tj.grad(total)
    np.testing.assert_allclose(first(x).numpy(), exactly(0), rtol=1e-12)
    second = tj.grad(lambda x: first(x).sum())
    np.testing.assert_allclose(second(x).numpy(), exactly(1), rtol=1e-12)
    with pytest.raises(AutogradError, match=r"polygamma\(2, x\)"):
        tj.grad(lambda x: second(x).sum())(x)


def test_compiled_programs_have_the_bits_of_eager_execution_where_some_lanes_are_negative() -> None:
    def blend(x: tj.Tensor) -> tj.Tensor:
        return tj.lgamma(x) * tj.digamma(x) + tj.polygamma(1, x)

    compiled = tj.compile(blend)
    for dtype in (np.float32, np.float64):
        x = np.random.default_rng(0).uniform(-6, 6, 1003).astype(dtype)
        for part in (x, np.abs(x), x[:1], -np.abs(x[:21])):
            eager = blend(tj.tensor(part)).numpy()
            assert compiled(tj.tensor(part)).numpy().tobytes() == eager.tobytes()


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_halves_are_computed_in_float32(name: str) -> None:
    x = tj.tensor([0.25, 3.0, -1.5], dtype=name)
    for function in (tj.lgamma, tj.digamma):
        expected = tj.astype(function(tj.astype(x, "float32")), name)
        assert function(x).tolist() == expected.tolist()


def test_integers_become_the_default_float() -> None:
    assert tj.lgamma(tj.tensor([1, 2, 3])).dtype is tj.log(tj.tensor([1, 2, 3])).dtype
