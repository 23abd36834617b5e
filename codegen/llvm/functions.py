"""The table of scalar functions: how each is written in LLVM, on scalars and vectors alike, for each kind of dtype."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tracejit.codegen.kernel.fn import Fn
from tracejit.codegen.llvm.builder import Builder, Value
from tracejit.codegen.llvm.casts import cast
from tracejit.codegen.llvm.flow import I64, loop
from tracejit.codegen.llvm.math import MATH
from tracejit.codegen.llvm.types import Type
from tracejit.dtypes import DType

Row = Callable[..., Value]
"""`row(builder, *args)`"""


# floats


def minimum(b: Builder, x: Value, y: Value) -> Value:
    return b.select(b.compare("uno", x, x), x, b.select(x < y, x, y))


def maximum(b: Builder, x: Value, y: Value) -> Value:
    return b.select(b.compare("uno", x, x), x, b.select(x > y, x, y))


_DIRECT: Final[dict[Fn, Row]] = {
    Fn.ADD: lambda b, x, y: x + y,
    Fn.SUB: lambda b, x, y: x - y,
    Fn.MUL: lambda b, x, y: x * y,
    Fn.DIV: lambda b, x, y: x / y,
    Fn.FMA: lambda b, x, y, z: b.fma(x, y, z),
    Fn.NEG: lambda b, x: -x,
    Fn.ABS: lambda b, x: b.abs(x),
    Fn.MIN: minimum,
    Fn.MAX: maximum,
    Fn.FLOOR: lambda b, x: b.intrinsic("floor", x),
    Fn.CEIL: lambda b, x: b.intrinsic("ceil", x),
    Fn.TRUNC: lambda b, x: b.intrinsic("trunc", x),
    Fn.ROUND: lambda b, x: b.intrinsic("roundeven", x),
    Fn.SQRT: lambda b, x: b.sqrt(x),
    Fn.COPYSIGN: lambda b, x, y: b.copysign(x, y),
    Fn.SIGNBIT: lambda b, x: b.bits(x) < 0,
    Fn.EQ: lambda b, x, y: x.eq(y),
    Fn.NE: lambda b, x, y: x.ne(y),
    Fn.LT: lambda b, x, y: x < y,
    Fn.LE: lambda b, x, y: x <= y,
}

FLOAT: Final[Mapping[Fn, Row]] = {**_DIRECT, **MATH}


# integers


def quotient_and_rest(b: Builder, x: Value, y: Value, *, signed: bool) -> tuple[Value, Value]:
    """Truncated division that cannot trap: of y == 0, and of the least integer by -1, it divides by 1 instead."""
    unsafe = y.eq(0)
    if signed:
        least = -1 << x.type.bits - 1
        unsafe = unsafe | (x.eq(least) & y.eq(-1))
    divisor = b.select(unsafe, 1, y)
    quotient = b.binary("sdiv" if signed else "udiv", x, divisor)
    return quotient, x - quotient * divisor


def floor_divide(b: Builder, x: Value, y: Value, *, signed: bool) -> Value:
    quotient, rest = quotient_and_rest(b, x, y, signed=signed)
    if signed:
        below = rest.ne(0) & ((rest ^ y) < 0)
        quotient = b.select(below, quotient - 1, quotient)
    return b.select(y.eq(0), 0, quotient)


def floor_modulo(b: Builder, x: Value, y: Value, *, signed: bool) -> Value:
    _, rest = quotient_and_rest(b, x, y, signed=signed)
    if signed:
        rest = b.select(rest.ne(0) & ((rest ^ y) < 0), rest + y, rest)
    return b.select(y.eq(0), 0, rest)


def integer_power(b: Builder, x: Value, y: Value, *, signed: bool) -> Value:
    """Squaring, as often as the longest exponent has bits; a negative one gives 0 unless x is 1 or -1."""
    if not signed:
        return _power(b, x, y)
    # An odd or even exponent is all that matters to 1 and -1.
    exponent = b.select(y < 0, y & 1, y)
    is_unit = x.eq(1) | x.eq(-1)
    return b.select((y < 0) & ~is_unit, 0, _power(b, x, exponent))


def _power(b: Builder, x: Value, y: Value) -> Value:
    def square(index: Value, carried: tuple[Value, ...]) -> tuple[Value, ...]:
        power, base, exponent = carried
        power = b.select((exponent & 1).ne(0), power * base, power)
        return power, base * base, b.shift_right(exponent, 1, signed=False)

    one = b.constant(x.type, 1)
    return loop(b, b.constant(I64, 0), _length(b, y), 1, (one, x, y), square)[0]


def _length(b: Builder, y: Value) -> Value:
    """How many bits the longest lane has, as an i64."""
    scalar = Type(y.type.element)
    bits = b.call(f"llvm.vector.reduce.or.{y.type.suffix}", scalar, y) if y.type.width else y
    false = b.constant(Type("i1"), False)
    zeros = b.call(f"llvm.ctlz.{scalar.suffix}", scalar, bits, false)
    return b.convert("zext", b.constant(scalar, scalar.bits) - zeros, "i64")


def shift_left(b: Builder, x: Value, y: Value) -> Value:
    inside = b.compare("ult", y, b.constant(y.type, y.type.bits))
    return b.select(inside, x << b.select(inside, y, 0), 0)


def shift_right(b: Builder, x: Value, y: Value, *, signed: bool) -> Value:
    most = y.type.bits - 1
    inside = b.compare("ult", y, b.constant(y.type, y.type.bits))
    if signed:
        return b.binary("ashr", x, b.select(inside, y, most))
    return b.select(inside, b.binary("lshr", x, b.select(inside, y, 0)), 0)


def _integer_table(*, signed: bool) -> dict[Fn, Row]:
    sign = "s" if signed else "u"
    return {
        Fn.ADD: lambda b, x, y: x + y,
        Fn.SUB: lambda b, x, y: x - y,
        Fn.MUL: lambda b, x, y: x * y,
        Fn.NEG: lambda b, x: -x,
        Fn.ABS: (lambda b, x: b.select(x < 0, -x, x)) if signed else (lambda b, x: x),
        Fn.FLOORDIV: lambda b, x, y: floor_divide(b, x, y, signed=signed),
        Fn.FLOORMOD: lambda b, x, y: floor_modulo(b, x, y, signed=signed),
        Fn.MIN: lambda b, x, y: b.intrinsic(f"{sign}min", x, y),
        Fn.MAX: lambda b, x, y: b.intrinsic(f"{sign}max", x, y),
        Fn.POW: lambda b, x, y: integer_power(b, x, y, signed=signed),
        Fn.AND: lambda b, x, y: x & y,
        Fn.OR: lambda b, x, y: x | y,
        Fn.XOR: lambda b, x, y: x ^ y,
        Fn.NOT: lambda b, x: ~x,
        Fn.SHL: shift_left,
        Fn.SHR: lambda b, x, y: shift_right(b, x, y, signed=signed),
        Fn.EQ: lambda b, x, y: x.eq(y),
        Fn.NE: lambda b, x, y: x.ne(y),
        Fn.LT: lambda b, x, y: b.compare(f"{sign}lt", x, y),
        Fn.LE: lambda b, x, y: b.compare(f"{sign}le", x, y),
    }


SIGNED: Final[Mapping[Fn, Row]] = _integer_table(signed=True)
UNSIGNED: Final[Mapping[Fn, Row]] = _integer_table(signed=False)

BOOL: Final[Mapping[Fn, Row]] = {
    Fn.AND: lambda b, x, y: x & y,
    Fn.OR: lambda b, x, y: x | y,
    Fn.XOR: lambda b, x, y: x ^ y,
    Fn.NOT: lambda b, x: ~x,
    Fn.ADD: lambda b, x, y: x | y,
    Fn.MUL: lambda b, x, y: x & y,
    Fn.MIN: lambda b, x, y: x & y,
    Fn.MAX: lambda b, x, y: x | y,
    Fn.EQ: lambda b, x, y: ~(x ^ y),
    Fn.NE: lambda b, x, y: x ^ y,
    Fn.LT: lambda b, x, y: ~x & y,
    Fn.LE: lambda b, x, y: ~x | y,
}

TABLES: Final[Mapping[str, Mapping[Fn, Row]]] = {"b": BOOL, "i": SIGNED, "u": UNSIGNED, "f": FLOAT}


def apply(b: Builder, fn: Fn, source: DType, to: DType, args: Sequence[Value]) -> Value:
    """`fn(*args)` of arguments of dtype `source`, the last one's, as a value of dtype `to`."""
    if fn is Fn.SELECT:
        return b.select(*args)
    if fn is Fn.CAST:
        return cast(b, args[0], source, to)
    return TABLES[source.kind][fn](b, *args)
