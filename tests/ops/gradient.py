"""Gradients by the ops' rules, and the finite differences that they are held against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.ops.interpreter import Value, lift
from tracejit import dispatch, ops
from tracejit.ops.op import Op, Params

Function = Callable[..., Any]


class Tape:
    """Notes every op on its way down."""

    def __init__(self) -> None:
        self.notes: list[tuple[Op, tuple[Any, ...], Params, Any]] = []

    def bind(self, op: Op, args: tuple[Any, ...], params: Params) -> Any:
        out = dispatch.below(self).bind(op, args, params)
        self.notes.append((op, args, params, out))
        return out


def pullback(function: Function, args: tuple[Value, ...], ct: Value) -> list[Any]:
    """The cotangent of each argument, None where the function does not depend on it."""
    with dispatch.pushed(Tape()) as tape:
        out = function(*args)
    cts: dict[int, Any] = {id(out): ct}
    for op, inputs, params, result in reversed(tape.notes):
        if id(result) not in cts or op.vjp is None:
            continue
        for source, part in zip(
            inputs, op.vjp(cts[id(result)], result, *inputs, **params), strict=True
        ):
            if part is None:
                continue
            assert part.aval is source.aval, f"{op}: {part.aval} is no cotangent of {source.aval}"
            known = cts.get(id(source))
            cts[id(source)] = part if known is None else ops.add(known, part)
    return [cts.get(id(arg)) for arg in args]


def check_gradient(
    function: Function, *arrays: np.ndarray, order: int = 1, rtol: float = 2e-5
) -> None:
    """The rules agree with central differences, along a random direction, up to derivatives of `order`."""
    rng = np.random.default_rng(len(arrays) + order)
    args = tuple(lift(array) for array in arrays)
    weights = rng.normal(size=function(*args).aval.shape)

    def weighed(*parts: np.ndarray) -> float:
        return float(np.sum(weights * function(*map(lift, parts)).array))

    directions = [rng.normal(size=array.shape) for array in arrays]
    step = 1e-6
    ahead = weighed(*(a + step * d for a, d in zip(arrays, directions)))
    behind = weighed(*(a - step * d for a, d in zip(arrays, directions)))
    cts = pullback(function, args, lift(weights))
    found = sum(float(np.sum(ct.array * d)) for ct, d in zip(cts, directions) if ct is not None)
    slope = (ahead - behind) / (2 * step)
    scale = sum(
        float(np.sum(np.abs(ct.array * d))) for ct, d in zip(cts, directions) if ct is not None
    )
    assert abs(found - slope) <= rtol * max(1.0, scale), f"rules give {found}, differences {slope}"
    if order > 1:
        check_gradient(
            _gradient_of(function, weights, directions), *arrays, order=order - 1, rtol=10 * rtol
        )


def _gradient_of(function: Function, weights: np.ndarray, directions: list[np.ndarray]) -> Function:
    """The derivative of `function`, weighed, along the directions: a function to differentiate again."""

    def derivative(*args: Value) -> Any:
        total = lift(np.zeros(()))
        for ct, direction in zip(pullback(function, args, lift(weights)), directions, strict=True):
            total = total if ct is None else ops.add(total, ops.sum(ops.multiply(ct, direction)))
        return total

    return derivative
