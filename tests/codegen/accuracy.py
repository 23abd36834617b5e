"""Where math functions are tried, what the truth is, and how far a result is from it in units in the last place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import mpmath
import numpy as np
from scipy import special

from tracejit.codegen.kernel.fn import Fn
from tracejit.dtypes import DType, float32, float64
from tracejit.ops.gamma import log2_factorial

Array = np.ndarray

DTYPES = (float32, float64)

NUMPY_NAMES = {
    Fn.ASIN: "arcsin",
    Fn.ACOS: "arccos",
    Fn.ATAN: "arctan",
    Fn.ATAN2: "arctan2",
    Fn.ASINH: "arcsinh",
    Fn.ACOSH: "arccosh",
    Fn.ATANH: "arctanh",
    Fn.POW: "power",
    Fn.FLOORMOD: "remainder",
}

SPECIAL = (
    0.0, math.inf, math.nan, 5e-324, 1e-310, 2.0**-149, 1e-40, 2.0**-126, 1e-5, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 10.0,
    1000.0, 65536.0, 2.0**24 - 1, 2.0**53 - 1, 2.0**60, 3.4028234663852886e38, 1e300, 1.7976931348623157e308,
)  # fmt: skip

GAMMA_ZEROS = (
    2.0,
    1.4616321449683623,
    -2.4570247382208006,
    -2.7476826467274126,
    -0.5040830082644554,
)
"""Of lgamma, but for 1, and of digamma."""
GAMMAS = (Fn.LGAMMA, Fn.DIGAMMA, Fn.TRIGAMMA, Fn.ZETA)


def _of_scipy(function: Callable[[float], float], at_minus_infinity: float) -> Callable[..., float]:
    return lambda x: function(x) if x > -math.inf else at_minus_infinity if x < 0 else x


IN_DOUBLE = {
    Fn.ERF: math.erf,
    Fn.ERFC: math.erfc,
    Fn.ERFINV: lambda x: special.erfinv(x) if x else x,  # whose zeros are all positive
    Fn.LGAMMA: _of_scipy(special.gammaln, math.inf),
    Fn.DIGAMMA: _of_scipy(special.psi, math.nan),
    Fn.TRIGAMMA: _of_scipy(partial(special.polygamma, 1), math.nan),
}
"""What NumPy does not have, by functions that are good enough in double for what is asked of floats."""

has_extended = np.finfo(np.longdouble).nmant >= 63


def specials(dtype: DType) -> Array:
    """Both signs of the values that standards speak of."""
    with np.errstate(over="ignore", under="ignore"):
        values = np.array(SPECIAL).astype(dtype.numpy)
    return np.unique(np.concatenate([values, -values]).view(f"u{dtype.itemsize}")).view(dtype.numpy)


def samples(fn: Fn, dtype: DType, count: int, seed: int = 0) -> tuple[Array, ...]:
    """About 5 * count arguments: every exponent, the usual ranges, and the neighbourhoods where functions go wrong."""
    rng = np.random.default_rng(seed)
    special = specials(dtype)
    with np.errstate(all="ignore"):
        x = np.concatenate([special, *_ranges(fn, dtype, count, rng)]).astype(dtype.numpy)
        if fn.arity == 1:
            return (x,)
        if fn is Fn.ZETA:
            return _of_polygammas(x, dtype, rng)
        near = x * (1 + rng.uniform(-1e-3, 1e-3, x.size))
        grid = tuple(side.ravel() for side in np.meshgrid(special, special))
        pairs = [(x, rng.permutation(x)), (x, near), grid, *_pow_ranges(count, rng)]
        return tuple(np.concatenate(side).astype(dtype.numpy) for side in zip(*pairs))


def _of_polygammas(x: Array, dtype: DType, rng: np.random.Generator) -> tuple[Array, ...]:
    """The arguments that polygamma(n, x) gives for orders, of which many are small and some make factorials overflow."""
    orders = np.where(
        rng.random(x.size) < 0.8, rng.integers(2, 7, x.size), rng.integers(7, 200, x.size)
    )
    scales = np.array([log2_factorial(int(n), dtype) for n in orders]).T
    return tuple(column.astype(dtype.numpy) for column in (orders + 1, x, *scales))


def _ranges(fn: Fn, dtype: DType, count: int, rng: np.random.Generator) -> Iterator[Array]:
    unsigned = np.dtype(f"u{dtype.itemsize}")
    limit = np.iinfo(unsigned).max
    yield rng.integers(0, limit, count, unsigned, endpoint=True).view(dtype.numpy)
    yield rng.standard_normal(count)
    yield rng.uniform(-1, 1, count) * np.exp2(rng.uniform(-40, 8, count))
    yield 1 + rng.uniform(-1, 1, count) * np.exp2(rng.uniform(-50, 0, count))
    if fn in GAMMAS:
        yield from _gamma_ranges(count, rng)
    if fn is Fn.ZETA:
        middles = -rng.integers(0, 9, count) - 0.5
        yield middles
        yield middles + rng.uniform(-1, 1, count) * np.exp2(rng.uniform(-50, -2, count))
    if fn is Fn.ERFC:
        yield rng.uniform(-2, 28, count)
    if fn is Fn.ERFINV:
        yield np.copysign(1 - np.exp2(rng.uniform(-53, 0, count)), rng.uniform(-1, 1, count))
    if fn in (Fn.SIN, Fn.COS, Fn.TAN):
        multiples = (rng.integers(-20_000, 20_000, count) * (math.pi / 2)).astype(dtype.numpy)
        step = multiples.view(f"i{dtype.itemsize}") + rng.integers(-3, 4, count).astype(
            f"i{dtype.itemsize}"
        )
        yield step.view(dtype.numpy)
    else:
        high = math.log(np.finfo(dtype.numpy).max) + 2
        yield rng.uniform(-high - 20, high, count)


def _gamma_ranges(count: int, rng: np.random.Generator) -> Iterator[Array]:
    """The pieces of the positive numbers, what lies about zeros, and the negative numbers between the poles."""
    yield rng.uniform(0, 3, count)
    for zero in GAMMA_ZEROS:
        yield zero + rng.uniform(-1, 1, count) * np.exp2(rng.uniform(-50, -3, count))
    yield rng.uniform(-12, 0, count)


def _pow_ranges(count: int, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    yield np.exp(rng.uniform(-5, 5, count)), rng.uniform(-20, 20, count)
    yield 1 + rng.uniform(-1e-3, 1e-3, count), rng.uniform(-1e5, 1e5, count)
    yield rng.uniform(-20, 20, count), np.rint(rng.uniform(-20, 20, count))


def extended(fn: Fn, dtype: DType, *args: Array) -> Array:
    """The function by NumPy in the next wider format."""
    wide = np.float64 if dtype is float32 else np.longdouble
    with np.errstate(all="ignore"):
        if fn in IN_DOUBLE:
            return np.array([IN_DOUBLE[fn](float(x)) for x in args[0]])
        return getattr(np, NUMPY_NAMES.get(fn, fn.method))(*(arg.astype(wide) for arg in args))


def exactly(fn: Fn, x: mpmath.mpf, *rest: mpmath.mpf) -> mpmath.mpf:
    """The function by mpmath at 120 bits, for arguments where it is real and finite."""
    match fn:
        case Fn.LOG2:
            return mpmath.log(x) / mpmath.log(2)
        case Fn.POW:
            return x ** rest[0]
        case Fn.EXPM1 if abs(x) > 1:
            return mpmath.exp(x) - 1
        case Fn.LGAMMA | Fn.DIGAMMA | Fn.TRIGAMMA if x < 0:
            return _reflected(fn, x)
        case Fn.LGAMMA:
            return mpmath.loggamma(x)
        case Fn.TRIGAMMA:
            return mpmath.psi(1, x)
        case Fn.ERFINV if abs(x) > 0.5:
            return mpmath.sign(x) * _erfc_inverse(1 - abs(x))
        case Fn.ZETA:
            return mpmath.factorial(int(x) - 1) * _sum_of_powers(int(x), rest[0])
        case _:
            return getattr(mpmath, fn.method)(x, *rest)


def _reflected(fn: Fn, x: mpmath.mpf) -> mpmath.mpf:
    """By the function of 1 - x; mpmath's own way takes forever far from 0."""
    of_positive = exactly(fn, 1 - x)
    match fn:
        case Fn.LGAMMA:
            return mpmath.log(abs(mpmath.pi / mpmath.sinpi(x))) - of_positive
        case Fn.DIGAMMA:
            return of_positive - mpmath.pi * mpmath.cospi(x) / mpmath.sinpi(x)
        case _:
            return (mpmath.pi / mpmath.sinpi(x)) ** 2 - of_positive


