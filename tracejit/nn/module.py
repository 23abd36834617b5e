"""Module: a tree of parameters and buffers with a `forward`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple, Self

from tracejit._errors import at_user_line
from tracejit._identity import each_once
from tracejit.autograd.tape import no_grad
from tracejit.dtypes import DType, bfloat16, float16, float32, float64
from tracejit.nn.parameter import Parameter, become
from tracejit.tensor import Tensor, check_device, from_data


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` found to differ."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """The base class of layers and models, as in PyTorch: set parameters and modules as attributes, define `forward`.

    >>> import tracejit as tj
    >>> class Model(Module):
    ...     def __init__(self):
    ...         self.scale = Parameter(tj.ones(3))
    ...     def forward(self, x):
    ...         return x * self.scale
    >>> [name for name, _ in Model().named_parameters()]
    ['scale']
    """

    training: bool
    _parameters: dict[str, Parameter]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module]
    _volatile: set[str]
    """The buffers that are not part of the state."""

    def __new__(cls, *_: Any, **__: Any) -> Self:
        # Here rather than in __init__, so that no subclass can forget to call it.
        module = super().__new__(cls)
        state = {
            "training": True,
            "_parameters": {},
            "_buffers": {},
            "_modules": {},
            "_volatile": set(),
        }
        module.__dict__.update(state)
        return module

    def __init__(self) -> None:
        """Takes nothing: what a layer does not know among its arguments is an error."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    # Attributes

    def __setattr__(self, name: str, value: Any) -> None:
        home = self._home(name, value)
        for table in self._tables():
            if table is not home:
                table.pop(name, None)
        if home is None:
            super().__setattr__(name, value)
        else:
            self.__dict__.pop(name, None)
            home[name] = value

    def _home(self, name: str, value: Any) -> dict[str, Any] | None:
        """The table that an attribute belongs to."""
        if isinstance(value, Parameter):
            return self._parameters
        if isinstance(value, Module):
            return self._modules
        if name in self._buffers and (value is None or isinstance(value, Tensor)):
            return self._buffers
        if name in self._parameters and value is not None:
            kind = type(value).__name__
            raise TypeError(
                at_user_line(
                    f"cannot assign {kind} as parameter {name!r} (Parameter or None expected)"
                )
            )
        return None

    def __getattr__(self, name: str) -> Any:
        # One by one: most are parameters, and what is not looked at need not be guarded in a replay.
        own = self.__dict__
        if name in own["_parameters"]:
            return own["_parameters"][name]
        if name in own["_buffers"]:
            return own["_buffers"][name]
        if name in own["_modules"]:
            return own["_modules"][name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for table in self._tables():
            if name in table:
                del table[name]
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *chain.from_iterable(self._tables())})

    def _tables(self) -> tuple[dict[str, Any], ...]:
        return self._parameters, self._buffers, self._modules

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """A tensor that belongs to the module and is not trained; part of the state if `persistent`. None: there is none."""
        if hasattr(self, name) and name not in self._buffers:
            raise KeyError(at_user_line(f"attribute {name!r} already exists"))
        self._buffers[name] = tensor
        (self._volatile.discard if persistent else self._volatile.add)(name)

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """`self.name = parameter`, of a name that is not taken."""
        if hasattr(self, name) and name not in self._parameters:
            raise KeyError(at_user_line(f"attribute {name!r} already exists"))
        setattr(self, name, parameter)

    def add_module(self, name: str, module: Module | None) -> None:
        """`self.name = module`, of a name that is not taken."""
        if hasattr(self, name) and name not in self._modules:
            raise KeyError(at_user_line(f"attribute {name!r} already exists"))
        setattr(self, name, module)

    register_module = add_module

    # The tree

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """This module, under the name "", and all below it, each once, under dotted names."""
        return each_once(self._walk(""))

    def _walk(self, prefix: str) -> Iterator[tuple[str, Module]]:
        yield prefix, self
        for name, child in self._modules.items():
            yield from child._walk(_join(prefix, name))

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def get_submodule(self, path: str) -> Module:
        """The module of a dotted name, as `named_modules` gives them; AttributeError where there is none."""
        module = self
        for name in path.split(".") if path else ():
            if name not in module._modules:
                kind = type(module).__name__
                raise AttributeError(at_user_line(f"{kind} has no module {name!r} (of {path!r})"))
            module = module._modules[name]
        return module

    def get_parameter(self, path: str) -> Parameter:
        """The parameter of a dotted name, as `named_parameters` gives them; AttributeError where there is none."""
        home, _, name = path.rpartition(".")
        module = self.get_submodule(home)
        if name not in module._parameters:
            kind = type(module).__name__
            raise AttributeError(at_user_line(f"{kind} has no parameter {name!r} (of {path!r})"))
        return module._parameters[name]

    def apply(self, function: Callable[[Module], object]) -> Self:
        """Calls `function` with each module below this one, and then with this one: to initialise them, as a rule.

        >>> from tracejit import nn
        >>> def start(module):
        ...     if isinstance(module, nn.Linear):
        ...         nn.init.ones_(module.weight)
        >>> nn.Sequential(nn.Linear(1, 2), nn.ReLU()).apply(start)[0].weight.tolist()
        [[1.0], [1.0]]
        """
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def named_children(self) -> Iterator[tuple[str, Module]]:
        return iter(self._modules.items())

    def children(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Each parameter once, under the first of its dotted names."""
        return each_once(
            (_join(path, name), parameter)
            for path, module in self.named_modules()
            for name, parameter in module._parameters.items()
        )

    def parameters(self) -> Iterator[Parameter]:
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Each buffer once, under the first of its dotted names."""
        return each_once(
            (_join(path, name), buffer)
            for path, module in self.named_modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        )

    def buffers(self) -> Iterator[Tensor]:
        return (buffer for _, buffer in self.named_buffers())

    # Modes, gradients, dtypes

    def train(self, mode: bool = True) -> Self:
        """Sets `training`, here and below: dropout drops, batch norm uses and tracks the batch's statistics."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters, or fills them with zeros."""
        for parameter in self.parameters():
            clear_gradient(parameter, set_to_none=set_to_none)

    def to(self, target: DType | str) -> Self:
        """In place: every floating-point parameter and buffer in another dtype, or all on another device."""
        if isinstance(target, str):
            device = check_device(target)
            for tensor in chain(self.parameters(), self.buffers()):
                become(tensor, tensor.dtype, device)
            return self
        if not target.is_float:
            raise TypeError(
                at_user_line(f"a module's dtype is a floating-point one, got {target.name}")
            )
        for tensor in chain(self.parameters(), self.buffers()):
            if tensor.dtype.is_float:
                become(tensor, target, tensor.device)
        return self

    def float(self) -> Self:
        """In place: every floating-point parameter and buffer in float32."""
        return self.to(float32)

    def double(self) -> Self:
        """As `float`, in float64."""
        return self.to(float64)

    def half(self) -> Self:
        """As `float`, in float16."""
        return self.to(float16)

    def bfloat16(self) -> Self:
        """As `float`, in bfloat16."""
        return self.to(bfloat16)

    def cpu(self) -> Self:
        return self.to("cpu")

    def cuda(self, device: int = 0) -> Self:
        return self.to(f"cuda:{device}")

    # State

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters and persistent buffers under their dotted names; they share the module's memory."""
        return {name: tensor.detach() for name, tensor in self._state()}

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        for path, module in self._walk(""):
            for name, parameter in module._parameters.items():
                yield _join(path, name), parameter
            for name, buffer in module._buffers.items():
                if buffer is not None and name not in module._volatile:
                    yield _join(path, name), buffer

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Copies `state_dict`'s values (tensors or arrays) into the module, or, where something does not fit, nothing.

        RuntimeError names what differs: a shape, or with `strict` a name that is missing or not known.
        """
        own = dict(self._state())
        values = {name: _value(value) for name, value in state_dict.items() if name in own}
        keys = IncompatibleKeys(
            [name for name in own if name not in state_dict],
            [name for name in state_dict if name not in own],
        )
        faults = [
            f"size mismatch for {name}: copying a tensor of shape {value.shape}, the module's has shape {own[name].shape}"
            for name, value in values.items()
            if value.shape != own[name].shape
        ]
        if strict and keys.unexpected_keys:
            faults.append(f"unexpected key(s): {_quoted(keys.unexpected_keys)}")
        if strict and keys.missing_keys:
            faults.append(f"missing key(s): {_quoted(keys.missing_keys)}")
        if faults:
            listed = "".join(f"\n    {fault}" for fault in faults)
            raise RuntimeError(
                at_user_line(f"error(s) in loading state_dict for {type(self).__name__}:{listed}")
            )
        with no_grad():
            for name, value in values.items():
                own[name].copy_(value)
        return keys

    # Text

    def extra_repr(self) -> str:
        """What stands between the parentheses of the module's text."""
        return ""

    def __repr__(self) -> str:
        children = [f"({name}): {child!r}" for name, child in self.named_children()]
        if not children:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = [*filter(None, [self.extra_repr()]), *children]
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"


def clear_gradient(parameter: Tensor, *, set_to_none: bool) -> None:
    if set_to_none:
        parameter.grad = None
    elif parameter.grad is not None:
        with no_grad():
            parameter.grad = parameter.grad.detach()
            parameter.grad.copy_(0)


def _value(value: Any) -> Tensor:
    return value.detach() if isinstance(value, Tensor) else from_data(value)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _quoted(names: list[str]) -> str:
    return ", ".join(map(repr, names))
