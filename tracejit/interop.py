"""NumPy's protocols: `np.*` functions on tensors give tensors, computed by tracejit where it has the function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np

from tracejit import dispatch
from tracejit._errors import at_user_line
from tracejit.ops import elementwise, functions

MODULES = (elementwise, functions)
RENAMED = {
    "absolute": "abs", "amax": "max", "amin": "min", "concatenate": "concat", "invert": "bitwise_invert",
    "left_shift": "bitwise_left_shift", "power": "pow", "right_shift": "bitwise_right_shift", "swapaxes": "swapaxes",
    "transpose": "permute_dims", "true_divide": "divide",
}  # fmt: skip
"""NumPy's older names of functions that tracejit has under the array API's."""
FOLDS = {
    "add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min", "logical_and": "all", "logical_or": "any",
}  # fmt: skip
"""`np.add.reduce` is a sum."""


@cache
def table() -> dict[Any, Callable[..., Any]]:
    """NumPy's function -> tracejit's of the same name."""
    ours = {name: getattr(module, name) for module in MODULES for name in module.__all__}
    named = {name: name for name in ours} | {old: new for old, new in RENAMED.items() if new in ours}
    return {getattr(np, old): ours[new] for old, new in named.items() if callable(getattr(np, old, None))}


class NumPyProtocols:
    """What NumPy, and libraries that speak its protocols, ask of a tensor."""

    __slots__ = ()
    __array_priority__ = 1000

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array: np.ndarray = self.numpy()  # type: ignore[attr-defined]  # a tensor
        if dtype is not None and np.dtype(dtype) != array.dtype:
            if copy is False:
                raise ValueError(at_user_line(f"an array of {array.dtype} becomes {np.dtype(dtype)} only by a copy"))
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(self, **options: Any) -> Any:
        return self.numpy().__dlpack__(**options)  # type: ignore[attr-defined]  # a tensor

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # kDLCPU

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        function = _ours(ufunc, method)
        if function is None or not _accepts(function, inputs, kwargs):
            result = _by_numpy(getattr(ufunc, method), inputs, kwargs)
        else:
            result = function(*inputs, **kwargs)
        return result if out is None else _deliver(result, out)

    def __array_function__(
        self, function: Any, types: Iterable[type], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        ours = table().get(function)
        if ours is None or not _accepts(ours, args, kwargs):
            return _by_numpy(function, args, kwargs)
        return ours(*args, **kwargs)


def _ours(ufunc: Any, method: str) -> Callable[..., Any] | None:
    if method == "__call__":
        return table().get(ufunc)
    if method == "reduce" and ufunc.__name__ in FOLDS:
        fold = table().get(getattr(np, FOLDS[ufunc.__name__]))
        # np.add.reduce folds the first axis where np.sum folds all.
        return None if fold is None else lambda x, axis=0, **options: fold(x, axis=axis, **options)
    return None


def _accepts(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether tracejit's function has these arguments of NumPy's."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _deliver(result: Any, out: tuple[Any, ...]) -> Any:
    """Writes `result` where NumPy's `out=` says."""
    (target,) = out
    if isinstance(target, np.ndarray):
        np.copyto(target, np.asarray(result), casting="same_kind")
        return target
    return target.copy_(result)


def _by_numpy(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """NumPy's own function on the memory of the tensors; arrays in its result become tensors again."""
    result = function(*_arrays(args, function), **_arrays(kwargs, function))
    return _tensors(result)


def _arrays(value: Any, function: Callable[..., Any]) -> Any:
    match value:
        case dict():
            return {key: _arrays(part, function) for key, part in value.items()}
        case list() | tuple():
            return type(value)(_arrays(part, function) for part in value)
        case NumPyProtocols(requires_grad=True):
            name = getattr(function, "__name__", str(function))
            raise TypeError(at_user_line(f"np.{name} is not differentiable in tracejit; detach() the tensor first"))
        case NumPyProtocols():
            return np.asarray(value)
        case _:
            return value


def _tensors(result: Any) -> Any:
    if isinstance(result, (tuple, list)):
        return type(result)(map(_tensors, result)) if type(result) in (tuple, list) else result
    if isinstance(result, (np.ndarray, np.generic)) and result.dtype.kind in "biuf":
        return dispatch.lift(result)
    return result
