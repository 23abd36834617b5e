"""Product kernels under the emulation: the CPU kernels' sums, whatever the strides, shapes and tiles."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from tests.codegen.kernels import ORDERS, same_bits, skip_unless_emulated
from tests.emulation.emulate import guarded, load
from tracejit.codegen.cuda.product import (
    SEGMENTS,
    product_segment,
    product_shape,
    product_source,
)
from tracejit.codegen.cuda.product_tile import TILES, Tile
from tracejit.dtypes import DType, float32, float64

DEPTH = 256
SMALLEST = TILES["float32"][-1]

cases = pytest.mark.parametrize(
    ("dtype", "tile"),
    [
        pytest.param(dtype, tile, id=f"{dtype}-{tile.name}")
        for dtype in (float32, float64)
        for tile in TILES[dtype.name]
    ],
)


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a * b + c rounded once: for float32 by way of long doubles, whose 64 bits hold the product."""
    wide = np.longdouble
    return (a.astype(wide) * b.astype(wide) + c.astype(wide)).astype(a.dtype)


def by_parts(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The sums as they are promised; `a` and `b` are of small integers where float64 is asked for, and exact."""
    total = None
    for first in range(0, max(a.shape[1], 1), DEPTH):
        part = np.zeros((a.shape[0], b.shape[1]), a.dtype)
        for k in range(first, min(first + DEPTH, a.shape[1])):
            part = fma(a[:, k, None], b[None, k, :], part)
        total = part if total is None else total + part
    assert total is not None
    return total


def launch(
    dtype: DType,
    tile: Tile,
    products: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    order: int,
    text: str = "",
) -> None:
    words: list[int] = []
    for a, b, c in products:
        strides = [(0, *(stride // x.itemsize for stride in x.strides)) for x in (a, b)]
        m, n, k = a.shape[0], b.shape[1], a.shape[1]
        dims, tasks = product_segment(tile, 1, m, n, k, a=strides[0], b=strides[1])
        words += [a.ctypes.data, b.ctypes.data, c.ctypes.data, *dims, tasks]
    each = len(words) // len(products)
    words += [0] * ((SEGMENTS - len(products)) * each)
    source, shape = product_source(dtype.name, tile), product_shape(dtype.name, tile)
    run = load(text or source.text, source.name)
    run(
        2,
        (shape.team, shape.teams),
        shape.shared_bytes,
        struct.pack(f"{len(words)}q", *words),
        order,
    )


def operands(dtype: DType, m: int, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(m + n + k)
    if dtype is float64:
        return tuple(rng.integers(-9, 9, shape).astype(np.float64) for shape in ((m, k), (k, n)))  # type: ignore[return-value]
    return tuple(rng.standard_normal(shape).astype(np.float32) for shape in ((m, k), (k, n)))  # type: ignore[return-value]


@cases
@pytest.mark.parametrize(
    "size", [(1, 1, 1), (33, 70, 20), (130, 5, 300), (64, 64, 0), (132, 68, 520)], ids=str
)
def test_products_are_the_promised_sums(
    dtype: DType, tile: Tile, size: tuple[int, int, int]
) -> None:
    skip_unless_emulated()
    a, b = operands(dtype, *size)
    expected = by_parts(a, b)
    for order in ORDERS:
        c = guarded(np.full(expected.shape, np.nan, dtype.numpy), aligned=order == 0)
        launch(dtype, tile, [(guarded(a), guarded(b), c)], order)
        assert same_bits(expected.ravel(), c.ravel()).all()


@cases
@pytest.mark.parametrize("size", [(40, 36, 50), (136, 72, 64)], ids=str)
def test_strides_change_no_bit(dtype: DType, tile: Tile, size: tuple[int, int, int]) -> None:
    """Whole pieces and ends, by wide accesses, eight steps at a time, and one by one."""
    skip_unless_emulated()
    a, b = operands(dtype, *size)
    expected = by_parts(a, b)
    m, n, k = size
    wide = np.zeros((m, 2 * k), dtype.numpy)
    wide[:, ::2] = a
    lines = np.zeros((k, n + 1), dtype.numpy)
    lines[:, 1:] = b
    products = [
        (np.asfortranarray(a), b, np.empty_like(expected)),
        (a, np.asfortranarray(b), np.empty_like(expected)),
        (wide[:, ::2], lines[:, 1:], np.empty_like(expected)),
        (a[::-1], b[:, ::-1], np.empty_like(expected)),
    ]
    launch(dtype, tile, products, order=7)
    *some, turned = products
    for _, _, c in some:
        assert same_bits(expected.ravel(), c.ravel()).all()
    assert same_bits(expected[::-1, ::-1].ravel(), turned[2].ravel()).all()


@cases
def test_zeros_keep_their_signs_and_infinities_stay_apart_where_k_ends(
    dtype: DType, tile: Tile
) -> None:
    """A sum may be -0: of a negative product too small for the dtype."""
    skip_unless_emulated()
    tiny = np.finfo(dtype.numpy).smallest_subnormal
    a = np.array([[-0.0, -1.0], [np.inf, 1.0], [-tiny, -0.0], [np.nan, 1.0]], dtype.numpy)
    b = np.array([[0.25, 0.0], [0.0, 2.0]], dtype.numpy)
    with np.errstate(invalid="ignore", under="ignore"):
        expected = by_parts(a, b)
    assert np.signbit(expected[2, 0])
    assert expected[2, 0] == 0
    for x, y in ((a, b), (np.asfortranarray(a), np.asfortranarray(b))):
        c = np.empty_like(expected)
        launch(dtype, tile, [(x, y, c)], order=0)
        assert same_bits(expected.ravel(), c.ravel()).all()


def test_a_missing_wait_shows() -> None:
    """The emulation lets copies land when they are waited for, and no sooner."""
    skip_unless_emulated()
    a, b = operands(float32, 33, 40, 200)
    expected = by_parts(a, b)
    source = product_source("float32", SMALLEST)
    assert source.text.count("await_groups<STAGES - 2>();") == 2
    hasty = source.text.replace("await_groups<STAGES - 2>();", "await_groups<STAGES - 1>();")
    for text, is_right in ((source.text, True), (hasty, False)):
        c = np.zeros_like(expected)
        launch(float32, SMALLEST, [(a, b, c)], order=0, text=text)
        assert same_bits(expected.ravel(), c.ravel()).all() == is_right


def test_a_missing_barrier_shows() -> None:
    skip_unless_emulated()
    a, b = operands(float32, 33, 40, 200)
    expected = by_parts(a, b)
    source = product_source("float32", SMALLEST)
    first, _, rest = source.text.partition("__syncthreads();")
    alone = first + "__syncthreads();" + rest.replace("__syncthreads();", "")
    wrong = 0
    for order in ORDERS:
        c = np.zeros_like(expected)
        launch(float32, SMALLEST, [(a, b, c)], order=order, text=alone)
        wrong += not same_bits(expected.ravel(), c.ravel()).all()
    assert wrong
