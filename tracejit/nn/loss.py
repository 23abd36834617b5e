"""Losses as modules: each has the arguments of its function."""

from __future__ import annotations

from typing import Any

from tracejit.nn import functional as F
from tracejit.nn.module import Module
from tracejit.ops.composite import Mean
from tracejit.tensor import Tensor


class _Loss(Module):
    """What the losses share."""

    def __init__(self, reduction: Any = "mean") -> None:
        self.reduction = reduction

    def extra_repr(self) -> str:
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"


class CrossEntropyLoss(_Loss):
    """-log softmax(logits) at the labels, or at probabilities: `F.cross_entropy`.

    >>> import tracejit as tj
    >>> CrossEntropyLoss(ignore_index=-1, reduction="sum")(tj.zeros((2, 4)), tj.tensor([1, -1])).item()
    1.386294...
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int | None = None,
        reduction: Mean = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(
            logits,
            labels,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_Loss):
    """-x at the labels, of log probabilities x: `F.nll_loss`."""

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int | None = None,
        reduction: Mean = "mean",
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        return F.nll_loss(
            x, labels, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class MSELoss(_Loss):
    """The squared differences: `F.mse_loss`."""

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(x, target, reduction=self.reduction)


class L1Loss(_Loss):
    """The absolute differences: `F.l1_loss`."""

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(x, target, reduction=self.reduction)


class HuberLoss(_Loss):
    """Squares near 0, linear beyond `delta`: `F.huber_loss`."""

    def __init__(self, reduction: Mean = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(x, target, reduction=self.reduction, delta=self.delta)


class SmoothL1Loss(_Loss):
    """Absolute differences, smooth within `beta`: `F.smooth_l1_loss`."""

    def __init__(self, reduction: Mean = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(x, target, reduction=self.reduction, beta=self.beta)


class BCELoss(_Loss):
    """The binary cross entropy of probabilities: `F.binary_cross_entropy`."""

    def __init__(self, weight: Tensor | None = None, *, reduction: Mean = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(x, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """The binary cross entropy of sigmoid(x), without overflow: `F.binary_cross_entropy_with_logits`."""

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        reduction: Mean = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            x, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class KLDivLoss(_Loss):
    """target (log target - x), of log probabilities x: `F.kl_div`; its `reduction` may be "batchmean"."""

    def __init__(self, reduction: Any = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(x, target, reduction=self.reduction, log_target=self.log_target)


class CosineEmbeddingLoss(_Loss):
    """By the angle of two vectors: `F.cosine_embedding_loss`."""

    def __init__(self, margin: float = 0.0, *, reduction: Mean = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, x1: Tensor, x2: Tensor, target: Tensor) -> Tensor:
        return F.cosine_embedding_loss(x1, x2, target, self.margin, reduction=self.reduction)


class MarginRankingLoss(_Loss):
    """By the order of two numbers: `F.margin_ranking_loss`."""

    def __init__(self, margin: float = 0.0, *, reduction: Mean = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, x1: Tensor, x2: Tensor, target: Tensor) -> Tensor:
        return F.margin_ranking_loss(x1, x2, target, self.margin, reduction=self.reduction)


class TripletMarginLoss(_Loss):
    """By the distances from an anchor: `F.triplet_margin_loss`."""

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        *,
        reduction: Mean = "mean",
    ) -> None:
        super().__init__(reduction)
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        how = self.margin, self.p, self.eps, self.swap
        return F.triplet_margin_loss(anchor, positive, negative, *how, reduction=self.reduction)
