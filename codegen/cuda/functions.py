"""The table of scalar functions: how each is written in C, for each kind of dtype.

Most rows are those of the CPU's table, which print C through this back end's builder, so that both have the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from tracejit.codegen.cuda.builder import TYPES, UNSIGNED, CudaBuilder
from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.llvm import functions as shared
from tracejit.codegen.llvm.builder import Value
from tracejit.codegen.llvm.casts import cast
from tracejit.codegen.llvm.math import MATH
from tracejit.dtypes import DType

Row = Callable[..., Value]
"""`row(builder, *args)`"""


def _called(fn: Fn, row: Row) -> Row:
    """A function of the module for each element type, rather than its text at each place."""

    def write(b: CudaBuilder, *args: Value) -> Value:
        return b.function(f"{fn.method}_{args[0].type.element}", args, row)

    return write


def _power(b: CudaBuilder, x: Value, y: Value, *, signed: bool) -> Value:
    """Squaring; a negative exponent gives 0 unless x is 1 or -1."""
    element = x.type.element
    word, c_type = UNSIGNED["i64" if element == "i64" else "i32"], TYPES[element]
    name = f"power_{'s' if signed else 'u'}{x.type.bits}"
    negative = (
        "  if (y < 0) return x == 1 ? 1 : x == -1 ? (y & 1 ? -1 : 1) : 0;\n" if signed else ""
    )
    loop = f"for ({UNSIGNED[element]} left = y; left; left >>= 1, base *= base) if (left & 1) power *= base;"
    text = f"  {word} power = 1, base = x;\n  {loop}\n  return ({c_type})power;"
    header = f"static __device__ {c_type} {name}({c_type} x, {c_type} y)"
    b.module.define(name, f"{header} {{\n{negative}{text}\n}}")
    return b.emit(f"{name}({x.text}, {y.text})", x.type)


def _division(b: CudaBuilder, x: Value, y: Value, *, fn: Fn) -> Value:
    """Of int64: in 32 bits where both fit, which takes a fifth of the instructions, and most numbers are indices."""
    row = shared.SIGNED[fn]
    if x.type.element != "i64":
        return row(b, x, y)
    symbol = {Fn.FLOORDIV: "/", Fn.FLOORMOD: "%"}[fn]
    name = f"{fn.method}_i64"
    if not b.module.defines(name):
        args = b.value("x", x.type), b.value("y", y.type)
        slow = b.outside(f"{fn.method}_wide_i64", args, row)
        test = "y != 0 && (unsigned long long)(x | y) >> 32 == 0"
        quick = f"if ({test}) return (unsigned)x {symbol} (unsigned)y;"
        header = f"static __device__ __forceinline__ long long {name}(long long x, long long y)"
        b.module.define(name, f"{header} {{\n  {quick}\n  return {slow};\n}}")
    return b.emit(f"{name}({x.text}, {y.text})", x.type)


FLOAT: Final[Mapping[Fn, Row]] = {
    **shared.FLOAT,
    **{fn: _called(fn, row) for fn, row in MATH.items()},
}
SIGNED: Final[Mapping[Fn, Row]] = {
    **shared.SIGNED,
    Fn.POW: partial(_power, signed=True),
    Fn.FLOORDIV: partial(_division, fn=Fn.FLOORDIV),
    Fn.FLOORMOD: partial(_division, fn=Fn.FLOORMOD),
}
UNSIGNED_TABLE: Final[Mapping[Fn, Row]] = {
    **shared.UNSIGNED,
    Fn.POW: partial(_power, signed=False),
}
BOOL: Final = shared.BOOL

TABLES: Final[Mapping[str, Mapping[Fn, Row]]] = {
    "b": BOOL,
    "i": SIGNED,
    "u": UNSIGNED_TABLE,
    "f": FLOAT,
}


def apply(b: CudaBuilder, fn: Fn, source: DType, to: DType, args: Sequence[Value]) -> Value:
    """`fn(*args)` of arguments of dtype `source`, the last one's, as a value of dtype `to`."""
    if fn is Fn.SELECT:
        return b.select(*args)
    if fn is Fn.CAST:
        return cast(b, args[0], source, to)
    return TABLES[source.kind][fn](b, *args)
