"""Random eager programs: lists of statements on a growing list of tensors, their views and NumPy arrays over their memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tracejit as tj

Statement = tuple[str, int, int, int]
"""(kind, and three numbers from which it picks operands and variants)"""
SHAPE = (3, 4)

BINARY: list[Callable[..., Any]] = [
    lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x / y, tj.maximum,
    lambda x, y: tj.where(x > y, x, y * 0.5),
]  # fmt: skip
UNARY: list[Callable[..., Any]] = [
    lambda x: -x, lambda x: x.abs(), lambda x: x * 3, lambda x: 1 - x, tj.exp, tj.tanh, lambda x: x.astype(tj.float64),
    lambda x: tj.softmax(x, axis=-1) if x.ndim else x + 1,
]  # fmt: skip
VIEWS: list[Callable[..., Any]] = [
    lambda x: x.T, lambda x: x[0], lambda x: x[1:], lambda x: x[..., ::-1], lambda x: x[..., ::2], lambda x: x.reshape(-1),
    lambda x: x[None], lambda x: x[-1, ..., 1:],
]  # fmt: skip
FOLDS: list[Callable[..., Any]] = [
    lambda x: x.sum(), lambda x: x.sum(axis=0), lambda x: x.max(axis=-1, keepdims=True), lambda x: x.mean(axis=-1),
]  # fmt: skip
WRITES: list[Callable[..., Any]] = [
    lambda x, y: x.add_(y), lambda x, y: x.mul_(0.5), lambda x, y: x.copy_(y), lambda x, y: x.fill_(2),
    lambda x, y: x.__setitem__(0, y), lambda x, y: x.__setitem__((..., slice(1, None)), 7.0), lambda x, y: x.sub_(x),
]  # fmt: skip
LOOKS: list[Callable[..., Any]] = [
    lambda x: float(x.sum()), lambda x: x.tolist(), lambda x: bool((x > 0).any()), repr,
]  # fmt: skip

programs = st.lists(
    st.tuples(
        st.sampled_from(
            ["binary"] * 4
            + ["unary", "view", "view", "fold", "write", "write", "look", "drop", "expose"]
        ),
        st.integers(0, 99),
        st.integers(0, 99),
        st.integers(0, 99),
    ),
    min_size=1,
    max_size=25,
)


def world(*, requires_grad: bool = False) -> list[tj.Tensor]:
    """What a program begins with: two tensors, a view of one, and one over the memory of a NumPy array."""
    rng = np.random.default_rng(0)
    x, y = (tj.tensor(rng.normal(size=SHAPE).astype("f4")) for _ in range(2))
    if requires_grad:
        x.requires_grad_()
        y.requires_grad_()
    return [x, y, x[1:], tj.from_numpy(rng.normal(size=SHAPE).astype("f4"))]


def gradients(program: list[Statement], *, inside: bool, wrap: Callable[..., Any]) -> list[Any]:
    """The gradients of the sum of everything, the backward pass inside or outside of the function; None where there is none."""
    leaves: list[Any] = []

    def forward() -> Any:
        values = world(requires_grad=True)
        leaves[:] = values[:2]
        values, seen = run(program, values)
        sums = [value.astype(tj.float32).sum() for value in values if value.requires_grad]
        loss = sum(sums[1:], start=sums[0]) if sums else None
        return seen, backward(loss) if inside else loss

    def backward(loss: Any) -> str | None:
        try:
            if loss is not None:
                loss.backward()
        except tj.AutogradError as error:  # a value that was needed has been overwritten
            return type(error).__name__
        return None

    seen, loss = wrap(forward)()
    outcome = loss if inside else backward(loss)
    return [seen, outcome, *(leaf.grad for leaf in leaves)]


def run(program: list[Statement], values: list[Any]) -> tuple[list[Any], list[Any]]:
    """All tensors afterwards, and all that was seen on the way. Statements that do not fit raise, and nothing has happened."""
    seen: list[Any] = []
    arrays: list[np.ndarray] = []
    for statement in program:
        try:
            seen += _do(statement, values, arrays)
        except (ValueError, TypeError, IndexError, tj.AutogradError) as error:
            seen.append(type(error).__name__)
    return values, seen


def _do(statement: Statement, values: list[Any], arrays: list[np.ndarray]) -> list[Any]:
    kind, i, j, k = statement
    x, y = values[i % len(values)], values[j % len(values)]
    match kind:
        case "binary":
            values.append(BINARY[k % len(BINARY)](x, y))
        case "unary":
            values.append(UNARY[k % len(UNARY)](x))
        case "view":
            values.append(VIEWS[k % len(VIEWS)](x))
        case "fold":
            values.append(FOLDS[k % len(FOLDS)](x))
        case "write":
            WRITES[k % len(WRITES)](x, y)
        case "look":
            return [str(LOOKS[k % len(LOOKS)](x))]
        case "drop":
            del values[i % len(values)]
            values.append(tj.ones(SHAPE))
        case "expose":
            if arrays and k % 2:
                arrays[i % len(arrays)][...] = k
                return [str(arrays[j % len(arrays)])]
            arrays.append(x.numpy())
    return []
