"""Views: the same elements in another shape, order of axes or repetition. All take values of any dtype."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from operator import index as as_index
from typing import Any

import numpy as np

from tracejit._errors import ShapeError
from tracejit.ir.aval import Aval, Extent, Shape, same_shape, surely_same_shape
from tracejit.ir.dim import surely_equal
from tracejit.ops.arguments import (
    as_list,
    broadcast_shapes,
    copied,
    is_one,
    normal_axes,
    normal_axis,
    normal_shape,
    refuse,
    value,
)
from tracejit.ops.chain import Chain
from tracejit.ops.families import reshape_to, unbroadcast, view
from tracejit.ops.op import Layout, Op

# reshape


def _reshape_infer(x: Aval, *, shape: tuple[int, ...]) -> Shape:
    if not same_shape(x.shape, shape) and x.size != prod(shape):
        why = f"cannot become {_shown(shape)}: {x.size} elements, not {prod(shape)}"
        refuse(ShapeError, "reshape", (x,), why)
    return shape


def _shown(shape: Sequence[Extent]) -> str:
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"


def _reshape_layout(layout: Layout, *, shape: tuple[int, ...]) -> Layout | None:
    """Splits and merges axes where the strides allow it; a merge needs each stride to span the axis inside it."""
    if surely_same_shape(layout.strides, row_major(layout.shape)) or prod(shape) == 0:
        return Layout(shape, row_major(shape), layout.offset)
    if layout.shape and shape and surely_equal(layout.shape[0], shape[0]):
        inner = Layout(layout.shape[1:], layout.strides[1:], layout.offset)
        rest = _reshape_layout(inner, shape=shape[1:])
        strides = None if rest is None else (layout.strides[0], *rest.strides)
        return None if strides is None else Layout(shape, strides, layout.offset)
    return _split_and_merged(layout, shape)


def _split_and_merged(layout: Layout, shape: tuple[int, ...]) -> Layout | None:
    """From the last axis on, while the strides allow it."""
    old = [(n, stride) for n, stride in zip(layout.shape, layout.strides) if n != 1]
    strides: list[int] = []
    for extent in reversed(shape):
        if extent == 1:
            strides.append(strides[-1] if strides else 1)
            continue
        n, stride = old.pop()
        while n % extent or n < extent:
            if not old or old[-1][1] != n * stride:
                return None
            n *= old.pop()[0]
        strides.append(stride)
        if n != extent:
            old.append((n // extent, stride * extent))
    return Layout(shape, tuple(reversed(strides)), layout.offset)


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides, in elements, of an array whose last axis varies fastest.

    >>> row_major((2, 3, 4))
    (12, 4, 1)
    """
    strides = []
    step: Any = 1
    for extent in reversed(shape):
        strides.append(step)
        step = extent * step
    return tuple(reversed(strides))


_reshape: Op = view(
    "reshape",
    infer=_reshape_infer,
    eval=lambda x, *, shape: x.reshape(shape),
    layout=_reshape_layout,
    vjp=lambda ct, out, x, shape: reshape_to(ct, x.aval.shape),
    doc="The elements in row-major order in another shape.",
)


