"""The gamma function's logarithm and the derivatives of that, element by element."""

from __future__ import annotations

import math
from functools import cache
from operator import index as as_index
from typing import Any, Final

import numpy as np

from tracejit import dtypes
from tracejit._errors import at_user_line
from tracejit.dtypes import FLOATING, DType
from tracejit.ops.elementwise import multiply
from tracejit.ops.families import in_single, pointwise, promoting_coerce, record
from tracejit.ops.op import Op, Pointwise

Floats = np.ndarray

SHIFT: Final = 12
"""From here on the asymptotic series below are good to double precision."""

DIGAMMA_SERIES: Final = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
TRIGAMMA_SERIES: Final = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)
"""Abramowitz and Stegun, 6.3.18 and 6.4.12."""
ZETA_SERIES: Final = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000)
"""B(2 j) / (2 j)! of Euler and Maclaurin's series; Abramowitz and Stegun, 23.1.30."""


def _log_gamma(x: float) -> float:
    try:
        return math.lgamma(x)
    except (ValueError, OverflowError):  # at a pole, and where it is too large
        return math.inf


_log_gammas = np.frompyfunc(_log_gamma, 1, 1)


def lgamma_in_numpy(x: Floats) -> Floats:
    """log |gamma(x)| by Python's function, which near the zeros is only absolutely accurate."""
    return np.asarray(_log_gammas(np.asarray(x, np.float64)), np.float64).astype(x.dtype)


def digamma_in_numpy(x: Floats) -> Floats:
    """By reflection, recurrence and series; near the zeros only absolutely accurate."""
    wide = np.asarray(x, np.float64)
    positive, (shifted, steps) = np.where(wide < 0, 1 - wide, wide), _shifted(wide)
    z = 1 / (shifted * shifted)
    y = np.log(shifted) - 0.5 / shifted - z * np.polynomial.Polynomial(DIGAMMA_SERIES)(z)
    y = np.where(wide == 0, -1 / wide, y - np.sum(1 / (positive + steps), axis=0))
    rest = wide - np.rint(wide)
    reflected = np.where(rest == 0, np.nan, y - np.pi / np.tan(np.pi * rest))
    return np.where(wide < 0, reflected, y).astype(x.dtype)


def trigamma_in_numpy(x: Floats) -> Floats:
    """By reflection, recurrence and series."""
    wide = np.asarray(x, np.float64)
    positive, (shifted, steps) = np.where(wide < 0, 1 - wide, wide), _shifted(wide)
    z = 1 / (shifted * shifted)
    series = np.polynomial.Polynomial(TRIGAMMA_SERIES)(z)
    y = 1 / shifted + z * (0.5 + series / shifted)
    y = y + np.sum(1 / (positive + steps) ** 2, axis=0)
    reflected = (np.pi / np.sin(np.pi * (wide - np.rint(wide)))) ** 2 - y
    return np.where(wide < 0, reflected, y).astype(x.dtype)


def zeta_in_numpy(s: Floats, x: Floats, scale: Floats, low: Floats) -> Floats:
    """2^(scale + low) sum of (x + k)^-s: by terms and series, for x < 0 on both sides of 0, which may cancel."""
    wide, s = np.asarray(x, np.float64), np.asarray(s, np.float64)
    exponent = np.asarray(scale, np.float64) + low
    y = _zeta_of_positive(s, np.where(wide < 0, 1 - wide, wide), exponent)
    below = -wide - np.floor(-wide)
    lower = _zeta_of_positive(s, below, exponent) - y
    reflected = _zeta_of_positive(s, 1 - below, exponent) + np.where(s % 2 == 0, lower, -lower)
    reflected = np.where(below == 0, np.inf, reflected)
    return np.where(wide < 0, reflected, y).astype(x.dtype)


def _zeta_of_positive(s: Floats, x: Floats, exponent: Floats) -> Floats:
    steps = np.arange(SHIFT, dtype=np.float64).reshape(-1, *[1] * np.ndim(x))
    terms = np.exp2(exponent - s * np.log2(x + steps))
    shifted = x + SHIFT
    rest, factor = shifted / (s - 1) + 0.5, s / shifted
    for j, coefficient in enumerate(ZETA_SERIES, 1):
        rest = rest + coefficient * factor
        factor = factor * (s + 2 * j - 1) * (s + 2 * j) / (shifted * shifted)
    y = np.sum(terms, axis=0) + np.exp2(exponent - s * np.log2(shifted)) * rest
    return np.where(x == np.inf, 0.0, y)


