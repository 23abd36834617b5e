"""Random numbers: `tj.random.Generator`, and functions of the default one.

The state is a tensor that every draw reads and advances, so that eager and compiled programs draw the same bits.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from tracejit import dispatch, dtypes
from tracejit._config import config
from tracejit._errors import at_user_line
from tracejit.autograd.tape import no_grad
from tracejit.ops import random as draws
from tracejit.ops.arguments import moved, new_shape
from tracejit.ops.index import take
from tracejit.ops.sorting import argsort
from tracejit.tensor import Tensor, check_device, from_array

Size = int | Sequence[int]


class Generator:
    """A stream of random numbers (Philox4x32-10), the same for the same seed on every machine and at any speed.

    >>> g = Generator(0)
    >>> g.integers(10, shape=5)
    tensor([...])
    """

    __slots__ = ("_lock", "_twins", "state")

    def __init__(self, seed: int | None = None) -> None:
        self._begin(from_array(draws.new_state(_seed(seed)), copy=True))

    def _begin(self, state: Tensor) -> None:
        self._lock = threading.Lock()
        self._twins: dict[str, Generator] = {}
        self.state = state

    def on(self, device: str) -> Generator:
        """The generator that draws on a device: itself, or another, which begins where this one is when it is first asked for."""
        if device == self.state.aval.device:
            return self
        twin = self._twins.get(device)
        if twin is None:
            twin = Generator.__new__(Generator)
            twin._begin(moved(self.state, device))
            twin = self._twins.setdefault(device, twin)
            config.changed()  # a recording that seeds this one knows of no other
        return twin

    def seed(self, seed: int | None = None) -> None:
        """Begins the stream anew, on all devices; None takes a seed from the operating system."""
        start = from_array(draws.new_state(_seed(seed)), copy=True)
        for each in (*self._twins.values(), self):
            dispatch.assign(each.state, moved(start, each.state.aval.device))

    def random(self, shape: Size = (), *, dtype: Any = None, device: str | None = None) -> Tensor:
        """Uniform floats of [0, 1)."""
        return self._draw(draws.uniform, shape, device, dtype=_float(dtype))

    def uniform(
        self,
        shape: Size = (),
        low: Any = 0.0,
        high: Any = 1.0,
        *,
        dtype: Any = None,
        device: str | None = None,
    ) -> Tensor:
        """Uniform floats of [low, high)."""
        return self.random(shape, dtype=dtype, device=device) * (high - low) + low

    def normal(
        self,
        shape: Size = (),
        mean: Any = 0.0,
        std: Any = 1.0,
        *,
        dtype: Any = None,
        device: str | None = None,
    ) -> Tensor:
        """Normal floats."""
        standard = self._draw(draws.normal, shape, device, dtype=_float(dtype))
        is_standard = type(mean) is type(std) is float and (mean, std) == (0.0, 1.0)
        return standard if is_standard else standard * std + mean

    def integers(
        self,
        low: int,
        high: int | None = None,
        shape: Size = (),
        *,
        dtype: Any = dtypes.int64,
        device: str | None = None,
    ) -> Tensor:
        """Integers of [low, high), or of [0, low)."""
        return self._draw(
            lambda state, size: draws.integers(state, low, high, size, dtype=dtype), shape, device
        )

    def bernoulli(self, p: Any, shape: Size = (), *, device: str | None = None) -> Tensor:
        """Bools, true with probability `p`."""
        return self._draw(lambda state, size: draws.bernoulli(state, p, size), shape, device)

    def permutation(self, x: Any) -> Tensor:
        """The numbers below an integer `x`, or the parts of an array along its first axis, in random order."""
        length = x if isinstance(x, int) else len(x)
        keys = self._draw(lambda state, size: draws.bits(state, size, dtype=dtypes.uint64), length)
        order = argsort(keys)
        return order if isinstance(x, int) else take(x, order, axis=0)

    def _draw(
        self, draw: Callable[..., Any], shape: Size, device: str | None = None, **options: Any
    ) -> Tensor:
        """`draw(state, shape)`, after which the state has moved on."""
        is_first = self.state.aval.device == "cpu"  # the others draw where they are
        if device is not None or (is_first and config.default_device != "cpu"):
            there = self.on(check_device(device))
            if there is not self:
                return there._draw(draw, shape, there.state.aval.device, **options)
        size = new_shape(shape)
        with self._lock, no_grad():
            drawn: Tensor = draw(self.state, size, **options)
            dispatch.assign(self.state, draws.advance(self.state, prod(size)))
        return drawn

    def __getstate__(self) -> Tensor:
        return self.state

    def __setstate__(self, state: Tensor) -> None:
        self._begin(state)


def _seed(seed: int | None) -> int:
    if seed is None:
        return int.from_bytes(os.urandom(8), "little")
    if not isinstance(seed, (int, np.integer)):
        raise TypeError(at_user_line(f"a seed is an integer, got {seed!r}"))
    return int(seed)


def _float(dtype: Any) -> Any:
    return config.default_dtype if dtype is None else dtype


default_generator = Generator(0)
"""Seeded with 0 at the start, so that a program draws the same numbers each time it runs."""

bernoulli = default_generator.bernoulli
integers = default_generator.integers
normal = default_generator.normal
permutation = default_generator.permutation
random = default_generator.random
seed = default_generator.seed
uniform = default_generator.uniform
