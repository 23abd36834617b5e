"""What functions of numbers share: instructions on values, and what is asked of floats."""

from __future__ import annotations

import math

from tracejit.standalone.machine.writer import CallWriter, Kind, Value, float_literal

INFINITY = float_literal(math.inf)


def let(w: CallWriter, kind: Kind, expression: str) -> Value:
    return Value(kind, w.let(expression))


def call(w: CallWriter, name: str, *operands: Value) -> Value:
    """A function of floats that the C library has."""
    w.declare(f"declare double @{name}({', '.join(['double'] * len(operands))})")
    listed = ", ".join(f"double {each.text}" for each in operands)
    return let(w, Kind.FLOAT, f"call double @{name}({listed})")


def float_is(w: CallWriter, how: str, x: Value, y: str = "0.0") -> str:
    return w.let(f"fcmp {how} double {x.text}, {y}")


def both(w: CallWriter, x: str, y: str) -> str:
    return w.let(f"and i1 {x}, {y}")


def either(w: CallWriter, x: str, y: str) -> str:
    return w.let(f"or i1 {x}, {y}")


def chosen(w: CallWriter, condition: str, x: Value, y: Value) -> Value:
    kind = x.kind
    return let(w, kind, f"select i1 {condition}, {kind.value} {x.text}, {kind.value} {y.text}")


def is_finite(w: CallWriter, x: Value) -> str:
    return float_is(w, "olt", magnitude(w, x), INFINITY)


def magnitude(w: CallWriter, x: Value) -> Value:
    return call(w, "llvm.fabs.f64", x)


def is_nan(w: CallWriter, x: Value) -> str:
    return float_is(w, "uno", x)


def is_negative(w: CallWriter, x: Value) -> str:
    return float_is(w, "olt", x)


def is_infinite(w: CallWriter, x: Value) -> str:
    return float_is(w, "oeq", magnitude(w, x), INFINITY)
