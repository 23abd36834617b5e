"""Products of a matrix and a vector under the emulation: the CPU kernels' sums, whatever the strides and shapes."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from tests.codegen.kernels import ORDERS, same_bits, skip_unless_emulated
from tests.emulation.emulate import guarded, load
from tests.runtime.test_gemv import layouts, operands, promised, strides
from tracejit.codegen.cuda.product import SEGMENTS
from tracejit.codegen.cuda.vector_product import (
    DIMS,
    vector_segment,
    vector_shape,
    vector_source,
)

WORDS = 3 + len(DIMS) + 1


def launch(products: list[tuple[np.ndarray, np.ndarray, np.ndarray]], order: int) -> None:
    words: list[int] = []
    for a, b, c in products:
        batch, m, n, k = max(len(a), len(b)), a.shape[1], b.shape[2], a.shape[2]
        dims, tasks, _ = vector_segment(batch, m, n, k, a=strides(a), b=strides(b))
        words += [a.ctypes.data, b.ctypes.data, c.ctypes.data, *dims, tasks]
    words += [0] * ((SEGMENTS - len(products)) * WORDS)
    source, shape = vector_source(products[0][2].dtype.name), vector_shape()
    run = load(source.text, source.name)
    run(2, (shape.team, shape.teams), 0, struct.pack(f"{len(words)}q", *words), order)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "size", [(1, 1, 1), (33, 1, 20), (1, 40, 37), (5, 1, 4100), (1, 3, 0)], ids=str
)
def test_products_are_the_promised_sums(dtype: str, size: tuple[int, int, int]) -> None:
    skip_unless_emulated()
    a, b = operands(dtype, *size, batch=2)
    expected = promised(a, b)
    for order in ORDERS:
        c = guarded(np.full(expected.shape, np.nan, dtype), aligned=order == 0)
        launch([(guarded(a), guarded(b), c)], order)
        assert same_bits(expected.ravel(), c.ravel()).all()


@pytest.mark.parametrize("size", [(20, 1, 50), (1, 20, 50)], ids=str)
def test_strides_change_no_bit(size: tuple[int, int, int]) -> None:
    skip_unless_emulated()
    a, b = operands("float32", *size)
    expected = promised(a, b)
    products = [
        (x, y, np.empty_like(expected)) for x, y in zip(layouts(a), layouts(b), strict=True)
    ]
    launch(products, order=7)
    for _, _, c in products:
        assert same_bits(expected.ravel(), c.ravel()).all()
