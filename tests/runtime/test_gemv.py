"""Products of a matrix and a vector: the promised sums, whatever the strides, the blocks and the instruction set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracejit._config import config
from tracejit.artifact import Argument, BufferSpec, LaunchSpec, Place, Plan, Segment
from tracejit.runtime.cpu.target import LEVELS, target_level
from tracejit.runtime.gemv import (
    ACCUMULATORS,
    DEPTH,
    DIMS,
    KERNELS,
    SCRATCH_BYTES,
    gemv_segment,
    is_vector,
)
from tracejit.runtime.program import Program

SHAPES = [
    (1, 1, 1), (5, 1, 7), (1, 5, 7), (16, 1, 16), (1, 33, 15), (67, 1, 40), (1, 130, 17), (9, 1, 4097), (1, 70, 5000),
    (3, 1, 0), (1, 4, 0), (0, 1, 3), (200, 1, 31),
]  # fmt: skip


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a * b + c rounded once: for float32 by way of long doubles, whose 64 bits hold the product."""
    wide = np.longdouble
    return (a.astype(wide) * b.astype(wide) + c.astype(wide)).astype(a.dtype)


def promised(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The sums of `a @ b`, of (batch, m, k) and (batch, k, n); of float64 the operands are small integers, and exact."""
    terms = a.swapaxes(1, 2)[..., None], b[:, :, None, :]
    batch, m, k = len(a), a.shape[1], a.shape[2]
    total = np.zeros((batch, m, b.shape[2]), a.dtype)
    for first in range(0, k, DEPTH):
        sums = np.zeros((ACCUMULATORS, *total.shape), a.dtype)
        for at in range(first, min(first + DEPTH, k)):
            lane = at % ACCUMULATORS
            sums[lane] = fma(*(np.broadcast_to(x[:, at], total.shape) for x in terms), sums[lane])
        parts = [*sums]
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [parts[lane] + parts[lane + half] for lane in range(half)]
        total = parts[0] if first == 0 else total + parts[0]
    return total


def operands(dtype: str, m: int, n: int, k: int, batch: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(m + n + k)
    shapes = (batch, m, k), (batch, k, n)
    if dtype == "float64":
        return [rng.integers(-9, 9, shape).astype(dtype) for shape in shapes]
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def strides(array: np.ndarray) -> tuple[int, int, int]:
    batch, row, column = (stride // array.itemsize for stride in array.strides)
    return (batch if len(array) > 1 else 0), row, column


def product(a: np.ndarray, b: np.ndarray, block: int | None = None) -> np.ndarray:
    batch, m, n, k = max(len(a), len(b)), a.shape[1], b.shape[2], a.shape[2]
    dims, tasks, grain = gemv_segment(batch, m, n, k, a=strides(a), b=strides(b))
    if block:
        dims = (*dims[:2], block, *dims[3:])
        tasks = batch * -(-dims[0] // block)
    arguments = (Argument(Place.INPUT, 0), Argument(Place.INPUT, 1), Argument(Place.OUTPUT, 0))
    name = a.dtype.name
    launch = LaunchSpec(KERNELS[name], (Segment(arguments, dims, tasks),), grain, SCRATCH_BYTES)
    specs = [BufferSpec(name, array.shape) for array in (a, b)]
    plan = Plan((), (launch,), tuple(specs), (BufferSpec(name, (batch, m, n)),), ())
    addresses = [int(array.__array_interface__["data"][0]) for array in (a, b)]
    (buffer,) = Program(plan, lambda *_: None).run(addresses)
    return buffer.array(a.dtype, (batch, m, n)).copy()


def layouts(array: np.ndarray) -> list[np.ndarray]:
    """The same values row-major, column-major, spread out, and read backwards."""
    spread = np.repeat(array, 2, axis=2)[:, :, ::2]
    backwards = array[:, ::-1].copy()[:, ::-1]
    return [array, array.swapaxes(1, 2).copy().swapaxes(1, 2), spread, backwards]


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", KERNELS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_sums_are_the_promised_ones(
    shape: tuple[int, int, int], dtype: str, level: str
) -> None:
    found = target_level(None).name
    if level not in (found, "avx2", "sse") or (level == "avx2" and found == "neon"):
        pytest.skip(f"target {level!r}: this processor runs {found}")
    if level == "sse":
        pytest.skip("target 'sse' has no fused multiply-add: its sums are rounded twice")
    a, b = operands(dtype, *shape)
    expected = promised(a, b)
    with config.scope(target=level):
        for left in layouts(a):
            for right in layouts(b):
                assert same(product(left, right), expected)


@pytest.mark.parametrize("block", [1, 3, 64])
def test_blocks_change_no_bit(block: int) -> None:
    for m, n in ((70, 1), (1, 70)):
        a, b = operands("float32", m, n, 300)
        for left in layouts(a):
            assert same(product(left, b, block), product(a, b))


@pytest.mark.parametrize("dtype", KERNELS)
def test_a_batch_is_products_one_by_one(dtype: str) -> None:
    a, b = operands(dtype, 20, 1, 33, batch=4)
    expected = np.concatenate([promised(a[i : i + 1], b[i : i + 1]) for i in range(4)])
    assert same(product(a, b), expected)
    assert same(
        product(a, b[:1]), np.concatenate([promised(a[i : i + 1], b[:1]) for i in range(4)])
    )
    rows = b.swapaxes(1, 2), a.swapaxes(1, 2)
    assert same(product(*rows), promised(*rows))


@settings(max_examples=30)
@given(st.integers(1, 140), st.integers(0, 90), st.booleans(), st.integers(0, 3), st.integers(0, 3))
def test_any_size_and_layout(size: int, k: int, is_row: bool, left: int, right: int) -> None:
    a, b = operands("float32", *((1, size) if is_row else (size, 1)), k)
    assert same(product(layouts(a)[left], layouts(b)[right]), promised(a, b))


def test_infinities_and_nans_stay_where_they_are() -> None:
    """What lies beyond K is not multiplied, not even by zero."""
    a, b = operands("float32", 6, 1, 20)
    a[0, 2, 3], a[0, 4, 5], b[0, 7, 0] = np.inf, np.nan, -np.inf
    with np.errstate(invalid="ignore"):
        assert np.array_equal(product(a, b), promised(a, b), equal_nan=True)


def test_tasks_are_worth_a_thread() -> None:
    dims, tasks, grain = gemv_segment(1, 1000, 1, 1000, a=(0, 1000, 1), b=(0, 1, 1))
    assert dict(zip(DIMS, dims, strict=True))["block"] * 1000 >= 1 << 16
    assert (tasks, grain) == (8, 1)
    assert gemv_segment(1, 10, 1, 10, a=(0, 10, 1), b=(0, 1, 1))[1:] == (1, 655)


@pytest.mark.parametrize(
    ("shape", "expected"), [((3, 1), True), ((2, 1, 5), True), ((1, 2, 3), False)]
)
def test_one_row_or_column_is_a_vector(shape: Any, expected: bool) -> None:
    assert is_vector(shape) == expected
