"""Functions of numbers, element by element, and products of vectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tracejit import dtypes, ops
from tracejit.numpy_functions.arguments import array, axis_of, floating, inexact, require
from tracejit.ops.arguments import NUMBERS, copied, weak_dtype
from tracejit.ops.families import computing_dtype

MOST_COEFFICIENTS = 32
"""So many terms of a polynomial are computed one by one."""


def conj(x: Any) -> Any:
    x = array(x)
    require(x.aval.dtype is not dtypes.bool_)
    return copied(x)


def degrees(x: Any) -> Any:
    return ops.multiply(floating(x), 180 / math.pi)


def radians(x: Any) -> Any:
    return ops.multiply(floating(x), math.pi / 180)


def sinc(x: Any) -> Any:
    """sin(pi x) / (pi x)"""
    angle = ops.multiply(math.pi, inexact(x))
    angle = ops.where(angle, angle, float(np.finfo(angle.aval.dtype.numpy).eps))
    return ops.divide(ops.sin(angle), angle)


def heaviside(x1: Any, x2: Any) -> Any:
    """0 below 0, x2 at 0, 1 above."""
    given = [x if type(x) in NUMBERS else array(x) for x in (x1, x2)]
    dtype = computing_dtype(dtypes.FLOATING, *map(weak_dtype, given))
    require(dtype is not None)
    x, at_zero = (array(each, dtype) for each in given)
    apart = ops.where(ops.less(x, 0), 0.0, ops.where(ops.greater(x, 0), 1.0, x))
    return ops.where(ops.equal(x, 0), at_zero, apart)


def nan_to_num(
    x: Any, copy: Any = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    x = array(x)
    require(copy is True)
    if not x.aval.dtype.is_float:
        return copied(x)
    limits = np.finfo(x.aval.dtype.numpy)
    most = float(limits.max) if posinf is None else posinf
    least = float(limits.min) if neginf is None else neginf
    require(all(isinstance(number, int | float) for number in (nan, most, least)))
    bounded = ops.where(ops.equal(x, math.inf), float(most), x)
    bounded = ops.where(ops.equal(x, -math.inf), float(least), bounded)
    return ops.where(ops.isnan(x), float(nan), bounded)


# products


def inner(a: Any, b: Any, /) -> Any:
    """The sum of products over the last axes."""
    x, y = array(a), array(b)
    if not x.aval.shape or not y.aval.shape:
        return ops.multiply(x, y)
    if x.aval.ndim == y.aval.ndim == 1:
        return ops.dot(x, y)
    return ops.tensordot(x, y, axes=((-1,), (-1,)))


def vdot(a: Any, b: Any, /) -> Any:
    return ops.dot(ops.ravel(array(a)), ops.ravel(array(b)))


def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None
) -> Any:
    """Of vectors of three."""
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = array(a), array(b)
    places = axis_of(x, axisa), axis_of(y, axisb)
    require(x.aval.shape[places[0]] == 3 and y.aval.shape[places[1]] == 3)
    x0, x1, x2 = ops.unstack(x, axis=places[0])
    y0, y1, y2 = ops.unstack(y, axis=places[1])
    pairs = ((x1, y2, x2, y1), (x2, y0, x0, y2), (x0, y1, x1, y0))
    parts = [ops.subtract(ops.multiply(p, q), ops.multiply(r, s)) for p, q, r, s in pairs]
    return ops.stack(parts, axis=axisc)


def polyval(p: Any, x: Any) -> Any:
    """By Horner's rule, from the coefficient of the highest power."""
    p, x = array(p), array(x)
    require(p.aval.ndim == 1 and 0 < p.aval.shape[0] <= MOST_COEFFICIENTS)
    y = ops.zeros_like(x)
    for coefficient in ops.unstack(p):
        y = ops.add(ops.multiply(y, x), coefficient)
    return y


__all__ = [
    "conj", "cross", "degrees", "heaviside", "inner", "nan_to_num", "polyval", "radians", "sinc", "vdot",
]  # fmt: skip
