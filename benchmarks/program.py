"""What a system makes of a workload: a step to time and the results to check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

Inputs = SimpleNamespace
"""A workload's inputs by name: NumPy arrays, lists of them, and Python numbers."""


@dataclass(frozen=True, slots=True)
class Program:
    """`step()` runs once and returns when all is computed; `results()` are then the arrays to check."""

    step: Callable[[], object]
    results: Callable[[], Sequence[Any]]


Implementation = Callable[[Inputs, Callable[..., Any]], Program]
"""`(inputs, jit) -> Program`: `jit` is the system's compiling decorator, or the identity."""


@dataclass(frozen=True, slots=True)
class Suite:
    """The workloads that one system implements."""

    implementations: dict[str, Implementation]

    def __call__(self, *names: str) -> Callable[[Implementation], Implementation]:
        """A decorator: the function implements the workloads `names`."""

        def register(implementation: Implementation) -> Implementation:
            self.implementations.update(dict.fromkeys(names, implementation))
            return implementation

        return register


def pure(
    function: Callable[..., Any], *args: Any, to_numpy: Callable[[Any], Any] = np.asarray
) -> Program:
    """A program that calls `function(*args)`; its results are what the last call returned."""
    last: Any = None

    def step() -> None:
        nonlocal last
        last = function(*args)

    def results() -> list[Any]:
        values = last if isinstance(last, (tuple, list)) else (last,)
        return [to_numpy(value) for value in values]

    return Program(step, results)
