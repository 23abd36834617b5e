"""Optimizer: parameters in groups, each with its own hyperparameters, updated in place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import isnan
from typing import Any

from tracejit._errors import at_user_line
from tracejit._identity import each_once
from tracejit.autograd.tape import enable_grad, no_grad
from tracejit.nn.module import clear_gradient
from tracejit.tensor import Tensor, from_data

Group = dict[str, Any]
"""`params` and the hyperparameters by name."""
State = dict[str, Any]
"""What an optimizer keeps for one parameter: tensors of the parameter's shape, and Python numbers."""


class Optimizer:
    """The base class, as in PyTorch: `params` are tensors, or dicts of `params` and their own hyperparameters.

    `state` holds what is kept for each parameter. It is made at once, not in the first step, so that a compiled step is the same
    program from the first call on. Subclasses define `start` and `update`.
    """

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                at_user_line("params is an iterable of tensors or dicts, got one tensor")
            )
        self.defaults = dict(defaults)
        self.state: dict[Tensor, State] = {}
        self.param_groups: list[Group] = []
        groups = list(params)
        if not groups:
            raise ValueError(at_user_line("optimizer got an empty parameter list"))
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def start(self, parameter: Tensor, group: Group) -> State:
        """The state before the first step."""
        raise NotImplementedError(f"{type(self).__name__} does not define start")

    def update(self, parameter: Tensor, gradient: Tensor, state: State, group: Group) -> None:
        """One step of one parameter: plain tensor code, in place, not on the tape."""
        raise NotImplementedError(f"{type(self).__name__} does not define update")

    def add_param_group(self, group: Group) -> None:
        """Adds parameters with hyperparameters of their own; what `group` does not give is as for the others."""
        params = group["params"]
        full = {
            **self.defaults,
            **group,
            "params": [params] if isinstance(params, Tensor) else list(params),
        }
        self._check_hyperparameters(full)
        for parameter in full["params"]:
            self._check_parameter(parameter)
        different = list(each_once(enumerate(full["params"])))
        if len(different) < len(full["params"]) or any(
            parameter in self.state for parameter in full["params"]
        ):
            raise ValueError(at_user_line("some parameters appear more than once"))
        for parameter in full["params"]:
            self.state[parameter] = self.start(parameter, full)
        self.param_groups.append(full)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters, or fills them with zeros."""
        for group in self.param_groups:
            for parameter in group["params"]:
                clear_gradient(parameter, set_to_none=set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter that has a gradient. All is checked before anything is written.

        `closure`, if given, computes the loss and its gradients first; the loss is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._check_hyperparameters(group)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._check_parameter(parameter)
                    self._check_fit(parameter, self.state[parameter])
        with no_grad():
            for group in self.param_groups:
                self.update_group([p for p in group["params"] if p.grad is not None], group)
        return loss

    def update_group(self, parameters: list[Tensor], group: Group) -> None:
        """One step of the group's parameters that have a gradient. A subclass may compute once what they share."""
        for parameter in parameters:
            gradient = self.descent(parameter, group)
            self.update(parameter, gradient, self.state[parameter], group)

    def descent(self, parameter: Tensor, group: Group) -> Tensor:
        """The gradient of what is to become smaller."""
        gradient = parameter.grad
        assert gradient is not None
        return -gradient if group["maximize"] else gradient

    # State

    def state_dict(self) -> dict[str, Any]:
        """The state and the hyperparameters, parameters named by their place."""
        place = {parameter: index for index, parameter in enumerate(self._parameters())}
        return {
            "state": {place[parameter]: dict(state) for parameter, state in self.state.items()},
            "param_groups": [
                {**group, "params": [place[parameter] for parameter in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over a copy of what `state_dict()` gave, from any device, or, where it does not fit the parameters, nothing."""
        groups = state_dict["param_groups"]
        sizes = [len(group["params"]) for group in self.param_groups]
        if [len(group["params"]) for group in groups] != sizes:
            raise ValueError(at_user_line("the loaded state dict has other parameter groups"))
        states = {}
        for index, parameter in enumerate(self._parameters()):
            loaded = state_dict["state"].get(index, self.state[parameter])
            states[parameter] = {
                name: _copy(value, parameter.device) for name, value in loaded.items()
            }
            self._check_fit(parameter, states[parameter])
        for own, group in zip(self.param_groups, groups, strict=True):
            own.update({name: value for name, value in group.items() if name != "params"})
        self.state = states

    def __repr__(self) -> str:
        groups = [
            "".join(f"\n    {name}: {group[name]}" for name in sorted(group) if name != "params")
            for group in self.param_groups
        ]
        body = "".join(f"\nParameter Group {place}{text}" for place, text in enumerate(groups))
        return f"{type(self).__name__} ({body}\n)"

    # Checks

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def _check_hyperparameters(self, group: Group) -> None:
        for name, default in self.defaults.items():
            value = group[name]
            if isinstance(default, bool):
                continue
            for number in value if isinstance(default, tuple) else (value,):
                self._check_number(name, number)

    def _check_number(self, name: str, number: Any) -> None:
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise TypeError(at_user_line(f"{name} is a number, got {number!r}"))
        if isnan(number) or number < 0:
            raise ValueError(at_user_line(f"invalid {name}: {number}"))

    def _check_parameter(self, parameter: Any) -> None:
        if not isinstance(parameter, Tensor):
            kind = type(parameter).__name__
            raise TypeError(at_user_line(f"an optimizer updates tensors, got {kind}"))
        if not parameter.is_leaf:
            raise ValueError(at_user_line("can't optimize a non-leaf tensor"))
        gradient = parameter.grad
        if gradient is not None and gradient.aval is not parameter.aval:
            raise ValueError(at_user_line(f"the gradient of {parameter.aval} is {gradient.aval}"))

    def _check_fit(self, parameter: Tensor, state: State) -> None:
        for name, value in state.items():
            if isinstance(value, Tensor) and value.aval is not parameter.aval:
                message = f"the state {name!r} is {value.aval}, its parameter {parameter.aval}"
                raise ValueError(at_user_line(message))


def _copy(value: Any, device: str) -> Any:
    return from_data(value, device=device) if isinstance(value, Tensor) else value
