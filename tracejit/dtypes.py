"""The dtypes, and the one promotion rule: NumPy 2's, Python scalars weak."""

from __future__ import annotations

from functools import cache, reduce
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from tracejit._errors import DTypeError, at_user_line
from tracejit._gate import late
from tracejit._records import dataclass, field, whole

Kind = Literal["b", "i", "u", "f"]


@whole
@dataclass(frozen=True, slots=True, eq=False)
class DType:
    """An element type. There is one object per dtype, so `is` compares them."""

    name: str
    short: str
    kind: Kind
    itemsize: int
    numpy: np.dtype = field(init=False)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """NumPy's dtype is made when it is first asked for: that of bfloat16 is in a package that takes 6 ms to load."""
            if name != "numpy":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            scalar = late("ml_dtypes").bfloat16 if self.name == "bfloat16" else self.name
            object.__setattr__(self, "numpy", np.dtype(scalar))
            return self.numpy

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


bool_: Final = DType("bool", "b1", "b", 1)
int8: Final = DType("int8", "i8", "i", 1)
int16: Final = DType("int16", "i16", "i", 2)
int32: Final = DType("int32", "i32", "i", 4)
int64: Final = DType("int64", "i64", "i", 8)
uint8: Final = DType("uint8", "u8", "u", 1)
uint16: Final = DType("uint16", "u16", "u", 2)
uint32: Final = DType("uint32", "u32", "u", 4)
uint64: Final = DType("uint64", "u64", "u", 8)
float16: Final = DType("float16", "f16", "f", 2)
bfloat16: Final = DType("bfloat16", "bf16", "f", 2)
float32: Final = DType("float32", "f32", "f", 4)
float64: Final = DType("float64", "f64", "f", 8)

ALL: Final = (
    bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float16, bfloat16, float32, float64,
)  # fmt: skip
SIGNED: Final = (int8, int16, int32, int64)
UNSIGNED: Final = (uint8, uint16, uint32, uint64)
INTEGERS: Final = SIGNED + UNSIGNED
FLOATING: Final = (float16, bfloat16, float32, float64)
NUMERIC: Final = INTEGERS + FLOATING
HALF: Final = (float16, bfloat16)

_NAMES: Final = {dtype.name: dtype for dtype in ALL}
_BY_NUMPY: Final = {dtype.numpy: dtype for dtype in ALL if dtype is not bfloat16}
_BY_PYTHON: Final = {bool: bool_, int: int64, float: float64}
_INTO_BFLOAT16: Final = (bool_, int8, uint8)


def from_numpy(dtype: np.dtype) -> DType:
    """The DType of a NumPy dtype, whatever its byte order.

    >>> import numpy as np
    >>> from_numpy(np.dtype("float32"))
    tracejit.float32
    """
    found = _BY_NUMPY.get(dtype)
    if found is None:
        found = _BY_NUMPY.get(dtype.newbyteorder("="))
    if found is not None:
        return found
    if dtype.name == "bfloat16" and dtype == bfloat16.numpy:
        return bfloat16
    if dtype.kind == "c":
        raise DTypeError(at_user_line(f"complex numbers are not supported yet: got dtype {dtype}"))
    raise DTypeError(at_user_line(f"arrays of dtype {dtype} cannot be computed with"))


def as_dtype(spec: Any) -> DType:
    """The DType that `spec` names: a DType, a NumPy dtype or scalar type, a name, or bool, int or float.

    >>> as_dtype("bfloat16"), as_dtype(float)
    (tracejit.bfloat16, tracejit.float64)
    """
    if isinstance(spec, DType):
        return spec
    if isinstance(spec, type) and spec in _BY_PYTHON:
        return _BY_PYTHON[spec]
    if isinstance(spec, str) and spec in _NAMES:
        return _NAMES[spec]
    try:
        dtype = np.dtype(spec)
    except TypeError as error:
        raise DTypeError(at_user_line(f"{spec!r} is not a dtype")) from error
    return from_numpy(dtype)


