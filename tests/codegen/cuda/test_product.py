"""Product kernels under the emulation: the CPU kernels' sums, whatever the strides, shapes and tiles."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from tests.codegen.kernels import ORDERS, same_bits, skip_unless_emulated
from tests.emulation.emulate import guarded, load
from tracejit.codegen.cuda.product import (
    SEGMENTS,
    TILES,
    product_segment,
    product_shape,
    product_source,
    tile_of,
)
from tracejit.dtypes import DType, float32, float64

DEPTH = 256

cases = pytest.mark.parametrize(
    ("dtype", "tile"),
    [(dtype, tile) for dtype in (float32, float64) for tile in TILES[dtype.name]],
    ids=str,
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
    tile: int,
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
    words += [0] * ((SEGMENTS - len(products)) * 15)
    source, shape = product_source(dtype.name, tile), product_shape()
    run = load(text or source.text, source.name)
    run(2, (shape.team, shape.teams), 0, struct.pack(f"{len(words)}q", *words), order)


def operands(dtype: DType, m: int, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(m + n + k)
    if dtype is float64:
        return tuple(rng.integers(-9, 9, shape).astype(np.float64) for shape in ((m, k), (k, n)))  # type: ignore[return-value]
    return tuple(rng.standard_normal(shape).astype(np.float32) for shape in ((m, k), (k, n)))  # type: ignore[return-value]


@cases
@pytest.mark.parametrize("size", [(1, 1, 1), (33, 70, 20), (130, 5, 300), (64, 64, 0)], ids=str)
def test_products_are_the_promised_sums(
    dtype: DType, tile: int, size: tuple[int, int, int]
) -> None:
    skip_unless_emulated()
    a, b = operands(dtype, *size)
    expected = by_parts(a, b)
    for order in ORDERS:
        c = guarded(np.full(expected.shape, np.nan, dtype.numpy), aligned=order == 0)
        launch(dtype, tile, [(guarded(a), guarded(b), c)], order)
        assert same_bits(expected.ravel(), c.ravel()).all()


@pytest.mark.parametrize("tile", TILES["float32"])
def test_strides_change_no_bit(tile: int) -> None:
    skip_unless_emulated()
    a, b = operands(float32, 40, 36, 50)
    expected = by_parts(a, b)
    wide = np.zeros((40, 100), np.float32)
    wide[:, ::2] = a
    products = [
        (np.asfortranarray(a), b, np.empty_like(expected)),
        (a, np.asfortranarray(b), np.empty_like(expected)),
        (wide[:, ::2], np.asfortranarray(b), np.empty_like(expected)),
    ]
    launch(float32, tile, products, order=7)
    for _, _, c in products:
        assert same_bits(expected.ravel(), c.ravel()).all()


def test_zeros_keep_their_signs_and_infinities_stay_apart_where_k_ends() -> None:
    skip_unless_emulated()
    a = np.array([[-0.0, -1.0], [np.inf, 1.0]], np.float32)
    b = np.array([[1.0, 0.0], [0.0, 2.0]], np.float32)
    c = np.empty((2, 2), np.float32)
    launch(float32, 32, [(a, b, c)], order=0)
    with np.errstate(invalid="ignore"):
        assert same_bits(by_parts(a, b).ravel(), c.ravel()).all()


def test_a_missing_wait_shows() -> None:
    """The emulation lets copies land when they are waited for, and no sooner."""
    skip_unless_emulated()
    a, b = operands(float32, 33, 40, 200)
    expected = by_parts(a, b)
    source = product_source("float32", 32)
    hasty = source.text.replace("await_groups<STAGES - 2>();", "await_groups<STAGES - 1>();")
    for text, is_right in ((source.text, True), (hasty, False)):
        c = np.zeros_like(expected)
        launch(float32, 32, [(a, b, c)], order=0, text=text)
        assert same_bits(expected.ravel(), c.ravel()).all() == is_right


def test_a_tile_is_large_where_there_are_many_and_small_where_there_are_few() -> None:
    assert tile_of("float32", 1, 4096, 4096) == 128
    assert tile_of("float32", 1, 1024, 1024) == 64
    assert tile_of("float32", 1, 128, 512) == 32
    assert tile_of("float32", 4096, 20, 20) == 32
    assert tile_of("float64", 1, 4096, 4096) == 64
