"""Losses as modules."""

from __future__ import annotations

from tracejit.nn import functional as F
from tracejit.nn.module import Module
from tracejit.tensor import Tensor


class CrossEntropyLoss(Module):
    """The mean of -log softmax(logits)[label]."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels)


class MSELoss(Module):
    """The mean of the squared differences."""

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(x, target)
