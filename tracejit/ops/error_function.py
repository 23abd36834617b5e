"""The error function, its complement and its inverse, element by element."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from tracejit.dtypes import FLOATING
from tracejit.ops.elementwise import multiply, negative, square
from tracejit.ops.families import pointwise
from tracejit.ops.functions import exp
from tracejit.ops.op import Op

Floats = np.ndarray

TWO_BY_ROOT_PI: Final = 2 / math.sqrt(math.pi)
STEPS: Final = 3
"""Of Halley's, each of which triples the digits: the first guess has 2."""


def _inverse(x: float) -> float:
    """Winitzki's formula, put right by Halley's steps; about 1 the error function's complement is compared."""
    if not abs(x) < 1:
        return math.copysign(math.inf, x) if abs(x) == 1 else math.nan
    a, half = abs(x), math.log1p(-x * x) / 2
    t = 2 / (math.pi * 0.147) + half
    y = math.sqrt(math.sqrt(t * t - 2 * half / 0.147) - t)
    for _ in range(STEPS):
        error = math.erf(y) - a if a < 0.5 else (1 - a) - math.erfc(y)
        step = error * math.exp(y * y) / TWO_BY_ROOT_PI
        y -= step / (1 + y * step)
    return math.copysign(y, x)


_erf, _erfc, _erfinv = (
    np.frompyfunc(function, 1, 1) for function in (math.erf, math.erfc, _inverse)
)


def erf_in_numpy(x: Floats) -> Floats:
    return _in_double(_erf, x)


def erfc_in_numpy(x: Floats) -> Floats:
    return _in_double(_erfc, x)


def erfinv_in_numpy(x: Floats) -> Floats:
    return _in_double(_erfinv, x)


def _in_double(function: np.ufunc, x: Floats) -> Floats:
    return np.asarray(function(np.asarray(x, np.float64)), np.float64).astype(x.dtype)


erf: Op = pointwise(
    "erf",
    dtypes=FLOATING,
    eval=erf_in_numpy,
    scalar=lambda s, x: s.erf(x),
    vjp=(lambda ct, out, x: multiply(multiply(ct, TWO_BY_ROOT_PI), exp(negative(square(x)))),),
    doc="The error function.",
)
erfc: Op = pointwise(
    "erfc",
    dtypes=FLOATING,
    eval=erfc_in_numpy,
    scalar=lambda s, x: s.erfc(x),
    vjp=(lambda ct, out, x: multiply(multiply(ct, -TWO_BY_ROOT_PI), exp(negative(square(x)))),),
    doc="1 - erf(x), accurate where that is close to 0.",
)
erfinv: Op = pointwise(
    "erfinv",
    dtypes=FLOATING,
    eval=erfinv_in_numpy,
    scalar=lambda s, x: s.erfinv(x),
    vjp=(lambda ct, out, x: multiply(multiply(ct, 1 / TWO_BY_ROOT_PI), exp(square(out))),),
    doc="The inverse of erf; infinite at -1 and 1, NaN beyond.",
)

__all__ = ["erf", "erfc", "erfinv"]
