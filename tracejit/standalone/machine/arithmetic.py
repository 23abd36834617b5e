"""Python's arithmetic as machine code: `+`, `-`, `*`, `/`, `//`, `%`, `**`, and bits."""

from __future__ import annotations

from tracejit.standalone.machine.floats import (
    INFINITY,
    both,
    call,
    chosen,
    either,
    float_is,
    is_finite,
    is_negative,
    let,
    magnitude,
)
from tracejit.standalone.machine.writer import (
    INT_MIN,
    CallWriter,
    Kind,
    Unable,
    Value,
    Why,
    as_float,
    as_int,
    known,
)

_EXACT = 1 << 53
"""Up to here ints are floats."""


def arithmetic(instruction: str, w: CallWriter, x: Value, y: Value) -> Value:
    if Kind.FLOAT in (x.kind, y.kind):
        x, y = as_float(w, x), as_float(w, y)
        return let(w, Kind.FLOAT, f"f{instruction} double {x.text}, {y.text}")
    return _checked(w, instruction, as_int(w, x), as_int(w, y))


def _checked(w: CallWriter, instruction: str, x: Value, y: Value) -> Value:
    w.declare(f"declare {{ i64, i1 }} @llvm.s{instruction}.with.overflow.i64(i64, i64)")
    pair = w.let(
        f"call {{ i64, i1 }} @llvm.s{instruction}.with.overflow.i64(i64 {x.text}, i64 {y.text})"
    )
    fail_for_width(w, w.let(f"extractvalue {{ i64, i1 }} {pair}, 1"))
    return let(w, Kind.INT, f"extractvalue {{ i64, i1 }} {pair}, 0")


def fail_for_width(w: CallWriter, condition: str) -> None:
    w.fail_when(condition, Why.OVERFLOW, "an int of more than 64 bits")


def _fail_for_zero(w: CallWriter, x: Value) -> None:
    if x.kind is Kind.FLOAT:
        is_zero = float_is(w, "oeq", x)
    else:
        is_zero = w.let(f"icmp eq i64 {x.text}, 0")
    w.fail_when(is_zero, Why.ARITHMETIC, "a division by zero")


def true_division(w: CallWriter, x: Value, y: Value) -> Value:
    if Kind.FLOAT not in (x.kind, y.kind):
        for each in (x, y):
            fail_beyond_floats(w, as_int(w, each))
    x, y = as_float(w, x), as_float(w, y)
    _fail_for_zero(w, y)
    return let(w, Kind.FLOAT, f"fdiv double {x.text}, {y.text}")


def fail_beyond_floats(w: CallWriter, x: Value) -> None:
    """Python divides and compares such ints exactly."""
    moved = w.let(f"add i64 {x.text}, {_EXACT}")
    w.fail_when(
        w.let(f"icmp ugt i64 {moved}, {2 * _EXACT}"),
        Why.OVERFLOW,
        "an int of more than 53 bits, where it meets a float",
    )


def _divided(w: CallWriter, x: Value, y: Value) -> tuple[Value, Value]:
    """`divmod` of ints."""
    x, y = as_int(w, x), as_int(w, y)
    _fail_for_zero(w, y)
    is_least = w.let(f"icmp eq i64 {x.text}, {INT_MIN}")
    fail_for_width(w, both(w, is_least, w.let(f"icmp eq i64 {y.text}, -1")))
    quotient = w.let(f"sdiv i64 {x.text}, {y.text}")
    rest = w.let(f"srem i64 {x.text}, {y.text}")
    differs = w.let(f"icmp slt i64 {w.let(f'xor i64 {rest}, {y.text}')}, 0")
    is_off = both(w, w.let(f"icmp ne i64 {rest}, 0"), differs)
    less = w.let(f"sext i1 {is_off} to i64")
    more = w.let(f"select i1 {is_off}, i64 {y.text}, i64 0")
    return (
        let(w, Kind.INT, f"add i64 {quotient}, {less}"),
        let(w, Kind.INT, f"add i64 {rest}, {more}"),
    )


