"""Numbers in ways: elements of memory as Python's numbers, and numbers as those of a dtype."""

from __future__ import annotations

from typing import Any

from tracejit.runtime.cpu.native.values import Kind, Value

_INTEGERS = {
    f"{sign}int{bits}": (bits, "zext" if sign else "sext")
    for sign in ("", "u")
    for bits in (8, 16, 32)
}
_HELD = {"int64": "i64", "float32": "float", "float64": "double"}
ELEMENTS = {"bool", "bfloat16", *_INTEGERS, *_HELD}
"""Dtypes of which elements are read without Python."""


def element_at(code: Any, address: str, dtype: str) -> Value | None:
    """The element at an address; None for a dtype that Python has to read."""
    if dtype not in ELEMENTS:
        return None
    pointer = code.let(f"inttoptr i64 {address} to ptr")
    if dtype == "bool":
        return Value(Kind.TRUTH, code.let(f"icmp ne i8 {code.load(pointer, 0, 'i8')}, 0"))
    if dtype in _INTEGERS:
        bits, widened = _INTEGERS[dtype]
        return _integer(
            code, code.let(f"{widened} i{bits} {code.load(pointer, 0, f'i{bits}')} to i64")
        )
    if dtype == "bfloat16":
        wide = code.let(f"zext i16 {code.load(pointer, 0, 'i16')} to i32")
        single = code.let(f"bitcast i32 {code.let(f'shl i32 {wide}, 16')} to float")
        return _real(code, code.let(f"fpext float {single} to double"))
    found = code.load(pointer, 0, _HELD[dtype])
    if dtype == "int64":
        return _integer(code, found)
    return _real(code, found if dtype == "float64" else code.let(f"fpext float {found} to double"))


ROUNDED = {"bool", "float32", "float64", "int64", *_INTEGERS}
"""Dtypes that numbers are rounded to without Python."""


def number_as(code: Any, number: Value, dtype: str) -> Value | None:
    """A number as one of the dtype, or Python is to find out what is wrong; None where it has to in any case."""
    if dtype not in ROUNDED:
        return None
    if dtype == "bool":
        return Value(Kind.TRUTH, code.truth_of(number))
    if dtype in ("float32", "float64"):
        held = code.as_double(number)
        if dtype == "float32":
            held = code.let(f"fpext float {code.let(f'fptrunc double {held} to float')} to double")
        return _real(code, held)
    if code.class_of(number) not in (bool, int):  # a float becomes an integer by Python's rules
        return None
    held = code.as_integer(number)
    if dtype in _INTEGERS:
        bits, widened = _INTEGERS[dtype]
        short = code.let(f"trunc i64 {held} to i{bits}")
        back = code.let(f"{widened} i{bits} {short} to i64")
        code.require(code.let(f"icmp eq i64 {back}, {held}"))
    return _integer(code, held)


def _integer(code: Any, held: str) -> Value:
    made = code.new("PyLong_FromLongLong", held)
    code.classes[made] = int
    return Value(Kind.OBJECT, made)


def _real(code: Any, held: str) -> Value:
    made = code.new("PyFloat_FromDouble", held)
    code.classes[made] = float
    return Value(Kind.OBJECT, made)
