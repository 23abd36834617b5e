"""Python numbers as the 8-byte slots that kernels read them from."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import ml_dtypes
import numpy as np

Number = bool | int | float

_FORMATS = {
    "bool": "?7x",
    "int8": "b7x",
    "int16": "h6x",
    "int32": "i4x",
    "int64": "q",
    "uint8": "B7x",
    "uint16": "H6x",
    "uint32": "I4x",
    "uint64": "Q",
    "float16": "e6x",
    "bfloat16": "H6x",
    "float32": "f4x",
    "float64": "d",
}

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def numpy_dtype(name: str) -> np.dtype:
    """NumPy's dtype, or that of ml_dtypes, by name."""
    return _BFLOAT16 if name == "bfloat16" else np.dtype(name)


class ScalarPacker:
    """Writes the scalars of a call, of the given dtypes, into consecutive slots: `packer(buffer, offset, scalars)`."""

    def __init__(self, dtypes: Sequence[str]) -> None:
        self._dtypes = tuple(map(numpy_dtype, dtypes))
        layout = struct.Struct("=" + "".join(_FORMATS[name] for name in dtypes))
        self._pack: Callable[..., None] = layout.pack_into
        self._direct = _BFLOAT16 not in self._dtypes

    def __call__(self, buffer: np.ndarray, offset: int, scalars: Sequence[Number]) -> None:
        if self._direct:
            try:
                self._pack(buffer, offset, *scalars)
                return
            except OverflowError:
                pass  # a float that becomes infinite in its dtype
        for index, (dtype, value) in enumerate(zip(self._dtypes, scalars, strict=True)):
            start = offset + 8 * index
            with np.errstate(over="ignore"):
                buffer[start : start + dtype.itemsize].view(dtype)[...] = value
