"""The dtypes, and the one promotion rule: NumPy 2's, Python scalars weak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import ml_dtypes
import numpy as np

Kind = Literal["b", "i", "u", "f"]


@dataclass(frozen=True, slots=True, eq=False)
class DType:
    """An element type. There is one object per dtype, so `is` compares them."""

    name: str
    short: str
    kind: Kind
    itemsize: int
    numpy: np.dtype

    def __repr__(self) -> str:
        return f"tracejit.{self.name}"

    def __str__(self) -> str:
        return self.short

    def __reduce__(self) -> str:
        return self.name if self.name != "bool" else "bool_"

    @property
    def is_float(self) -> bool:
        return self.kind == "f"

    @property
    def is_integer(self) -> bool:
        return self.kind in "iu"


def _dtype(name: str, short: str, kind: Kind, numpy: object) -> DType:
    dtype = np.dtype(numpy)  # type: ignore[call-overload]  # ml_dtypes' scalar types are not in NumPy's stubs
    return DType(name, short, kind, dtype.itemsize, dtype)


bool_: Final = _dtype("bool", "b1", "b", np.bool_)
int8: Final = _dtype("int8", "i8", "i", np.int8)
int16: Final = _dtype("int16", "i16", "i", np.int16)
int32: Final = _dtype("int32", "i32", "i", np.int32)
int64: Final = _dtype("int64", "i64", "i", np.int64)
uint8: Final = _dtype("uint8", "u8", "u", np.uint8)
uint16: Final = _dtype("uint16", "u16", "u", np.uint16)
uint32: Final = _dtype("uint32", "u32", "u", np.uint32)
uint64: Final = _dtype("uint64", "u64", "u", np.uint64)
float16: Final = _dtype("float16", "f16", "f", np.float16)
bfloat16: Final = _dtype("bfloat16", "bf16", "f", ml_dtypes.bfloat16)
float32: Final = _dtype("float32", "f32", "f", np.float32)
float64: Final = _dtype("float64", "f64", "f", np.float64)

ALL: Final = (
    bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float16, bfloat16, float32, float64,
)  # fmt: skip
SIGNED: Final = (int8, int16, int32, int64)
UNSIGNED: Final = (uint8, uint16, uint32, uint64)
INTEGERS: Final = SIGNED + UNSIGNED
FLOATING: Final = (float16, bfloat16, float32, float64)
NUMERIC: Final = INTEGERS + FLOATING
