"""Numbers rounded to float32, float16 and bfloat16, as NumPy and ml_dtypes round them: the last by way of float32."""

from __future__ import annotations

from tracejit.standalone.machine.floats import float_is, is_nan, magnitude
from tracejit.standalone.machine.writer import CallWriter, Kind, Value, as_float, float_literal

_LEAST_NORMAL, _TOO_LARGE = 2.0**-14, 65520.0
"""Of float16: below, its values are multiples of 2**-24; from there on, it is infinite."""
_SPACED = 2.0**28
"""Floats from here on are multiples of 2**-24, too."""


def as_single(w: CallWriter, x: Value) -> Value:
    return _widened(w, _single(w, x), "float")


def as_half(w: CallWriter, x: Value) -> Value:
    return _widened(w, w.let(f"bitcast i16 {half_bits(w, as_float(w, x))} to half"), "half")


def as_brain(w: CallWriter, x: Value) -> Value:
    high = w.let(f"zext i16 {brain_bits(w, as_float(w, x))} to i32")
    return _widened(w, w.let(f"bitcast i32 {w.let(f'shl i32 {high}, 16')} to float"), "float")


def half_bits(w: CallWriter, x: Value) -> str:
    """The float16 that is nearest to a float, the even one of two."""
    bits = w.let(f"bitcast double {x.text} to i64")
    plain = w.let(f"and i64 {bits}, {(1 << 63) - 1}")
    odd = w.let(f"and i64 {w.let(f'lshr i64 {plain}, 42')}, 1")
    moved = w.let(f"add i64 {w.let(f'add i64 {plain}, {odd}')}, {(1 << 41) - 1}")
    normal = w.let(f"sub i64 {w.let(f'lshr i64 {moved}, 42')}, {(1023 - 15) << 10}")
    size, spaced = magnitude(w, x), float_literal(_SPACED)
    sum_ = w.let(f"fadd double {size.text}, {spaced}")
    sum_bits = w.let(f"bitcast double {sum_} to i64")
    small = w.let(f"sub i64 {sum_bits}, {int(spaced, 16)}")
    found = _either_of(w, float_is(w, "olt", size, float_literal(_LEAST_NORMAL)), small, normal)
    found = _either_of(w, float_is(w, "oge", size, float_literal(_TOO_LARGE)), str(0x7C00), found)
    found = _either_of(w, is_nan(w, x), str(0x7E00), found)
    sign = w.let(f"and i64 {w.let(f'lshr i64 {bits}, 48')}, {0x8000}")
    return w.let(f"trunc i64 {w.let(f'or i64 {found}, {sign}')} to i16")


def brain_bits(w: CallWriter, x: Value) -> str:
    """The bfloat16 that is nearest to the float32 that is nearest to a float."""
    wide = w.let(f"bitcast float {_single(w, x)} to i32")
    bits = w.let(f"zext i32 {wide} to i64")
    odd = w.let(f"and i64 {w.let(f'lshr i64 {bits}, 16')}, 1")
    moved = w.let(f"add i64 {w.let(f'add i64 {bits}, {odd}')}, {0x7FFF}")
    sign = w.let(f"and i64 {w.let(f'lshr i64 {bits}, 16')}, {0x8000}")
    nan = w.let(f"or i64 {sign}, {0x7FC0}")
    found = _either_of(w, is_nan(w, x), nan, w.let(f"lshr i64 {moved}, 16"))
    return w.let(f"trunc i64 {found} to i16")


def _single(w: CallWriter, x: Value) -> str:
    return w.let(f"fptrunc double {as_float(w, x).text} to float")


def _widened(w: CallWriter, narrow: str, kind: str) -> Value:
    return Value(Kind.FLOAT, w.let(f"fpext {kind} {narrow} to double"))


def _either_of(w: CallWriter, condition: str, x: str, y: str) -> str:
    return w.let(f"select i1 {condition}, i64 {x}, i64 {y}")
