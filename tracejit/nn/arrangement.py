"""Layers that compute nothing, or only arrange what they get."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from tracejit.nn import functional as F
from tracejit.nn.module import Module
from tracejit.ops.arguments import normal_axis
from tracejit.tensor import Tensor


class Identity(Module):
    """Gives what it gets. It takes any arguments, so that it can stand in the place of any layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        return x


class Flatten(Module):
    """The dimensions `start_dim` to `end_dim` made one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        start, end = self.start_dim % x.ndim, self.end_dim % x.ndim
        return x.reshape((*x.shape[:start], prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Dimension `dim` made several, whose sizes are `unflattened_size`; one of them may be -1.

    >>> import tracejit as tj
    >>> Unflatten(1, (3, -1))(tj.ones((2, 12))).shape
    (2, 3, 4)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        place = normal_axis(self.dim, x.ndim, "Unflatten")
        return x.reshape((*x.shape[:place], *self.unflattened_size, *x.shape[place + 1 :]))

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Upsample(Module):
    """Each element repeated along the last dimensions: `F.interpolate`.

    >>> import tracejit as tj
    >>> Upsample(scale_factor=2)(tj.ones((1, 3, 4, 4))).shape
    (1, 3, 8, 8)
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
    ) -> None:
        self.size, self.scale_factor, self.mode = size, scale_factor, mode

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, self.size, self.scale_factor, self.mode)

    def extra_repr(self) -> str:
        given = "size" if self.scale_factor is None else "scale_factor"
        return f"{given}={getattr(self, given)}, mode={self.mode!r}"