def reshape(x: Any, shape: int | Sequence[int]) -> Any:
    """`x` in another shape of the same size; one extent may be -1 and is then computed.

    >>> import tracejit as tj
    >>> tj.reshape(tj.arange(6), (2, -1))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    x = value(x)
    wanted = normal_shape(shape)
    known = _reshapes.get((x.aval, wanted))
    if known is not None:
        return known(x)
    result = reshape_to(x, _without_minus_one(x.aval, wanted))
    if result is not x and x.aval.open is None and _INT.issuperset(map(type, wanted)):
        _keep_reshape(x.aval, wanted, result.aval.shape)
    return result


_INT = frozenset({int})
_reshapes: dict[tuple[Aval, tuple[int, ...]], Chain] = {}
"""By what is reshaped and the shape that is asked for."""
MOST_SHAPES = 1 << 12


def _keep_reshape(x: Aval, wanted: tuple[int, ...], shape: Shape) -> None:
    if len(_reshapes) >= MOST_SHAPES:
        _reshapes.clear()
    _reshapes[x, wanted] = Chain((_reshape, {"shape": shape}))


def _without_minus_one(x: Aval, shape: tuple[int, ...]) -> tuple[int, ...]:
    if -1 not in shape:
        return shape
    place, known = shape.index(-1), -prod(shape)
    if shape.count(-1) > 1 or known <= 0 or x.size % known:
        refuse(ShapeError, "reshape", (x,), f"cannot become {_shown(shape)}")
    return (*shape[:place], x.size // known, *shape[place + 1 :])


# the order of axes

_permute: Op = view(
    "permute",
    infer=lambda x, *, axes: tuple(x.shape[axis] for axis in axes),
    eval=lambda x, *, axes: x.transpose(axes),
    layout=lambda layout, *, axes: Layout(
        tuple(layout.shape[axis] for axis in axes),
        tuple(layout.strides[axis] for axis in axes),
        layout.offset,
    ),
    vjp=lambda ct, out, x, axes: _permute(ct, axes=tuple(int(axis) for axis in np.argsort(axes))),
    doc="Axis k of the result is axis `axes[k]` of x.",
)


def permute_dims(x: Any, axes: Sequence[int]) -> Any:
    """`x` with axis `axes[k]` at place k. ShapeError unless `axes` names each axis once.

    >>> import tracejit as tj
    >>> tj.permute_dims(tj.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    x = value(x)
    order = _order(x.aval.ndim, tuple(map(as_index, axes)))
    if order is None:
        refuse(
            ShapeError,
            "permute_dims",
            (x.aval,),
            f"axes must name each axis once, got {_shown(axes)}",
        )
    return _permute(x, axes=order) if order else x


@lru_cache(maxsize=4096)
def _order(ndim: int, axes: tuple[int, ...]) -> tuple[int, ...] | None:
    """The axes counted from the front, () where that is their order; None unless each is named once."""
    order = tuple(normal_axis(axis, ndim, "permute_dims") for axis in axes)
    own = tuple(range(ndim))
    if tuple(sorted(order)) != own:
        return None
    return () if order == own else order


def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """`x` with its axes in the order `axes`, by default reversed.

    >>> import tracejit as tj
    >>> tj.transpose(tj.tensor([[1, 2], [3, 4]]))
    tensor([[1, 3],
            [2, 4]])
    """
    if axes is not None:
        return permute_dims(x, axes)
    x = value(x)
    return _permute(x, axes=_backwards(x.aval.ndim)) if x.aval.ndim > 1 else x


@lru_cache
def _backwards(ndim: int) -> tuple[int, ...]:
    return tuple(reversed(range(ndim)))


def matrix_transpose(x: Any) -> Any:
    """`x` with its last two axes exchanged.

    >>> import tracejit as tj
    >>> tj.matrix_transpose(tj.zeros((5, 2, 3))).shape
    (5, 3, 2)
    """
    x = value(x)
    if x.aval.ndim < 2:
        refuse(ShapeError, "matrix_transpose", (x.aval,), "needs two dimensions or more")
    return swapaxes(x, -1, -2)


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """`x` with two axes exchanged.

    >>> import tracejit as tj
    >>> tj.swapaxes(tj.zeros((2, 3, 4)), 0, -1).shape
    (4, 3, 2)
    """
    x = value(x)
    order = _swapped(x.aval.ndim, as_index(axis1), as_index(axis2))
    return _permute(x, axes=order) if order else x


@lru_cache(maxsize=4096)
def _swapped(ndim: int, axis1: int, axis2: int) -> tuple[int, ...]:
    """The axes with two of them exchanged; () where that changes nothing."""
    order = list(range(ndim))
    a, b = (normal_axis(axis, ndim, "swapaxes") for axis in (axis1, axis2))
    order[a], order[b] = order[b], order[a]
    return tuple(order) if a != b else ()


def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """`x` with the axes `source` at the places `destination`; the others keep their order.

    >>> import tracejit as tj
    >>> tj.moveaxis(tj.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    x = value(x)
    ndim = x.aval.ndim
    moved = [normal_axis(axis, ndim, "moveaxis") for axis in as_list(source)]
    places = [normal_axis(axis, ndim, "moveaxis") for axis in as_list(destination)]
    if (
        len(moved) != len(places)
        or len(set(moved)) != len(moved)
        or len(set(places)) != len(places)
    ):
        refuse(
            ShapeError,
            "moveaxis",
            (x.aval,),
            f"source {source} and destination {destination} do not match",
        )
    order = [axis for axis in range(ndim) if axis not in moved]
    for place, axis in sorted(zip(places, moved)):
        order.insert(place, axis)
    return permute_dims(x, order)


# broadcasting


def _broadcast_infer(x: Aval, *, shape: Shape) -> Shape:
    if len(shape) < x.ndim or any(
        not is_one(n) and n not in (m, 1) for n, m in zip(reversed(x.shape), reversed(shape))
    ):
        refuse(ShapeError, "broadcast_to", (x,), f"does not broadcast to {_shown(shape)}")
    return shape


def _broadcast_layout(layout: Layout, *, shape: tuple[int, ...]) -> Layout:
    lead = len(shape) - len(layout.shape)
    kept = (
        stride if surely_equal(extent, wanted) or (not is_one(extent) and extent == wanted) else 0
        for extent, wanted, stride in zip(layout.shape, shape[lead:], layout.strides)
    )
    return Layout(shape, ((0,) * lead + tuple(kept)), layout.offset)


_broadcast: Op = view(
    "broadcast_to",
    infer=_broadcast_infer,
    eval=lambda x, *, shape: np.broadcast_to(x, shape),
    layout=_broadcast_layout,
    vjp=lambda ct, out, x, shape: unbroadcast(ct, x.aval),
    doc="x repeated along new leading axes and axes of extent 1.",
)


def broadcast_to(x: Any, shape: int | Sequence[int]) -> Any:
    """`x` repeated to `shape`, by NumPy's rule of broadcasting; a view whose repeated strides are 0.

    >>> import tracejit as tj
    >>> tj.broadcast_to(tj.arange(2), (2, 2))
    tensor([[0, 1],
            [0, 1]])
    """
    x = value(x)
    wanted = normal_shape(shape)
    return x if same_shape(x.aval.shape, wanted) else _broadcast(x, shape=wanted)


def spread_to(x: Any, shape: Shape) -> Any:
    """`x` repeated to a shape, by code that does not care whether it gets `x` itself where that has the shape anyway: open sizes
    are not asked."""
    return x if surely_same_shape(x.aval.shape, shape) else _broadcast(x, shape=shape)


def broadcast_arrays(*arrays: Any) -> tuple[Any, ...]:
    """All arrays repeated to their common shape.

    >>> import tracejit as tj
    >>> [x.shape for x in tj.broadcast_arrays(tj.zeros((2, 1)), tj.zeros(3))]
    [(2, 3), (2, 3)]
    """
    arrays = tuple(map(value, arrays))
    if not arrays:
        return ()
    shape = broadcast_shapes("broadcast_arrays", [x.aval for x in arrays])
    return tuple(broadcast_to(x, shape) for x in arrays)  # type: ignore[arg-type]  # known extents


# axes of extent 1


def expand_dims(x: Any, axis: int | Sequence[int]) -> Any:
    """`x` with new axes of extent 1 at the places `axis` of the result.

    >>> import tracejit as tj
    >>> tj.expand_dims(tj.arange(3), 0).shape
    (1, 3)
    """
    x = value(x)
    if type(axis) is int and x.aval.open is None:
        return reshape(x, _expanded_by_one(x.aval, axis))
    return reshape_to(x, _expanded(x.aval, axis))


def _expanded(x: Aval, axis: int | Sequence[int]) -> tuple[int, ...]:
    given = as_list(axis)
    ndim = x.ndim + len(given)
    places = normal_axes(given, ndim, "expand_dims")
    extents = iter(x.sizes)
    return tuple(1 if place in places else next(extents) for place in range(ndim))


_expanded_by_one = lru_cache(maxsize=4096)(_expanded)


def squeeze(x: Any, axis: int | Sequence[int] | None = None) -> Any:
    """`x` without the axes `axis`, which must have extent 1; by default without all that do.

    >>> import tracejit as tj
    >>> tj.squeeze(tj.zeros((1, 3, 1)), 0).shape
    (3, 1)
    """
    x = value(x)
    if type(axis) is int and x.aval.open is None:
        return reshape(x, _squeezed_by_one(x.aval, axis))
    return reshape_to(x, _squeezed(x.aval, axis))


def _squeezed(x: Aval, axis: int | Sequence[int] | None) -> tuple[int, ...]:
    shape = x.sizes
    if axis is None:
        return tuple(extent for extent in shape if extent != 1)
    axes = normal_axes(axis, x.ndim, "squeeze")
    for place in axes:
        if shape[place] != 1:
            refuse(ShapeError, "squeeze", (x,), f"axis {place} has extent {shape[place]}, not 1")
    return tuple(extent for place, extent in enumerate(shape) if place not in axes)


_squeezed_by_one = lru_cache(maxsize=4096)(_squeezed)


def ravel(x: Any) -> Any:
    """`x` as one axis, in row-major order; a view where its memory allows."""
    x = value(x)
    return reshape_to(x, (x.aval.size,))


def flatten(x: Any) -> Any:
    """`x` as one axis, in row-major order; a copy, as in NumPy."""
    return copied(ravel(x))


__all__ = [
    "broadcast_arrays", "broadcast_to", "expand_dims", "flatten", "matrix_transpose", "moveaxis", "permute_dims", "ravel",
    "reshape", "squeeze", "swapaxes", "transpose",
]  # fmt: skip
