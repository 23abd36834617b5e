"""Learning rates that change with the epoch."""

from __future__ import annotations

import math

from tracejit._errors import at_user_line
from tracejit.optim.optimizer import Optimizer


class LRScheduler:
    """Sets each group's `lr` from the one that it started with; `step()` goes on to the next epoch."""

    def __init__(self, optimizer: Optimizer) -> None:
        given: object = optimizer
        if not isinstance(given, Optimizer):
            kind = type(self).__name__
            raise TypeError(at_user_line(f"{kind}: {given!r} is no optimizer"))
        self.optimizer = optimizer
        self.base_lrs = [float(group["lr"]) for group in optimizer.param_groups]
        self.last_epoch = 0

    def rate(self, base: float, epoch: int) -> float:
        """The learning rate in an epoch of a group that started with `base`."""
        raise NotImplementedError(f"{type(self).__name__} does not define rate")

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def step(self) -> None:
        self.last_epoch += 1
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.rate(base, self.last_epoch)


class StepLR(LRScheduler):
    """Multiplies the learning rate by `gamma` every `step_size` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        super().__init__(optimizer)
        self.step_size, self.gamma = step_size, gamma

    def rate(self, base: float, epoch: int) -> float:
        return base * self.gamma ** (epoch // self.step_size)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the first learning rate to `eta_min` in `T_max` epochs (Loshchilov and Hutter, 2017)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        super().__init__(optimizer)
        self.T_max, self.eta_min = T_max, eta_min

    def rate(self, base: float, epoch: int) -> float:
        return (
            self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * epoch / self.T_max)) / 2
        )
