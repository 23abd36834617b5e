"""erf, erfc and erfinv as users call them; how accurate they are is tested with the other math functions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import tracejit as tj

X = np.array([-6.0, -1.3, -0.2, 0.0, 0.4, 1.0, 5.5, 26.0])
UNIT = np.array([-0.999999, -0.7, -1e-12, 0.0, 0.3, 0.95, 1 - 2.0**-53])


@pytest.fixture(autouse=True)
def numpy_interpreter() -> None:
    """These tests run on the interpreters that `import tracejit` installs."""
    return


@pytest.mark.parametrize(("name", "x"), [("erf", X), ("erfc", X), ("erfinv", UNIT)])
def test_values_are_those_of_scipy(name: str, x: np.ndarray) -> None:
    found = getattr(tj, name)(tj.tensor(x))
    np.testing.assert_allclose(found.numpy(), getattr(special, name)(x), rtol=1e-14)
    assert getattr(tj.tensor(x), name)().tolist() == found.tolist()


@pytest.mark.parametrize("name", ["erfc", "erfinv"])
def test_ends_are_those_of_scipy(name: str) -> None:
    x = np.array([np.inf, -np.inf, np.nan, 1.0, -1.0, 1.5, -2.0, 40.0, -40.0])
    expected = getattr(special, name)(x)
    np.testing.assert_allclose(getattr(tj, name)(tj.tensor(x)).numpy(), expected, rtol=1e-15)


def test_the_inverse_undoes_the_function() -> None:
    x = tj.tensor(np.linspace(-2, 2, 41))
    np.testing.assert_allclose(tj.erfinv(tj.erf(x)).numpy(), x.numpy(), rtol=1e-13, atol=1e-15)


def test_gradients_are_the_bell_curve_and_its_inverse() -> None:
    x, u = tj.tensor(X), tj.tensor(UNIT[:-1])
    bell = 2 / np.sqrt(np.pi) * np.exp(-(X**2))
    of_erf, of_erfc = (tj.grad(lambda x, f=f: f(x).sum())(x).numpy() for f in (tj.erf, tj.erfc))
    np.testing.assert_allclose(of_erf, bell, rtol=1e-13)
    assert of_erfc.tolist() == (-of_erf).tolist()
    expected = np.sqrt(np.pi) / 2 * np.exp(special.erfinv(UNIT[:-1]) ** 2)
    of_inverse = tj.grad(lambda u: tj.erfinv(u).sum())(u)
    np.testing.assert_allclose(of_inverse.numpy(), expected, rtol=1e-13)


def test_compiled_programs_have_the_bits_of_eager_execution_where_some_lanes_are_near_one() -> None:
    def blend(x: tj.Tensor) -> tj.Tensor:
        return tj.erfinv(x) - tj.erfc(x * 9)

    compiled = tj.compile(blend)
    for dtype in (np.float32, np.float64):
        x = np.random.default_rng(0).uniform(-1, 1, 1003).astype(dtype)
        x[::50] = 1 - 2.0 ** -np.arange(1, 22)
        for part in (x, x[:1], x[::-2], x[:0], x[None, :21].T):
            eager = blend(tj.tensor(part)).numpy()
            assert compiled(tj.tensor(part)).numpy().tobytes() == eager.tobytes()


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_halves_are_computed_in_float32(name: str) -> None:
    x = tj.tensor([0.25, -0.75, 0.99], dtype=name)
    for function in (tj.erfc, tj.erfinv):
        expected = tj.astype(function(tj.astype(x, "float32")), name)
        assert function(x).tolist() == expected.tolist()


def test_integers_become_the_default_float() -> None:
    x = tj.tensor([0, 1])
    assert tj.erfc(x).dtype is tj.erfinv(x).dtype is tj.log(x).dtype
    assert tj.erfinv(x).tolist() == [0.0, float("inf")]
