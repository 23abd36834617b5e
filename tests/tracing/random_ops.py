"""Random programs over all dtypes: views, folds, casts, gathers, joins, writes. Shapes and `rnd` make every choice."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

import tracejit as tj

DTYPES = (
    tj.bool, tj.int8, tj.uint8, tj.int32, tj.uint32, tj.int64, tj.float16, tj.bfloat16, tj.float32, tj.float32, tj.float64,
)  # fmt: skip
FLOAT_UNARY = "exp tanh sqrt floor sin log1p sign round isnan sigmoid relu trunc reciprocal".split()
UNARY = "abs negative square positive".split()
BINARY = "add subtract multiply maximum minimum less equal divide floor_divide remainder".split()
FOLDS = "sum max min prod any all argmax argmin mean var count_nonzero".split()
MOST_ELEMENTS = 20_000
REFUSED = (ValueError, TypeError, IndexError, OverflowError)


def operands(rnd: Random) -> list[Any]:
    """Arrays of shapes that broadcast, in several layouts, with zero extents and special values among them."""
    ndim = rnd.choice((1, 2, 2, 3, 4))
    shape = tuple(
        rnd.choice((1, 2, 3, 5, 8, 17, 40) if ndim < 4 else (1, 2, 5)) for _ in range(ndim)
    )
    if rnd.random() < 0.1:
        shape = (*shape[:-1], 0)
    rng = np.random.default_rng(rnd.randrange(1 << 30))
    return [_operand(rnd, rng, shape) for _ in range(rnd.choice((1, 2, 3)))]


def _operand(rnd: Random, rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    dims = tuple(1 if rnd.random() < 0.15 else extent for extent in shape)
    values = np.where(
        rng.random(dims) < 0.05, rng.choice([np.nan, np.inf, -0.0], dims), rng.normal(0, 3, dims)
    )
    dtype = rnd.choice(DTYPES)
    if dtype.kind != "f":
        values = np.clip(np.nan_to_num(values), 0 if dtype.kind == "u" else -9, 9).astype(np.int64)
    tensor = tj.tensor(values).astype(dtype)
    layouts = (
        lambda t: t,
        lambda t: t[..., ::-1],
        lambda t: tj.repeat(t, 2, axis=-1)[..., ::2],
        lambda t: tj.permute_dims(tj.permute_dims(t, range(t.ndim)[::-1]).copy(), range(t.ndim)[::-1]),
    )  # fmt: skip
    return rnd.choice(layouts)(tensor)


def program(rnd: Random, *arguments: Any) -> list[Any]:
    """Runs statements; those that the operands do not fit raise, and nothing has happened. Gives some of the values made."""
    values = list(arguments)
    for _ in range(rnd.randint(3, 18)):
        statement, x, y = rnd.choice(STATEMENTS), rnd.choice(values[-6:]), rnd.choice(values)
        seed = rnd.randrange(1 << 30)
        try:
            made = statement(Random(seed), x, y)
        except REFUSED:
            continue
        if made.size <= MOST_ELEMENTS and made.ndim <= 5:
            values.append(made)
    return [value for value in values if rnd.random() < 0.4] + values[-1:]


def _unary(rnd: Random, x: Any, y: Any) -> Any:
    return getattr(tj, rnd.choice(FLOAT_UNARY if x.dtype.kind == "f" else UNARY))(x)


def _binary(rnd: Random, x: Any, y: Any) -> Any:
    _check_size(x, y)
    return getattr(tj, rnd.choice(BINARY))(x, y)


def _choice(rnd: Random, x: Any, y: Any) -> Any:
    _check_size(x, y)
    return tj.where(y > 0 if y.dtype.kind != "b" else y, x, rnd.choice((0, -1.5, y)))


def _check_size(x: Any, y: Any) -> None:
    if np.prod(np.broadcast_shapes(x.shape, y.shape)) > MOST_ELEMENTS:
        raise ValueError("too many elements")


def _with_number(rnd: Random, x: Any, y: Any) -> Any:
    number = rnd.choice((2, 0.5, -1, True))
    return rnd.choice((x + number, x * number, x > number))


def _fold(rnd: Random, x: Any, y: Any) -> Any:
    axis = rnd.choice((None, -1, 0, rnd.randrange(max(x.ndim, 1))))
    return getattr(tj, rnd.choice(FOLDS))(x, axis=axis, keepdims=rnd.random() < 0.5)


def _cast(rnd: Random, x: Any, y: Any) -> Any:
    return x.astype(rnd.choice(DTYPES if x.dtype.kind != "f" else DTYPES[6:]))


def _part(rnd: Random, x: Any, y: Any) -> Any:
    return x[tuple(_range(rnd, extent) for extent in x.shape)]


def _range(rnd: Random, extent: int) -> slice | int:
    first = rnd.randrange(extent + 1)
    last = rnd.randrange(first, extent + 1)
    ranges = [
        slice(None),
        slice(first, last),
        slice(None, None, -1),
        slice(first, last, 2),
        slice(None),
    ]
    return rnd.choice([*ranges, 0] if extent else ranges)


def _turned(rnd: Random, x: Any, y: Any) -> Any:
    shapes = [(-1,), (1, *x.shape), (*x.shape, 1)]
    axes = rnd.sample(range(x.ndim), x.ndim)
    return tj.permute_dims(x, axes) if rnd.random() < 0.5 else x.reshape(rnd.choice(shapes))


def _taken(rnd: Random, x: Any, y: Any) -> Any:
    axis = rnd.randrange(x.ndim)
    places = (tj.arange(3), tj.argmax(x, axis=axis).reshape(-1)[:5], tj.tensor([-1, 0]))
    return tj.take(x, rnd.choice(places) % x.shape[axis], axis=axis)


def _joined(rnd: Random, x: Any, y: Any) -> Any:
    axis = rnd.randrange(x.ndim)
    joined = (
        lambda: tj.concat([x, y], axis=axis),
        lambda: tj.concat([x, x[::-1]], axis=axis),
        lambda: tj.pad(x, [(rnd.randrange(2), 1)] * x.ndim),
        lambda: tj.roll(x, 1, axis=axis),
        lambda: tj.cumulative_sum(x, axis=axis),
    )  # fmt: skip
    return rnd.choice(joined)()


def _product(rnd: Random, x: Any, y: Any) -> Any:
    return x @ y if x.shape[-1:] == y.shape[-2:-1] else tj.permute_dims(x, range(x.ndim)[::-1]) @ x


def _copy_written(rnd: Random, x: Any, y: Any) -> Any:
    target = x.copy()
    target[rnd.randrange(2) :] *= 2
    return target


def _written(rnd: Random, x: Any, y: Any) -> Any:
    target = rnd.choice((x, x[:1], x[..., ::-1], x[..., 1:]))
    if target.dtype.kind != "f" and y.dtype.kind == "f":
        raise TypeError("a cast of floats to integers, which may not hold them")
    target[...] = rnd.choice((y, target[::-1], target + target))
    return target


STATEMENTS: tuple[Callable[[Random, Any, Any], Any], ...] = (
    _unary, _unary, _binary, _binary, _binary, _choice, _with_number, _fold, _fold, _cast, _part, _part, _turned, _taken,
    _joined, _product, _copy_written, _written,
)  # fmt: skip
