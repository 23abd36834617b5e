"""Chains: ops of one value, each of what the one before has given, called as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracejit._native.entry import entry_class
from tracejit.ops.op import Op, Params

EACH = 16
"""After so many runs by Python it is asked whether machine code is to take over."""
ripe: list[Callable[[Chain, Any, Any], None]] = []
"""Who is asked, with the chain, what it was given and what it gave."""


class Chain(entry_class()):  # type: ignore[misc]  # one of two classes
    """What is done to a value by steps, which are ops with their parameters.

    runs   by Python, since machine code was to take over
    """

    def __init__(self, *steps: tuple[Op, Params]) -> None:
        self.steps = steps
        self.runs = 0
        self._held_ways: Any = None
        self.begin()

    def called(self, x: Any, /) -> Any:
        """Runs a call."""
        result = x
        for op, params in self.steps:
            result = op(result, **params)
        self.runs += 1
        if not self.runs % EACH:
            for ask in ripe:
                ask(self, x, result)
        return result
