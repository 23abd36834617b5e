"""Functions of Python's numbers as machine code: those that `tracejit.standalone.functions` names, with Python's results.

An int is 64 bits wide here: where Python's would be wider, or where it is compared or divided in a way that 53 bits do not
hold, the call fails. Functions that the C library and Python compute differently are missing.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial

from tracejit.standalone.functions import SAME
from tracejit.standalone.machine.arithmetic import (
    absolute,
    arithmetic,
    bitwise,
    division,
    fail_beyond_floats,
    fail_for_width,
    invert,
    left,
    negative,
    positive,
    power,
    right,
    true_division,
    within_range,
)
from tracejit.standalone.machine.floats import (
    both,
    call,
    chosen,
    float_is,
    is_finite,
    is_infinite,
    is_nan,
    let,
    magnitude,
)
from tracejit.standalone.machine.narrow import as_brain, as_half, as_single
from tracejit.standalone.machine.rounding import rounded
from tracejit.standalone.machine.special import gamma, hypot, lgamma
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


# Comparisons and truth


def _compared(how: str, w: CallWriter, x: Value, y: Value) -> Value:
    """`how` is one of LLVM's comparisons of ints without its sign: eq, ne, lt, le, gt, ge."""
    if Kind.FLOAT in (x.kind, y.kind):
        for each in (x, y):
            if each.kind is Kind.INT:
                fail_beyond_floats(w, each)
        x, y = as_float(w, x), as_float(w, y)
        return let(
            w, Kind.BOOL, f"fcmp {'u' if how == 'ne' else 'o'}{how} double {x.text}, {y.text}"
        )
    sign = "" if how in ("eq", "ne") else "s"
    x, y = as_int(w, x), as_int(w, y)
    return let(w, Kind.BOOL, f"icmp {sign}{how} i64 {x.text}, {y.text}")


def truth(w: CallWriter, x: Value) -> Value:
    return x if x.kind is Kind.BOOL else _compared("ne", w, x, _zero(x))


def _not(w: CallWriter, x: Value) -> Value:
    return let(w, Kind.BOOL, f"xor i1 {truth(w, x).text}, true")


def _zero(x: Value) -> Value:
    return known(0.0) if x.kind is Kind.FLOAT else known(0)


def _extreme(how: str, w: CallWriter, *operands: Value) -> Value:
    """`min` (lt) or `max` (gt): the first of those that no other is better than."""
    found, *others = operands
    if not others or any(each.kind is not found.kind for each in others):
        raise Unable("min and max of numbers of several types")
    for each in others:
        found = chosen(w, _compared(how, w, each, found).text, each, found)
    return found


# Conversions


def _float(w: CallWriter, x: Value) -> Value:
    return as_float(w, x)


def _whole(rounding: str, w: CallWriter, x: Value) -> Value:
    """A float rounded to an int by a function of the C library; an int as it is."""
    if x.kind is not Kind.FLOAT:
        return as_int(w, x)
    w.fail_when(is_nan(w, x), Why.ARITHMETIC, "NaN as an int")
    w.fail_when(is_infinite(w, x), Why.ARITHMETIC, "infinity as an int")
    whole = call(w, rounding, x)
    limit = float_literal(2.0**63)
    is_small = float_is(w, "oge", whole, float_literal(-(2.0**63)))
    fits = both(w, is_small, float_is(w, "olt", whole, limit))
    fail_for_width(w, w.let(f"xor i1 {fits}, true"))
    return let(w, Kind.INT, f"fptosi double {whole.text} to i64")


def _round(w: CallWriter, x: Value, digits: Value | None = None) -> Value:
    return _whole("rint", w, x) if digits is None else rounded(w, x, digits)


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
    result = call(w, name, *given)
    ordered, finite = "true", "true"
    for each in given:
        ordered = both(w, ordered, float_is(w, "ord", each))
        finite = both(w, finite, is_finite(w, each))
    w.fail_when(both(w, ordered, is_nan(w, result)), Why.ARITHMETIC, "outside of its domain")
    return within_range(w, result, finite)


def _logarithm(w: CallWriter, x: Value, base: Value | None = None) -> Value:
    result = _of_floats("log", w, x)
    return result if base is None else true_division(w, result, _of_floats("log", w, base))


def _scaled(factor: float, w: CallWriter, x: Value) -> Value:
    return arithmetic("mul", w, as_float(w, x), known(factor))


def _asked(what: Callable[[CallWriter, Value], str], w: CallWriter, x: Value) -> Value:
    return Value(Kind.BOOL, what(w, as_float(w, x)))


def _magnitude_as_float(w: CallWriter, x: Value) -> Value:
    return magnitude(w, as_float(w, x))


_UNARY = """
    acos acosh asin asinh atan atanh cbrt cos cosh erf erfc exp exp2 expm1 log10 log1p log2 sin sinh sqrt tan tanh
""".split()
_BINARY = "atan2 copysign fmod nextafter remainder pow".split()

FUNCTIONS: dict[str, Emit] = {
    "operator.add": partial(arithmetic, "add"),
    "operator.sub": partial(arithmetic, "sub"),
    "operator.mul": partial(arithmetic, "mul"),
    "operator.truediv": true_division,
    "operator.floordiv": partial(division, 0),
    "operator.mod": partial(division, 1),
    "operator.pow": power,
    "operator.neg": negative,
    "operator.pos": positive,
    "operator.abs": absolute,
    "operator.not_": _not,
    "operator.truth": truth,
    "operator.and_": partial(bitwise, "and"),
    "operator.or_": partial(bitwise, "or"),
    "operator.xor": partial(bitwise, "xor"),
    "operator.lshift": left,
    "operator.rshift": right,
    "operator.invert": invert,
    **{f"operator.{how}": partial(_compared, how) for how in "lt le gt ge eq ne".split()},
    **{f"math.{name}": partial(_of_float, name) for name in _UNARY},
    **{f"math.{name}": partial(_of_two_floats, name) for name in _BINARY},
    "math.log": _logarithm,
    "math.hypot": hypot,
    "math.gamma": gamma,
    "math.lgamma": lgamma,
    "math.fabs": _magnitude_as_float,
    "math.floor": partial(_whole, "floor"),
    "math.ceil": partial(_whole, "ceil"),
    "math.trunc": partial(_whole, "trunc"),
    "math.degrees": partial(_scaled, 180.0 / math.pi),
    "math.radians": partial(_scaled, math.pi / 180.0),
    "math.isnan": partial(_asked, is_nan),
    "math.isinf": partial(_asked, is_infinite),
    "math.isfinite": partial(_asked, is_finite),
    SAME: lambda w, x: x,
    "builtins.abs": absolute,
    "builtins.bool": truth,
    "builtins.float": _float,
    "builtins.int": partial(_whole, "trunc"),
    "builtins.round": _round,
    "builtins.min": partial(_extreme, "lt"),
    "builtins.max": partial(_extreme, "gt"),
    "builtins.pow": power,
    "number_as.float64": _float,
    "number_as.float32": as_single,
    "number_as.float16": as_half,
    "number_as.bfloat16": as_brain,
    "number_as.bool": truth,
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
