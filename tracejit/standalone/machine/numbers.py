"""Functions of Python's numbers as machine code: those that `tracejit.standalone.functions` names, with Python's results.

An int is 64 bits wide here: where Python's would be wider, or where it is compared or divided in a way that 53 bits do not
hold, the call fails. Functions that the C library and Python compute differently are missing.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial

from tracejit.standalone.machine.writer import (
    INT_MIN,
    CallWriter,
    Kind,
    Unable,
    Value,
    Why,
    as_float,
    as_int,
    float_literal,
    known,
)

Emit = Callable[..., Value]
"""From the writer and the operands to the result. Raises Unable."""

INFINITY = float_literal(math.inf)
_EXACT = 1 << 53
"""Up to here ints are floats."""


def emit(w: CallWriter, function: str, operands: tuple[Value, ...]) -> Value:
    """What a function gives for the operands. Raises Unable."""
    found = FUNCTIONS.get(function)
    name = function.rpartition(".")[2]
    if found is None:
        raise Unable(f"{name} of numbers is not done without Python")
    try:
        inspect.signature(found).bind(w, *operands)
    except TypeError:
        raise Unable(f"{name} of {len(operands)} numbers is not done without Python") from None
    return found(w, *operands)


# Small parts


def _let(w: CallWriter, kind: Kind, expression: str) -> Value:
    return Value(kind, w.let(expression))


def _call(w: CallWriter, name: str, *operands: Value) -> Value:
    """A function of floats that the C library has."""
    listed = ", ".join(f"double {each.text}" for each in operands)
    return _let(w, Kind.FLOAT, f"call double @{name}({listed})")


def _float_is(w: CallWriter, how: str, x: Value, y: str = "0.0") -> str:
    return w.let(f"fcmp {how} double {x.text}, {y}")


def _both(w: CallWriter, x: str, y: str) -> str:
    return w.let(f"and i1 {x}, {y}")


def _either(w: CallWriter, x: str, y: str) -> str:
    return w.let(f"or i1 {x}, {y}")


def _chosen(w: CallWriter, condition: str, x: Value, y: Value) -> Value:
    kind = x.kind
    return _let(w, kind, f"select i1 {condition}, {kind.value} {x.text}, {kind.value} {y.text}")


def _is_finite(w: CallWriter, x: Value) -> str:
    return _float_is(w, "olt", _magnitude(w, x), INFINITY)


def _magnitude(w: CallWriter, x: Value) -> Value:
    return _call(w, "llvm.fabs.f64", x)


def _is_nan(w: CallWriter, x: Value) -> str:
    return _float_is(w, "uno", x)


def _is_negative(w: CallWriter, x: Value) -> str:
    return _float_is(w, "olt", x)


# Arithmetic


def _arithmetic(instruction: str, w: CallWriter, x: Value, y: Value) -> Value:
    if Kind.FLOAT in (x.kind, y.kind):
        x, y = as_float(w, x), as_float(w, y)
        return _let(w, Kind.FLOAT, f"f{instruction} double {x.text}, {y.text}")
    return _checked(w, instruction, as_int(w, x), as_int(w, y))


def _checked(w: CallWriter, instruction: str, x: Value, y: Value) -> Value:
    pair = w.let(
        f"call {{ i64, i1 }} @llvm.s{instruction}.with.overflow.i64(i64 {x.text}, i64 {y.text})"
    )
    _fail_for_width(w, w.let(f"extractvalue {{ i64, i1 }} {pair}, 1"))
    return _let(w, Kind.INT, f"extractvalue {{ i64, i1 }} {pair}, 0")


def _fail_for_width(w: CallWriter, condition: str) -> None:
    w.fail_when(condition, Why.OVERFLOW, "an int of more than 64 bits")


def _fail_for_zero(w: CallWriter, x: Value) -> None:
    if x.kind is Kind.FLOAT:
        is_zero = _float_is(w, "oeq", x)
    else:
        is_zero = w.let(f"icmp eq i64 {x.text}, 0")
    w.fail_when(is_zero, Why.ARITHMETIC, "a division by zero")


def _true_division(w: CallWriter, x: Value, y: Value) -> Value:
    if Kind.FLOAT not in (x.kind, y.kind):
        for each in (x, y):
            _fail_beyond_floats(w, as_int(w, each))
    x, y = as_float(w, x), as_float(w, y)
    _fail_for_zero(w, y)
    return _let(w, Kind.FLOAT, f"fdiv double {x.text}, {y.text}")


def _fail_beyond_floats(w: CallWriter, x: Value) -> None:
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
    _fail_for_width(w, _both(w, is_least, w.let(f"icmp eq i64 {y.text}, -1")))
    quotient = w.let(f"sdiv i64 {x.text}, {y.text}")
    rest = w.let(f"srem i64 {x.text}, {y.text}")
    differs = w.let(f"icmp slt i64 {w.let(f'xor i64 {rest}, {y.text}')}, 0")
    is_off = _both(w, w.let(f"icmp ne i64 {rest}, 0"), differs)
    less = w.let(f"sext i1 {is_off} to i64")
    more = w.let(f"select i1 {is_off}, i64 {y.text}, i64 0")
    return (
        _let(w, Kind.INT, f"add i64 {quotient}, {less}"),
        _let(w, Kind.INT, f"add i64 {rest}, {more}"),
    )


def _divided_floats(w: CallWriter, x: Value, y: Value) -> tuple[Value, Value]:
    """`divmod` of floats, step by step as Python's `float_divmod`."""
    x, y = as_float(w, x), as_float(w, y)
    _fail_for_zero(w, y)
    rest = _call(w, "fmod", x, y)
    quotient = _let(
        w,
        Kind.FLOAT,
        f"fdiv double {w.let(f'fsub double {x.text}, {rest.text}')}, {y.text}",
    )
    has_rest = _float_is(w, "une", rest)
    differs = w.let(f"xor i1 {_is_negative(w, y)}, {_is_negative(w, rest)}")
    is_off = _both(w, has_rest, differs)
    moved = _let(w, Kind.FLOAT, f"fadd double {rest.text}, {y.text}")
    less = _let(w, Kind.FLOAT, f"fsub double {quotient.text}, 1.0")
    signed = _call(w, "llvm.copysign.f64", known(0.0), y)
    modulus = _chosen(w, has_rest, _chosen(w, is_off, moved, rest), signed)
    quotient = _chosen(w, is_off, less, quotient)
    down = _call(w, "floor", quotient)
    gap = _let(w, Kind.FLOAT, f"fsub double {quotient.text}, {down.text}")
    up = _let(w, Kind.FLOAT, f"fadd double {down.text}, 1.0")
    whole = _chosen(w, _float_is(w, "ogt", gap, "0.5"), up, down)
    ratio = _let(w, Kind.FLOAT, f"fdiv double {x.text}, {y.text}")
    nothing = _call(w, "llvm.copysign.f64", known(0.0), ratio)
    return _chosen(w, _float_is(w, "une", quotient), whole, nothing), modulus


