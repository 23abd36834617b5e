"""What matrix products reach, compared with what NumPy's arrays over the same memory reach."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from tracejit.artifact import Segment
from tracejit.runtime import gemm, gemv
from tracejit.standalone.products import reach_of


def bounds(shape: tuple[int, ...], strides: tuple[int, ...], item: int) -> tuple[int, int]:
    """By walking through all elements."""
    places = [
        sum(i * s for i, s in zip(index, strides)) for index in np.ndindex(*shape)
    ]  # in elements
    return (min(places) * item, (max(places) + 1) * item) if places else (0, 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_reach_what_their_shapes_say(dtype: str) -> None:
    rnd = Random(0)
    item = np.dtype(dtype).itemsize
    for _ in range(200):
        batch, m, n, k = (rnd.choice([0, 1, 2, 5, 13]) for _ in range(4))
        a, b = (tuple(rnd.randrange(-9, 10) for _ in range(3)) for _ in range(2))
        segments = [(gemm.KERNELS[dtype], gemm.gemm_segment(batch, m, n, k, a=a, b=b))]
        if 1 in (m, n):
            segments.append((gemv.KERNELS[dtype], gemv.gemv_segment(batch, m, n, k, a=a, b=b)))
        for kernel, (dims, tasks, _) in segments:
            found = reach_of(kernel, Segment((), dims, tasks))
            if not tasks:
                continue
            expected = [
                bounds((batch, m, k), a, item),
                bounds((batch, k, n), b, item),
                bounds((batch, m, n), (m * n, n, 1), item),
            ]
            assert found == expected, (kernel, batch, m, n, k, a, b)


def test_dims_of_no_product_are_refused() -> None:
    dims, tasks, _ = gemm.gemm_segment(2, 3, 4, 5, a=(0, 5, 1), b=(0, 4, 1))
    segment = Segment((), dims, tasks)
    kernel = gemm.KERNELS["float32"]
    assert reach_of(kernel, segment)
    assert not reach_of("k0", segment)
    changed = dict(zip(gemm.DIMS, dims))
    for name, value in [("M", -1), ("depth", 0), ("block_n", 0), ("block_m", 100_000)]:
        other = tuple({**changed, name: value}.values())
        with pytest.raises(ValueError, match="the dims are of no product"):
            reach_of(kernel, replace(segment, dims=other))
    with pytest.raises(ValueError, match="is shorter"):
        reach_of(kernel, replace(segment, dims=dims[:-1]))
    with pytest.raises(ValueError, match="the dims are of no product"):
        reach_of(gemv.KERNELS["float32"], Segment((), (1, 1, 0, 1, 1, 1, 1, 1, 1, 0), 1))
