"""Arrays turned round, and given more axes; how large they are."""

from __future__ import annotations

from typing import Any

from tracejit import ops
from tracejit.numpy_functions.arguments import array, axis_of, require


def fliplr(m: Any) -> Any:
    m = array(m)
    require(m.aval.ndim >= 2)
    return ops.flip(m, 1)


def flipud(m: Any) -> Any:
    m = array(m)
    require(m.aval.ndim >= 1)
    return ops.flip(m, 0)


def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    m = array(m)
    require(type(k) is int and len(axes) == 2)
    first, second = (axis_of(m, axis) for axis in axes)
    require(first != second)
    match k % 4:
        case 0:
            return m
        case 1:
            return ops.swapaxes(ops.flip(m, second), first, second)
        case 2:
            return ops.flip(m, (first, second))
        case _:
            return ops.flip(ops.swapaxes(m, first, second), second)


def _raised_1d(x: Any) -> Any:
    return x if x.aval.ndim else ops.reshape(x, (1,))


def _raised_2d(x: Any) -> Any:
    return x if x.aval.ndim > 1 else ops.expand_dims(_raised_1d(x), 0)


def atleast_1d(*arys: Any) -> Any:
    raised = tuple(_raised_1d(array(x)) for x in arys)
    return raised[0] if len(raised) == 1 else raised


def atleast_2d(*arys: Any) -> Any:
    raised = tuple(_raised_2d(array(x)) for x in arys)
    return raised[0] if len(raised) == 1 else raised


def real(val: Any) -> Any:
    return array(val)


def shape(a: Any) -> Any:
    return array(a).aval.shape


def ndim(a: Any) -> Any:
    return array(a).aval.ndim


def size(a: Any, axis: Any = None) -> Any:
    a = array(a)
    return a.aval.size if axis is None else a.aval.shape[axis_of(a, axis)]


__all__ = ["atleast_1d", "atleast_2d", "fliplr", "flipud", "ndim", "real", "rot90", "shape", "size"]
