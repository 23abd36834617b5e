"""NumPy's functions made of tracejit's ops, with NumPy's parameters: what they do not take is left to NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tracejit.numpy_functions import (
    arithmetic,
    borders,
    comparison,
    folds,
    making,
    ranks,
    signals,
    views,
)
from tracejit.numpy_functions.arguments import LeftToNumPy

_MODULES = (arithmetic, borders, comparison, folds, making, ranks, signals, views)


def _by_name() -> dict[Callable[..., Any], Callable[..., Any]]:
    names = [(module, name) for module in _MODULES for name in module.__all__]
    # Some names are newer than the oldest NumPy that tracejit takes.
    return {getattr(np, n): getattr(module, n) for module, n in names if hasattr(np, n)}


FUNCTIONS = _by_name() | {
    np.amax: folds.max,
    np.amin: folds.min,
    np.linalg.norm: folds.norm,
    np.conjugate: arithmetic.conj,
    np.deg2rad: arithmetic.radians,
    np.rad2deg: arithmetic.degrees,
}
"""NumPy's function -> the same, of tracejit's ops."""

__all__ = ["FUNCTIONS", "LeftToNumPy"]