def _division(part: int, w: CallWriter, x: Value, y: Value) -> Value:
    """`//` (0) or `%` (1)."""
    of_floats = Kind.FLOAT in (x.kind, y.kind)
    return (_divided_floats if of_floats else _divided)(w, x, y)[part]


def _power(w: CallWriter, x: Value, y: Value) -> Value:
    if Kind.FLOAT in (x.kind, y.kind):
        return _float_power(w, as_float(w, x), as_float(w, y))
    x, y = as_int(w, x), as_int(w, y)
    is_negative = w.let(f"icmp slt i64 {y.text}, 0")
    w.fail_when(is_negative, Why.CHANGED, "an int to a negative power, which is a float")
    pair = w.let(f"call {{ i64, i1 }} @int_power(i64 {x.text}, i64 {y.text})")
    _fail_for_width(w, w.let(f"extractvalue {{ i64, i1 }} {pair}, 1"))
    return _let(w, Kind.INT, f"extractvalue {{ i64, i1 }} {pair}, 0")


def _float_power(w: CallWriter, x: Value, y: Value) -> Value:
    finite = _both(w, _is_finite(w, x), _is_finite(w, y))
    is_negative = _both(w, _is_finite(w, y), _is_negative(w, y))
    to_zero = _both(w, _float_is(w, "oeq", x), is_negative)
    w.fail_when(to_zero, Why.ARITHMETIC, "zero to a negative power")
    broken = _float_is(w, "une", y, _call(w, "floor", y).text)
    is_complex = _both(w, finite, _both(w, _is_negative(w, x), broken))
    w.fail_when(is_complex, Why.ARITHMETIC, "a negative number to a fraction, which is complex")
    return _within_range(w, _call(w, "pow", x, y), finite)


