"""What artifacts may hold by name: pure functions of Python numbers, of the standard library, and Python's own exceptions."""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Callable
from typing import Any

from tracejit import dtypes
from tracejit._gate import late
from tracejit.dtypes import DType

_OPERATORS = """
    add sub mul truediv floordiv mod pow neg pos abs lt le gt ge eq ne not_ truth and_ or_ xor lshift rshift invert
""".split()
_MATH = """
    acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh degrees dist erf erfc exp exp2 expm1 fabs floor fmod gamma
    gcd hypot isclose isfinite isinf isnan isqrt lcm ldexp lgamma log log10 log1p log2 nextafter pow radians remainder sin
    sinh sqrt tan tanh trunc ulp
""".split()
_BUILTINS = "abs bool float int max min pow round".split()

FUNCTIONS: dict[str, Callable[..., Any]] = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module, names in ((operator, _OPERATORS), (math, _MATH), (builtins, _BUILTINS))
    for name in names
    if hasattr(module, name)
}
"""By name."""
NAMES: dict[Any, str] = {function: name for name, function in FUNCTIONS.items()}
TYPES: dict[str, type] = {"int": int, "float": float}
TYPE_NAMES = {kind: name for name, kind in TYPES.items()}


def _as(dtype: DType) -> Callable[[Any], Any]:
    return lambda number: late("tracejit.ops.arguments").number_as(number, dtype)


def rounding_to(dtype: DType) -> str:
    """The name of the function that gives a number as one of the dtype."""
    return f"number_as.{dtype.name}"


FUNCTIONS |= {rounding_to(dtype): _as(dtype) for dtype in dtypes.ALL}

SAME = "same"
"""The function that gives what it is given."""
FUNCTIONS[SAME] = lambda value: value

_ERRORS = """
    ArithmeticError AssertionError AttributeError BufferError ConnectionError EOFError Exception FileExistsError
    FileNotFoundError FloatingPointError IndexError KeyError LookupError MemoryError NameError NotImplementedError OSError
    OverflowError PermissionError RecursionError RuntimeError TimeoutError TypeError UnicodeError ValueError ZeroDivisionError
""".split()
ERRORS: dict[str, type[Exception]] = {name: getattr(builtins, name) for name in _ERRORS}
"""Exceptions that a call may raise, by name."""
