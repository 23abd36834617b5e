"""Adam, and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tracejit._errors import at_user_line
from tracejit.ops.elementwise import zeros_like
from tracejit.optim.optimizer import Group, Optimizer, State
from tracejit.tensor import Tensor


class Adam(Optimizer):
    """The method of Kingma and Ba (2015); weight decay, if any, is added to the gradient.

    >>> import tracejit as tj
    >>> w = tj.tensor([1.0, -1.0], requires_grad=True)
    >>> optimizer = Adam([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 0.5, -0.5], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        if not all(beta < 1 for beta in betas):
            raise ValueError(at_user_line(f"invalid betas: {betas}"))
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def start(self, parameter: Tensor, group: Group) -> State:
        return {"step": 0, "exp_avg": zeros_like(parameter), "exp_avg_sq": zeros_like(parameter)}

    def update_group(self, parameters: list[Tensor], group: Group) -> None:
        known, numbers = None, (0.0, 0.0)
        for parameter in parameters:
            state = self.state[parameter]
            state["step"] += 1
            if (
                known is None or state["step"] != known
            ):  # as a rule all have made the same number of steps
                known = state["step"]
                numbers = _numbers(known, group)
            self._update(parameter, self.descent(parameter, group), state, group, numbers)

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        state["step"] += 1
        self._update(parameter, gradient, state, group, _numbers(state["step"], group))

    def _update(
        self,
        parameter: Tensor,
        gradient: Tensor,
        state: State,
        group: Group,
        numbers: tuple[float, float],
    ) -> None:
        gradient = self.decayed(parameter, gradient, group)
        beta1, beta2 = group["betas"]
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.lerp_(gradient, 1 - beta1)
        square.lerp_(gradient * gradient, 1 - beta2)
        step, floor = numbers
        parameter.addcdiv_(mean, square.sqrt() + floor, value=step)

    def decayed(self, parameter: Tensor, gradient: Tensor, group: Group) -> Tensor:
        """The gradient with the weight decay in it."""
        decay = group["weight_decay"]
        return gradient + parameter * decay if decay else gradient


def _numbers(step: int, group: Group) -> tuple[float, float]:
    """The step, and what keeps the divisor from 0, with the corrections in them: an element costs one root and one division."""
    beta1, beta2 = group["betas"]
    spread = (1 - beta2**step) ** 0.5
    return -group["lr"] * spread / (1 - beta1**step), group["eps"] * spread


class AdamW(Adam):
    """Adam with the weight decay apart from the gradient (Loshchilov and Hutter, 2019)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, maximize=maximize)

    def decayed(self, parameter: Tensor, gradient: Tensor, group: Group) -> Tensor:
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        return gradient