@cache
def promote(a: DType, b: DType) -> DType:
    """The dtype that holds the values of both, by NumPy 2's rule; float16 and bfloat16 meet in float32.

    >>> promote(int64, float32)
    tracejit.float64
    """
    if a is b:
        return a
    if a is not bfloat16 and b is not bfloat16:
        return _BY_NUMPY[np.promote_types(a.numpy, b.numpy)]
    other = b if a is bfloat16 else a
    if other is float16:
        return float32
    if other.is_float:
        return other
    if other in _INTO_BFLOAT16:
        return bfloat16
    return float32 if other.itemsize == 2 else float64


def result_type(*values: Any) -> DType:
    """The dtype of an op on `values`: dtypes, values that have one, and Python numbers, which are weak.

    >>> result_type(float32, 1.5), result_type(int8, 1), result_type(int8, 1.5)
    (tracejit.float32, tracejit.int8, tracejit.float64)
    """
    if not values:
        raise DTypeError(at_user_line("result_type needs at least one value"))
    return promote_all(*(weak_or_dtype(value) for value in values))


def weak_or_dtype(value: Any) -> DType | type:
    """bool, int or float for a Python number (weak), else the DType of `value`."""
    if type(value) in _BY_PYTHON:
        return type(value)
    if isinstance(value, DType):
        return value
    if hasattr(value, "aval"):
        return value.aval.dtype
    return as_dtype(value if isinstance(value, type) else getattr(value, "dtype", value))


@cache
def promote_all(*dtypes: DType | type) -> DType:
    """`promote` over any number of dtypes; bool, int and float stand for weak Python numbers."""
    strong = [dtype for dtype in dtypes if isinstance(dtype, DType)]
    weak = max((_BY_PYTHON[d] for d in dtypes if not isinstance(d, DType)), key=_rank, default=None)
    if not strong:
        assert weak is not None
        return weak
    dtype = reduce(promote, strong)
    return dtype if weak is None or _rank(weak) <= _rank(dtype) else weak


def _rank(dtype: DType) -> int:
    """bool, integer, floating point: a weak number changes the dtype only where it is of a higher rank."""
    return {"b": 0, "i": 1, "u": 1, "f": 2}[dtype.kind]


def can_cast(source: Any, target: Any) -> bool:
    """Whether every value of `source`'s dtype is a value of `target` (NumPy's "safe" casting)."""
    return promote(result_type(source), as_dtype(target)) is as_dtype(target)


_OF_KIND: Final = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "",
    "numeric": "iuf",
}


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether `dtype` is `kind`, which is a dtype, one of the array API's names of kinds, or a tuple of these.

    >>> isdtype(int8, "integral"), isdtype(float32, ("bool", float64))
    (True, False)
    """
    found = as_dtype(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(found, each) for each in kind)
    if kind in _OF_KIND:
        return found.kind in _OF_KIND[kind]
    if isinstance(kind, str):
        names = ", ".join(map(repr, _OF_KIND))
        raise ValueError(at_user_line(f"isdtype: {kind!r} is no kind of dtype; there are {names}"))
    return found is as_dtype(kind)


@dataclass(frozen=True, slots=True)
class FloatLimits:
    """What the numbers of a floating-point dtype are limited to; `eps` is the distance from 1 to the next number."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


@dataclass(frozen=True, slots=True)
class IntegerLimits:
    """What the numbers of an integer dtype are limited to."""

    bits: int
    max: int
    min: int
    dtype: DType


def finfo(dtype: Any) -> FloatLimits:
    """The limits of a floating-point dtype, or of the dtype of a value.

    >>> finfo(float16).max
    65504.0
    """
    found = result_type(dtype)
    if not found.is_float:
        raise DTypeError(at_user_line(f"finfo: {found.name} is not a floating-point dtype"))
    limits = (late("ml_dtypes") if found is bfloat16 else np).finfo(found.numpy)
    return FloatLimits(
        bits=8 * found.itemsize,
        eps=float(limits.eps),
        max=float(limits.max),
        min=float(limits.min),
        smallest_normal=float(limits.smallest_normal),
        dtype=found,
    )


def iinfo(dtype: Any) -> IntegerLimits:
    """The limits of an integer dtype, or of the dtype of a value.

    >>> iinfo(uint8).max
    255
    """
    found = result_type(dtype)
    if not found.is_integer:
        raise DTypeError(at_user_line(f"iinfo: {found.name} is not an integer dtype"))
    limits = np.iinfo(found.numpy)
    return IntegerLimits(8 * found.itemsize, int(limits.max), int(limits.min), found)
