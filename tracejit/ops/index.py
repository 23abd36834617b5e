"""Indexing: by integers, slices and arrays of integers, as NumPy's; and what is added or put at an index."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import index as as_index
from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit._errors import ShapeError
from tracejit.dtypes import DType
from tracejit.ir.aval import Aval, Shape, aval
from tracejit.ops.arguments import (
    NUMBERS,
    cast,
    copied,
    moved,
    normal_axis,
    refuse,
    value,
    value_or_number,
)
from tracejit.ops.creation import arange
from tracejit.ops.elementwise import add, constant_like, less, multiply, where
from tracejit.ops.families import extern, record, reshape_to
from tracejit.ops.keys import Basic, Selection, index_value, integers_only, select
from tracejit.ops.op import Gather, Op, Params, Pointwise, ScatterAdd
from tracejit.ops.registry import REGISTRY
from tracejit.ops.shape import broadcast_to, expand_dims, permute_dims, ravel, reshape
from tracejit.ops.slicing import length_of, slice_, update_slice

# the records


def _indexed_coerce(name: str) -> Any:
    def coerce(x: Any, indices: Any, *updates: Any, axis: int) -> tuple[tuple[Any, ...], Params]:
        x = value(x)
        indices = moved(index_value(indices), x.aval.device)
        integers_only(name, indices.aval)
        rest = (cast(value_or_number(update), x.aval.dtype) for update in updates)
        return (x, cast(indices, dtypes.int64), *rest), {
            "axis": normal_axis(axis, x.aval.ndim, name)
        }

    return coerce


def _replaced(x: Aval, axis: int, by: Shape) -> Shape:
    return (*x.shape[:axis], *by, *x.shape[axis + 1 :])


gather: Op = record(
    "take",
    infer=lambda x, indices, *, axis: aval(x.dtype, _replaced(x, axis, indices.shape), x.device),
    eval=lambda x, indices, *, axis: np.asarray(np.take(x, indices, axis=axis)),
    recipe=Gather(),
    coerce=_indexed_coerce("take"),
    vjp=(
        lambda ct, out, x, indices, axis: scatter_add(
            constant_like(ct, 0, shape=x.aval.shape), indices, ct, axis=axis
        ),
        None,
    ),
    doc="The elements at `indices` along `axis`, which the axes of `indices` replace; negative ones count from the end.",
)


def _scatter_infer(name: str) -> Any:
    def infer(base: Aval, indices: Aval, updates: Aval, *, axis: int) -> Aval:
        shape = _replaced(base, axis, indices.shape)
        if updates.shape != shape:
            refuse(
                ShapeError, name, (base, indices, updates), f"the updates must have shape {shape}"
            )
        return base

    return infer


def _spread(name: str, updates: Any, base: Aval, shape: Shape) -> Any:
    """`updates`, converted to `base`'s dtype, repeated to `shape`; leading axes of extent 1 too many are dropped."""
    updates = moved(value(cast(value_or_number(updates), base.dtype)), base.device)
    given = updates.aval.shape
    extra = max(0, len(given) - len(shape))
    if any(n != 1 for n in given[:extra]) or any(
        n not in (1, m) for n, m in zip(given[::-1], shape[::-1])
    ):
        refuse(
            ShapeError, name, (base, updates.aval), f"the new values do not broadcast to {shape}"
        )
    return broadcast_to(reshape_to(updates, given[extra:]), shape)  # type: ignore[arg-type]  # known extents


def _scatter_eval(base: Any, indices: Any, updates: Any, *, axis: int) -> Any:
    out = base.copy()
    np.add.at(out, (slice(None),) * axis + (indices,), updates)
    return out


_scatter_add: Op = record(
    "scatter_add",
    infer=_scatter_infer("scatter_add"),
    eval=_scatter_eval,
    recipe=ScatterAdd(),
    coerce=_indexed_coerce("scatter_add"),
    vjp=(
        lambda ct, out, base, indices, updates, axis: ct,
        None,
        lambda ct, out, base, indices, updates, axis: gather(ct, indices, axis=axis),
    ),
    doc="`base` with `updates` added at `indices` along `axis`, one after another where indices are equal.",
)


