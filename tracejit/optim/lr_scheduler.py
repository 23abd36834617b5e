"""Learning rates that change with the epoch, or with whatever `step()` is called after."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

from tracejit._errors import at_user_line
from tracejit.optim.optimizer import Group, Optimizer


class LRScheduler:
    """Sets each group's `lr` from the one that it started with, its `initial_lr`; `step()` goes on to the next epoch.

    A subclass defines `rate`, or `get_lr`, which gives the learning rates of all groups in epoch `self.last_epoch`. What is
    written to a group's `lr` in between holds until the next step.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        given: object = optimizer
        if not isinstance(given, Optimizer):
            kind = type(self).__name__
            raise TypeError(at_user_line(f"{kind}: {given!r} is no optimizer"))
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", float(group["lr"]))
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    def rate(self, base: float, epoch: int) -> float:
        """The learning rate in an epoch of a group that started with `base`."""
        raise NotImplementedError(f"{type(self).__name__} does not define rate")

    def get_lr(self) -> list[float]:
        """The learning rates of the groups that there were at the beginning, in this epoch."""
        return [self.rate(base, self.last_epoch) for base in self.base_lrs]

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def step(self) -> None:
        self.last_epoch += 1
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=False):
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """What the schedule has come to; functions are not part of it."""
        return {
            name: value
            for name, value in vars(self).items()
            if name != "optimizer" and not callable(value)
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict()` gave; the optimizer's own state has the learning rates."""
        vars(self).update(state_dict)


class LambdaLR(LRScheduler):
    """Multiplies the first learning rate by `lr_lambda(epoch)`: one function, or one for each group.

    >>> import tracejit as tj
    >>> optimizer = tj.optim.SGD([tj.ones(1).requires_grad_()], lr=2.0)
    >>> schedule = LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        count = len(optimizer.param_groups)
        each = [lr_lambda] * count if callable(lr_lambda) else list(lr_lambda)
        if len(each) != count:
            message = f"LambdaLR: {count} groups of parameters, and {len(each)} functions"
            raise ValueError(at_user_line(message))
        self.lr_lambdas = each
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * function(self.last_epoch) for base, function in pairs]

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        del state["lr_lambdas"]
        return state


class StepLR(LRScheduler):
    """Multiplies the learning rate by `gamma` every `step_size` epochs."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: int) -> float:
        return base * self.gamma ** (epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """Multiplies the learning rate by `gamma` at each of the epochs `milestones`."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Sequence[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: int) -> float:
        for milestone in self.milestones:
            if epoch >= milestone:
                base *= self.gamma
        return base


class ConstantLR(LRScheduler):
    """`factor` times the learning rate for `total_iters` epochs, then the whole."""

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: int) -> float:
        return base * self.factor if epoch < self.total_iters else base


class LinearLR(LRScheduler):
    """From `start_factor` to `end_factor` times the learning rate, in equal steps, in `total_iters` epochs."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: int) -> float:
        share = min(epoch, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * share)


class ExponentialLR(LRScheduler):
    """Multiplies the learning rate by `gamma` each epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: int) -> float:
        return base * self.gamma**epoch


class PolynomialLR(LRScheduler):
    """From the first learning rate to 0 in `total_iters` epochs, as the `power` of what is left of them."""

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: int) -> float:
        return base * (1 - min(epoch, self.total_iters) / self.total_iters) ** self.power


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the first learning rate to `eta_min` in `T_max` epochs (Loshchilov and Hutter, 2017)."""

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: int) -> float:
        return _between(base, self.eta_min, epoch / self.T_max)


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine again and again, first in `T_0` epochs, then each time in `T_mult` times as many."""

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        if T_0 < 1 or T_mult < 1:
            message = f"CosineAnnealingWarmRestarts: T_0 and T_mult are at least 1, got {T_0} and {T_mult}"
            raise ValueError(at_user_line(message))
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: int) -> float:
        if self.T_mult == 1:
            return _between(base, self.eta_min, epoch % self.T_0 / self.T_0)
        length = self.T_0
        while epoch >= length:
            epoch -= length
            length *= self.T_mult
        return _between(base, self.eta_min, epoch / length)


def _between(start: float, end: float, share: float) -> float:
    """The point of half a cosine from `start` to `end`."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


class SequentialLR(LRScheduler):
    """One schedule after another: the next begins, at its epoch 0, at each of the epochs `milestones`.

    >>> import tracejit as tj
    >>> optimizer = tj.optim.SGD([tj.ones(1).requires_grad_()], lr=1.0)
    >>> warmup, decay = LinearLR(optimizer, 0.5, total_iters=2), CosineAnnealingLR(optimizer, T_max=4)
    >>> schedule = SequentialLR(optimizer, [warmup, decay], milestones=[2])
    >>> for _ in range(4):
    ...     print(schedule.get_last_lr(), end=" ")
    ...     schedule.step()
    [0.5] [0.75] [1.0] [0.85...]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        if len(milestones) + 1 != len(schedulers):
            message = f"SequentialLR: {len(schedulers)} schedules need {len(schedulers) - 1} milestones, got {len(milestones)}"
            raise ValueError(at_user_line(message))
        self._schedulers, self.milestones = list(schedulers), list(milestones)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        current, begin = self._schedulers[0], 0
        for milestone, scheduler in zip(self.milestones, self._schedulers[1:], strict=True):
            if self.last_epoch >= milestone:
                current, begin = scheduler, milestone
        current.last_epoch = self.last_epoch - begin
        return current.get_lr()

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        inner = state_dict["_schedulers"]
        super().load_state_dict({**state_dict, "_schedulers": self._schedulers})
        for scheduler, state in zip(self._schedulers, inner, strict=True):
            scheduler.load_state_dict(state)


class OneCycleLR(LRScheduler):
    """Up from max_lr / div_factor to `max_lr`, then down to the first / final_div_factor, in `total_steps` steps (Smith, 2018).

    `pct_start` is the share of the steps that go up, by half a cosine or, if `anneal_strategy` is "linear", straight. With
    `cycle_momentum` the momentum, or the first of `betas`, goes the other way, from `max_momentum` to `base_momentum` and back.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None and epochs is not None and steps_per_epoch is not None:
            total_steps = epochs * steps_per_epoch
        if total_steps is None or total_steps < 1:
            message = "OneCycleLR: total_steps, or epochs and steps_per_epoch, are at least 1"
            raise ValueError(at_user_line(message))
        if anneal_strategy not in ("cos", "linear"):
            message = f"OneCycleLR: anneal_strategy is 'cos' or 'linear', got {anneal_strategy!r}"
            raise ValueError(at_user_line(message))
        self.total_steps, self.pct_start, self.anneal_strategy = (
            total_steps,
            pct_start,
            anneal_strategy,
        )
        self.cycle_momentum = cycle_momentum
        self.base_momentum, self.max_momentum = base_momentum, max_momentum
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        groups = optimizer.param_groups
        self.max_lrs = list(max_lr) if isinstance(max_lr, Sequence) else [max_lr] * len(groups)
        for group, most in zip(groups, self.max_lrs, strict=True):
            group["initial_lr"] = most / div_factor
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: int) -> float:
        return self._cycled(base, base * self.div_factor, base / self.final_div_factor, epoch)

    def _cycled(self, first: float, middle: float, last: float, epoch: int) -> float:
        if epoch >= self.total_steps:
            message = f"OneCycleLR: step {epoch + 1} of {self.total_steps}"
            raise ValueError(at_user_line(message))
        top, end = self.pct_start * self.total_steps - 1, self.total_steps - 1
        between = _between if self.anneal_strategy == "cos" else _straight
        if epoch <= top:
            return between(first, middle, epoch / top)
        return between(middle, last, (epoch - top) / (end - top))

    def step(self) -> None:
        super().step()
        if self.cycle_momentum:
            most, least = self.max_momentum, self.base_momentum
            momentum = self._cycled(most, least, most, self.last_epoch)
            for group in self.optimizer.param_groups:
                _set_momentum(group, momentum)


def _straight(start: float, end: float, share: float) -> float:
    return start + (end - start) * share


def _set_momentum(group: Group, momentum: float) -> None:
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    elif "momentum" in group:
        group["momentum"] = momentum
    else:
        message = "OneCycleLR: an optimizer without momentum needs cycle_momentum=False"
        raise ValueError(at_user_line(message))


class ReduceLROnPlateau:
    """Multiplies the learning rates by `factor` once `step(metrics)` has been given none better for more than `patience` times.

    mode          "min" or "max": which metrics are better
    threshold     how much better counts: relative to the best one, or with `threshold_mode="abs"` as a difference
    cooldown      how many times nothing is counted after a reduction
    min_lr, eps   rates stay at least `min_lr`, and are not changed by less than `eps`

    >>> import tracejit as tj
    >>> optimizer = tj.optim.SGD([tj.ones(1).requires_grad_()], lr=1.0)
    >>> schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if not factor < 1:
            raise ValueError(at_user_line(f"ReduceLROnPlateau: factor is below 1, got {factor}"))
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            message = "ReduceLROnPlateau: mode is 'min' or 'max', threshold_mode 'rel' or 'abs'"
            message = f"{message}, got {mode!r} and {threshold_mode!r}"
            raise ValueError(at_user_line(message))
        self.optimizer = optimizer
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.min_lr, self.eps = cooldown, min_lr, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0

    def step(self, metrics: Any) -> None:
        value = float(metrics)
        self.last_epoch += 1
        if self.is_better(value, self.best):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def is_better(self, value: float, best: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if not math.isfinite(best):
            return sign * value < sign * best
        margin = self.threshold * (1 if self.threshold_mode == "abs" else best)
        return sign * value < sign * best - margin

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        least = self.min_lr if isinstance(self.min_lr, Sequence) else [self.min_lr] * len(groups)
        for group, floor in zip(groups, least, strict=True):
            rate = max(group["lr"] * self.factor, floor)
            if group["lr"] - rate > self.eps:
                group["lr"] = rate

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)
