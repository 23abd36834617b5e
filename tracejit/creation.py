"""Tensors from data, from other libraries' arrays, and from a shape."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit._config import config
from tracejit._errors import at_user_line
from tracejit.exchange import is_on_gpu, taken
from tracejit.ops import creation
from tracejit.ops.arguments import moved, value
from tracejit.runtime.device import default_device
from tracejit.tensor import Tensor, check_device, from_array, from_data


def tensor(
    data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A new tensor with a copy of `data`: a number, nested sequences, an array or a tensor.

    Python floats become the default dtype (float32), integers int64; arrays keep theirs. Raises DTypeError, a TypeError, for
    what is not numbers.

    >>> tensor([1.0, 2.0])
    tensor([1., 2.])
    >>> tensor([[1, 2], [3, 4]], dtype="float64")
    tensor([[1., 2.],
            [3., 4.]], dtype=float64)
    """
    return Tensor(data, dtype, device, requires_grad)


def asarray(
    obj: Any, dtype: Any = None, *, device: str | None = None, copy: bool | None = None
) -> Tensor:
    """`obj` as a tensor: itself where it is one, the same memory where it is an array, a new tensor otherwise.

    With `copy=True` always a copy; with `copy=False` never, and ValueError where one is needed.

    >>> import numpy as np
    >>> a = np.zeros(2)
    >>> asarray(a)[0] = 1
    >>> a
    array([1., 0.])
    """
    place = None if device is None else check_device(device)
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    if isinstance(obj, Tensor):
        made = obj if wanted is None else obj.astype(wanted, copy=bool(copy))
        made = made if place is None else moved(made, place)
        made = made.copy() if copy and made is obj else made
    else:
        if not isinstance(obj, (np.ndarray, np.generic)):
            if is_on_gpu(obj):
                return _from_gpu(obj, wanted, place, copy)
            if hasattr(obj, "__cuda_array_interface__"):
                return from_data(obj, wanted, place)
            if hasattr(obj, "__dlpack__"):
                obj = np.from_dlpack(obj)
        is_memory = isinstance(obj, np.ndarray)
        made = from_array(obj, copy=bool(copy) or not is_memory, dtype=wanted)
        made = moved(made, place or default_device())
    if copy is False and made is not obj and not made.storage.escaped:
        raise ValueError(
            at_user_line(
                f"{type(obj).__name__} becomes a tensor of {made.dtype.name} only by a copy"
            )
        )
    return made


def _from_gpu(obj: Any, dtype: Any, device: str | None, copy: bool | None) -> Tensor:
    """Another library's array on a GPU."""
    shown = taken(obj, copy=copy)
    made = shown if dtype is None else shown.astype(dtype, copy=False)
    made = made if device is None else moved(made, device)
    if copy is False and made is not shown:
        raise ValueError(at_user_line(f"{type(obj).__name__} becomes {made.aval} only by a copy"))
    return made


def from_dlpack(x: Any, /, *, device: str | None = None, copy: bool | None = None) -> Tensor:
    """A tensor over the memory of any array that speaks DLPack, on its device (a copy where that is read-only).

    Raises BufferError where `copy=False` and a copy is needed.

    >>> import numpy as np
    >>> from_dlpack(np.arange(3))
    tensor([0, 1, 2])
    """
    if isinstance(x, Tensor):
        made = x.copy() if copy else x
    elif is_on_gpu(x):
        made = taken(x, copy=copy)
    else:
        made = from_array(np.from_dlpack(x), copy=bool(copy))
    if device is None:
        return made
    place = check_device(device)
    if copy is False and place != made.device:
        raise BufferError(at_user_line(f"from {made.device} to {place} there is only a copy"))
    return moved(made, place)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor over the memory of a NumPy array (a copy where that is read-only)."""
    return asarray(array)


def set_default_dtype(dtype: Any) -> None:
    """The dtype that Python floats and creation functions have from now on; float32 at the start."""
    config.default_dtype = dtypes.as_dtype(dtype)


def _placed(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """`function` with the keywords that say where the tensor is and whether it is to have a gradient."""

    @wraps(function)
    def create(
        *args: Any, device: str | None = None, requires_grad: bool = False, **options: Any
    ) -> Tensor:
        if device is not None or is_new:
            options["device"] = check_device(device)
        made: Tensor = function(*args, **options)
        return made.requires_grad_() if requires_grad else made

    own, more = signature(function), signature(create, follow_wrapped=False)
    is_new = own.parameters["device"].default is not None
    keywords = [p for p in more.parameters.values() if p.kind is p.KEYWORD_ONLY]
    parameters = [*(p for p in own.parameters.values() if p.name != "device"), *keywords]
    create.__signature__ = own.replace(parameters=parameters, return_annotation="Tensor")  # type: ignore[attr-defined]
    return create


def _full(shape: Any, fill_value: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    if device is None and not isinstance(fill_value, Tensor):
        device = default_device()
    return creation.full(shape, fill_value, dtype=dtype, device=device)


_full.__doc__ = creation.full.__doc__


def _empty(shape: Any, *, dtype: Any = None, device: str = "cpu") -> Any:
    """A tensor of `shape` whose elements are unspecified (zeros, so that a program cannot depend on chance)."""
    return creation.zeros(shape, dtype=dtype, device=device)


def _empty_like(x: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    """A tensor like `x` whose elements are unspecified."""
    return _zeros_of(x, dtype=x.dtype if dtype is None else dtype, device=device)


def _zeros_of(x: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    """Zeros of `x`'s shape and, by default, dtype and device."""
    x = value(x)
    chosen = x.aval.dtype if dtype is None else dtypes.as_dtype(dtype)
    return creation.zeros(x.aval.shape, dtype=chosen, device=device or x.aval.device)


arange = _placed(creation.arange)
empty = _placed(_empty)
empty_like = _placed(_empty_like)
eye = _placed(creation.eye)
full = _placed(_full)
full_like = _placed(creation.full_like)
linspace = _placed(creation.linspace)
ones = _placed(creation.ones)
ones_like = _placed(creation.ones_like)
zeros = _placed(creation.zeros)
zeros_like = _placed(_zeros_of)
