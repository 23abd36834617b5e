"""Layers that bring values to mean 0 and variance 1."""

from __future__ import annotations

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


class BatchNorm1d(Module):
    """Normalises each feature of x, with shape (N, features) or (N, features, L) (Ioffe and Szegedy, 2015).

    In training by the batch's own statistics, of which running means are kept; in evaluation by those. `momentum` is the share
    of the new batch in them; None takes the plain mean of all batches.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
    ) -> None:
        self.num_features = num_features
        self.eps, self.momentum, self.affine = eps, momentum, affine
        self.weight = Parameter(init.empty(num_features)) if affine else None
        self.bias = Parameter(init.empty(num_features)) if affine else None
        self.register_buffer("running_mean", init.empty(num_features))
        self.register_buffer("running_var", init.empty(num_features))
        self.register_buffer("num_batches_tracked", Tensor(0, int64))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.zeros_(self.running_mean)
        init.ones_(self.running_var)
        init.zeros_(self.num_batches_tracked)
        if self.weight is not None and self.bias is not None:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = value(x)
        if x.ndim not in (2, 3) or x.shape[1] != self.num_features:
            message = f"BatchNorm1d({self.num_features}): expected (N, {self.num_features}) or (N, {self.num_features}, L)"
            raise ShapeError(at_user_line(f"{message}, got {x.aval}"))
        mean, var = self.statistics(x) if self.training else (self.running_mean, self.running_var)
        return F.batch_norm(x, mean, var, self.weight, self.bias, self.eps)

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and variance of each feature of this batch, which are noted in the running ones."""
        axes = (0, 2)[: x.ndim - 1]
        count = x.size // self.num_features
        if count < 2:
            message = (
                f"BatchNorm1d: more than one value per feature is needed in training, got {x.aval}"
            )
            raise ValueError(at_user_line(message))
        mean, var = x.mean(axis=axes), x.var(axis=axes)
        with no_grad():
            self.num_batches_tracked.add_(1)
            share = self.momentum if self.momentum is not None else 1.0 / self.num_batches_tracked
            unbiased = var.detach() * (count / (count - 1))
            self.running_mean.add_((mean.detach() - self.running_mean) * share)
            self.running_var.add_((unbiased - self.running_var) * share)
        return mean, var

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}"
        )