def _erfc_inverse(y: mpmath.mpf) -> mpmath.mpf:
    """Where erfc is y, by Newton's steps on its logarithm; mpmath's own erfinv loses what 1 - y has."""
    x = mpmath.sqrt(-mpmath.log(y))
    for _ in range(8):
        of_x = mpmath.erfc(x)
        slope = -2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x) / of_x
        x -= mpmath.log(of_x / y) / slope
    return x


def _sum_of_powers(s: int, x: mpmath.mpf) -> mpmath.mpf:
    """Of 1 / (x + k)^s, by twenty terms and Euler and Maclaurin's series: mpmath.zeta has few digits of small ones.

    Of negative x it is that on both sides of 0.
    """
    if x < 0:
        below = mpmath.frac(-x)
        lower, upper = _sum_of_powers(s, below), _sum_of_powers(s, 1 - below)
        return upper + (-1) ** s * lower - (-1) ** s * _sum_of_powers(s, 1 - x)
    terms = mpmath.fsum((x + k) ** -s for k in range(20))
    x += 20
    rest, factor = x / (s - 1) + mpmath.mpf(1) / 2, s / x
    for j in range(2, 42, 2):
        rest += mpmath.bernoulli(j) / mpmath.factorial(j) * factor
        factor *= (s + j - 1) * (s + j) / x**2
    return terms + rest * x**-s


