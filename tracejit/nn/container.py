"""Modules of modules."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from tracejit._errors import at_user_line
from tracejit.nn.module import Module


class Sequential(Module):
    """Modules one after another.

    >>> from tracejit.nn import Linear, ReLU
    >>> Sequential(Linear(4, 3), ReLU())
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *modules: Any) -> None:
        for place, module in enumerate(modules):
            if not isinstance(module, Module):
                kind = type(module).__name__
                message = f"Sequential: a {kind} at place {place} is no module: wrap it into one"
                raise TypeError(at_user_line(message))
            setattr(self, str(place), module)

    def forward(self, x: Any) -> Any:
        for module in self.children():
            x = module(x)
        return x

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, place: int) -> Module:
        return list(self.children())[place]


class Flatten(Module):
    """The dimensions `start_dim` to `end_dim` made one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Any) -> Any:
        start, end = self.start_dim % x.ndim, self.end_dim % x.ndim
        return x.reshape((*x.shape[:start], prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
