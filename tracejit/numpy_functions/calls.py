"""Calls of NumPy's functions with tensors: computed by tracejit where it has the function, and by NumPy where not."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np

from tracejit import dispatch, ops
from tracejit._errors import at_user_line
from tracejit.inplace import write
from tracejit.interop import NumPyProtocols
from tracejit.numpy_functions import FUNCTIONS, LeftToNumPy
from tracejit.numpy_functions.arguments import array as as_array
from tracejit.numpy_functions.arguments import is_ours, signature
from tracejit.numpy_functions.ufuncs import added_at, of_ufunc
from tracejit.ops.arguments import NUMBERS, copied
from tracejit.ops.op import Op

Function = Callable[..., Any]

SAME_NAME = """
    abs acos acosh add argmax argmin asin asinh astype atan atan2 atanh bitwise_and bitwise_invert
    bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor broadcast_arrays broadcast_to ceil clip concat
    copysign cos cosh count_nonzero cumulative_prod cumulative_sum diagonal diff divide dot einsum equal exp
    expand_dims expm1 flip floor floor_divide greater greater_equal hypot isfinite isin isinf isnan kron
    less less_equal log log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor matmul
    matrix_transpose maximum minimum moveaxis multiply negative nextafter not_equal outer
    permute_dims positive pow reciprocal remainder repeat reshape roll searchsorted sign signbit sin sinh
    split sqrt square squeeze stack std subtract swapaxes take take_along_axis tan tanh tensordot tile
    transpose tril triu trunc unstack var vecdot
""".split()
"""Functions that NumPy has under the same name, which is the array API's, and with the same meaning."""


def _scan(function: Function) -> Function:
    """NumPy's older running sums, which take the flat array where no axis is given."""

    def scan(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
        flat, place = (ops.flatten(x), 0) if axis is None else (x, axis)
        return function(flat, axis=place, dtype=dtype)

    return scan


def _round(x: Any, decimals: int = 0) -> Any:
    """The nearest number of so many decimals, found as NumPy does."""
    x = as_array(x)
    kind = x.aval.dtype.kind
    if kind == "b" or (kind in "iu" and decimals < 0):
        raise LeftToNumPy
    if not decimals or kind in "iu":
        return copied(ops.round(x))
    power = 10.0 ** abs(decimals)
    if decimals < 0:
        return ops.round(x / power) * power
    return ops.round(x * power) / power


def _meshgrid(*arrays: Any, indexing: str = "xy") -> tuple[Any, ...]:
    return tuple(ops.meshgrid(*arrays, indexing=indexing))


def _sorted(function: Function) -> Function:
    """NumPy sorts the flat array where the axis is None, and has an order of its own for equal elements."""

    def along(x: Any, *, axis: int | None = -1) -> Any:
        flat, place = (ops.ravel(x), 0) if axis is None else (x, axis)
        return function(flat, axis=place, stable=False)

    return along


OTHER_NAME = {
    np.argsort: _sorted(ops.argsort),
    np.around: _round,
    np.cumprod: _scan(ops.cumulative_prod),
    np.cumsum: _scan(ops.cumulative_sum),
    np.meshgrid: _meshgrid,
    np.ravel: ops.ravel,
    np.round: _round,
    np.sort: _sorted(ops.sort),
}
OTHER_KEYWORD = {
    "a_max": "max",
    "a_min": "min",
    "ddof": "correction",
    "indices_or_sections": "sections",
}


OF_ARRAYS = frozenset({np.dot, np.isin, np.kron, np.outer, np.searchsorted})
"""Functions of two arrays, to which a Python number is an array of its own dtype."""


@cache
def table() -> dict[Function, Function]:
    """NumPy's function -> tracejit's."""
    # Some names are newer than the oldest NumPy that tracejit takes.
    same = {getattr(np, name): getattr(ops, name) for name in SAME_NAME if hasattr(np, name)}
    return same | OTHER_NAME | FUNCTIONS


def computed_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A call of a ufunc, or of a method of one, with tensors."""
    out = kwargs.pop("out", (None,))
    if method == "at":
        with suppress(LeftToNumPy):
            write(inputs[0], added_at(ufunc, *inputs))
            return None
        message = f"np.{ufunc.__name__}.at of these arguments: use t[index] = value, or np.add.at"
        raise TypeError(at_user_line(message))
    ours = table().get(ufunc)
    if ours is not None:
        with suppress(LeftToNumPy):
            result = of_ufunc(ufunc, ours, method, inputs, kwargs, out[0])
            is_fold = method != "__call__" and out[0] is not None
            return _deliver(_fitting(result, out[0]) if is_fold else result, out)
    if any(target is not None for target in out):
        kwargs["out"] = out
    return by_numpy(getattr(ufunc, method), inputs, kwargs)


def computed(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function of NumPy's on tensors."""
    ours = table().get(function)
    call = None if ours is None else _translated(function, ours, args, kwargs)
    if ours is None or call is None:
        return by_numpy(function, args, kwargs)
    positional, named, out = call
    with suppress(LeftToNumPy):
        result = ours(*positional, **named)
        return _deliver(result if out is None else _fitting(result, out), (out,))
    return by_numpy(function, args, kwargs)


@cache
def _signature(function: Function) -> inspect.Signature | None:
    """None where the function, written in C, tells none, or takes any number of arrays."""
    try:
        found = signature(function)
    except ValueError:
        return None
    kinds = {parameter.kind for parameter in found.parameters.values()}
    return None if inspect.Parameter.VAR_POSITIONAL in kinds else found


def _translated(
    function: Function, ours: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any], Any] | None:
    """The arguments of a call of NumPy's function as tracejit's takes them, and `out`; None where it has no such option."""
    if function in FUNCTIONS:
        return _bound(ours, args, kwargs)
    if function in OF_ARRAYS:
        args = (*(as_array(x) if type(x) in NUMBERS else x for x in args[:2]), *args[2:])
    expected = _signature(function)
    if isinstance(ours, Op) or expected is None:
        return None if kwargs else (list(args), {}, None)
    given = expected.bind(*args, **kwargs).arguments
    out = given.pop("out", None)
    parameters = signature(ours).parameters.values()
    places = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    names = {p.name for p in parameters}
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for at, (name, value) in enumerate(given.items()):
        name = OTHER_KEYWORD.get(name, name)
        if name in names and name not in places[: len(positional)]:
            named[name] = value
        elif at == len(positional) < len(places):
            positional.append(value)
        else:
            return None
    return positional, named, out