def _within_range(w: CallWriter, result: Value, finite: str) -> Value:
    is_infinite = _float_is(w, "oeq", _magnitude(w, result), INFINITY)
    w.fail_when(_both(w, finite, is_infinite), Why.ARITHMETIC, "a result out of range")
    return result


def _negative(w: CallWriter, x: Value) -> Value:
    if x.kind is Kind.FLOAT:
        return _let(w, Kind.FLOAT, f"fneg double {x.text}")
    return _checked(w, "sub", known(0), as_int(w, x))


def _positive(w: CallWriter, x: Value) -> Value:
    return x if x.kind is Kind.FLOAT else as_int(w, x)


def _absolute(w: CallWriter, x: Value) -> Value:
    if x.kind is Kind.FLOAT:
        return _magnitude(w, x)
    x = as_int(w, x)
    return _chosen(w, w.let(f"icmp slt i64 {x.text}, 0"), _negative(w, x), x)


# Bits


def _bitwise(instruction: str, w: CallWriter, x: Value, y: Value) -> Value:
    if Kind.FLOAT in (x.kind, y.kind):
        raise Unable(f"{instruction} of floats")
    if x.kind is y.kind is Kind.BOOL:
        return _let(w, Kind.BOOL, f"{instruction} i1 {x.text}, {y.text}")
    return _let(w, Kind.INT, f"{instruction} i64 {as_int(w, x).text}, {as_int(w, y).text}")


def _invert(w: CallWriter, x: Value) -> Value:
    return _let(w, Kind.INT, f"xor i64 {as_int(w, _no_float(x)).text}, -1")


def _no_float(x: Value) -> Value:
    if x.kind is Kind.FLOAT:
        raise Unable("bits of a float")
    return x


def _shifted(w: CallWriter, x: Value, y: Value) -> tuple[Value, Value]:
    """The operands of a shift, which is by 63 at most."""
    x, y = as_int(w, _no_float(x)), as_int(w, _no_float(y))
    w.fail_when(w.let(f"icmp slt i64 {y.text}, 0"), Why.ARITHMETIC, "a negative shift count")
    return x, _let(w, Kind.INT, f"call i64 @llvm.umin.i64(i64 {y.text}, i64 63)")


def _left(w: CallWriter, x: Value, y: Value) -> Value:
    x, count = _shifted(w, x, y)
    made = w.let(f"shl i64 {x.text}, {count.text}")
    back = w.let(f"ashr i64 {made}, {count.text}")
    is_lost = w.let(f"icmp ne i64 {back}, {x.text}")
    is_far = w.let(f"icmp ne i64 {as_int(w, y).text}, {count.text}")
    is_some = w.let(f"icmp ne i64 {x.text}, 0")
    _fail_for_width(w, _either(w, is_lost, _both(w, is_far, is_some)))
    return Value(Kind.INT, made)


def _right(w: CallWriter, x: Value, y: Value) -> Value:
    x, count = _shifted(w, x, y)
    return _let(w, Kind.INT, f"ashr i64 {x.text}, {count.text}")


# Comparisons and truth


