"""Arrays in ways: functions that need not be called where one is at hand. Values in, value out; None for an ordinary call."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracejit._native import abi
from tracejit.runtime.cpu.native.values import Kind, Value


def wrap(code: Any, given: list[Value]) -> Value | None:
    """The memory of an array."""
    (array,) = given
    return Value(Kind.MEMORY, array.text) if code.class_of(array) is np.ndarray else None


def array_over(code: Any, given: list[Value]) -> Value | None:
    """The memory is that of an array already."""
    array = given[0]
    is_new = array.kind is Kind.OBJECT and code.class_of(array) is np.ndarray
    return array if is_new else None


def in_range(code: Any, address: str, size: str, itemsize: int, base: int, limit: int) -> str:
    """Whether all elements, integers side by side, are in [-base, limit - base)."""
    pointer = code.let(f"inttoptr i64 {address} to ptr")
    short = "true" if itemsize == 4 else "false"
    words = f"ptr {pointer}", f"i64 {size}", f"i64 {base}", f"i64 {limit}", f"i1 {short}"
    found: str = code.help("tracejit_in_range", "i1", *words)
    return found


def data(code: Any, array: str) -> str:
    """The address of the first element."""
    found: str = code.load(array, abi.ARRAY_DATA_AT, "i64")
    return found
