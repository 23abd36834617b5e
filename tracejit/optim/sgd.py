"""Gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tracejit._errors import at_user_line
from tracejit.ops.elementwise import zeros_like
from tracejit.optim.optimizer import Group, Optimizer, State
from tracejit.tensor import Tensor


class SGD(Optimizer):
    """Stochastic gradient descent, with PyTorch's momentum.

    With momentum m the buffer is b = m b + (1 - dampening) g (in the first step b = g), and the step -lr b, or with `nesterov`
    -lr (g + m b).

    >>> import tracejit as tj
    >>> w = tj.tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.item()
    0.0
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                at_user_line("Nesterov momentum requires a momentum and zero dampening")
            )
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def start(self, parameter: Tensor, group: Group) -> State:
        state: State = {"step": 0}
        if group["momentum"]:
            state["momentum_buffer"] = zeros_like(parameter)
        return state

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        state["step"] += 1
        if group["weight_decay"]:
            gradient = gradient + parameter * group["weight_decay"]
        if momentum := group["momentum"]:
            buffer = state.setdefault("momentum_buffer", None)
            if buffer is None:
                buffer = state["momentum_buffer"] = zeros_like(parameter)
            # A step is not asked whether it is the first one where that makes no difference.
            is_damped = group["dampening"] and state["step"] > 1
            share = 1.0 - group["dampening"] if is_damped else 1.0
            buffer.mul_(momentum).add_(gradient * share)
            gradient = gradient + buffer * momentum if group["nesterov"] else buffer
        parameter.sub_(gradient * group["lr"])