def scatter_add(base: Any, indices: Any, updates: Any, *, axis: int = 0) -> Any:
    """`base` with `updates` added at `indices` along `axis`; repeated indices add up.

    `updates` broadcasts to `base`'s shape with `axis` replaced by the axes of `indices`. float16 and bfloat16 are added in
    float32 and rounded once.

    >>> import tracejit as tj
    >>> tj.scatter_add(tj.zeros(3), [0, 2, 0], tj.tensor([1.0, 2.0, 3.0]))
    tensor([4., 0., 2.])
    """
    base, indices = value(base), index_value(indices)
    place = normal_axis(axis, base.aval.ndim, "scatter_add")
    dtype = base.aval.dtype
    base = cast(base, dtypes.float32) if dtype in dtypes.HALF else base
    updates = _spread(
        "scatter_add", updates, base.aval, _replaced(base.aval, place, indices.aval.shape)
    )
    return cast(_scatter_add(base, indices, updates, axis=place), dtype)


def _put_eval(base: Any, indices: Any, updates: Any, *, axis: int) -> Any:
    out = base.copy()
    out[(slice(None),) * axis + (indices,)] = updates
    return out


put: Op = extern(
    "put",
    infer=_scatter_infer("put"),
    eval=_put_eval,
    coerce=_indexed_coerce("put"),
    vjp=(
        lambda ct, out, base, indices, updates, axis: put(
            ct, indices, constant_like(ct, 0, shape=updates.aval.shape), axis=axis
        ),
        None,
        lambda ct, out, base, indices, updates, axis: gather(ct, indices, axis=axis),
    ),
    doc="`base` with `updates` in place of the elements at `indices` along `axis`; the last of equal indices wins.",
)


# along one axis


def take(x: Any, indices: Any, *, axis: int | None = None) -> Any:
    """The elements of `x` at `indices` (integers, negative ones from the end) along `axis`; None: of the flat array.

    >>> import tracejit as tj
    >>> tj.take(tj.tensor([5, 6, 7]), [-1, 0])
    tensor([7, 5])
    """
    x = value(x)
    if axis is None:
        return gather(ravel(x), indices, axis=0)
    return gather(x, indices, axis=axis)


def take_along_axis(x: Any, indices: Any, *, axis: int = -1) -> Any:
    """Along `axis` the elements at `indices`, whose other axes are those of `x` or 1, as np.take_along_axis.

    >>> import tracejit as tj
    >>> tj.take_along_axis(tj.tensor([[5, 6], [7, 8]]), tj.tensor([[1], [0]]), axis=1)
    tensor([[6],
            [7]])
    """
    x, indices = value(x), value(indices)
    place = normal_axis(axis, x.aval.ndim, "take_along_axis")
    if indices.aval.ndim != x.aval.ndim:
        refuse(
            ShapeError,
            "take_along_axis",
            (x.aval, indices.aval),
            "needs as many dimensions in both",
        )
    return _take_together(
        x,
        [
            indices if at == place else along(n, at, x.aval.ndim, x.aval.device)
            for at, n in enumerate(x.aval.shape)
        ],
    )


def along(extent: int, axis: int, ndim: int, device: str) -> Any:
    """0, 1, ... along `axis` of `ndim` axes, the others of extent 1."""
    places = arange(extent, device=device)
    return reshape(places, tuple(extent if at == axis else 1 for at in range(ndim)))


def _one_hot_infer(labels: Aval, *, axis: int, depth: int, dtype: DType) -> Aval:
    return aval(dtype, (*labels.shape[:axis], depth), labels.device)


_one_hot: Op = record(
    "one_hot",
    infer=_one_hot_infer,
    eval=lambda labels, *, axis, depth, dtype: (labels == np.arange(depth)).astype(dtype.numpy),
    recipe=Pointwise(
        lambda s, labels, *, axis, depth, dtype: s.cast(labels == s.index(axis), dtype)
    ),
    vjp=(None,),
    doc="1 where the place along the new last axis `axis` equals the label, else 0.",
)


