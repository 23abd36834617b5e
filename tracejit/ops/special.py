"""What statistics is made of, element by element: the error function, its complement and inverse, logit, x log y."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from tracejit.dtypes import FLOATING
from tracejit.ops.elementwise import (
    clip,
    divide,
    equal,
    less_equal,
    logical_and,
    multiply,
    negative,
    not_equal,
    square,
    subtract,
    where,
)
from tracejit.ops.families import pointwise
from tracejit.ops.functions import exp, log
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


def _logit(s: Any, x: Any) -> Any:
    rest = 1 - x
    about_half = (x > 0.25) & (x < 0.75)
    return s.select(about_half, s.log1p((x + x - 1) / rest), s.log(x / rest))


def _logit_eval(x: Any) -> Any:
    rest = np.ones_like(x) - x
    about_half = (x > 0.25) & (x < 0.75)
    return np.where(about_half, np.log1p((x + x - 1) / rest), np.log(x / rest))


_logit_op: Op = pointwise(
    "logit",
    dtypes=FLOATING,
    eval=_logit_eval,
    scalar=_logit,
    vjp=(
        lambda ct, out, x: where(not_equal(out, out), out, divide(ct, multiply(x, subtract(1, x)))),
    ),
    doc="log(x / (1 - x)), the inverse of sigmoid.",
)


def logit(x: Any, eps: float | None = None) -> Any:
    """log(x / (1 - x)), the inverse of sigmoid, accurate about 1/2 too; NaN outside of [0, 1], as in PyTorch.

    With `eps` x is first clamped to [eps, 1 - eps].

    >>> import tracejit as tj
    >>> tj.logit(tj.tensor([0.5, 0.75, 1.0]))
    tensor([0.       , 1.0986123,       inf])
    """
    return _logit_op(x if eps is None else clip(x, eps, 1 - eps))


def _xlogy(s: Any, x: Any, y: Any) -> Any:
    return s.select((x == 0) & (y == y), s.const(0.0, x.dtype), x * s.log(y))


xlogy: Op = pointwise(
    "xlogy",
    dtypes=FLOATING,
    eval=lambda x, y: np.where((x == 0) & (y == y), np.zeros_like(x), x * np.log(y)),
    scalar=_xlogy,
    vjp=(
        lambda ct, out, x, y: where(
            logical_and(equal(x, 0), less_equal(y, 0)), 0.0, multiply(ct, log(y))
        ),
        lambda ct, out, x, y: divide(multiply(ct, x), y),
    ),
    doc="x * log(y), which is 0 where x is, unless y is NaN.",
)

__all__ = ["erf", "erfc", "erfinv", "logit", "xlogy"]
