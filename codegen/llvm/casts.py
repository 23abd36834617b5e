"""Conversions between dtypes, lane by lane. Half-precision values are carried as their bits, i16, and only cast or moved."""

from __future__ import annotations

from functools import singledispatch

from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.target import Target
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
    if converts_halves(b.target):
        return b.convert("fpext", b.convert("bitcast", x, "half"), "float")
    return _widen_by_bits(b, b.convert("zext", x, "i32"))


@singledispatch
def narrow(b: Builder, x: Value, to: DType) -> Value:
    """Float32 to half precision, rounded to nearest even; a NaN stays one."""
    if to is bfloat16:
        return b.convert("trunc", _round_to_bfloat(b, x), "i16")
    if converts_halves(b.target):
        return b.convert("bitcast", b.convert("fptrunc", x, "half"), "i16")
    return b.convert("trunc", _narrow_by_bits(b, x), "i16")


def converts_halves(target: Target) -> bool:
    """Whether there are instructions for float16: x86 got them with FMA. Without them LLVM would call a library."""
    return target.has_fma


def _round_to_bfloat(b: Builder, x: Value) -> Value:
    bits = b.bits(x)
    odd = b.shift_right(bits, 16, signed=False) & 1
    rounded = b.shift_right(bits + odd + 0x7FFF, 16, signed=False)
    quiet = b.shift_right(bits, 16, signed=False) | 0x40
    return b.select(b.compare("uno", x, x), quiet, rounded)


def _widen_by_bits(b: Builder, bits: Value) -> Value:
    sign = (bits & 0x8000) << 16
    shifted = (bits & 0x7FFF) << 13
    # The exponent is read with the bias of float32: off by 2 ** 112, for subnormals too.
    scaled = b.bits(b.from_bits(shifted) * 2.0**112)
    is_special = shifted >= (0x7C00 << 13)
    return b.from_bits(b.select(is_special, shifted | 0x7F800000, scaled) | sign)


def _narrow_by_bits(b: Builder, x: Value) -> Value:
    bits = b.bits(x)
    magnitude = bits & 0x7FFFFFFF
    sign = b.shift_right(bits, 16, signed=False) & 0x8000
    odd = b.shift_right(magnitude, 13, signed=False) & 1
    rebiased = magnitude + odd + (0xFFF - (112 << 23))
    normal = b.shift_right(rebiased, 13, signed=False)
    # Added to 0.5 a number below 2 ** -14 is rounded at the last place of a float16's subnormals.
    half = b.constant(bits.type, 126 << 23)
    subnormal = b.bits(b.from_bits(magnitude) + 0.5) - half
    rounded = b.select(magnitude < (113 << 23), subnormal, normal)
    rounded = b.select(magnitude < (143 << 23), rounded, 0x7C00)
    return b.select(b.compare("uno", x, x), 0x7E00, rounded) | sign


def to_odd(b: Builder, x: Value) -> Value:
    """Float64 to float32 rounded to odd, so that a further rounding to float16 is as if there had been one alone."""
    near = b.convert("fptrunc", x, "float")
    back = b.convert("fpext", near, "double")
    bits = b.bits(near)
    toward_zero = b.select(b.abs(back) > b.abs(x), bits - 1, bits)
    is_inexact = b.compare("one", back, x)
    return b.from_bits(b.select(is_inexact, toward_zero | 1, bits))
