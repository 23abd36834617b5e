"""Random programs of ops, views, writes, branches and a backward pass: eager, recorded and NumPy's meaning of each."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest

import tracejit as tj

Pool = list[tj.Tensor]
PLACES = [[0, 1, 1], [2, 0, -1]]


def scale_where_sum_is_large(t: tj.Tensor) -> tj.Tensor:
    return t * 0.5 if float(t.sum()) > 3.0 else t


def write_without_gradient(t: tj.Tensor) -> None:
    with tj.no_grad():
        t.sub_(0.125)


def write_at_places(t: tj.Tensor, random: Random) -> None:
    t[random.choice(PLACES) if len(t) >= 3 else 0] = random.choice([0.5, 2])


def move_rows(t: tj.Tensor) -> None:
    t[1:] = t[:-1]


def multiply_first(t: tj.Tensor, u: tj.Tensor) -> None:
    t[0] *= u.sum()


def fill_by_mask(t: tj.Tensor) -> None:
    t[t > 0.7] = 0.25


MOVES: list[Callable[[tj.Tensor, tj.Tensor, Random], Any]] = [
    lambda t, u, random: t + u,
    lambda t, u, random: t * u,
    lambda t, u, random: tj.tanh(t),
    lambda t, u, random: t.sum(random.randrange(t.ndim)),
    lambda t, u, random: t.T,
    lambda t, u, random: t[random.choice(PLACES) if len(t) >= 3 else 0],
    lambda t, u, random: write_at_places(t, random),
    lambda t, u, random: fill_by_mask(t),
    lambda t, u, random: t.mul_(u) and None,
    lambda t, u, random: t.add_(u.detach() * 0.5) and None,
    lambda t, u, random: write_without_gradient(t),
    lambda t, u, random: tj.where(t > u, t, u),
    lambda t, u, random: tj.concat([t, t]),
    lambda t, u, random: t.max(0),
    lambda t, u, random: t @ t.T,
    lambda t, u, random: tj.softmax(t, axis=-1),
    lambda t, u, random: t.reshape(-1),
    lambda t, u, random: move_rows(t),
    lambda t, u, random: t[::-1],
    lambda t, u, random: multiply_first(t, u),
    lambda t, u, random: scale_where_sum_is_large(t),
    lambda t, u, random: t.broadcast_to((2, *t.shape)),
    lambda t, u, random: tj.cumulative_sum(t, axis=0),
    lambda t, u, random: t.detach() * t,
    lambda t, u, random: (t**2).mean() + tj.log1p(abs(u)).mean(),
]


def program(seed: int, leaves: Pool, data: tj.Tensor) -> tuple[Pool, list[str], Pool]:
    """Values, the errors on the way, and the gradients of the leaves."""
    random = Random(seed)
    pool = [leaves[0] * 1.0, leaves[1] + 0.0, data]
    errors = []
    for _ in range(random.randint(4, 12)):
        t, u, move = random.choice(pool), random.choice(pool), random.choice(MOVES)
        try:
            made = move(t, u, random)
        except (ValueError, IndexError, TypeError, tj.AutogradError) as error:
            errors.append(type(error).__name__)  # moves that do not fit the shapes
        else:
            pool += [] if made is None else [made]
    total: Any = sum((t * 0.1).sum() for t in pool)
    try:
        total.backward()
    except tj.AutogradError as error:
        errors.append(type(error).__name__)
    return pool, errors, [leaf.grad for leaf in leaves if leaf.grad is not None]


def run(seed: int, function: Callable[..., Any]) -> tuple[list[np.ndarray], list[str]]:
    rng = np.random.default_rng(seed)
    shapes = ((3, 3), (3,), (3, 4))
    first, second, data = (tj.tensor(rng.uniform(-1, 1, shape).astype("f4")) for shape in shapes)
    leaves = [first.requires_grad_(), second.requires_grad_()]
    values, errors, gradients = function(seed, leaves, data)
    return [t.detach().numpy().copy() for t in (*values, *gradients)], errors


@pytest.mark.parametrize("seed", range(1000, 1016))
def test_programs_give_the_same_bits_eager_and_recorded_and_mean_what_numpy_says(seed: int) -> None:
    with tj.config.scope(eager="compiled"):
        eager, eager_errors = run(seed, program)
        recorded, recorded_errors = run(seed, tj.compile(program))
    with tj.config.scope(eager="numpy"):
        meant, meant_errors = run(seed, program)
    assert eager_errors == recorded_errors == meant_errors
    assert [a.tobytes() for a in eager] == [a.tobytes() for a in recorded]
    for found, expected in zip(eager, meant, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-4)
