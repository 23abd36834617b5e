"""LLVM's types, as far as kernels have them, and the elements that stand for dtypes."""

from __future__ import annotations

from typing import Final

from tracejit import dtypes
from tracejit._records import dataclass
from tracejit.dtypes import DType

ELEMENTS: Final[dict[DType, str]] = {
    dtypes.bool_: "i1",
    dtypes.int8: "i8",
    dtypes.int16: "i16",
    dtypes.int32: "i32",
    dtypes.int64: "i64",
    dtypes.uint8: "i8",
    dtypes.uint16: "i16",
    dtypes.uint32: "i32",
    dtypes.uint64: "i64",
    dtypes.float16: "half",
    dtypes.bfloat16: "bfloat",
    dtypes.float32: "float",
    dtypes.float64: "double",
}
"""A value's element in registers. In memory a bool is a byte, 0 or 1."""

_FLOAT_BITS: Final = {"half": 16, "bfloat": 16, "float": 32, "double": 64}
_SUFFIXES: Final = {"half": "f16", "bfloat": "bf16", "float": "f32", "double": "f64", "ptr": "p0"}


@dataclass(frozen=True, slots=True)
class Type:
    """`width` lanes of `element`, or a scalar where `width` is 0.

    >>> str(Type("float", 16)), Type("float", 16).suffix, str(Type("i64"))
    ('<16 x float>', 'v16f32', 'i64')
    """

    element: str
    width: int = 0

    def __str__(self) -> str:
        return f"<{self.width} x {self.element}>" if self.width else self.element

    @property
    def suffix(self) -> str:
        """What the name of an intrinsic ends in."""
        element = _SUFFIXES.get(self.element, self.element)
        return f"v{self.width}{element}" if self.width else element

    @property
    def is_float(self) -> bool:
        return self.element in _FLOAT_BITS

    @property
    def bits(self) -> int:
        """Bits of one lane."""
        return _FLOAT_BITS.get(self.element) or int(self.element[1:])

    @property
    def integer(self) -> Type:
        """As many lanes of integers, each with as many bits."""
        return self.of(f"i{self.bits}")

    def of(self, element: str) -> Type:
        """As many lanes of another element."""
        return Type(element, self.width)
