"""NumPy's protocols: what NumPy, and libraries that speak them, ask of a tensor."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tracejit._errors import at_user_line
from tracejit._gate import late

_CALLS = "tracejit.numpy_functions.calls"
"""Loaded when a function of NumPy's is called with a tensor."""


class NumPyProtocols:
    """`np.*` functions on tensors give tensors, computed by tracejit where it has the function."""

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

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """The memory for other libraries, on a GPU as well, where all is in order on their `stream`. Raises BufferError."""
        options = {
            "stream": stream,
            "max_version": max_version,
            "dl_device": dl_device,
            "copy": copy,
        }
        if self.aval.device != "cpu":  # type: ignore[attr-defined]  # a tensor
            return late("tracejit.exchange").capsule(self, **options)
        array: np.ndarray = self.numpy()  # type: ignore[attr-defined]  # a tensor
        return array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Kind and number of the device, as DLPack counts."""
        device: str = self.aval.device  # type: ignore[attr-defined]  # a tensor
        place: tuple[int, int] = late("tracejit.exchange").place_of(device)
        return place

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return sys.modules["tracejit"]

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return late(_CALLS).computed_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        return late(_CALLS).computed(function, args, kwargs)