def _bound(
    ours: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any], Any] | None:
    """The same for a function with NumPy's own parameters."""
    named = {name: value for name, value in kwargs.items() if value is not np._NoValue}
    out = named.pop("out", None)
    try:
        call = signature(ours).bind(*args, **named)
    except TypeError:
        return None
    return list(call.args), call.kwargs, out


def _fitting(result: Any, target: Any) -> Any:
    """`result` of the shape and dtype of the target; others may make NumPy compute otherwise, or refuse."""
    dtype = target.dtype if isinstance(target, np.ndarray) else target.aval.dtype.numpy
    if tuple(target.shape) != result.shape or dtype != result.aval.dtype.numpy:
        raise LeftToNumPy
    return result


def _deliver(result: Any, out: tuple[Any, ...]) -> Any:
    """`result`, written where NumPy's `out=` says."""
    (target,) = out
    if target is None:
        return result
    if not isinstance(target, NumPyProtocols):
        np.copyto(target, np.asarray(result), casting="same_kind")
        return target
    tensor: Any = target
    found, wanted = result.aval.dtype.numpy, tensor.aval.dtype.numpy
    if found.kind in "biuf" and not np.can_cast(found, wanted, "same_kind"):
        message = f"out: cannot cast {found} to {wanted} with casting rule 'same_kind'"
        raise TypeError(at_user_line(message))
    return write(tensor, result)


def by_numpy(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """NumPy's own function on the memory of the tensors; arrays in its result become tensors again, views over that memory."""
    seen: Seen = {}
    positional, named = _arrays(args, function, seen), _arrays(kwargs, function, seen)
    return _tensors(function(*positional, **named), seen)


Seen = dict[int, tuple[np.ndarray, Any]]
"""By identity of an array: it, and the tensor whose memory it shows."""


def _arrays(value: Any, function: Function, seen: Seen) -> Any:
    match value:
        case dict():
            return {key: _arrays(part, function, seen) for key, part in value.items()}
        case list() | tuple():
            return type(value)(_arrays(part, function, seen) for part in value)
        case NumPyProtocols():
            array = _array_of(value, function)
            seen[id(array)] = array, value
            return array
        case _:
            return value


def _array_of(tensor: Any, function: Function) -> np.ndarray:
    if getattr(tensor, "requires_grad", False):
        name = getattr(function, "__name__", str(function))
        message = f"np.{name} is not differentiable in tracejit: detach() the tensor first"
        raise TypeError(at_user_line(message))
    return np.asarray(tensor)


def _tensors(result: Any, seen: Seen) -> Any:
    if type(result) in (tuple, list):
        return type(result)(_tensors(part, seen) for part in result)
    if id(result) in seen:  # `out=`
        return seen[id(result)][1]
    if not isinstance(result, (np.ndarray, np.generic)) or not is_ours(result.dtype):
        return result
    for array, tensor in seen.values():
        if np.may_share_memory(result, array):
            return tensor._over(result) if result.flags.writeable else result
    tensor = dispatch.lift(result)
    # In a compiled function a view is an array even if it has no dimensions, and not a number.
    is_number = result.shape or isinstance(result, np.generic)
    return tensor if is_number else tensor[...]
