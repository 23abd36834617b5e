"""`math.hypot`, `math.gamma` and `math.lgamma`, which Python computes by itself: its steps, in their order.

`hypot` adds exact squares of the numbers, scaled so that none overflows, in twice the precision, and mends the root. `gamma` and
`lgamma` are Lanczos' sum, with the functions of the C library; of negative numbers by reflection.
"""

from __future__ import annotations

import math

from tracejit._records import dataclass
from tracejit.standalone.machine.floats import (
    both,
    call,
    chosen,
    either,
    float_is,
    is_finite,
    is_infinite,
    is_nan,
    is_negative,
    let,
    magnitude,
)
from tracejit.standalone.machine.writer import (
    CallWriter,
    Kind,
    Value,
    Why,
    as_float,
    float_literal,
    known,
)

_LEAST_NORMAL = 2.0**-1022


@dataclass(frozen=True, slots=True, eq=False)
class _Real:
    """A float with Python's operators, each of which is one instruction."""

    w: CallWriter
    value: Value

    def __add__(self, other: _Real | float) -> _Real:
        return self._with("fadd", other)

    def __sub__(self, other: _Real | float) -> _Real:
        return self._with("fsub", other)

    def __mul__(self, other: _Real | float) -> _Real:
        return self._with("fmul", other)

    def __truediv__(self, other: _Real | float) -> _Real:
        return self._with("fdiv", other)

    def __rsub__(self, other: float) -> _Real:
        return self._as_real(other) - self

    def __rtruediv__(self, other: float) -> _Real:
        return self._as_real(other) / self

    def __neg__(self) -> _Real:
        return _Real(self.w, let(self.w, Kind.FLOAT, f"fneg double {self.value.text}"))

    def _as_real(self, other: _Real | float) -> _Real:
        return other if isinstance(other, _Real) else _Real(self.w, known(other))

    def _with(self, instruction: str, other: _Real | float) -> _Real:
        text = self._as_real(other).value.text
        made = let(self.w, Kind.FLOAT, f"{instruction} double {self.value.text}, {text}")
        return _Real(self.w, made)

    def by(self, function: str, *others: _Real | float) -> _Real:
        """A function of the C library."""
        given = [self.value, *(self._as_real(each).value for each in others)]
        return _Real(self.w, call(self.w, function, *given))

    def is_(self, how: str, other: float) -> str:
        return float_is(self.w, how, self.value, float_literal(other))

    def chosen(self, condition: str, other: _Real | float) -> _Real:
        """This where the condition holds, else the other."""
        return _Real(self.w, chosen(self.w, condition, self.value, self._as_real(other).value))


# The distance from zero


def hypot(w: CallWriter, *operands: Value) -> Value:
    sizes = [_Real(w, magnitude(w, as_float(w, each))) for each in operands]
    most, has_nan = _Real(w, known(0.0)), "false"
    for size in sizes:
        more = float_is(w, "ogt", size.value, most.value.text)
        most, has_nan = size.chosen(more, most), either(w, has_nan, is_nan(w, size.value))
    if len(sizes) < 2:
        return most.chosen(either(w, is_infinite(w, most.value), _not(w, has_nan)), math.nan).value
    is_small = most.is_("olt", _LEAST_NORMAL)
    normal = _Real(w, known(1.0 / _LEAST_NORMAL)).chosen(is_small, 1.0)
    scale = _inverse_power_above(w, most * normal)
    found = _norm([size * normal * scale for size in sizes]) / scale
    found = (found * _LEAST_NORMAL).chosen(is_small, found)
    found = most.chosen(most.is_("oeq", 0.0), found)
    found = _Real(w, known(math.nan)).chosen(has_nan, found)
    return most.chosen(is_infinite(w, most.value), found).value


def _not(w: CallWriter, condition: str) -> str:
    return w.let(f"xor i1 {condition}, true")


def _inverse_power_above(w: CallWriter, x: _Real) -> _Real:
    """1 over the least power of two that is more than a normal number."""
    bits = w.let(f"bitcast double {x.value.text} to i64")
    exponent = w.let(f"sub i64 1022, {w.let(f'lshr i64 {bits}, 52')}")
    w.declare("declare double @ldexp(double, i32)")
    down = w.let(f"trunc i64 {exponent} to i32")
    return _Real(w, let(w, Kind.FLOAT, f"call double @ldexp(double 1.0, i32 {down})"))


def _norm(sizes: list[_Real]) -> _Real:
    """Of numbers below 1, of which one is 0.5 or more. The sum begins with 1, which is more than each square."""
    w = sizes[0].w
    total, low, lost = _Real(w, known(1.0)), _Real(w, known(0.0)), _Real(w, known(0.0))

    def add(x: _Real, y: _Real) -> None:
        """The product, and what `total` does not hold of it."""
        nonlocal total, low, lost
        product = x * y
        low = low + x.by("llvm.fma.f64", y, -product)
        before, total = total, total + product
        lost = lost + (before - total + product)

    for size in sizes:
        add(size, size)
    root = (total - 1.0 + (low + lost)).by("llvm.sqrt.f64")
    add(-root, root)
    return root + (total - 1.0 + (low + lost)) / (root * 2.0)


# The gamma function

_G = 6.024680040776729583740234375
_G_LESS_HALF = 5.524680040776729583740234375
_NUMERATOR = (
    23531376880.41076, 42919803642.6491, 35711959237.35567, 17921034426.03721, 6039542586.352028,
    1439720407.3117216, 248874557.86205417, 31426415.585400194, 2876370.6289353725, 186056.26539522348,
    8071.672002365816, 210.82427775157936, 2.5066282746310002,
)  # fmt: skip
_DENOMINATOR = (
    0.0, 39916800.0, 120543840.0, 150917976.0, 105258076.0, 45995730.0, 13339535.0, 2637558.0, 357423.0, 32670.0,
    1925.0, 66.0, 1.0,
)  # fmt: skip
_LAST_EXACT = 23
"""Up to here `gamma` of an integer is a float itself."""


