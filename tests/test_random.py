"""Random numbers: the same for the same seed, advancing by a state that is a tensor, of the right distribution."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import numpy as np
import pytest

import tracejit as tj


@pytest.fixture(params=["numpy", "compiled"], autouse=True)
def eager(request: pytest.FixtureRequest) -> Iterator[None]:
    with tj.config.scope(eager=request.param):
        yield


def test_equal_seeds_draw_equal_numbers_and_go_on() -> None:
    first, second = tj.random.Generator(5), tj.random.Generator(5)
    for _ in range(3):
        assert first.normal((4,)).tolist() == second.normal((4,)).tolist()
    assert first.random(3).tolist() != second.random((3,)).tolist()[::-1]
    assert first.random((3,)).tolist() != tj.random.Generator(6).random((3,)).tolist()
    first.seed(5)
    assert first.normal((4,)).tolist() == tj.random.Generator(5).normal((4,)).tolist()


def test_the_state_is_a_tensor_that_a_draw_advances() -> None:
    g = tj.random.Generator(5)
    before = g.state.copy()
    g.random((10,))
    assert (g.state - before).tolist() == [0, 10]
    again = pickle.loads(pickle.dumps(g))
    assert again.integers(100, shape=3).tolist() == g.integers(100, shape=3).tolist()


def test_draws_have_their_shapes_dtypes_and_ranges() -> None:
    g = tj.random.Generator(0)
    assert g.random().shape == ()
    assert g.random((2, 3), dtype=tj.float64).dtype is tj.float64
    with tj.config.scope(default_dtype=tj.float64):
        assert g.normal((2,)).dtype is tj.float64
    u = g.uniform((1000,), -2.0, 3.0).numpy()
    assert -2 <= u.min() < u.max() < 3
    n = g.integers(-3, 4, (1000,))
    assert n.dtype is tj.int64
    assert sorted(set(n.tolist())) == list(range(-3, 4))
    assert g.bernoulli(0.3, (5,)).dtype is tj.bool


def test_moments_are_those_of_the_distributions() -> None:
    g = tj.random.Generator(1)
    normal = g.normal((20_000,), 1.0, 2.0, dtype=tj.float64).numpy()
    assert normal.mean() == pytest.approx(1, abs=0.05)
    assert normal.std() == pytest.approx(2, abs=0.05)
    assert g.bernoulli(0.3, (20_000,)).mean().item() == pytest.approx(0.3, abs=0.02)


def test_a_permutation_holds_every_element_once() -> None:
    g = tj.random.Generator(2)
    assert sorted(g.permutation(50).tolist()) == list(range(50))
    rows = g.permutation(tj.arange(12).reshape(4, 3))
    assert sorted(rows.tolist()) == np.arange(12).reshape(4, 3).tolist()


def test_draws_that_cannot_be_are_refused() -> None:
    generator = tj.random.Generator(0)
    before = generator.state.tolist()
    with pytest.raises(ValueError, match="probability is between 0 and 1, got 2"):
        generator.bernoulli(2, 3)
    for draw in (generator.random, generator.permutation, lambda n: generator.integers(5, shape=n)):
        with pytest.raises(ValueError, match="negative dimensions"):
            draw(-3)
    assert generator.state.tolist() == before


def test_the_default_generator_can_be_seeded() -> None:
    tj.random.seed(3)
    drawn = tj.random.random((4,)).tolist()
    tj.random.seed(3)
    assert tj.random.random((4,)).tolist() == drawn
    with pytest.raises(TypeError, match="a seed is an integer"):
        tj.random.seed("x")
