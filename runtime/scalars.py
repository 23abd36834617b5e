"""Python numbers as the 8-byte slots that kernels read them from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracejit.dtypes import as_dtype

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
    "float32": "f4x",
    "float64": "d",
}


def numpy_dtype(name: str) -> np.dtype:
    """NumPy's dtype, or that of ml_dtypes, by name."""
    return as_dtype(name).numpy


def struct_format(dtypes: Sequence[str]) -> str | None:
    """The slots in the words of `struct`; None where it has none for a dtype.

    >>> struct_format(["float32", "bool"])
    'f4x?7x'
    """
    if "bfloat16" in dtypes:
        return None
    return "".join(_FORMATS[name] for name in dtypes)


def write_slots(
    memory: np.ndarray, offset: int, dtypes: Sequence[str], scalars: Sequence[Number]
) -> None:
    """Writes the slots as NumPy converts numbers: a float too large for its dtype becomes infinite."""
    for index, (name, value) in enumerate(zip(dtypes, scalars, strict=True)):
        dtype = numpy_dtype(name)
        start = offset + 8 * index
        with np.errstate(over="ignore"):
            memory[start : start + dtype.itemsize].view(dtype)[...] = value
