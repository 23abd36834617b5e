"""Dropout of elements and of channels."""

from __future__ import annotations

from tracejit.nn import functional as F
from tracejit.nn.module import Module
from tracejit.random import Generator
from tracejit.tensor import Tensor


class _Dropout(Module):
    """What drops elements and what drops channels share."""

    def __init__(self, p: float = 0.5, *, generator: Generator | None = None) -> None:
        F.check_probability(p)
        self.p, self.generator = p, generator

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout(_Dropout):
    """In training sets each element to 0 with probability `p` and divides the others by 1 - p (Srivastava et al., 2014).

    Draws from `generator`, or from the default one.

    >>> import tracejit as tj
    >>> Dropout(0.5).eval()(tj.ones(3))
    tensor([1., 1., 1.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training, generator=self.generator)


class Dropout2d(_Dropout):
    """In training sets each channel of x (N, C, ...) to 0 with probability `p`, and divides the others by 1 - p."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout2d(x, self.p, self.training, generator=self.generator)