def _compared(how: str, w: CallWriter, x: Value, y: Value) -> Value:
    """`how` is one of LLVM's comparisons of ints without its sign: eq, ne, lt, le, gt, ge."""
    if Kind.FLOAT in (x.kind, y.kind):
        for each in (x, y):
            if each.kind is Kind.INT:
                _fail_beyond_floats(w, each)
        x, y = as_float(w, x), as_float(w, y)
        return _let(
            w, Kind.BOOL, f"fcmp {'u' if how == 'ne' else 'o'}{how} double {x.text}, {y.text}"
        )
    sign = "" if how in ("eq", "ne") else "s"
    x, y = as_int(w, x), as_int(w, y)
    return _let(w, Kind.BOOL, f"icmp {sign}{how} i64 {x.text}, {y.text}")


def _truth(w: CallWriter, x: Value) -> Value:
    return x if x.kind is Kind.BOOL else _compared("ne", w, x, _zero(x))


def _not(w: CallWriter, x: Value) -> Value:
    return _let(w, Kind.BOOL, f"xor i1 {_truth(w, x).text}, true")


def _zero(x: Value) -> Value:
    return known(0.0) if x.kind is Kind.FLOAT else known(0)


def _extreme(how: str, w: CallWriter, *operands: Value) -> Value:
    """`min` (lt) or `max` (gt): the first of those that no other is better than."""
    found, *others = operands
    if not others or any(each.kind is not found.kind for each in others):
        raise Unable("min and max of numbers of several types")
    for each in others:
        found = _chosen(w, _compared(how, w, each, found).text, each, found)
    return found


# Conversions


def _float(w: CallWriter, x: Value) -> Value:
    return as_float(w, x)


def _whole(rounding: str, w: CallWriter, x: Value) -> Value:
    """A float rounded to an int by a function of the C library; an int as it is."""
    if x.kind is not Kind.FLOAT:
        return as_int(w, x)
    w.fail_when(_is_nan(w, x), Why.ARITHMETIC, "NaN as an int")
    infinite = _float_is(w, "oeq", _magnitude(w, x), INFINITY)
    w.fail_when(infinite, Why.ARITHMETIC, "infinity as an int")
    whole = _call(w, rounding, x)
    limit = float_literal(2.0**63)
    is_small = _float_is(w, "oge", whole, float_literal(-(2.0**63)))
    fits = _both(w, is_small, _float_is(w, "olt", whole, limit))
    _fail_for_width(w, w.let(f"xor i1 {fits}, true"))
    return _let(w, Kind.INT, f"fptosi double {whole.text} to i64")


def _single(w: CallWriter, x: Value) -> Value:
    narrow = w.let(f"fptrunc double {as_float(w, x).text} to float")
    return _let(w, Kind.FLOAT, f"fpext float {narrow} to double")


def _in_range(least: int, most: int, name: str, w: CallWriter, x: Value) -> Value:
    if x.kind is Kind.FLOAT:
        raise Unable(f"a float as {name}")
    x = as_int(w, x)
    if least > INT_MIN:
        below = w.let(f"icmp slt i64 {x.text}, {least}")
        w.fail_when(below, Why.OVERFLOW, f"an int out of bounds for {name}")
    if most < -INT_MIN - 1:
        above = w.let(f"icmp sgt i64 {x.text}, {most}")
        w.fail_when(above, Why.OVERFLOW, f"an int out of bounds for {name}")
    return x


# Mathematics


def _of_float(name: str, w: CallWriter, x: Value) -> Value:
    return _of_floats(name, w, x)


def _of_two_floats(name: str, w: CallWriter, x: Value, y: Value) -> Value:
    return _of_floats(name, w, x, y)


def _of_floats(name: str, w: CallWriter, *operands: Value) -> Value:
    """A function of the C library with Python's checks: no NaN from what is none, no infinity from what is finite."""
    given = [as_float(w, each) for each in operands]
    result = _call(w, name, *given)
    ordered, finite = "true", "true"
    for each in given:
        ordered = _both(w, ordered, _float_is(w, "ord", each))
        finite = _both(w, finite, _is_finite(w, each))
    w.fail_when(_both(w, ordered, _is_nan(w, result)), Why.ARITHMETIC, "outside of its domain")
    return _within_range(w, result, finite)


def _logarithm(w: CallWriter, x: Value, base: Value | None = None) -> Value:
    result = _of_floats("log", w, x)
    return result if base is None else _true_division(w, result, _of_floats("log", w, base))


