"""Where math functions are tried, what the truth is, and how far a result is from it in units in the last place."""

from __future__ import annotations

import math
from collections.abc import Iterator

import mpmath
import numpy as np

from tracejit.codegen.kernel.fn import Fn
from tracejit.dtypes import DType, float32, float64

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
        near = x * (1 + rng.uniform(-1e-3, 1e-3, x.size))
        grid = tuple(side.ravel() for side in np.meshgrid(special, special))
        pairs = [(x, rng.permutation(x)), (x, near), grid, *_pow_ranges(count, rng)]
        return tuple(np.concatenate(side).astype(dtype.numpy) for side in zip(*pairs))


def _ranges(fn: Fn, dtype: DType, count: int, rng: np.random.Generator) -> Iterator[Array]:
    unsigned = np.dtype(f"u{dtype.itemsize}")
    limit = np.iinfo(unsigned).max
    yield rng.integers(0, limit, count, unsigned, endpoint=True).view(dtype.numpy)
    yield rng.standard_normal(count)
    yield rng.uniform(-1, 1, count) * np.exp2(rng.uniform(-40, 8, count))
    yield 1 + rng.uniform(-1, 1, count) * np.exp2(rng.uniform(-50, 0, count))
    if fn in (Fn.SIN, Fn.COS, Fn.TAN):
        multiples = (rng.integers(-20_000, 20_000, count) * (math.pi / 2)).astype(dtype.numpy)
        step = multiples.view(f"i{dtype.itemsize}") + rng.integers(-3, 4, count).astype(
            f"i{dtype.itemsize}"
        )
        yield step.view(dtype.numpy)
    else:
        high = math.log(np.finfo(dtype.numpy).max) + 2
        yield rng.uniform(-high - 20, high, count)


def _pow_ranges(count: int, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    yield np.exp(rng.uniform(-5, 5, count)), rng.uniform(-20, 20, count)
    yield 1 + rng.uniform(-1e-3, 1e-3, count), rng.uniform(-1e5, 1e5, count)
    yield rng.uniform(-20, 20, count), np.rint(rng.uniform(-20, 20, count))


def extended(fn: Fn, dtype: DType, *args: Array) -> Array:
    """The function by NumPy in the next wider format."""
    wide = np.float64 if dtype is float32 else np.longdouble
    with np.errstate(all="ignore"):
        if fn is Fn.ERF:
            return np.array([math.erf(x) for x in args[0]])
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
        case _:
            return getattr(mpmath, fn.method)(x, *rest)


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


def distance_in_ulp(dtype: DType, got: float, exact: mpmath.mpf) -> float:
    """`errors_in_ulp` of one finite result and a real number."""
    info = np.finfo(dtype.numpy)
    exponent = min(max(int(mpmath.frexp(exact)[1]), info.minexp + 1), info.maxexp)
    return float(mpmath.ldexp(abs(got - exact), 1 + int(info.nmant) - exponent))