def _shifted(x: Floats) -> tuple[Floats, Floats]:
    """|x|, or 1 - x of negative numbers, plus SHIFT; and what the recurrence adds on the way there, along a new first axis."""
    steps = np.arange(SHIFT, dtype=np.float64).reshape(-1, *[1] * np.ndim(x))
    return np.where(x < 0, 1 - x, x) + SHIFT, steps


lgamma: Op = pointwise(
    "lgamma",
    dtypes=FLOATING,
    eval=lgamma_in_numpy,
    scalar=lambda s, x: s.lgamma(x),
    vjp=(lambda ct, out, x: multiply(ct, digamma(x)),),
    doc="The logarithm of the gamma function's magnitude; infinite at 0 and the negative integers.",
)
digamma: Op = pointwise(
    "digamma",
    dtypes=FLOATING,
    eval=digamma_in_numpy,
    scalar=lambda s, x: s.digamma(x),
    vjp=(lambda ct, out, x: multiply(ct, trigamma(x)),),
    doc="The derivative of lgamma; NaN at the negative integers, infinite at 0, with the other sign.",
)
trigamma: Op = pointwise(
    "trigamma",
    dtypes=FLOATING,
    eval=trigamma_in_numpy,
    scalar=lambda s, x: s.trigamma(x),
    vjp=(lambda ct, out, x: multiply(ct, _polygamma(x, n=2)),),
    doc="The derivative of digamma; infinite at 0 and the negative integers.",
)


@cache
def log2_factorial(n: int, dtype: DType) -> tuple[float, float]:
    """log2(n!) as the sum of two numbers of `dtype`: its digits, each found by squaring what is left."""
    factorial, precision = math.factorial(n), 384
    whole = factorial.bit_length() - 1
    rest = factorial << precision >> whole
    digits = whole
    for _ in range(128):
        rest = rest * rest >> precision
        digit = rest >> precision + 1
        rest >>= digit
        digits = digits << 1 | digit
    high = float(dtype.numpy.type(digits / (1 << 128)))
    low = (digits - int(math.ldexp(high, 64)) * (1 << 64)) / (1 << 128)
    return high, float(dtype.numpy.type(low))


def _polygamma_scalar(s: Any, x: Any, *, n: int) -> Any:
    y = s.zeta(n + 1, x, *log2_factorial(n, x.dtype))
    return y if n % 2 else -y


def _polygamma_eval(x: Floats, *, n: int) -> Floats:
    order, scale, low = map(np.asarray, (n + 1, *log2_factorial(n, dtypes.float64)))
    y = zeta_in_numpy(order, x, scale, low)
    return y if n % 2 else -y


_promoted = promoting_coerce("polygamma", FLOATING, None, ())
_polygamma: Op = record(
    "polygamma",
    infer=lambda x, *, n: x,
    eval=in_single(_polygamma_eval),
    recipe=Pointwise(_polygamma_scalar),
    coerce=lambda x, *, n: (_promoted(x)[0], {"n": n}),
    vjp=(lambda ct, out, x, n: multiply(ct, _polygamma(x, n=n + 1)),),
    doc="The n-th derivative of digamma, for n of 2 and more.",
)


def polygamma(n: int, x: Any) -> Any:
    """The n-th derivative of digamma, by elements. ValueError unless n is an integer of at least 0.

    At the poles, 0 and the negative integers, it is infinite: positive for odd n, negative for even n (as in SciPy and PyTorch);
    for n = 0 see `digamma`.

    >>> import tracejit as tj
    >>> tj.polygamma(1, tj.tensor([1.0, 2.0]))
    tensor([1.644934  , 0.64493406])
    >>> tj.polygamma(2, tj.tensor([1.0, 2.0]))
    tensor([-2.4041138, -0.4041138])
    """
    try:
        order = as_index(n)
    except TypeError:
        order = -1
    if order < 0:
        raise ValueError(at_user_line(f"polygamma: n is an integer of at least 0, not {n}"))
    if order > 1:
        return _polygamma(x, n=order)
    return trigamma(x) if order else digamma(x)


__all__ = ["digamma", "lgamma", "polygamma"]
