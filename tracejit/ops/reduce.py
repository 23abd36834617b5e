"""Reductions. The records fold one group of adjacent axes; the functions take NumPy's `axis` and `keepdims`.

The order of additions is fixed by the shape alone (`families.reduction_groups`, and the fold's tree inside a group).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod as product
from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit._errors import ShapeError
from tracejit.dtypes import NUMERIC
from tracejit.ir.aval import Shape
from tracejit.ops.arguments import as_float, cast, copied, normal_axes, normal_axis, refuse, value
from tracejit.ops.creation import arange
from tracejit.ops.elementwise import (
    divide,
    equal,
    multiply,
    not_equal,
    sqrt,
    square,
    subtract,
    where,
)
from tracejit.ops.families import add_up, reduction, reduction_groups, reshape_to
from tracejit.ops.op import Op
from tracejit.ops.scan import accumulator, cumulative_prod, cumulative_sum, product_before
from tracejit.ops.shape import expand_dims, ravel, spread_to
from tracejit.ops.slicing import flip

Axes = int | Sequence[int] | None


def _spread(ct: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """`ct` of a reduction, repeated to the shape of what was reduced."""
    return spread_to(expand_dims(ct, axes), x.aval.shape)


def _to_the_chosen(ct: Any, out: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """Elements equal to the result share its cotangent equally."""
    chosen = equal(x, _spread(out, x, axes))
    count = add_up(cast(chosen, ct.aval.dtype), axes)
    return where(chosen, _spread(divide(ct, count), x, axes), 0.0)


def _to_the_first(ct: Any, out: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """The first of the elements equal to the result, in row-major order, has its cotangent."""
    window = x.aval.shape[axes[0] : axes[-1] + 1]
    tail = (1,) * (x.aval.ndim - axes[-1] - 1)
    places = arange(product(window), device=x.aval.device)
    own = reshape_to(places, (*window, *tail))
    first = _spread(reduce_argmax(x, axes=axes), x, axes)
    return where(equal(own, first), _spread(ct, x, axes), 0.0)


def _to_the_others(ct: Any, out: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """ct times the product of all other elements, which no division gives where one is 0."""
    shape = x.aval.shape
    row = (*shape[: axes[0]], product(shape[axis] for axis in axes), *shape[axes[-1] + 1 :])
    factors = reshape_to(x, row)
    before = product_before(factors, axes[0])
    after = flip(product_before(flip(factors, axes[0]), axes[0]), axes[0])
    return multiply(_spread(ct, x, axes), reshape_to(multiply(before, after), shape))


def _over(fold: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy's fold over a group of axes, in the array's own dtype."""
    return lambda x, *, axes: fold(x, axis=axes)


def _over_index(fold: Callable[..., Any]) -> Callable[..., Any]:
    def evaluate(x: Any, *, axes: tuple[int, ...]) -> Any:
        row = (
            *x.shape[: axes[0]],
            product(x.shape[axis] for axis in axes),
            *x.shape[axes[-1] + 1 :],
        )
        return fold(x.reshape(row), axis=axes[0])

    return evaluate


reduce_sum: Op = reduction(
    "sum",
    dtypes=NUMERIC,
    eval=lambda x, *, axes: np.sum(x, axis=axes, dtype=x.dtype),
    vjp=lambda ct, out, x, axes: _spread(ct, x, axes),
)
reduce_prod: Op = reduction(
    "prod",
    dtypes=NUMERIC,
    eval=lambda x, *, axes: np.prod(x, axis=axes, dtype=x.dtype),
    vjp=_to_the_others,
)
reduce_max: Op = reduction(
    "max", dtypes=NUMERIC, eval=_over(np.max), vjp=_to_the_chosen, needs_elements=True
)
reduce_first_max: Op = reduction(
    "first_max",
    dtypes=NUMERIC,
    eval=_over(np.max),
    combine="max",
    vjp=_to_the_first,
    needs_elements=True,
    doc="The maximum; the first of several has the gradient, as in pooling.",
)
reduce_min: Op = reduction(
    "min", dtypes=NUMERIC, eval=_over(np.min), vjp=_to_the_chosen, needs_elements=True
)
reduce_any: Op = reduction("any", dtypes=(dtypes.bool_,), eval=_over(np.any))
reduce_all: Op = reduction("all", dtypes=(dtypes.bool_,), eval=_over(np.all))
reduce_argmax: Op = reduction(
    "argmax", dtypes=NUMERIC, eval=_over_index(np.argmax), result=dtypes.int64, needs_elements=True
)
reduce_argmin: Op = reduction(
    "argmin", dtypes=NUMERIC, eval=_over_index(np.argmin), result=dtypes.int64, needs_elements=True
)


