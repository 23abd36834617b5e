"""RMSprop and Adagrad: each element's step is divided by the size of its gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tracejit._errors import at_user_line
from tracejit.ops.elementwise import zeros_like
from tracejit.optim.optimizer import Group, Optimizer, State
from tracejit.tensor import Tensor


class RMSprop(Optimizer):
    """Divides by the root of a running mean of squares (Hinton, 2012), or with `centered` by that of the variance.

    >>> import tracejit as tj
    >>> w = tj.tensor([1.0], requires_grad=True)
    >>> optimizer = RMSprop([w], lr=0.5, alpha=0.75, eps=0.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.item()
    0.0
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def start(self, parameter: Tensor, group: Group) -> State:
        state: State = {"step": 0, "square_avg": zeros_like(parameter)}
        if group["momentum"]:
            state["momentum_buffer"] = zeros_like(parameter)
        if group["centered"]:
            state["grad_avg"] = zeros_like(parameter)
        return state

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        state["step"] += 1
        if group["weight_decay"]:
            gradient = gradient + parameter * group["weight_decay"]
        share = 1 - group["alpha"]
        spread = state["square_avg"].lerp_(gradient * gradient, share)
        if group["centered"]:
            spread = spread - state["grad_avg"].lerp_(gradient, share) ** 2
        step = gradient / (spread.sqrt() + group["eps"])
        if group["momentum"]:
            step = state["momentum_buffer"].mul_(group["momentum"]).add_(step)
        parameter.sub_(step * group["lr"])


class Adagrad(Optimizer):
    """Divides by the root of the sum of squares (Duchi, Hazan and Singer, 2011).

    >>> import tracejit as tj
    >>> w = tj.tensor([2.0], requires_grad=True)
    >>> optimizer = Adagrad([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.item()
    1.5
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        if initial_accumulator_value < 0:
            message = f"invalid initial_accumulator_value: {initial_accumulator_value}"
            raise ValueError(at_user_line(message))
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def start(self, parameter: Tensor, group: Group) -> State:
        total = zeros_like(parameter).fill_(group["initial_accumulator_value"])
        return {"step": 0, "sum": total}

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        state["step"] += 1
        if group["weight_decay"]:
            gradient = gradient + parameter * group["weight_decay"]
        rate = group["lr"] / (1 + (state["step"] - 1) * group["lr_decay"])
        total = state["sum"].add_(gradient * gradient)
        parameter.addcdiv_(gradient, total.sqrt() + group["eps"], value=-rate)
