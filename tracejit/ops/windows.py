"""Sliding windows over the last axes: a view whose elements share memory, and its transpose, which adds them up again."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tracejit._errors import ShapeError
from tracejit.ir.aval import Aval, Shape
from tracejit.ops.arguments import refuse
from tracejit.ops.elementwise import constant_like
from tracejit.ops.families import add_up, reshape_to, view
from tracejit.ops.op import Layout, Op
from tracejit.ops.shape import permute_dims
from tracejit.ops.slicing import slice_axis, update_slice

Extents = tuple[int, ...]
Rows = tuple[int, int, int, int, int]
"""How an axis is added up: the number of rows, of columns, by how much a row moves, how far apart columns are, the extent."""


def window_count(extent: int, size: int, stride: int, dilation: int) -> int:
    """How many windows of `size` elements, `dilation` apart, fit into an extent when each begins `stride` after the last."""
    span = (size - 1) * dilation + 1
    return (extent - span) // stride + 1 if extent >= span else 0


def _counts(shape: Shape, size: Extents, stride: Extents, dilation: Extents) -> Extents:
    return tuple(map(window_count, shape[len(shape) - len(size) :], size, stride, dilation))  # type: ignore[arg-type]


def _windows_infer(x: Aval, *, size: Extents, stride: Extents, dilation: Extents) -> Shape:
    each = (*size, *stride, *dilation)
    if not len(size) == len(stride) == len(dilation) <= x.ndim or min(each, default=1) < 1:
        why = f"needs sizes, strides and dilations of 1 or more, got {size}, {stride}, {dilation}"
        refuse(ShapeError, "windows", (x,), why)
    lead = x.shape[: x.ndim - len(size)]
    return (*lead, *size, *_counts(x.shape, size, stride, dilation))


def _windows_eval(x: Any, *, size: Extents, stride: Extents, dilation: Extents) -> Any:
    lead = x.ndim - len(size)
    counts = _counts(x.shape, size, stride, dilation)
    if 0 in counts:
        return np.empty((*x.shape[:lead], *size, *counts), x.dtype)
    spans = tuple((n - 1) * by + 1 for n, by in zip(size, dilation))
    found = np.lib.stride_tricks.sliding_window_view(x, spans, tuple(range(lead, x.ndim)))
    steps = tuple(slice(None, None, by) for by in (*stride, *dilation))
    found = found[(slice(None),) * lead + steps]
    places, inside = range(lead, x.ndim), range(x.ndim, x.ndim + len(size))
    return found.transpose(*range(lead), *inside, *places)


def _windows_layout(layout: Layout, *, size: Extents, stride: Extents, dilation: Extents) -> Layout:
    lead = len(layout.shape) - len(size)
    steps = layout.strides[lead:]
    return Layout(
        (*layout.shape[:lead], *size, *_counts(layout.shape, size, stride, dilation)),
        (
            *layout.strides[:lead],
            *(step * by for step, by in zip(steps, dilation)),
            *(step * by for step, by in zip(steps, stride)),
        ),
        layout.offset,
    )


_windows: Op = view(
    "windows",
    infer=_windows_infer,
    eval=_windows_eval,
    layout=_windows_layout,
    vjp=lambda ct, out, x, size, stride, dilation: add_windows(
        ct, x.aval.shape[x.aval.ndim - len(size) :], stride=stride, dilation=dilation
    ),
    traits=("overlaps",),
    doc="The windows that slide over the last axes: first what is in a window, then where it begins.",
)


def windows(x: Any, size: Extents, *, stride: Extents, dilation: Extents) -> Any:
    """The windows of x[..., spatial] as [..., size, count]: element i of window o is x[..., o * stride + i * dilation]."""
    if stride == size and set(dilation) <= {1}:
        return _side_by_side(x, size)
    return _windows(x, size=size, stride=stride, dilation=dilation)


def _side_by_side(x: Any, size: Extents) -> Any:
    """Windows that share no elements: the axes, split. So the gradient has nothing to add."""
    lead = x.aval.ndim - len(size)
    counts = tuple(extent // n for extent, n in zip(x.aval.shape[lead:], size))
    for axis, (count, n) in enumerate(zip(counts, size), lead):
        x = slice_axis(x, axis, 0, count * n)
    pairs = tuple(extent for pair in zip(counts, size) for extent in pair)
    split = reshape_to(x, (*x.aval.shape[:lead], *pairs))
    places, inside = range(lead, lead + len(pairs), 2), range(lead + 1, lead + len(pairs), 2)
    return permute_dims(split, (*range(lead), *inside, *places))


def add_windows(ct: Any, extents: Shape, *, stride: Extents, dilation: Extents) -> Any:
    """The transpose of `windows`: at each of `extents` the sum of what the windows have there, in a fixed order.

    Along an axis the elements of [i, o] belong at i * dilation + o * stride. They are laid out, with zeros in between, in rows
    that are longer than the extent by one dilation; read again as rows of the extent, each row has moved by its number of
    dilations, and the sum is one over rows. The shorter of i and o counts the rows, so that there are fewer zeros.
    """
    count = len(extents)
    lead = ct.aval.ndim - 2 * count
    sizes, counts = ct.aval.shape[lead : lead + count], ct.aval.shape[lead + count :]
    if 0 in counts:
        return constant_like(ct, 0, shape=(*ct.aval.shape[:lead], *extents))
    inside, places = range(lead, lead + count), range(lead + count, lead + 2 * count)
    order = list(range(lead))
    plan: list[Rows] = []
    for n, m, i, o, by, step, extent in zip(
        sizes, counts, inside, places, dilation, stride, extents
    ):
        swapped = m < n
        order += (o, i) if swapped else (i, o)
        plan.append((m, n, step, by, extent) if swapped else (n, m, by, step, extent))
    return _summed_rows(_sheared(permute_dims(ct, order), plan, lead), lead)


def _sheared(x: Any, plan: list[Rows], lead: int) -> Any:
    """Rows [row, column] of each axis as [row, extent], in which a column stands where it belongs."""
    batch = x.aval.shape[:lead]
    # A single row does not move.
    lengths = [extent + shift if rows > 1 else extent for rows, _, shift, _, extent in plan]
    laid = (*batch, *(n for (rows, *_), length in zip(plan, lengths) for n in (rows, length)))
    if laid != x.aval.shape:
        stop, step = [*batch], [1] * lead
        for rows, columns, _, by, _ in plan:
            stop += rows, (columns - 1) * by + 1
            step += 1, by
        zeros = constant_like(x, 0, shape=laid)
        start = (0,) * len(laid)
        x = update_slice(zeros, x, start=start, stop=tuple(stop), step=tuple(step))
    flat = reshape_to(x, (*batch, *(rows * length for (rows, *_), length in zip(plan, lengths))))
    for axis, (rows, _, _, _, extent) in enumerate(plan, lead):
        flat = slice_axis(flat, axis, 0, rows * extent)
    return reshape_to(
        flat, (*batch, *(n for rows, _, _, _, extent in plan for n in (rows, extent)))
    )


def _summed_rows(x: Any, lead: int) -> Any:
    """The sum over the axes of rows, the first of each pair."""
    rows, columns = range(lead, x.aval.ndim, 2), range(lead + 1, x.aval.ndim, 2)
    x = permute_dims(x, (*range(lead), *rows, *columns))
    if prod(x.aval.shape[lead : lead + len(rows)]) == 1:
        return reshape_to(x, (*x.aval.shape[:lead], *x.aval.shape[lead + len(rows) :]))
    return add_up(x, tuple(range(lead, lead + len(rows))))