def _fold(op: Op, x: Any, axes: tuple[int, ...]) -> Any:
    for group in reduction_groups(x.aval.shape, axes):
        x = op(x, axes=group)
    return x


def kept(result: Any, shape: Shape, axes: tuple[int, ...], keepdims: bool) -> Any:
    """`result`, with the reduced axes kept as extents of 1 if `keepdims`."""
    if not axes:
        return copied(result)
    if not keepdims:
        return result
    return reshape_to(
        result, tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))
    )


def sum(x: Any, *, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The sum over `axis` (None: all axes; an int or a tuple).

    Bools and integers are added in int64 or uint64; float16 and bfloat16 in float32, rounded once. No elements sum to 0.

    >>> import tracejit as tj
    >>> tj.sum(tj.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([4., 6.])
    """
    x = value(x)
    axes = normal_axes(axis, x.aval.ndim, "sum")
    total = accumulator(x.aval.dtype) if dtype is None else dtypes.as_dtype(dtype)
    return kept(add_up(cast(x, total), axes), x.aval.shape, axes, keepdims)


def prod(x: Any, *, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The product over `axis`, in the dtype that `sum` uses. No elements have the product 1.

    >>> import tracejit as tj
    >>> tj.prod(tj.tensor([2, 3, 4]))
    tensor(24)
    """
    x = value(x)
    axes = normal_axes(axis, x.aval.ndim, "prod")
    total = accumulator(x.aval.dtype) if dtype is None else dtypes.as_dtype(dtype)
    factors = cast(x, dtypes.float32 if total in dtypes.HALF and axes else total)
    return kept(cast(_fold(reduce_prod, factors, axes), total), x.aval.shape, axes, keepdims)


def max(x: Any, *, axis: Axes = None, keepdims: bool = False) -> Any:
    """The largest element over `axis`; NaN if there is one. ValueError where there is no element.

    Elements that tie share the gradient equally.

    >>> import tracejit as tj
    >>> tj.max(tj.tensor([[1, 5], [7, 2]]), axis=1)
    tensor([5, 7])
    """
    return _extreme(x, axis, keepdims, reduce_max, reduce_any)


def min(x: Any, *, axis: Axes = None, keepdims: bool = False) -> Any:
    """The smallest element over `axis`; NaN if there is one. ValueError where there is no element.

    >>> import tracejit as tj
    >>> tj.min(tj.tensor([[1, 5], [7, 2]]), axis=1)
    tensor([1, 2])
    """
    return _extreme(x, axis, keepdims, reduce_min, reduce_all)


def _extreme(x: Any, axis: Axes, keepdims: bool, numeric: Op, of_bools: Op) -> Any:
    x = value(x)
    axes = normal_axes(axis, x.aval.ndim, numeric.name)
    if 0 in [x.aval.shape[a] for a in axes]:
        refuse(ShapeError, numeric.name, (x.aval,), f"the reduced axes {axes} hold no elements")
    op = of_bools if x.aval.dtype is dtypes.bool_ else numeric
    return kept(_fold(op, x, axes), x.aval.shape, axes, keepdims)


def first_max(x: Any, axes: tuple[int, ...]) -> Any:
    """The largest element over ascending `axes`, the first of which, in row-major order, has the gradient."""
    return _fold(reduce_first_max, x, axes)


def any(x: Any, *, axis: Axes = None, keepdims: bool = False) -> Any:
    """Whether an element over `axis` is not zero.

    >>> import tracejit as tj
    >>> tj.any(tj.tensor([[0, 1], [0, 0]]), axis=1)
    tensor([ True, False])
    """
    return _truth(x, axis, keepdims, reduce_any)


def all(x: Any, *, axis: Axes = None, keepdims: bool = False) -> Any:
    """Whether no element over `axis` is zero.

    >>> import tracejit as tj
    >>> tj.all(tj.tensor([[1, 1], [0, 1]]), axis=1)
    tensor([ True, False])
    """
    return _truth(x, axis, keepdims, reduce_all)


def _truth(x: Any, axis: Axes, keepdims: bool, op: Op) -> Any:
    x = value(x)
    axes = normal_axes(axis, x.aval.ndim, op.name)
    return kept(_fold(op, cast(x, dtypes.bool_), axes), x.aval.shape, axes, keepdims)


def count_nonzero(x: Any, *, axis: Axes = None, keepdims: bool = False) -> Any:
    """How many elements over `axis` are not zero, in int64.

    >>> import tracejit as tj
    >>> tj.count_nonzero(tj.tensor([0.0, 2.0, 3.0]))
    tensor(2)
    """
    return sum(not_equal(x, 0), axis=axis, keepdims=keepdims)


def argmax(x: Any, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """The index (int64) of the first largest element along `axis`, or in row-major order; a NaN counts as largest.

    >>> import tracejit as tj
    >>> tj.argmax(tj.tensor([1, 3, 2, 3]))
    tensor(1)
    """
    return _place(x, axis, keepdims, reduce_argmax)


def argmin(x: Any, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """The index (int64) of the first smallest element along `axis`, or in row-major order; a NaN counts as smallest.

    >>> import tracejit as tj
    >>> tj.argmin(tj.tensor([4, 3, 5, 3]))
    tensor(1)
    """
    return _place(x, axis, keepdims, reduce_argmin)


def _place(x: Any, axis: int | None, keepdims: bool, op: Op) -> Any:
    x = value(x)
    source = cast(x, dtypes.uint8) if x.aval.dtype is dtypes.bool_ else x
    if axis is None:
        axes: tuple[int, ...] = tuple(range(x.aval.ndim))
        found = op(ravel(source), axes=(0,))
    else:
        axes = (normal_axis(axis, x.aval.ndim, op.name),)
        found = op(source, axes=axes)
    return kept(found, x.aval.shape, axes, keepdims)


# statistics


def _floating(x: Any) -> Any:
    return x if x.aval.dtype.is_float else cast(x, dtypes.float64)


def _in_single(x: Any) -> Any:
    return cast(x, dtypes.float32) if x.aval.dtype in dtypes.HALF else x


def _count(shape: Shape, axes: tuple[int, ...]) -> int:
    return product(shape[axis] for axis in axes)  # type: ignore[misc]  # known extents


def mean(x: Any, *, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The mean over `axis`: of integers in float64, of float16 and bfloat16 computed in float32. NaN of no elements.

    >>> import tracejit as tj
    >>> tj.mean(tj.tensor([1.0, 2.0, 6.0]))
    tensor(3.)
    """
    x = value(x) if dtype is None else cast(value(x), dtypes.as_dtype(dtype))
    x = _floating(x)
    axes = normal_axes(axis, x.aval.ndim, "mean")
    total = add_up(_in_single(x), axes)
    average = cast(divide(total, as_float(_count(x.aval.shape, axes))), x.aval.dtype)
    return kept(average, x.aval.shape, axes, keepdims)


def var(x: Any, *, axis: Axes = None, correction: float = 0, keepdims: bool = False) -> Any:
    """The mean squared distance from the mean over `axis`, divided by n - `correction`.

    >>> import tracejit as tj
    >>> tj.var(tj.tensor([1.0, 2.0, 3.0]), correction=1)
    tensor(1.)
    """
    x = _floating(value(x))
    return cast(_variance(_in_single(x), axis, correction, keepdims, "var"), x.aval.dtype)


def std(x: Any, *, axis: Axes = None, correction: float = 0, keepdims: bool = False) -> Any:
    """The square root of `var`.

    >>> import tracejit as tj
    >>> tj.std(tj.tensor([1.0, 3.0]))
    tensor(1.)
    """
    x = _floating(value(x))
    return cast(sqrt(_variance(_in_single(x), axis, correction, keepdims, "std")), x.aval.dtype)


def _variance(x: Any, axis: Axes, correction: float, keepdims: bool, name: str) -> Any:
    axes = normal_axes(axis, x.aval.ndim, name)
    apart = subtract(x, mean(x, axis=axes, keepdims=True))
    count = _count(x.aval.shape, axes) - correction
    spread = divide(add_up(square(apart), axes), as_float(count if count > 0 else 0))
    return kept(spread, x.aval.shape, axes, keepdims)


__all__ = [
    "all", "any", "argmax", "argmin", "count_nonzero", "cumulative_prod", "cumulative_sum", "max", "mean", "min", "prod",
    "std", "sum", "var",
]  # fmt: skip
