"""Modules of modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import index as as_index
from typing import Any, Self

from tracejit._errors import at_user_line
from tracejit.nn.module import Module
from tracejit.nn.parameter import Parameter
from tracejit.tensor import Tensor


class _Places(Module):
    """What is kept under the names "0", "1" and so on."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return type(self)._of(list(self.children())[place])
        return list(self.children())[place]

    @classmethod
    def _of(cls, modules: Iterable[Module]) -> Self:
        raise NotImplementedError

    def __setitem__(self, place: int, module: Module) -> None:
        """Puts `module` where another one is."""
        setattr(self, str(range(len(self))[as_index(place)]), self._checked(module, place))

    def __delitem__(self, place: int | slice) -> None:
        kept = list(self.children())
        del kept[place]
        self._modules.clear()
        self.extend(kept)

    def append(self, module: Module) -> Self:
        setattr(self, str(len(self)), self._checked(module, len(self)))
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        for module in modules:
            self.append(module)
        return self

    def insert(self, place: int, module: Module) -> Self:
        """Puts `module` before the one at `place`."""
        kept = list(self.children())
        kept.insert(place, self._checked(module, place))
        self._modules.clear()
        return self.extend(kept)

    def _checked(self, module: Any, place: int | str) -> Module:
        if not isinstance(module, Module):
            kind, own = type(module).__name__, type(self).__name__
            message = f"{own}: a {kind} at place {place} is no module: wrap it into one"
            raise TypeError(at_user_line(message))
        return module


class Sequential(_Places):
    """Modules one after another; given as arguments, or in a dict by their names.

    >>> from tracejit.nn import Linear, ReLU
    >>> Sequential(Linear(4, 3), ReLU())
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *modules: Any) -> None:
        if len(modules) == 1 and isinstance(modules[0], dict):
            for name, module in modules[0].items():
                setattr(self, name, self._checked(module, name))
        else:
            self.extend(modules)

    @classmethod
    def _of(cls, modules: Iterable[Module]) -> Self:
        return cls(*modules)

    def __setitem__(self, place: int, module: Module) -> None:
        """Puts `module` where another one is, under its name."""
        setattr(self, list(self._modules)[as_index(place)], self._checked(module, place))

    def forward(self, x: Any) -> Any:
        for module in self.children():
            x = module(x)
        return x


class ModuleList(_Places):
    """A list of modules, whose parameters belong to the module that has it as an attribute.

    >>> from tracejit.nn import Linear
    >>> layers = ModuleList(Linear(4, 4) for _ in range(3))
    >>> len(layers), len(list(layers.parameters())), len(layers[1:])
    (3, 6, 2)
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.extend(modules)

    @classmethod
    def _of(cls, modules: Iterable[Module]) -> Self:
        return cls(modules)

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)


class ModuleDict(Module):
    """A dict of modules by names, whose parameters belong to the module that has it as an attribute.

    >>> from tracejit.nn import ReLU, Tanh
    >>> ModuleDict({"relu": ReLU(), "tanh": Tanh()})["tanh"]
    Tanh()
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        self.update(modules)

    def __getitem__(self, name: str) -> Module:
        return self._modules[name]

    def __setitem__(self, name: str, module: Module) -> None:
        given: object = module
        if not isinstance(given, Module):
            kind = type(given).__name__
            message = f"ModuleDict: a {kind} under {name!r} is no module: wrap it into one"
            raise TypeError(at_user_line(message))
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        del self._modules[name]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: str) -> bool:
        return name in self._modules

    def keys(self) -> Iterable[str]:
        return self._modules.keys()

    def values(self) -> Iterable[Module]:
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        for name, module in dict(modules).items():
            self[name] = module


class ParameterList(Module):
    """A list of parameters; tensors among what is given become parameters.

    >>> import tracejit as tj
    >>> weights = ParameterList([tj.ones((2, 2)), tj.zeros(3)])
    >>> [name for name, _ in weights.named_parameters()], weights[1].requires_grad
    (['0', '1'], True)
    """

    def __init__(self, values: Iterable[Tensor] = ()) -> None:
        self.extend(values)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._parameters.values())

    def __getitem__(self, place: int) -> Parameter:
        return list(self._parameters.values())[place]

    def __setitem__(self, place: int, value: Tensor) -> None:
        setattr(self, str(range(len(self))[as_index(place)]), _parameter(value))

    def append(self, value: Tensor) -> Self:
        setattr(self, str(len(self)), _parameter(value))
        return self

    def extend(self, values: Iterable[Tensor]) -> Self:
        for value in values:
            self.append(value)
        return self


class ParameterDict(Module):
    """A dict of parameters by names; tensors among what is given become parameters.

    >>> import tracejit as tj
    >>> ParameterDict({"weight": tj.ones(2)})["weight"].requires_grad
    True
    """

    def __init__(self, values: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]] = ()) -> None:
        for name, value in dict(values).items():
            self[name] = value

    def __getitem__(self, name: str) -> Parameter:
        return self._parameters[name]

    def __setitem__(self, name: str, value: Tensor) -> None:
        self.register_parameter(name, _parameter(value))

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, name: str) -> bool:
        return name in self._parameters

    def keys(self) -> Iterable[str]:
        return self._parameters.keys()

    def values(self) -> Iterable[Parameter]:
        return self._parameters.values()

    def items(self) -> Iterable[tuple[str, Parameter]]:
        return self._parameters.items()


def _parameter(value: Tensor) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value)