def _scaled(factor: float, w: CallWriter, x: Value) -> Value:
    return _arithmetic("mul", w, as_float(w, x), known(factor))


def _asked(what: Callable[[CallWriter, Value], str], w: CallWriter, x: Value) -> Value:
    return Value(Kind.BOOL, what(w, as_float(w, x)))


def _is_infinite(w: CallWriter, x: Value) -> str:
    return _float_is(w, "oeq", _magnitude(w, x), INFINITY)


def _magnitude_as_float(w: CallWriter, x: Value) -> Value:
    return _magnitude(w, as_float(w, x))


_UNARY = """
    acos acosh asin asinh atan atanh cbrt cos cosh erf erfc exp exp2 expm1 log10 log1p log2 sin sinh sqrt tan tanh
""".split()
_BINARY = "atan2 copysign fmod nextafter remainder pow".split()

FUNCTIONS: dict[str, Emit] = {
    "operator.add": partial(_arithmetic, "add"),
    "operator.sub": partial(_arithmetic, "sub"),
    "operator.mul": partial(_arithmetic, "mul"),
    "operator.truediv": _true_division,
    "operator.floordiv": partial(_division, 0),
    "operator.mod": partial(_division, 1),
    "operator.pow": _power,
    "operator.neg": _negative,
    "operator.pos": _positive,
    "operator.abs": _absolute,
    "operator.not_": _not,
    "operator.truth": _truth,
    "operator.and_": partial(_bitwise, "and"),
    "operator.or_": partial(_bitwise, "or"),
    "operator.xor": partial(_bitwise, "xor"),
    "operator.lshift": _left,
    "operator.rshift": _right,
    "operator.invert": _invert,
    **{f"operator.{how}": partial(_compared, how) for how in "lt le gt ge eq ne".split()},
    **{f"math.{name}": partial(_of_float, name) for name in _UNARY},
    **{f"math.{name}": partial(_of_two_floats, name) for name in _BINARY},
    "math.log": _logarithm,
    "math.fabs": _magnitude_as_float,
    "math.floor": partial(_whole, "floor"),
    "math.ceil": partial(_whole, "ceil"),
    "math.trunc": partial(_whole, "trunc"),
    "math.degrees": partial(_scaled, 180.0 / math.pi),
    "math.radians": partial(_scaled, math.pi / 180.0),
    "math.isnan": partial(_asked, _is_nan),
    "math.isinf": partial(_asked, _is_infinite),
    "math.isfinite": partial(_asked, _is_finite),
    "builtins.abs": _absolute,
    "builtins.bool": _truth,
    "builtins.float": _float,
    "builtins.int": partial(_whole, "trunc"),
    "builtins.round": partial(_whole, "rint"),
    "builtins.min": partial(_extreme, "lt"),
    "builtins.max": partial(_extreme, "gt"),
    "builtins.pow": _power,
    "number_as.float64": _float,
    "number_as.float32": _single,
    "number_as.bool": _truth,
    **{
        f"number_as.{sign}int{bits}": partial(
            _in_range,
            0 if sign else -(1 << bits - 1),
            (1 << bits - (not sign)) - 1,
            f"{sign}int{bits}",
        )
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
}
"""By the names in `tracejit.standalone.functions`."""

_CALLED = {
    *_UNARY,
    *_BINARY,
    "log",
    "floor",
    "ceil",
    "trunc",
    "rint",
    "llvm.fabs.f64",
    "llvm.copysign.f64",
}
_TWO = {*_BINARY, "llvm.copysign.f64"}

DECLARATIONS = "\n".join(
    [
        *(
            f"declare double @{name}({', '.join(['double'] * (2 if name in _TWO else 1))})"
            for name in sorted(_CALLED)
        ),
        *(
            f"declare {{ i64, i1 }} @llvm.s{name}.with.overflow.i64(i64, i64)"
            for name in ("add", "sub", "mul")
        ),
        "declare i64 @llvm.umin.i64(i64, i64)",
        """
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
""",
    ]
)
"""What the text of these functions relies on."""