def _divided_floats(w: CallWriter, x: Value, y: Value) -> tuple[Value, Value]:
    """`divmod` of floats, step by step as Python's `float_divmod`."""
    x, y = as_float(w, x), as_float(w, y)
    _fail_for_zero(w, y)
    rest = call(w, "fmod", x, y)
    quotient = let(
        w,
        Kind.FLOAT,
        f"fdiv double {w.let(f'fsub double {x.text}, {rest.text}')}, {y.text}",
    )
    has_rest = float_is(w, "une", rest)
    differs = w.let(f"xor i1 {is_negative(w, y)}, {is_negative(w, rest)}")
    is_off = both(w, has_rest, differs)
    moved = let(w, Kind.FLOAT, f"fadd double {rest.text}, {y.text}")
    less = let(w, Kind.FLOAT, f"fsub double {quotient.text}, 1.0")
    signed = call(w, "llvm.copysign.f64", known(0.0), y)
    modulus = chosen(w, has_rest, chosen(w, is_off, moved, rest), signed)
    quotient = chosen(w, is_off, less, quotient)
    down = call(w, "floor", quotient)
    gap = let(w, Kind.FLOAT, f"fsub double {quotient.text}, {down.text}")
    up = let(w, Kind.FLOAT, f"fadd double {down.text}, 1.0")
    whole = chosen(w, float_is(w, "ogt", gap, "0.5"), up, down)
    ratio = let(w, Kind.FLOAT, f"fdiv double {x.text}, {y.text}")
    nothing = call(w, "llvm.copysign.f64", known(0.0), ratio)
    return chosen(w, float_is(w, "une", quotient), whole, nothing), modulus


def division(part: int, w: CallWriter, x: Value, y: Value) -> Value:
    """`//` (0) or `%` (1)."""
    of_floats = Kind.FLOAT in (x.kind, y.kind)
    return (_divided_floats if of_floats else _divided)(w, x, y)[part]


def power(w: CallWriter, x: Value, y: Value) -> Value:
    if Kind.FLOAT in (x.kind, y.kind):
        return _float_power(w, as_float(w, x), as_float(w, y))
    x, y = as_int(w, x), as_int(w, y)
    is_negative = w.let(f"icmp slt i64 {y.text}, 0")
    w.fail_when(is_negative, Why.CHANGED, "an int to a negative power, which is a float")
    w.declare("declare { i64, i1 } @llvm.smul.with.overflow.i64(i64, i64)")
    w.declare(INT_POWER)
    pair = w.let(f"call {{ i64, i1 }} @int_power(i64 {x.text}, i64 {y.text})")
    fail_for_width(w, w.let(f"extractvalue {{ i64, i1 }} {pair}, 1"))
    return let(w, Kind.INT, f"extractvalue {{ i64, i1 }} {pair}, 0")


def _float_power(w: CallWriter, x: Value, y: Value) -> Value:
    finite = both(w, is_finite(w, x), is_finite(w, y))
    to_negative = both(w, is_finite(w, y), is_negative(w, y))
    to_zero = both(w, float_is(w, "oeq", x), to_negative)
    w.fail_when(to_zero, Why.ARITHMETIC, "zero to a negative power")
    broken = float_is(w, "une", y, call(w, "floor", y).text)
    is_complex = both(w, finite, both(w, is_negative(w, x), broken))
    w.fail_when(is_complex, Why.ARITHMETIC, "a negative number to a fraction, which is complex")
    return within_range(w, call(w, "pow", x, y), finite)


def within_range(w: CallWriter, result: Value, finite: str) -> Value:
    is_infinite = float_is(w, "oeq", magnitude(w, result), INFINITY)
    w.fail_when(both(w, finite, is_infinite), Why.ARITHMETIC, "a result out of range")
    return result


def negative(w: CallWriter, x: Value) -> Value:
    if x.kind is Kind.FLOAT:
        return let(w, Kind.FLOAT, f"fneg double {x.text}")
    return _checked(w, "sub", known(0), as_int(w, x))


def positive(w: CallWriter, x: Value) -> Value:
    return x if x.kind is Kind.FLOAT else as_int(w, x)


