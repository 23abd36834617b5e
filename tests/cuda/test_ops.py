"""Every op on a GPU has the CPU's bits: in fused kernels, and those that stand alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracejit as tj
from tracejit import nn
from tracejit._errors import DTypeError
from tracejit.nn import functional as F
from tracejit.ops.op import Op, Pointwise, Reduction
from tracejit.ops.registry import REGISTRY
from tracejit.tracing.verify import alike

DTYPES = {
    1: "float32 float64 float16 bfloat16 int32 int8 uint64 bool".split(),
    2: "float32 float64 bfloat16 int32 uint64".split(),
    3: "float32 int32".split(),
}
"""By how many arrays an op takes."""
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.7, -2.6, 100.0, np.inf, -np.inf, np.nan, 1e-3, 7.0]


def samples(dtype: str, count: int) -> list[tj.Tensor]:
    """Special values in all combinations for two, in different order for more."""
    values = np.array(SPECIAL if "float" in dtype else [0, 1, 2, 3, 5, 7, 64, 100])
    grid = np.meshgrid(*[values] * min(count, 2), indexing="ij")
    found = [tj.tensor(part.ravel()).astype(dtype) for part in grid]
    return [*found, *(x.flip(0) for x in found)][:count]


def pointwise(arity: int) -> list[Op]:
    """Those of so many arrays that need no more."""
    return [
        op
        for op in REGISTRY.values()
        if isinstance(op.recipe, Pointwise)
        and op.recipe.scalar.__code__.co_argcount == arity + 1
        and not op.recipe.scalar.__code__.co_kwonlyargcount
        and op.name not in ("advance", "fill")
    ]


def taken(ops: list[Op], args: list[tj.Tensor]) -> list[Op]:
    """Those that take such arguments."""
    found = []
    for op in ops:
        try:
            values, params = op.coerce(*args)
            op.infer(*(value.aval for value in values), **params)
        except (DTypeError, ValueError):
            continue
        found.append(op)
    return found


def same(there: Any, here: Any) -> bool:
    a, b = there.cpu().numpy(), here.numpy()
    return a.shape == b.shape and a.dtype == b.dtype and alike(a, b)


@pytest.mark.parametrize(
    ("arity", "dtype"), [(arity, dtype) for arity, dtypes in DTYPES.items() for dtype in dtypes]
)
def test_pointwise_ops(device: str, arity: int, dtype: str) -> None:
    args = samples(dtype, arity)
    ops = taken(pointwise(arity), args)
    assert ops

    @tj.compile
    def all_of_them(*args: tj.Tensor) -> list[tj.Tensor]:
        return [op(*args) for op in ops]

    there = all_of_them(*(x.to(device) for x in args))
    differing = [op.name for op, a, b in zip(ops, there, all_of_them(*args)) if not same(a, b)]
    assert not differing


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_folds(device: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    x = tj.tensor(rng.standard_normal((5, 300, 7)) * 4).astype(dtype)
    folds = [op for op in REGISTRY.values() if isinstance(op.recipe, Reduction)]

    @tj.compile
    def all_of_them(x: tj.Tensor) -> list[tj.Tensor]:
        made = []
        for op in folds:
            for axes in ((0,), (1,), (2,), (0, 1), (1, 2)):
                try:
                    made.append(op(x, axes=axes))
                except DTypeError:
                    continue
        return made

    there, here = all_of_them(x.to(device)), all_of_them(x)
    assert len(there) == len(here) > 5
    assert all(map(same, there, here))


X = np.random.default_rng(1).standard_normal((6, 8), dtype=np.float32)
PLACES = np.array([3, 0, 5, 5, -1])

OTHERS: list[Callable[..., Any]] = [
    lambda x, i: tj.take(x, i, axis=0),
    lambda x, i: tj.take_along_axis(x, tj.argsort(x), axis=-1),
    lambda x, i: tj.scatter_add(x, i, x[:5], axis=0),
    lambda x, i: tj.one_hot(i % 4, 5),
    lambda x, i: tj.cumulative_sum(x, axis=0),
    lambda x, i: tj.cumulative_sum(tj.tile(x, (1, 300)).T, axis=0),
    lambda x, i: tj.cumulative_sum(tj.tile(x, (9, 9)), axis=1),
    lambda x, i: tj.cumulative_prod(x.T, axis=1),
    lambda x, i: tj.concat([x, x.T[:6, :6], x * 2], axis=1),
    lambda x, i: tj.pad(x, ((1, 2), (0, 3))),
    lambda x, i: tj.roll(x, 2),
    lambda x, i: tj.flip(x, axis=1),
    lambda x, i: tj.repeat(x, 2, axis=0),
    lambda x, i: tj.tril(x) + tj.triu(x, k=1),
    lambda x, i: tj.diff(x),
    lambda x, i: tj.sort(x),
    lambda x, i: tj.searchsorted(tj.sort(x[0]), x[1]),
    lambda x, i: tj.einsum("ij,kj->ik", x, x),
    lambda x, i: tj.nn.functional.layer_norm(x, (8,)),
    lambda x, i: tj.logsumexp(x, axis=0),
    lambda x, i: tj.std(x, axis=1),
    lambda x, i: tj.nn.functional.conv1d(x[None], tj.ones_like(x[:, :3])[None]),
    lambda x, i: tj.nn.functional.max_pool1d(x[None], 2),
    lambda x, i: tj.nn.functional.avg_pool1d(x[None], 2, padding=1, count_include_pad=False),
]


@pytest.mark.parametrize("op", OTHERS)
def test_other_ops_eager_and_compiled(device: str, op: Callable[..., Any]) -> None:
    here = tj.tensor(X), tj.tensor(PLACES)
    there = tuple(x.to(device) for x in here)
    expected = op(*here)
    assert same(op(*there), expected)
    assert same(tj.compile(op)(*there), expected)


@pytest.mark.parametrize("op", OTHERS)
def test_gradients_of_other_ops(device: str, op: Callable[..., Any]) -> None:
    def gradient(x: tj.Tensor, places: tj.Tensor) -> tj.Tensor | None:
        x.requires_grad_()
        made = op(x, places)
        if not made.requires_grad:
            return None
        (made * made).sum().backward()
        return x.grad

    here = gradient(tj.tensor(X), tj.tensor(PLACES))
    there = gradient(tj.tensor(X, device=device), tj.tensor(PLACES, device=device))
    assert (here is None) == (there is None)
    assert here is None or same(there, here)


WITH_NUMBERS: list[Callable[..., Any]] = [
    lambda x: x**3,
    lambda x: x**-2.5,
    lambda x: 2.0**x,
    lambda x: tj.lerp(x, x * 2, 0.3),
    lambda x: tj.lerp(1.0, x, 0.3),
    lambda x: tj.addcdiv(x, x, x + 3, value=0.5),
    lambda x: tj.clip(x, 0.5, 2.0),
    lambda x: tj.maximum(x, 1.0) - tj.minimum(2.0, x),
    lambda x: tj.where(x > 1, x, 0.5),
    lambda x: tj.atan2(x, 2.0) + tj.atan2(1.0, x),
    lambda x: tj.hypot(x, 3.0) + tj.logaddexp(x, 1.0),
    lambda x: 1 / x + x / 3 - (2 - x) * 4,
    lambda x: tj.remainder(x, 0.7) + tj.copysign(x, -1.0),
    lambda x: tj.softplus(x) + tj.nn.functional.gelu(x) + tj.nn.functional.silu(x),
]


@pytest.mark.parametrize("op", WITH_NUMBERS)
def test_gradients_beside_numbers(device: str, op: Callable[..., Any]) -> None:
    gradient = tj.grad(lambda x: op(x).sum())
    compiled = tj.compile(gradient)
    x = np.float32([0.3, 1.2, 2.7])
    expected = gradient(tj.tensor(x))
    for f in (gradient, compiled, compiled):
        assert same(f(tj.tensor(x, device=device)), expected)


IMAGES = np.random.default_rng(2).standard_normal((2, 2, 6, 6), dtype=np.float32)

LAYERS: list[Callable[..., Any]] = [
    lambda x: tj.prod(x[0], axis=1).sum() + tj.max(x, axis=2).sum() + tj.min(x),
    lambda x: tj.std(x, axis=(1, 2)) + tj.var(x, axis=(1, 2)),
    lambda x: tj.logsumexp(x, axis=3) + tj.cumulative_sum(x, axis=1)[..., 0],
    lambda x: F.log_softmax(x, 1) * F.softmax(x, 2),
    lambda x: F.cross_entropy(x.reshape(12, 12), tj.arange(12, device=x.device)),
    lambda x: F.mse_loss(x, x * 2 + 1),
    lambda x: F.max_pool2d(x, 2) + F.avg_pool2d(x, 2),
    lambda x: F.conv2d(x, x[:, :, :3, :3], stride=2, padding=1),
    lambda x: F.conv2d(x, x[:, :, :2, :2], dilation=2),
    lambda x: F.layer_norm(x, (6,)) + F.gelu(x) + F.silu(x),
    lambda x: (
        tj.concat([x[..., :2], x[..., 3:] * 2], axis=-1)
        + tj.pad(x[..., 2:5], ((0, 0),) * 3 + ((1, 1),))
    ),
    lambda x: tj.stack(tj.split(x, 3, axis=2)).mT,
    lambda x: tj.take(x, [0, 0, 1], axis=0)[:, [1, 0]],
    lambda x: x[:, :, ::2][..., 1:4:2] ** 2,
    lambda x: (x @ x.mT)[..., 0] + tj.einsum("abij,abjk->abik", x, x)[..., 1],
]


@pytest.mark.parametrize("function", LAYERS)
def test_gradients_of_layers(device: str, function: Callable[..., Any]) -> None:
    def gradient(x: tj.Tensor) -> tj.Tensor | None:
        x = x.copy().requires_grad_()
        made = function(x)
        (made * made).sum().backward()
        return x.grad

    expected = gradient(tj.tensor(IMAGES))
    compiled = tj.compile(gradient)
    for f in (gradient, compiled, compiled):
        assert same(f(tj.tensor(IMAGES, device=device)), expected)


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers(device: str, layer: Callable[..., nn.Module]) -> None:
    def trained(where: str) -> list[object]:
        tj.random.seed(0)
        model = layer(6, 5).to(where)
        out, _ = model(tj.tensor(IMAGES[0], device=where))
        (out * out).sum().backward()
        return [p.grad.tolist() for p in model.parameters() if p.grad is not None]

    assert trained(device) == trained("cpu")
