"""Convolution and pooling over any number of spatial axes: windows, and products or folds of what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit._errors import ShapeError, at_user_line
from tracejit.ops.arguments import as_float, cast, refuse, value
from tracejit.ops.contract import matmul
from tracejit.ops.creation import ones
from tracejit.ops.elementwise import add, divide
from tracejit.ops.families import add_up, reshape_to
from tracejit.ops.reduce import first_max, mean
from tracejit.ops.slicing import concat, pad, slice_axis
from tracejit.ops.windows import Extents, window_count, windows

Widths = Sequence[tuple[int, int]]


def convolve(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Extents,
    padding: Widths,
    dilation: Extents,
    groups: int,
) -> Any:
    """The cross-correlation of x[batch, channels, spatial] with weight[outputs, channels / groups, spatial].

    One product for each element of the batch and group: of the weight with the windows' elements as columns.
    """
    x, weight = value(x), value(weight)
    name = f"conv{len(stride)}d"
    _check(name, x, weight, groups)
    outputs, channels, *size = weight.aval.shape
    padded = _padded(x, padding, 0)
    seen = windows(padded, tuple(size), stride=stride, dilation=dilation)
    batch, counts = x.aval.shape[0], seen.aval.shape[-len(size) :]
    if 0 in counts:
        _refuse_small(name, x, padded, size, dilation)
    depth = channels * prod(size)
    groups_in = (groups,) if groups > 1 else ()
    columns = reshape_to(seen, (batch, *groups_in, depth, prod(counts)))
    rows = reshape_to(weight, (*groups_in, outputs // groups, depth))
    result = reshape_to(matmul(rows, columns), (batch, outputs, *counts))
    if bias is None:
        return result
    bias = value(bias)
    if bias.aval.shape != (outputs,):
        refuse(ShapeError, name, (x.aval, weight.aval), f"bias {bias.aval} is not one per output")
    return add(result, reshape_to(bias, (outputs, *(1 for _ in size))))


def _check(name: str, x: Any, weight: Any, groups: int) -> None:
    shown = (x.aval, f"weight {weight.aval}")
    if x.aval.ndim != weight.aval.ndim:
        refuse(ShapeError, name, shown, "needs as many dimensions in both")
    outputs, channels = weight.aval.shape[:2]
    if groups < 1 or outputs % groups:
        refuse(ShapeError, name, shown, f"{outputs} outputs do not divide into {groups} groups")
    if x.aval.shape[1] != channels * groups:
        why = f"expected {channels * groups} channels, got {x.aval.shape[1]}"
        refuse(ShapeError, name, shown, why if groups == 1 else f"{why} (groups={groups})")


def _refuse_small(
    name: str, x: Any, padded: Any, size: Sequence[int], dilation: Sequence[int]
) -> None:
    spatial = tuple(padded.aval.shape[-len(size) :])
    spans = tuple((n - 1) * by + 1 for n, by in zip(size, dilation))
    why = f"a window of {spans} does not fit into {spatial}, the padded input"
    refuse(ShapeError, name, (x.aval,), why)


def _padded(x: Any, widths: Widths, fill: float) -> Any:
    lead = x.aval.ndim - len(widths)
    return pad(x, [(0, 0)] * lead + list(widths), fill) if any(map(any, widths)) else x


# pooling


def max_pool(
    x: Any, size: Extents, *, stride: Extents, padding: Extents, dilation: Extents, ceil_mode: bool
) -> Any:
    """The largest element of each window; what is padded never is."""
    x = value(x)
    name = f"max_pool{len(size)}d"
    widths = _pool_widths(name, x, size, stride, padding, dilation, ceil_mode)
    dtype = x.aval.dtype
    least = float("-inf") if dtype.is_float else int(np.iinfo(dtype.numpy).min)
    padded = _padded(x, widths, least)
    seen = windows(padded, size, stride=stride, dilation=dilation)
    lead = x.aval.ndim - len(size)
    return first_max(seen, tuple(range(lead, lead + len(size))))


def average_pool(
    x: Any,
    size: Extents,
    *,
    stride: Extents,
    padding: Extents,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Any:
    """The mean of each window: by default over the padding too, but not over what ceil_mode adds beyond it."""
    x = value(x)
    name = f"avg_pool{len(size)}d"
    dilation = (1,) * len(size)
    widths = _pool_widths(name, x, size, stride, padding, dilation, ceil_mode)
    if divisor == 0:
        raise ValueError(at_user_line(f"{name}: divisor_override must not be zero"))
    dtype = x.aval.dtype
    single = cast(x, dtypes.float32) if dtype in dtypes.HALF else x
    total = _window_sums(_padded(single, widths, 0), size, stride)
    if divisor is not None:
        return cast(divide(total, as_float(divisor)), dtype)
    spatial = x.aval.shape[x.aval.ndim - len(size) :]
    around: Widths = widths
    if count_include_pad:
        spatial = tuple(n + 2 * own for n, own in zip(spatial, padding))
        around = [(0, after - own) for own, (_, after) in zip(padding, widths)]
    if not any(map(any, around)):
        return cast(divide(total, as_float(prod(size))), dtype)
    one = ones(spatial, dtype=total.aval.dtype, device=x.aval.device)
    counted = _padded(one, around, 0)
    return cast(divide(total, _window_sums(counted, size, stride)), dtype)


def _window_sums(x: Any, size: Extents, stride: Extents) -> Any:
    seen = windows(x, size, stride=stride, dilation=(1,) * len(size))
    lead = x.aval.ndim - len(size)
    return add_up(seen, tuple(range(lead, lead + len(size))))


def _pool_widths(
    name: str,
    x: Any,
    size: Extents,
    stride: Extents,
    padding: Extents,
    dilation: Extents,
    ceil_mode: bool,
) -> list[tuple[int, int]]:
    """How wide to pad each axis, so that whole windows are all that there are."""
    widths = []
    spatial = x.aval.shape[x.aval.ndim - len(size) :]
    for extent, n, step, own, by in zip(spatial, size, stride, padding, dilation):
        span = (n - 1) * by + 1
        if not 0 <= own <= span // 2:
            why = f"padding {own} is not between 0 and half of the window, {span} wide"
            refuse(ShapeError, name, (x.aval,), why)
        after = own
        if ceil_mode:
            count = -(-(extent + 2 * own - span) // step) + 1
            # A window has to begin inside the input or the padding before it.
            count -= (count - 1) * step >= extent + own
            after = max(own, (count - 1) * step + span - extent - own)
        if window_count(own + extent + after, n, step, by) < 1:
            why = f"a window of {span} does not fit into an extent of {extent} padded by {own}"
            refuse(ShapeError, name, (x.aval,), why)
        widths.append((own, after))
    return widths


def adaptive_average_pool(x: Any, counts: Extents) -> Any:
    """The mean of parts as even as can be: part k of n along an extent is [floor(k extent / n), ceil((k + 1) extent / n))."""
    x = value(x)
    for axis, count in enumerate(counts, x.aval.ndim - len(counts)):
        x = _averaged_parts(x, axis, count)
    return x


def _averaged_parts(x: Any, axis: int, count: int) -> Any:
    extent = x.aval.shape[axis]
    if extent % count == 0:
        before, after = x.aval.shape[:axis], x.aval.shape[axis + 1 :]
        return mean(reshape_to(x, (*before, count, extent // count, *after)), axis=axis + 1)
    bounds = [(k * extent // count, -(-(k + 1) * extent // count)) for k in range(count)]
    parts = (slice_axis(x, axis, begin, end) for begin, end in bounds)
    return concat([mean(part, axis=axis, keepdims=True) for part in parts], axis=axis)