def absolute(w: CallWriter, x: Value) -> Value:
    if x.kind is Kind.FLOAT:
        return magnitude(w, x)
    x = as_int(w, x)
    return chosen(w, w.let(f"icmp slt i64 {x.text}, 0"), negative(w, x), x)


# Bits


def bitwise(instruction: str, w: CallWriter, x: Value, y: Value) -> Value:
    if Kind.FLOAT in (x.kind, y.kind):
        raise Unable(f"{instruction} of floats")
    if x.kind is y.kind is Kind.BOOL:
        return let(w, Kind.BOOL, f"{instruction} i1 {x.text}, {y.text}")
    return let(w, Kind.INT, f"{instruction} i64 {as_int(w, x).text}, {as_int(w, y).text}")


def invert(w: CallWriter, x: Value) -> Value:
    return let(w, Kind.INT, f"xor i64 {as_int(w, _no_float(x)).text}, -1")


def _no_float(x: Value) -> Value:
    if x.kind is Kind.FLOAT:
        raise Unable("bits of a float")
    return x


def _shifted(w: CallWriter, x: Value, y: Value) -> tuple[Value, Value]:
    """The operands of a shift, which is by 63 at most."""
    x, y = as_int(w, _no_float(x)), as_int(w, _no_float(y))
    w.fail_when(w.let(f"icmp slt i64 {y.text}, 0"), Why.ARITHMETIC, "a negative shift count")
    w.declare("declare i64 @llvm.umin.i64(i64, i64)")
    return x, let(w, Kind.INT, f"call i64 @llvm.umin.i64(i64 {y.text}, i64 63)")


def left(w: CallWriter, x: Value, y: Value) -> Value:
    x, count = _shifted(w, x, y)
    made = w.let(f"shl i64 {x.text}, {count.text}")
    back = w.let(f"ashr i64 {made}, {count.text}")
    is_lost = w.let(f"icmp ne i64 {back}, {x.text}")
    is_far = w.let(f"icmp ne i64 {as_int(w, y).text}, {count.text}")
    is_some = w.let(f"icmp ne i64 {x.text}, 0")
    fail_for_width(w, either(w, is_lost, both(w, is_far, is_some)))
    return Value(Kind.INT, made)


def right(w: CallWriter, x: Value, y: Value) -> Value:
    x, count = _shifted(w, x, y)
    return let(w, Kind.INT, f"ashr i64 {x.text}, {count.text}")


INT_POWER = """
; base ** exponent, exponent >= 0; and whether it is too large.
define internal { i64, i1 } @int_power(i64 %base, i64 %exponent) nounwind {
entry:
  br label %look
look:
  %product = phi i64 [ 1, %entry ], [ %product.next, %square ]
  %factor = phi i64 [ %base, %entry ], [ %factor.next, %square ]
  %left = phi i64 [ %exponent, %entry ], [ %half, %square ]
  %over = phi i1 [ false, %entry ], [ %over.2, %square ]
  %bit = and i64 %left, 1
  %odd = icmp ne i64 %bit, 0
  %half = lshr i64 %left, 1
  %some = icmp ne i64 %half, 0
  %multiplied = call { i64, i1 } @llvm.smul.with.overflow.i64(i64 %product, i64 %factor)
  %multiplied.0 = extractvalue { i64, i1 } %multiplied, 0
  %multiplied.1 = extractvalue { i64, i1 } %multiplied, 1
  %product.next = select i1 %odd, i64 %multiplied.0, i64 %product
  %over.odd = and i1 %odd, %multiplied.1
  %over.1 = or i1 %over, %over.odd
  br i1 %some, label %square, label %done
square:
  %squared = call { i64, i1 } @llvm.smul.with.overflow.i64(i64 %factor, i64 %factor)
  %factor.next = extractvalue { i64, i1 } %squared, 0
  %squared.1 = extractvalue { i64, i1 } %squared, 1
  %over.2 = or i1 %over.1, %squared.1
  br label %look
done:
  %pair = insertvalue { i64, i1 } poison, i64 %product.next, 0
  %both = insertvalue { i64, i1 } %pair, i1 %over.1, 1
  ret { i64, i1 } %both
}
"""
"""What `**` of ints calls."""