def gamma(w: CallWriter, x: Value) -> Value:
    given = _Real(w, as_float(w, x))
    is_below, finite = is_negative(w, given.value), is_finite(w, given.value)
    is_whole = float_is(w, "oeq", given.value, given.by("floor").value.text)
    is_pole = either(w, given.is_("oeq", 0.0), both(w, is_below, is_whole))
    w.fail_when(is_pole, Why.ARITHMETIC, "outside of its domain")
    size = _Real(w, magnitude(w, given.value))
    found = _gamma_below(given, size).chosen(is_below, _gamma_above(size))
    found = (1.0 / given).chosen(size.is_("olt", 1e-20), found)
    is_exact = both(w, is_whole, given.is_("ole", float(_LAST_EXACT)))
    found = _factorial_before(given).chosen(is_exact, found)
    w.fail_when(
        both(w, finite, is_infinite(w, found.value)), Why.ARITHMETIC, "a result out of range"
    )
    return found.chosen(finite, given).value


def _factorial_before(x: _Real) -> _Real:
    """(x - 1)! of a positive integer that is small enough."""
    product = _Real(x.w, known(1.0))
    for factor in range(2, _LAST_EXACT):
        product = (product * float(factor)).chosen(x.is_("ogt", float(factor)), product)
    return product


def _base(size: _Real) -> tuple[_Real, _Real]:
    """x + g - 1/2, and by how much of itself what is made of it is to be mended, as the sum is rounded."""
    base = size + _G_LESS_HALF
    error = (base - size - _G_LESS_HALF).chosen(
        size.is_("ogt", _G_LESS_HALF), base - _G_LESS_HALF - size
    )
    return base, error * _G / base


def _power(base: _Real, size: _Real) -> tuple[_Real, str]:
    """base ** (x - 1/2), or its root where that is too large."""
    is_large = size.is_("oge", 140.0)
    return base.by("pow", (size / 2.0 - 0.25).chosen(is_large, size - 0.5)), is_large


def _gamma_above(size: _Real) -> _Real:
    base, mend = _base(size)
    found = _lanczos(size) / base.by("exp")
    found = found + mend * found
    power, is_large = _power(base, size)
    once = found * power
    found = (once * power).chosen(is_large, once)
    return _Real(size.w, known(math.inf)).chosen(size.is_("ogt", 200.0), found)


def _gamma_below(x: _Real, size: _Real) -> _Real:
    base, mend = _base(size)
    sine = _sine_of_pi(size)
    found = -math.pi / sine / size * base.by("exp") / _lanczos(size)
    found = found - mend * found
    power, is_large = _power(base, size)
    once = found / power
    found = (once / power).chosen(is_large, once)
    return (0.0 / -sine).chosen(size.is_("ogt", 200.0), found)


def lgamma(w: CallWriter, x: Value) -> Value:
    given = _Real(w, as_float(w, x))
    is_below, finite = is_negative(w, given.value), is_finite(w, given.value)
    is_whole = float_is(w, "oeq", given.value, given.by("floor").value.text)
    is_pole = both(w, both(w, finite, is_whole), given.is_("ole", 0.0))
    w.fail_when(is_pole, Why.ARITHMETIC, "outside of its domain")
    size = _Real(w, magnitude(w, given.value))
    found = _lanczos(size).by("log") - _G
    found = found + (size - 0.5) * ((size + _G - 0.5).by("log") - 1.0)
    sine = _Real(w, magnitude(w, _sine_of_pi(size).value))
    reflected = math.log(math.pi) - sine.by("log") - size.by("log") - found
    found = reflected.chosen(is_below, found)
    found = (-size.by("log")).chosen(size.is_("olt", 1e-20), found)
    found = _Real(w, known(0.0)).chosen(both(w, is_whole, given.is_("ole", 2.0)), found)
    w.fail_when(
        both(w, finite, is_infinite(w, found.value)), Why.ARITHMETIC, "a result out of range"
    )
    return found.chosen(finite, size).value


def _lanczos(x: _Real) -> _Real:
    """The sum as a fraction in x, or in 1 / x where x is large."""
    is_small = x.is_("olt", 5.0)
    ratios = []
    for coefficients in (_NUMERATOR, _DENOMINATOR):
        small, large = (_Real(x.w, known(0.0)) for _ in range(2))
        for coefficient in reversed(coefficients):
            small = small * x + coefficient
        for coefficient in coefficients:
            large = large / x + coefficient
        ratios.append(small.chosen(is_small, large))
    return ratios[0] / ratios[1]


def _sine_of_pi(x: _Real) -> _Real:
    """sin(pi * x) of what is not negative: by the quarter of the circle in which it lies."""
    rest = x.by("fmod", 2.0)
    quarter = (rest * 2.0).by("round")
    cosine = [(rest - 0.5) * math.pi, (rest - 1.5) * math.pi]
    sine = (rest - 2.0).chosen(quarter.is_("oeq", 4.0), rest)
    sine = (1.0 - rest).chosen(quarter.is_("oeq", 2.0), sine) * math.pi
    found = cosine[0].by("cos").chosen(quarter.is_("oeq", 1.0), sine.by("sin"))
    return (-cosine[1].by("cos")).chosen(quarter.is_("oeq", 3.0), found)