def one_hot(labels: Any, num_classes: int, *, dtype: Any = dtypes.float32) -> Any:
    """A new last axis of `num_classes`, 1 at the label and 0 elsewhere; all 0 for a label outside the range.

    >>> import tracejit as tj
    >>> tj.one_hot([2, 0], 3)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    labels = index_value(labels)
    integers_only("one_hot", labels.aval)
    places = expand_dims(cast(labels, dtypes.int64), -1)
    return _one_hot(
        places, axis=labels.aval.ndim, depth=as_index(num_classes), dtype=dtypes.as_dtype(dtype)
    )


# general indexing


def getitem(x: Any, key: Any) -> Any:
    """`x[key]` for integers, slices, None, `...` and arrays of integers, as NumPy; a view where no array is among them."""
    x = value(x)
    selection = select(x.aval.shape, key)
    basic = selection.basic
    part = _sliced(x, basic)
    return _indexed(part, selection) if selection.arrays else part


def _sliced(x: Any, basic: Basic) -> Any:
    return reshape_to(
        x if _is_whole(basic, x.aval.shape) else slice_(x, **basic.bounds), basic.shape
    )


def _is_whole(basic: Basic, shape: Sequence[int]) -> bool:
    return all(
        bounds == (0, n, 1) for bounds, n in zip(zip(basic.start, basic.stop, basic.step), shape)
    )


def view_ops(shape: tuple[int, ...], key: Any) -> tuple[tuple[Op, Params], ...]:
    """The ops that give `x[key]` as a view of x of this shape, for integers, slices, None and `...`, and their arguments."""
    basic = select(shape, key).basic
    reshaped = REGISTRY["reshape"], {"shape": basic.shape}
    if _is_whole(basic, shape):
        return (reshaped,)  # `x[:]` is a view of x, not x
    kept = tuple(map(length_of, basic.start, basic.stop, basic.step))
    sliced = slice_, basic.bounds
    return (sliced,) if kept == basic.shape else (sliced, reshaped)


def _indexed(x: Any, selection: Selection) -> Any:
    """The axes that arrays index replaced by the arrays' own axes, in NumPy's place for them.

    That is where the first one was if integers and arrays stand side by side, and the front otherwise.
    """
    arrays = selection.arrays
    advanced = sorted((*arrays, *selection.dropped))
    adjacent = advanced == list(range(advanced[0], advanced[-1] + 1))
    rest = [axis for axis in range(x.aval.ndim) if axis not in advanced]
    place = sum(axis < advanced[0] for axis in rest) if adjacent else 0
    order = [*rest[:place], *selection.dropped, *sorted(arrays), *rest[place:]]
    x = permute_dims(x, order)
    shape = x.aval.shape
    begin = place + len(selection.dropped)
    extents = shape[begin : begin + len(arrays)]
    merged = reshape_to(x, (*shape[:place], prod(extents), *shape[begin + len(arrays) :]))
    return gather(
        merged, linear_index([arrays[axis] for axis in sorted(arrays)], extents), axis=place
    )


def linear_index(indices: Sequence[Any], extents: Sequence[int]) -> Any:
    """Row-major places in an array of `extents` from an index along each axis, which broadcast."""
    if len(indices) == 1:
        return indices[0]
    total = None
    for index, extent in zip(indices, extents, strict=True):
        front = where(less(index, 0), add(index, extent), index)
        total = front if total is None else add(multiply(total, extent), front)
    return total


def _take_together(x: Any, indices: Sequence[Any]) -> Any:
    """`x[indices]` with an array for each axis."""
    return gather(ravel(x), linear_index(indices, x.aval.shape), axis=0)


def _places(x: Any, key: Any) -> Any:
    """The row-major places in `x` of what `key` selects."""
    return getitem(reshape_to(arange(x.aval.size, device=x.aval.device), x.aval.shape), key)


def set_item(x: Any, key: Any, part: Any) -> Any:
    """A copy of `x` in which `part`, which broadcasts, is at `key`; the last one wins where indices repeat."""
    x = value(x)
    selection = select(x.aval.shape, key)
    basic = selection.basic
    if not selection.arrays:
        extents = tuple(len(range(*bounds)) for bounds in zip(basic.start, basic.stop, basic.step))
        part = (
            part
            if type(part) in NUMBERS
            else reshape_to(_spread("set_item", part, x.aval, basic.shape), extents)
        )
        return update_slice(x, part, **basic.bounds)
    places = _places(x, key)
    part = ravel(_spread("set_item", part, x.aval, places.aval.shape))
    return reshape_to(put(ravel(x), ravel(places), part, axis=0), x.aval.shape)


def add_at(x: Any, key: Any, part: Any) -> Any:
    """A copy of `x` with `part`, which broadcasts, added at `key`; repeated indices add up, as np.add.at.

    >>> import tracejit as tj
    >>> tj.add_at(tj.zeros(3), [0, 0], 1.0)
    tensor([2., 0., 0.])
    """
    x = value(x)
    places = _places(x, key)
    part = ravel(_spread("add_at", part, x.aval, places.aval.shape))
    return reshape_to(scatter_add(ravel(x), ravel(places), part, axis=0), x.aval.shape)


def repeat(x: Any, repeats: Any, *, axis: int | None = None) -> Any:
    """Each element `repeats` times in a row along `axis` (None: of the flat array), a number for all or one for each.

    The shape depends on the numbers, so those of a tensor are waited for.

    >>> import tracejit as tj
    >>> tj.repeat(tj.arange(2), 2)
    tensor([0, 0, 1, 1])
    >>> tj.repeat(tj.arange(3), [2, 0, 1])
    tensor([0, 0, 2])
    """
    x = value(x)
    if axis is None:
        return repeat(ravel(x), repeats, axis=0)
    place = normal_axis(axis, x.aval.ndim, "repeat")
    shape = x.aval.shape
    counts = np.asarray(repeats)
    if counts.size != 1:
        return gather(x, _repeated(counts, x.aval, place), axis=place)
    times = as_index(counts.reshape(())[()])
    spread = broadcast_to(
        expand_dims(x, place + 1), (*shape[: place + 1], times, *shape[place + 1 :])
    )
    return copied(reshape_to(spread, (*shape[:place], shape[place] * times, *shape[place + 1 :])))


def _repeated(counts: np.ndarray, x: Aval, axis: int) -> np.ndarray:
    """The places 0, 1, ... along `axis`, each as often as `counts` says."""
    extent = x.sizes[axis]
    if counts.shape != (extent,) or (counts.size and counts.dtype.kind not in "iu"):
        why = f"needs one integer for each of {extent} places, got {counts.dtype}{counts.shape}"
        refuse(ShapeError, "repeat", (x,), why)
    return np.repeat(np.arange(extent), counts.astype(np.int64))


def diagonal(x: Any, *, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of two axes, as a new last axis: a view, as np.diagonal.

    >>> import tracejit as tj
    >>> tj.diagonal(tj.reshape(tj.arange(9), (3, 3)), offset=1)
    tensor([1, 5])
    """
    x = value(x)
    ndim = x.aval.ndim
    first, second = (normal_axis(axis, ndim, "diagonal") for axis in (axis1, axis2))
    if first == second:
        refuse(ShapeError, "diagonal", (x.aval,), "needs two different axes")
    rest = [axis for axis in range(ndim) if axis not in (first, second)]
    rows, columns = x.aval.shape[first], x.aval.shape[second]
    length = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    flat = reshape_to(
        permute_dims(x, (*rest, first, second)),
        (*(x.aval.shape[axis] for axis in rest), rows * columns),
    )
    begin = offset if offset >= 0 else -offset * columns
    whole = tuple(slice(None) for _ in rest)
    end = begin + (length - 1) * (columns + 1) + 1 if length else begin
    return getitem(flat, (*whole, slice(begin, end, columns + 1)))


__all__ = [
    "add_at", "diagonal", "gather", "getitem", "index_value", "one_hot", "put", "repeat", "scatter_add", "select", "set_item",
    "take", "take_along_axis",
]  # fmt: skip
