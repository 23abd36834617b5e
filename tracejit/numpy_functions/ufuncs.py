"""Calls of ufuncs with `dtype=` and `where=`, and their methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit import dtypes, ops
from tracejit.numpy_functions import folds
from tracejit.numpy_functions.arguments import (
    array,
    as_dtype,
    axis_of,
    fitting,
    has_memory,
    is_number,
    leave,
    mask,
    require,
    signature,
)
from tracejit.ops.arguments import NUMBERS, cast, copied, weak_dtype
from tracejit.ops.slicing import slice_axis

Function = Callable[..., Any]

FOLDS: dict[Any, Function] = {
    np.add: folds.sum,
    np.logical_and: folds.all,
    np.logical_or: folds.any,
    np.maximum: folds.max,
    np.minimum: folds.min,
    np.multiply: folds.prod,
}
"""What `ufunc.reduce` is."""


def _running(combine: Function) -> Function:
    """A running fold of what may be combined in any order: each round combines runs of twice the length."""

    def scan(x: Any, *, axis: int) -> Any:
        place, run = axis_of(x, axis), 1
        extent, running = x.aval.shape[place], copied(x)
        while run < extent:
            later = slice_axis(running, place, run, extent)
            longer = combine(later, slice_axis(running, place, 0, extent - run))
            running = ops.concat([slice_axis(running, place, 0, run), longer], axis=place)
            run *= 2
        return running

    return scan


SCANS: dict[Any, Function] = {
    np.add: ops.cumulative_sum,
    np.maximum: _running(ops.maximum),
    np.minimum: _running(ops.minimum),
    np.multiply: ops.cumulative_prod,
}
"""What `ufunc.accumulate` is."""


def of_ufunc(
    ufunc: np.ufunc,
    ours: Function,
    method: str,
    inputs: tuple[Any, ...],
    options: dict[str, Any],
    out: Any,
) -> Any:
    """`ufunc.method(*inputs, **options)`, where `ours` is what tracejit calls the ufunc; not yet written to `out`."""
    options = {
        name: value for name, value in options.items() if name != "dtype" or value is not None
    }
    match method:
        case "__call__":
            return _called(ufunc, ours, inputs, out, **_only(options, "dtype", "where"))
        case "reduce":
            return _with_axis(FOLDS.get(ufunc) or leave(), array(*inputs), options)
        case "accumulate":
            scan = SCANS.get(ufunc) or leave()
            return _with_axis(scan, array(*inputs), options)
        case "outer":
            require(not options)
            return _outer(ours, *inputs)
        case _:
            return leave()


def added_at(ufunc: np.ufunc, x: Any, key: Any, part: Any) -> Any:
    """What `x` is to hold after `ufunc.at(x, key, part)`: at places that repeat, every part counts."""
    require(ufunc in (np.add, np.subtract) and has_memory(x) and x.aval.dtype is not dtypes.bool_)
    if is_number(part):
        part = fitting(part, x.aval.dtype)
    else:
        part = array(part)
        kinds = x.aval.dtype.numpy, part.aval.dtype.numpy
        require(np.can_cast(np.result_type(*kinds), kinds[0], "same_kind"))
        part = cast(part, x.aval.dtype)
    return ops.add_at(x, key, part if ufunc is np.add else -part)


def _only(options: dict[str, Any], *names: str) -> dict[str, Any]:
    require(options.keys() <= set(names))
    return options


def _called(
    ufunc: np.ufunc,
    ours: Function,
    inputs: tuple[Any, ...],
    out: Any,
    dtype: Any = None,
    where: Any = True,
) -> Any:
    result = ours(*inputs) if dtype is None else _in_loop(ufunc, ours, inputs, as_dtype(dtype))
    return result if where is True else _beside(out, result, where)


def _in_loop(ufunc: np.ufunc, ours: Function, inputs: tuple[Any, ...], dtype: Any) -> Any:
    """Computed in the dtypes that NumPy takes for a result of `dtype`."""
    given = [weak_dtype(x if type(x) in NUMBERS else array(x)) for x in inputs]
    found = [kind if isinstance(kind, type) else kind.numpy for kind in given]
    wanted = (*(None for _ in inputs), dtype.numpy)
    try:
        *takes, gives = ufunc.resolve_dtypes((*found, None), signature=wanted)
    except TypeError:
        leave()
    result = ours(*(array(x, dtypes.from_numpy(kind)) for x, kind in zip(inputs, takes)))
    require(result.aval.dtype.numpy == gives)
    return result


def _beside(out: Any, result: Any, where: Any) -> Any:
    """What `out` is to hold: the result where `where` says so, else what it holds."""
    require(has_memory(out) and out.aval.shape == result.aval.shape)
    require(np.can_cast(result.aval.dtype.numpy, out.aval.dtype.numpy, "same_kind"))
    return ops.where(mask(where, out.aval.shape), cast(result, out.aval.dtype), out)


def _with_axis(function: Function, x: Any, options: dict[str, Any]) -> Any:
    """Over the first axis, where NumPy's functions take all."""
    try:
        call = signature(function).bind(x, **{"axis": 0, **options})
    except TypeError:
        leave()
    return function(*call.args, **call.kwargs)


def _outer(ours: Function, a: Any, b: Any) -> Any:
    x, y = array(a), array(b)
    return ours(ops.reshape(x, (*x.aval.shape, *(1 for _ in y.aval.shape))), y)
