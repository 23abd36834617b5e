"""The gamma function's logarithm and the derivatives of that, element by element."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from tracejit._errors import at_user_line
from tracejit.dtypes import FLOATING
from tracejit.ops.elementwise import multiply
from tracejit.ops.families import pointwise
from tracejit.ops.op import Op

Floats = np.ndarray

SHIFT: Final = 12
"""From here on the asymptotic series below are good to double precision."""

DIGAMMA_SERIES: Final = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
TRIGAMMA_SERIES: Final = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)
"""Abramowitz and Stegun, 6.3.18 and 6.4.12."""


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
    not_differentiable="polygamma(2, x), its derivative, is not computed",
    doc="The derivative of digamma; infinite at 0 and the negative integers.",
)


def polygamma(n: int, x: Any) -> Any:
    """The n-th derivative of digamma, for n = 0 and 1. ValueError for others.

    >>> import tracejit as tj
    >>> tj.polygamma(1, tj.tensor([1.0, 2.0]))
    tensor([1.644934  , 0.64493406])
    """
    if n not in (0, 1):
        raise ValueError(
            at_user_line(f"polygamma: n is 0 or 1 (digamma or its derivative), not {n}")
        )
    return trigamma(x) if n else digamma(x)


__all__ = ["digamma", "lgamma", "polygamma"]
