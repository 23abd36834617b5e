"""The systems: under which name each is timed, what it needs, and how its suite is loaded."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from benchmarks.program import Implementation
from benchmarks.workloads import ON_GPUS


@dataclass(frozen=True, slots=True)
class System:
    """A library in one way of using it; its module is imported only in the process that times it."""

    name: str
    package: str
    """What must be installed."""
    module: str
    """Where its `suite` is, and the decorator that `jit` names."""
    jit: str | None = None
    caches_on_disk: bool = False
    without: frozenset[str] = frozenset()
    """The workloads that it does not implement."""

    @property
    def is_installed(self) -> bool:
        return find_spec(self.package) is not None

    def implementations(self) -> dict[str, Implementation]:
        return importlib.import_module(self.module).suite.implementations

    def decorator(self) -> Callable[..., Any]:
        """What the user would write over a function; the identity where nothing is compiled."""
        return getattr(importlib.import_module(self.module), self.jit) if self.jit else unchanged


def unchanged(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


SYSTEMS = {
    system.name: system
    for system in (
        System("numpy", "numpy", "benchmarks.systems.numpy_suite"),
        System("eager", "tracejit", "benchmarks.systems.tracejit_suite"),
        System("compiled", "tracejit", "benchmarks.systems.tracejit_suite", "compiled", True),
        System("torch", "torch", "benchmarks.systems.torch_suite"),
        # It unrolls the cells of an LSTM, which takes it minutes.
        System(
            "torch.compile",
            "torch",
            "benchmarks.systems.torch_suite",
            "compiled",
            True,
            without=frozenset({"lstm"}),
        ),
        System("jax", "jax", "benchmarks.systems.jax_suite", "compiled"),
        # Numba has neither a matrix product on its threads nor gradients.
        System(
            "numba",
            "numba",
            "benchmarks.systems.numba_suite",
            without=frozenset({"mlp_128", "mlp_8", "block", "lstm", "cnn", *ON_GPUS}),
        ),
    )
}
