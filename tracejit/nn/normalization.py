"""Layers that bring values to mean 0 and variance 1."""

from __future__ import annotations

from typing import Any, ClassVar

from tracejit._errors import ShapeError, at_user_line
from tracejit.autograd.tape import no_grad
from tracejit.dtypes import int64
from tracejit.nn import functional as F
from tracejit.nn import init
from tracejit.nn.module import Module
from tracejit.nn.parameter import Parameter
from tracejit.ops.arguments import value
from tracejit.tensor import Tensor


class LayerNorm(Module):
    """Normalises over the last dimensions, whose shape is `normalized_shape` (Ba, Kiros and Hinton, 2016).

    >>> import tracejit as tj
    >>> LayerNorm(2, eps=0.0)(tj.tensor([[1.0, 3.0]]))
    tensor([[-1.,  1.]], requires_grad=True)
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.weight = Parameter(init.empty(*self.normalized_shape)) if elementwise_affine else None
        has_bias = elementwise_affine and bias
        self.bias = Parameter(init.empty(*self.normalized_shape)) if has_bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class RMSNorm(Module):
    """x / sqrt(mean(x**2) + eps) * weight over the last dimensions, whose shape is `normalized_shape`: `F.rms_norm`."""

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float | None = None,
        elementwise_affine: bool = True,
    ) -> None:
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.weight = Parameter(init.empty(*self.normalized_shape)) if elementwise_affine else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(Module):
    """Normalises each group of channels of x (N, num_channels, ...) by itself (Wu and He, 2018)."""

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True
    ) -> None:
        if num_groups < 1 or num_channels % num_groups:
            message = f"GroupNorm: {num_channels} channels do not divide into {num_groups} groups"
            raise ValueError(at_user_line(message))
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        self.weight = Parameter(init.empty(num_channels)) if affine else None
        self.bias = Parameter(init.empty(num_channels)) if affine else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.weight is not None and self.bias is not None:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class _BatchNorm(Module):
    """Normalises each feature, dimension 1 of x (Ioffe and Szegedy, 2015).

    In training by the batch's own statistics, of which running means are kept; in evaluation by those. `momentum` is the share
    of the new batch in them; None takes the plain mean of all batches. Without `track_running_stats` there are no running ones,
    and the batch's own are always taken.
    """

    shapes: ClassVar[dict[int, str]]
    """What a batch of so many dimensions looks like, beyond (N, features."""
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        self.num_features = num_features
        self.eps, self.momentum, self.affine = eps, momentum, affine
        self.track_running_stats = track_running_stats
        self.weight = Parameter(init.empty(num_features)) if affine else None
        self.bias = Parameter(init.empty(num_features)) if affine else None
        running = track_running_stats
        self.register_buffer("running_mean", init.empty(num_features) if running else None)
        self.register_buffer("running_var", init.empty(num_features) if running else None)
        self.register_buffer("num_batches_tracked", Tensor(0, int64) if running else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        if self.weight is not None and self.bias is not None:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def reset_running_stats(self) -> None:
        if self.running_mean is not None:
            init.zeros_(self.running_mean)
        if self.running_var is not None:
            init.ones_(self.running_var)
        if self.num_batches_tracked is not None:
            init.zeros_(self.num_batches_tracked)

    def forward(self, x: Tensor) -> Tensor:
        x = value(x)
        if x.ndim not in self.shapes or x.shape[1] != self.num_features:
            name, count = type(self).__name__, self.num_features
            shapes = " or ".join(f"(N, {count}{rest})" for rest in self.shapes.values())
            message = f"{name}({count}): expected {shapes}, got {x.aval}"
            raise ShapeError(at_user_line(message))
        training = self.training or not self.track_running_stats
        share: Any = self.momentum
        if self.training and self.num_batches_tracked is not None:
            with no_grad():
                self.num_batches_tracked.add_(1)
            if share is None:
                share = 1.0 / self.num_batches_tracked
        running = self.running_mean, self.running_var
        return F.batch_norm(x, *running, self.weight, self.bias, training, share, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}"
        )


class BatchNorm1d(_BatchNorm):
    """Normalises each feature of x, with shape (N, features) or (N, features, L) (Ioffe and Szegedy, 2015).

    In training by the batch's own statistics, of which running means are kept; in evaluation by those. `momentum` is the share
    of the new batch in them; None takes the plain mean of all batches.
    """

    shapes: ClassVar = {2: "", 3: ", L"}


class BatchNorm2d(_BatchNorm):
    """Normalises each channel of x, with shape (N, features, H, W), as `BatchNorm1d` does.

    >>> import tracejit as tj
    >>> BatchNorm2d(3)(tj.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    shapes: ClassVar = {4: ", H, W"}
