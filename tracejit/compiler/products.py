"""A matrix product over any leading dimensions as products over one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

from tracejit.compiler.target import ProductSegment
from tracejit.ops.op import Layout
from tracejit.passes.layouts import row_major
from tracejit.runtime.gemm import DEPTH

Part = tuple[tuple[int, int, int], tuple[int, ...], int, int]
"""Offsets in elements of A, B and C, the kernel's dims, its tasks, its grain."""


def product_segments(
    left: Layout,
    right: Layout,
    shape: tuple[int, ...],
    segment: ProductSegment,
    *,
    has_outer: bool = False,
) -> Iterator[Part]:
    """The segments of `left @ right`: one, unless the leading dimensions cannot be walked by a single stride, or by one and an
    outer one."""
    if 0 in shape:
        return
    *batch, m, n = shape
    k = left.shape[-1]
    a, b = _batch_strides(left, len(batch)), _batch_strides(right, len(batch))
    c = row_major(shape).strides[: len(batch)]
    inner = _walked((a, b, c), batch)
    outer = _walked((a, b, c), batch[:inner]) if has_outer else inner
    steps = [strides[-1] if batch[inner:] else 0 for strides in (a, b, c)]
    further = {}
    if outer < inner:
        further["outer"] = (prod(batch[outer:inner]), a[inner - 1], b[inner - 1])
    dims, tasks, grain = segment(
        prod(batch[inner:]), m, n, k,
        a=(steps[0], left.strides[-2], left.strides[-1]),
        b=(steps[1], right.strides[-2], right.strides[-1]),
        c=(steps[2], n),
        **further,
    )  # fmt: skip
    for place in product(*map(range, batch[:outer])):
        offsets = [
            sum(i * stride for i, stride in zip(place, strides, strict=False))
            for strides in (a, b, c)
        ]
        yield (offsets[0], offsets[1], offsets[2]), dims, tasks, grain


DEEP_WORK = 1 << 22
"""Multiply-adds that are worth two launches."""
LEAST_PARTS = 8


def deep_parts(depth: int, shape: tuple[int, ...]) -> int:
    """How many partial sums a product has, if they are worth being computed side by side; 0 where they are few, or take more
    memory than the operands."""
    *_, m, n = shape
    parts = -(-depth // DEPTH)
    is_deep = parts >= LEAST_PARTS and m * n * depth >= DEEP_WORK
    return parts if is_deep and has_small_parts(shape) else 0


def has_small_parts(shape: tuple[int, ...]) -> bool:
    """Whether the partial sums of a product take no more memory than the operands; those with a vector have sums of their own."""
    *batch, m, n = shape
    return prod(batch) == 1 and 1 not in (m, n) and m * n <= DEPTH * (m + n)


def part_segments(
    left: Layout, right: Layout, shape: tuple[int, ...], segment: ProductSegment
) -> Iterator[Part]:
    """The segments of a deep product: each of its partial sums as a product of its own, one after the other in C."""
    *_, m, n = shape
    whole, rest = divmod(left.shape[-1], DEPTH)
    a, b = left.strides[-2:], right.strides[-2:]
    sums = (
        Layout((whole, m, DEPTH), (DEPTH * a[1], *a)),
        Layout((whole, DEPTH, n), (DEPTH * b[0], *b)),
        (whole, m, n),
    )
    last = Layout((m, rest), a), Layout((rest, n), b), (m, n)
    yield from product_segments(*sums, segment)
    skip = whole * DEPTH * a[1], whole * DEPTH * b[0], whole * m * n
    for offsets, dims, tasks, grain in product_segments(*last, segment) if rest else ():
        x, y, z = (offset + skipped for offset, skipped in zip(offsets, skip, strict=True))
        yield (x, y, z), dims, tasks, grain


def _batch_strides(layout: Layout, ndim: int) -> tuple[int, ...]:
    """Strides of the leading dimensions, 0 where the operand broadcasts."""
    pairs = zip(layout.shape[:-2], layout.strides[:-2], strict=True)
    strides = tuple(0 if extent == 1 else stride for extent, stride in pairs)
    return (0,) * (ndim - len(strides)) + strides


def _walked(every: Sequence[tuple[int, ...]], extents: list[int]) -> int:
    """The first of the last dimensions that a single stride of each operand walks through."""
    first = 0
    while not all(_walks(strides[first : len(extents)], extents[first:]) for strides in every):
        first += 1
    return first


def _walks(strides: tuple[int, ...], extents: list[int]) -> bool:
    """The last stride walks through all of these dimensions."""
    return all(
        strides[axis] == strides[axis + 1] * extents[axis + 1] for axis in range(len(extents) - 1)
    )
