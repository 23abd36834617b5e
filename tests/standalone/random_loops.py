"""Random functions that go round loops, exported: machine code, Python's steps and the function itself do the same.

`python -m tests.standalone.random_loops --count 200` looks for more.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tracejit as tj
from tests.sampling import look, module_of, sampled
from tests.standalone.test_control_flow import outcome
from tests.standalone.test_roundtrip import bits
from tracejit.standalone.loops import counts


@dataclass
class Tally:
    exported: int = 0
    refused: int = 0
    calls: int = 0


TENSORS = (
    "x * 0.5 + y", "y - x.mean()", "x.flip(0) * 0.75", "tj.where(x > y, x, y * 0.5)", "x - y * 0.25", "y * n * 0.125",
    "tj.sqrt(x.abs()) - y", "x + (x * y).sum() * 0.125", "x / (y * y + 1)",
)  # fmt: skip
INTS = ("n + 1", "n // 2", "n * 3 - 7", "n - k", "-n % 11", "n & 6", "n << 1")
CONDITIONS = (
    "x.abs().max() > 0.3", "(x > y).any()", "x[0] < y[1]", "x.sum() > n", "k < n % 9", "not (x == y).all()", "n % 4 != 1",
)  # fmt: skip
ENDS = (
    "break",
    "return n, x",
    "raise ValueError('often')",
    "return [y * 2, x, k]",
    "raise KeyError(1, None)",
)


class _Writer:
    """Text of a method of `State`."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.loops = 0

    def text(self) -> str:
        lines = ["k = 0", *self.statements(1), *self.loop(0)]
        lines += [*self.statements(self.rng.randrange(2)), f"return {self.result()}"]
        body = "".join(f"        {line}\n" for line in lines)
        return f"import tracejit as tj\n\nclass State:\n    def f(self, x, y, n):\n{body}"

    def result(self) -> str:
        parts = ["x", "y", "n", "k", "x + y", "self.total * 1", "x[1:]", "x.sum().item()", "None"]
        return ", ".join(self.rng.sample(parts, self.rng.randrange(1, 4)))

    def condition(self) -> str:
        return self.rng.choice(CONDITIONS)

    def loop(self, depth: int) -> Iterator[str]:
        """It goes round at most so many times."""
        count = f"k{self.loops}" if depth else "k"
        self.loops += 1
        if depth:
            yield f"{count} = 0"
        yield f"while {self.condition()}:"
        for line in self.statements(self.rng.randrange(1, 4)):
            yield f"    {line}"
        if depth == 0 and self.rng.random() < 0.15:
            for line in self.loop(1):
                yield f"    {line}"
        yield f"    {count} += 1"
        yield f"    if {count} >= {self.rng.randrange(5, 40)}:"
        yield f"        {self.rng.choice(ENDS)}"

    def statements(self, number: int) -> Iterator[str]:
        for _ in range(number):
            yield from self.statement()

    def statement(self) -> Iterator[str]:
        match self.rng.randrange(9):
            case 0 | 1 | 2:
                yield f"{self.rng.choice('xy')} = {self.rng.choice(TENSORS)}"
            case 3:
                yield f"n = {self.rng.choice(INTS)}"
            case 4:
                yield "x, y = y, x * 0.75"
            case 5:
                yield f"self.total.{self.rng.choice(['add_(x)', 'mul_(0.5)', 'copy_(y)'])}"
            case 6:
                yield "self.count = self.count + n"
            case 7:
                yield "self.last = x - y"
            case 8 if self.rng.random() < 0.4:
                yield f"if {self.condition()}:"
                yield f"    {self.rng.choice('xy')} = {self.rng.choice(TENSORS)}"


def _arguments(rng: np.random.Generator, dtype: str) -> tuple[Any, Any, int]:
    x, y = (np.round(rng.normal(scale=3, size=4), 2).astype(dtype) for _ in range(2))
    if rng.random() < 0.1:
        x[rng.integers(4)] = rng.choice([np.nan, np.inf, -np.inf, 0.0])
    n = int(rng.choice([*range(-3, 12), 1 << 40, (1 << 62) + 1, 1 << 70]))
    return tj.tensor(x), tj.tensor(y), n


def _state(kind: Any, dtype: str) -> Any:
    made = kind()
    made.total, made.count, made.last = tj.zeros(4, dtype=getattr(tj, dtype)), 0, None
    return made


def check(seed: int, folder: Path, tally: Tally) -> str:
    """What is wrong with one function; "" where nothing is."""
    text = _Writer(random.Random(seed)).text()
    rng = np.random.default_rng(seed)
    dtype = rng.choice(["float32", "float64"])
    kind = module_of(text, folder / f"loops_{seed}.py").State
    twin = _state(kind, dtype)
    path = folder / "f.tj"
    try:
        tj.export(_state(kind, dtype).f, (*_arguments(rng, dtype)[:2], 5), path)
    except tj.ExportError:
        tally.refused += 1
        return ""
    tally.exported += 1
    loaded = [tj.load(path), tj.load(path, native=False)]
    for _ in range(12):
        args = _arguments(rng, dtype)
        found = [outcome(each, *args) for each in loaded]
        if found[0] != found[1]:
            return f"{seed}: {args}: {found[0]} and not {found[1]}\n{text}"
        if "when the function was exported" in str(found[0]):
            continue  # nothing has been done
        tally.calls += 1
        if found[0] != (wanted := outcome(twin.f, *args)):
            return f"{seed}: {args}: {found[0]} and not {wanted}\n{text}"
        states = [{k: bits(v) for k, v in each.state_dict().items()} for each in loaded]
        wanted = {name: bits(getattr(twin, name)) for name in states[0]}
        if not states[0] == states[1] == wanted:
            return f"{seed}: {args}: {states}, {wanted}\n{text}"
    return ""


def sample(
    seed: int, count: int, say: Callable[[str], Any] | None = None
) -> tuple[list[str], Tally]:
    return sampled(check, Tally(), seed, count, say)


if __name__ == "__main__":
    look(sample, __doc__, counts)
