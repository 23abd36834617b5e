"""Random NumPy programs on whole numbers, where NumPy's order of additions does not matter: compiled, they give NumPy's bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import tracejit as tj

SHAPE = (3, 4)

MAKE: list[Callable[..., Any]] = [
    lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * 2, lambda x, y: np.maximum(x, y), lambda x, y: -x,
    lambda x, y: np.where(x > y, x, y) if x.ndim else x, lambda x, y: np.add(x, 1), lambda x, y: x.max(),
    lambda x, y: x.sum(axis=0),
    lambda x, y: np.sum(x, axis=-1, keepdims=True), lambda x, y: x.astype(np.float32), lambda x, y: x.copy(),
    lambda x, y: x > y, lambda x, y: np.zeros_like(x) + y, lambda x, y: np.concatenate([x, x]), lambda x, y: np.abs(x),
    lambda x, y: x % 3, lambda x, y: np.clip(x, -2, 2), lambda x, y: np.arange(4.0) + x, lambda x, y: x[x > 0],
]  # fmt: skip
VIEW: list[Callable[..., Any]] = [
    lambda x: x.T, lambda x: x[0], lambda x: x[1:], lambda x: x[..., ::-1], lambda x: x.reshape(-1), lambda x: x[None],
    lambda x: x[..., 0], lambda x: x.ravel(), lambda x: np.transpose(x),
]  # fmt: skip


def _iadd(x: Any, y: Any) -> Any:
    x += y
    return x


def _imul(x: Any, y: Any) -> Any:
    x *= 2
    return x


WRITE: list[Callable[..., Any]] = [
    _iadd, _imul, lambda x, y: x.__setitem__(0, y), lambda x, y: x.__setitem__((..., slice(1, None)), 7),
    lambda x, y: np.copyto(x, y), lambda x, y: np.add(x, 1, out=x), lambda x, y: x.fill(3), lambda x, y: x.sort(),
]  # fmt: skip
LOOK: list[Callable[..., Any]] = [
    lambda x: x.tolist(), lambda x: (x.shape, x.ndim, x.dtype, x.size), lambda x: bool((x > 0).any()), str, type,
    lambda x: isinstance(x, np.ndarray),
]  # fmt: skip

statements = st.lists(
    st.tuples(
        st.sampled_from(["make"] * 4 + ["view", "view", "write", "write", "look", "alias"]),
        st.integers(0, 99),
        st.integers(0, 99),
        st.integers(0, 99),
    ),
    min_size=1,
    max_size=20,
)


def run(
    program: list[tuple[str, int, int, int]], values: list[Any], outside: np.ndarray
) -> list[Any]:
    """What was seen; `values` grows. `outside` is an alias of the first value that is never replaced by a stand-in."""
    seen: list[Any] = []
    for kind, i, j, k in program:
        x, y = values[i % len(values)], values[j % len(values)]
        try:
            match kind:
                case "make":
                    values.append(MAKE[k % len(MAKE)](x, y))
                case "view" if x.ndim:
                    values.append(VIEW[k % len(VIEW)](x))
                case "write" if x.ndim:  # a number of NumPy's is no target
                    done = WRITE[k % len(WRITE)](x, y)
                    if done is not None:
                        values[i % len(values)] = done
                case "look":
                    seen.append(_plain(LOOK[k % len(LOOK)](x)))
                case "alias":
                    outside[i % 3] += 1
                    seen.append(outside.tolist())
        except (ValueError, TypeError, IndexError, AttributeError):
            seen.append("refused")
    return seen


def _plain(value: Any) -> Any:
    """Stand-ins are told from arrays by `type` alone, and from numbers of NumPy not at all."""
    return "array or number" if isinstance(value, type) else value


@settings(max_examples=40)
@given(program=statements)
def test_compiled_numpy_programs_give_numpys_bits(program: list[tuple[str, int, int, int]]):
    def world() -> tuple[list[Any], np.ndarray]:
        x = np.arange(12.0).reshape(SHAPE) - 5
        return [x, np.ones(SHAPE) * 3, x[1:], np.arange(4)], x

    values, outside = world()
    expected_values, expected_outside = world()
    seen = tj.compile(lambda values: run(program, values, outside))(values)
    expected = run(program, expected_values, expected_outside)
    assert seen == expected
    assert len(values) == len(expected_values)
    for found, wanted in zip(values, expected_values):
        assert type(found) is type(wanted)
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_array_equal(found, wanted)
