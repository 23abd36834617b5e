"""NumPy's protocols: `np.*` functions on tensors give tensors, computed by tracejit where it has the function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np

from tracejit import dispatch
from tracejit._errors import at_user_line
from tracejit.ops import (
    contract,
    creation,
    elementwise,
    functions,
    index,
    reduce,
    shape,
    slicing,
)
from tracejit.ops.op import Op

Function = Callable[..., Any]

SAME_NAME = {
    contract: "dot einsum kron matmul outer tensordot trace vecdot",
    creation: "full_like ones_like tril triu",
    elementwise: (
        "abs add astype bitwise_and bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor ceil clip "
        "copysign divide equal floor floor_divide greater greater_equal isfinite isinf isnan less less_equal logical_and "
        "logical_not logical_or logical_xor maximum minimum multiply negative nextafter not_equal positive reciprocal "
        "remainder sign signbit sqrt square subtract trunc where zeros_like"
    ),
    functions: (
        "acos acosh asin asinh atan atan2 atanh cos cosh exp expm1 hypot log log1p log2 log10 logaddexp pow sin sinh tan tanh"
    ),
    index: "diagonal take take_along_axis",
    reduce: (
        "all any argmax argmin count_nonzero cumulative_prod cumulative_sum max mean min prod std sum var"
    ),
    shape: (
        "broadcast_arrays broadcast_to expand_dims matrix_transpose moveaxis permute_dims reshape squeeze swapaxes transpose"
    ),
    slicing: "concat flip meshgrid pad repeat roll split stack tile unstack",
}
"""Functions that NumPy has under the same name, which is the array API's, and with the same meaning."""


def _scan(function: Function) -> Function:
    """NumPy's older running sums, which take the flat array where no axis is given."""

    def scan(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
        flat, place = (shape.flatten(x), 0) if axis is None else (x, axis)
        return function(flat, axis=place, dtype=dtype)

    return scan


def _round(x: Any, decimals: int = 0) -> Any:
    """The nearest number of so many decimals, found as NumPy does."""
    if not decimals:
        return elementwise.round(x)
    power = 10.0 ** abs(decimals)
    if decimals < 0:
        return elementwise.round(x / power) * power
    return elementwise.round(x * power) / power


OTHER_NAME = {
    np.amax: reduce.max,
    np.amin: reduce.min,
    np.around: _round,
    np.cumprod: _scan(reduce.cumulative_prod),
    np.cumsum: _scan(reduce.cumulative_sum),
    np.ravel: shape.flatten,
    np.round: _round,
}
FOLDS = {
    np.add: reduce.sum,
    np.logical_and: reduce.all,
    np.logical_or: reduce.any,
    np.maximum: reduce.max,
    np.minimum: reduce.min,
    np.multiply: reduce.prod,
}
"""What `ufunc.reduce` is."""
OTHER_KEYWORD = {
    "a_max": "max",
    "a_min": "min",
    "ddof": "correction",
    "indices_or_sections": "sections",
}


@cache
def table() -> dict[Function, Function]:
    """NumPy's function -> tracejit's."""
    same = {
        getattr(np, name): getattr(module, name)
        for module, names in SAME_NAME.items()
        for name in names.split()
        if hasattr(np, name)  # some are newer than the oldest NumPy that tracejit takes
    }
    return same | OTHER_NAME


class NumPyProtocols:
    """What NumPy, and libraries that speak its protocols, ask of a tensor."""

    __slots__ = ()
    __array_priority__ = 1000

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array: np.ndarray = self.numpy()  # type: ignore[attr-defined]  # a tensor
        if dtype is not None and np.dtype(dtype) != array.dtype:
            if copy is False:
                message = f"an array of {array.dtype} becomes {np.dtype(dtype)} only by a copy"
                raise ValueError(at_user_line(message))
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(self, **options: Any) -> Any:
        return self.numpy().__dlpack__(**options)  # type: ignore[attr-defined]  # a tensor

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # kDLCPU

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", (None,))
        if method == "at":
            raise TypeError(
                at_user_line(
                    f"np.{ufunc.__name__}.at writes to a tensor; use tj.add_at, or t[index] = value"
                )
            )
        if method == "__call__" and ufunc in table() and not kwargs:
            return _deliver(table()[ufunc](*inputs), out)
        if method == "reduce" and ufunc in FOLDS and kwargs.keys() <= {"axis", "dtype", "keepdims"}:
            # np.add.reduce folds the first axis where np.sum folds all.
            return _deliver(FOLDS[ufunc](*inputs, **{"axis": 0, **kwargs}), out)
        return _deliver(_by_numpy(getattr(ufunc, method), inputs, kwargs), out)

    def __array_function__(
        self,
        function: Function,
        types: Iterable[type],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        ours = table().get(function)
        call = None if ours is None else _translated(function, ours, args, kwargs)
        if ours is None or call is None:
            return _by_numpy(function, args, kwargs)
        positional, named, out = call
        return _deliver(ours(*positional, **named), (out,))


@cache
def _signature(function: Function) -> inspect.Signature | None:
    """None where the function, written in C, tells none, or takes any number of arrays."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return None
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    return None if inspect.Parameter.VAR_POSITIONAL in kinds else signature


def _translated(
    function: Function, ours: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any], Any] | None:
    """The arguments of a call of NumPy's function as tracejit's takes them, and `out`; None where it has no such option."""
    expected = _signature(function)
    if isinstance(ours, Op) or expected is None:
        return None if kwargs else (list(args), {}, None)
    given = expected.bind(*args, **kwargs).arguments
    out = given.pop("out", None)
    parameters = inspect.signature(ours).parameters.values()
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


def _deliver(result: Any, out: tuple[Any, ...]) -> Any:
    """`result`, written where NumPy's `out=` says."""
    (target,) = out
    if target is None:
        return result
    if isinstance(target, np.ndarray):
        np.copyto(target, np.asarray(result), casting="same_kind")
        return target
    return target.copy_(result)


def _by_numpy(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """NumPy's own function on the memory of the tensors; arrays in its result become tensors again."""
    return _tensors(function(*_arrays(args, function), **_arrays(kwargs, function)))


def _arrays(value: Any, function: Function) -> Any:
    match value:
        case dict():
            return {key: _arrays(part, function) for key, part in value.items()}
        case list() | tuple():
            return type(value)(_arrays(part, function) for part in value)
        case NumPyProtocols():
            return _array_of(value, function)
        case _:
            return value


def _array_of(tensor: Any, function: Function) -> np.ndarray:
    if tensor.requires_grad:
        name = getattr(function, "__name__", str(function))
        message = f"np.{name} is not differentiable in tracejit: detach() the tensor first"
        raise TypeError(at_user_line(message))
    return np.asarray(tensor)


def _tensors(result: Any) -> Any:
    if type(result) in (tuple, list):
        return type(result)(map(_tensors, result))
    if isinstance(result, (np.ndarray, np.generic)) and result.dtype.kind in "biuf":
        return dispatch.lift(result)
    return result
