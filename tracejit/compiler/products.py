"""A matrix product over any leading dimensions as products over one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod

from tracejit.compiler.target import ProductSegment
from tracejit.ops.op import Layout
from tracejit.passes.layouts import row_major

Part = tuple[tuple[int, int, int], tuple[int, ...], int, int]
"""Offsets in elements of A, B and C, the kernel's dims, its tasks, its grain."""


def product_segments(
    left: Layout, right: Layout, shape: tuple[int, ...], segment: ProductSegment
) -> Iterator[Part]:
    """The segments of `left @ right`: one, unless the leading dimensions cannot be walked by a single stride."""
    if 0 in shape:
        return
    *batch, m, n = shape
    k = left.shape[-1]
    a, b = _batch_strides(left, len(batch)), _batch_strides(right, len(batch))
    c = row_major(shape).strides[: len(batch)]
    outer = 0
    while not all(_walks(strides[outer:], batch[outer:]) for strides in (a, b, c)):
        outer += 1
    steps = [strides[-1] if batch[outer:] else 0 for strides in (a, b, c)]
    dims, tasks, grain = segment(
        prod(batch[outer:]), m, n, k,
        a=(steps[0], left.strides[-2], left.strides[-1]),
        b=(steps[1], right.strides[-2], right.strides[-1]),
        c=(steps[2], n),
    )  # fmt: skip
    for place in product(*map(range, batch[:outer])):
        offsets = [
            sum(i * stride for i, stride in zip(place, strides, strict=False))
            for strides in (a, b, c)
        ]
        yield (offsets[0], offsets[1], offsets[2]), dims, tasks, grain


def _batch_strides(layout: Layout, ndim: int) -> tuple[int, ...]:
    """Strides of the leading dimensions, 0 where the operand broadcasts."""
    pairs = zip(layout.shape[:-2], layout.strides[:-2], strict=True)
    strides = tuple(0 if extent == 1 else stride for extent, stride in pairs)
    return (0,) * (ndim - len(strides)) + strides


def _walks(strides: tuple[int, ...], extents: list[int]) -> bool:
    """The last stride walks through all of these dimensions."""
    return all(
        strides[axis] == strides[axis + 1] * extents[axis + 1] for axis in range(len(extents) - 1)
    )
