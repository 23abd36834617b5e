"""Conversions between dtypes, lane by lane. Half-precision values are carried as their bits, i16, and only cast or moved."""

from __future__ import annotations

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.types import ELEMENTS, Type
from tracejit.dtypes import DType, bfloat16, bool_, float16, float32, float64

HALVES = (float16, bfloat16)


def register(dtype: DType, width: int = 0) -> Type:
    """The type of a value in registers."""
    return Type("i16" if dtype in HALVES else ELEMENTS[dtype], width)


def cast(b: Builder, x: Value, source: DType, to: DType) -> Value:
    """NumPy's astype; floats to integers saturate and NaN gives 0."""
    if source is to:
        return x
    if to is bool_:
        return is_true(b, x, source)
    if source in HALVES:
        return cast(b, widen(b, x, source), float32, to)
    if to is float16 and source is float64:
        return narrow(b, to_odd(b, x), to)
    if to in HALVES:
        return narrow(b, cast(b, x, source, float32), to)
    if source is bool_:
        return b.select(x, b.constant(register(to, x.type.width), 1), 0)
    if source.is_float:
        return from_float(b, x, to)
    return from_integer(b, x, source, to)


def is_true(b: Builder, x: Value, source: DType) -> Value:
    return (x & 0x7FFF if source in HALVES else x).ne(0)


def from_float(b: Builder, x: Value, to: DType) -> Value:
    target = register(to, x.type.width)
    if to.is_float:
        return b.convert("fpext" if target.bits > x.type.bits else "fptrunc", x, target.element)
    name = "fptosi" if to.kind == "i" else "fptoui"
    return b.call(f"llvm.{name}.sat.{target.suffix}.{x.type.suffix}", target, x)


def from_integer(b: Builder, x: Value, source: DType, to: DType) -> Value:
    signed = source.kind == "i"
    element = register(to).element
    if to.is_float:
        return b.convert("sitofp" if signed else "uitofp", x, element)
    if to.itemsize < source.itemsize:
        return b.convert("trunc", x, element)
    return b.convert("sext" if signed else "zext", x, element)


def widen(b: Builder, x: Value, source: DType) -> Value:
    """Half precision to float32: exact."""
    if source is bfloat16:
        return b.from_bits(b.convert("zext", x, "i32") << 16)
    return b.convert("fpext", b.convert("bitcast", x, "half"), "float")


def narrow(b: Builder, x: Value, to: DType) -> Value:
    """Float32 to half precision, rounded to nearest even; a NaN stays one."""
    if to is float16:
        return b.convert("bitcast", b.convert("fptrunc", x, "half"), "i16")
    bits = b.bits(x)
    odd = b.shift_right(bits, 16, signed=False) & 1
    rounded = b.shift_right(bits + odd + 0x7FFF, 16, signed=False)
    quiet = b.shift_right(bits, 16, signed=False) | 0x40
    return b.convert("trunc", b.select(b.compare("uno", x, x), quiet, rounded), "i16")


def to_odd(b: Builder, x: Value) -> Value:
    """Float64 to float32 rounded to odd, so that a further rounding to float16 is as if there had been one alone."""
    near = b.convert("fptrunc", x, "float")
    back = b.convert("fpext", near, "double")
    bits = b.bits(near)
    toward_zero = b.select(b.abs(back) > b.abs(x), bits - 1, bits)
    is_inexact = b.compare("one", back, x)
    return b.from_bits(b.select(is_inexact, toward_zero | 1, bits))
