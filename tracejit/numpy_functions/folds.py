"""Reductions with all that NumPy lets one say of them."""

from __future__ import annotations

from math import inf
from typing import Any

from tracejit import dtypes, ops
from tracejit.numpy_functions.arguments import (
    array,
    as_dtype,
    axis_of,
    fitting,
    flag,
    inexact,
    leave,
    mask,
    require,
)
from tracejit.ops.arguments import cast, normal_axes

_NONE: Any = object()


def _chosen(a: Any, where: Any, otherwise: Any) -> Any:
    """`a` where `where=` says so, in its own dtype."""
    if where is True:
        return a
    return ops.where(mask(where, a.aval.shape), a, cast(otherwise, a.aval.dtype))


def _with_identity(fold: Any, identity: int, combine: Any) -> Any:
    """A sum or product, to which `initial` is put."""

    def folded(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        *,
        keepdims: Any = False,
        initial: Any = _NONE,
        where: Any = True,
    ) -> Any:
        chosen = _chosen(array(a), where, identity)
        wanted = None if dtype is None else as_dtype(dtype)
        result = fold(chosen, axis=axis, dtype=wanted, keepdims=flag(keepdims))
        return result if initial is _NONE else combine(result, fitting(initial, result.aval.dtype))

    return folded


sum = _with_identity(ops.sum, 0, ops.add)
prod = _with_identity(ops.prod, 1, ops.multiply)


def _extreme(fold: Any, combine: Any) -> Any:
    """The largest or least, and no less or more than `initial`."""

    def folded(
        a: Any, axis: Any = None, *, keepdims: Any = False, initial: Any = _NONE, where: Any = True
    ) -> Any:
        a = array(a)
        if initial is _NONE:
            require(where is True)
            return fold(a, axis=axis, keepdims=flag(keepdims))
        initial = fitting(initial, a.aval.dtype)
        result = fold(_chosen(a, where, initial), axis=axis, keepdims=flag(keepdims))
        return combine(result, initial)

    return folded


max = _extreme(ops.max, ops.maximum)
min = _extreme(ops.min, ops.minimum)


def _truth(fold: Any, identity: bool) -> Any:
    def folded(a: Any, axis: Any = None, *, keepdims: Any = False, where: Any = True) -> Any:
        return fold(_chosen(array(a), where, identity), axis=axis, keepdims=flag(keepdims))

    return folded


all = _truth(ops.all, True)
any = _truth(ops.any, False)


def mean(
    a: Any, axis: Any = None, dtype: Any = None, *, keepdims: Any = False, where: Any = True
) -> Any:
    a = array(a) if dtype is None else cast(array(a), as_dtype(dtype))
    require(dtype is None or a.aval.dtype.is_float)
    if where is True:
        return ops.mean(a, axis=axis, keepdims=flag(keepdims))
    return _mean_of(inexact(a), mask(where, a.aval.shape), axis, keepdims)


def _mean_of(a: Any, kept: Any, axis: Any, keepdims: Any) -> Any:
    """The mean of what is kept."""
    total = sum(a, axis, keepdims=keepdims, where=kept)
    count = ops.sum(kept, axis=axis, keepdims=flag(keepdims))
    return cast(ops.divide(total, count), a.aval.dtype)


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Any:
    return sum(ops.diagonal(array(a), offset=offset, axis1=axis1, axis2=axis2), -1, dtype)


def ptp(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    return ops.subtract(max(a, axis, keepdims=keepdims), min(a, axis, keepdims=keepdims))


def _average_weights(a: Any, weights: Any, axis: Any) -> Any:
    """The weights in a shape that goes with `a`; a vector lies along the axis."""
    weights = array(weights)
    if a.aval.shape == weights.aval.shape:
        return weights
    require(axis is not None and weights.aval.ndim == 1)
    place = axis_of(a, axis)
    require(weights.aval.shape[0] == a.aval.shape[place])
    return ops.expand_dims(weights, tuple(range(1, a.aval.ndim - place)))


def average(
    a: Any,
    axis: Any = None,
    weights: Any = None,
    returned: Any = False,
    *,
    keepdims: Any = False,
) -> Any:
    require(returned is False and not isinstance(axis, tuple))
    a = array(a)
    if weights is None:
        return ops.mean(a, axis=axis, keepdims=flag(keepdims))
    weights = _average_weights(a, weights, axis)
    dtype = dtypes.promote(inexact(a).aval.dtype, weights.aval.dtype)
    weighed = ops.multiply(cast(a, dtype), cast(weights, dtype))
    whole = ops.broadcast_to(cast(weights, dtype), a.aval.shape)
    scale = ops.sum(whole, axis=axis, keepdims=flag(keepdims))
    require(not ops.any(ops.equal(scale, 0)))
    return ops.divide(ops.sum(weighed, axis=axis, keepdims=keepdims), scale)


# NaNs left out


def _without_nan(a: Any, otherwise: Any) -> Any:
    return ops.where(ops.isnan(a), otherwise, a) if a.aval.dtype.is_float else a


def nansum(a: Any, axis: Any = None, dtype: Any = None, *, keepdims: Any = False) -> Any:
    return sum(_without_nan(array(a), 0), axis, dtype, keepdims=keepdims)


def nanprod(a: Any, axis: Any = None, dtype: Any = None, *, keepdims: Any = False) -> Any:
    return prod(_without_nan(array(a), 1), axis, dtype, keepdims=keepdims)


def nanmean(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    a = array(a)
    if not a.aval.dtype.is_float:
        return mean(a, axis, keepdims=keepdims)
    return _mean_of(a, ops.logical_not(ops.isnan(a)), axis, keepdims)


def _nan_extreme(fold: Any, least: float) -> Any:
    """NaN only where there is nothing else."""

    def folded(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
        a = array(a)
        found = fold(_without_nan(a, least), axis=axis, keepdims=flag(keepdims))
        if not a.aval.dtype.is_float:
            return found
        return ops.where(ops.all(ops.isnan(a), axis=axis, keepdims=keepdims), float("nan"), found)

    return folded


nanmax = _nan_extreme(ops.max, -inf)
nanmin = _nan_extreme(ops.min, inf)


# norms


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: Any = False) -> Any:
    """Of vectors, and the root of the sum of squares of anything."""
    x = inexact(x)
    require(isinstance(ord, int | float | None) or ord == "fro")
    axes = normal_axes(axis, x.aval.ndim, "norm")
    options: dict[str, Any] = {"axis": axes, "keepdims": flag(keepdims)}
    if ord is None and (axis is None or len(axes) in (1, 2)):
        return _euclidean(x, options)
    if ord == "fro" and len(axes) == 2:
        return _euclidean(x, options)
    require(len(axes) == 1)
    if ord == 2:
        return _euclidean(x, options)
    if ord == 1:
        return ops.sum(ops.abs(x), **options)
    if ord == inf:
        return max(ops.abs(x), initial=0, **options)
    return ops.min(ops.abs(x), **options) if ord == -inf else leave()


def _euclidean(x: Any, options: dict[str, Any]) -> Any:
    return ops.sqrt(ops.sum(ops.square(x), **options))


__all__ = [
    "all", "any", "average", "max", "mean", "min", "nanmax", "nanmean", "nanmin", "nanprod", "nansum", "prod", "ptp", "sum",
    "trace",
]  # fmt: skip