def largest_term(fn: Fn, dtype: DType, x: mpmath.mpf, *rest: mpmath.mpf) -> mpmath.mpf:
    """The magnitude that docs/ulp.md measures errors by where that is more than the result: 0 but near negative zeros."""
    if dtype is float32:
        return mpmath.mpf(0)
    if fn is Fn.ZETA and rest[0] < 0:
        below = mpmath.frac(-rest[0])
        return mpmath.factorial(int(x) - 1) * (below ** -int(x) + (1 - below) ** -int(x))
    if x > 0 or fn not in (Fn.LGAMMA, Fn.DIGAMMA):
        return mpmath.mpf(0)
    return max(abs(exactly(fn, 1 - x)), 2 if fn is Fn.DIGAMMA else 0)


def errors_in_ulp(dtype: DType, got: Array, true: Array) -> Array:
    """|got - true| in the spacing of floats about `true`; 0 where both are NaN, infinite where one is.

    An infinite result counts as the power of two after the largest float, and so does all that is true beyond it.
    """
    info = np.finfo(dtype.numpy)
    beyond = np.longdouble(2) ** info.maxexp
    with np.errstate(all="ignore"):
        got, true = (np.clip(x.astype(np.longdouble), -beyond, beyond) for x in (got, true))
        _, exponent = np.frexp(true)
        exponent = np.clip(exponent, info.minexp + 1, info.maxexp)
        ulp = np.ldexp(np.longdouble(1), exponent - 1 - info.nmant)
        error = np.abs(got - true) / ulp
    error[np.isnan(got) & np.isnan(true)] = 0
    error[np.isnan(got) != np.isnan(true)] = np.inf
    error[(true == 0) & (np.signbit(got) != np.signbit(true))] = np.inf
    return error.astype(np.float64)


def distance_in_ulp(
    dtype: DType, got: float, exact: mpmath.mpf, least_scale: mpmath.mpf | int = 0
) -> float:
    """`errors_in_ulp` of one finite result and a real number, in the spacing of floats about `least_scale` at least."""
    info = np.finfo(dtype.numpy)
    scale = max(abs(exact), least_scale)
    exponent = min(max(int(mpmath.frexp(scale)[1]), info.minexp + 1), info.maxexp)
    return float(mpmath.ldexp(abs(got - exact), 1 + int(info.nmant) - exponent))
