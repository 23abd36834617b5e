"""Random loops over parts of arrays, of other sizes in each round: compiled by one round for many, by each, and plain.

`python -m tests.tracing.replay.random_unrolled --count 500` looks for what is wrong.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tracejit as tj
from tests.sampling import look, module_of, sampled
from tracejit.tracing import recorder
from tracejit.tracing.replay.hooks import loops

HEAD = """
import numpy as np

class Box:
    n = 0

def make():
    H, kept = Box(), 0

    def f(A, b, n, d, w):
        nonlocal kept
"""
BEGIN = {
    "s": "s = b[0] * 1", "r": "r = 0.5", "p": "p = 0", "c": "c = 0", "L": "L = [0, 0]", "q": "q = None",
    "g": "g = lambda m: b[m] * 0.25 + A[m, :m].sum() * 0.0625",
}  # fmt: skip
"""Variables are there in functions that use them."""
STATEMENTS = (
    "A[k] += A[k - 1] * 0.5", "A[k, :k] *= 0.75", "b[k] = A[k, :k] @ b[:k] * 0.125", "b[:k] += A[k, k] * 0.125",
    "s = s * 0.5 + b[k]", "A[k:, k] -= b[k:] * 0.25", "b[k] -= s * 0.5", "t = A[k, :k].sum()\nb[k] += t * 0.125",
    "c += 2\nb[c % n] += 0.5", "b[p] = b[k] * 0.5\np = k", "b[k] = b[k] * 0.5 + k * 0.0625",
    "A[k] = A[k - 1:k + 1].mean(axis=0)", "if k % 2: b[k] += 1", "if k == {c}: continue", "if k > {c}: break",
    "row = A[k]\nrow *= 0.75", "L[0] = k", "q = [k, b[k] * 0.5]", "b[k], b[k - 1] = b[k - 1] * 1, b[k] * 1",
    "b[n - 1 - k] *= 0.75", "w = np.flip(b[:k])\nb[:k] += w * 0.125", "m = max(k, {c})\nb[m] += 1", "s, r = r, s",
    "b[k] += g(k)", "H.n = k", "H.b = b[k] * 1", "kept += k", "b[k] += kept * 0.0625", "j = k - 1\nA[k, j] = A[j, k] * 0.5",
    "b[k] = np.sqrt(abs(b[k]))", "b[k] += len(b[:k]) * 0.125", "e = b[:k] * 0.5\nb[-1] += e.sum()", "b[k] = b[L[0] % n]",
    "for i in range(k):\n    A[k, i] -= A[i, :i] @ A[k, :i] * 0.0625", "for i in range(k, n):\n    b[i] += A[k, i] * 0.0625",
    "r = r * 0.5 + 1", "b[k] *= r", "b[k // 2] += 0.5", "A[:, k] = A[:, k] * 0.5 + A[:, k - 1] * 0.25", "b[:] = b * 0.875",
    "b[k] += A[k, k:].max() * 0.125", "z = A[:k, :k] @ b[:k]\nb[:k] = z * 0.0625", "b[1:] = b[:-1] * 1",
    "b[k] += d * 0.0625", "b[k] *= w", "c = d", "c = c + d", "m = k + d\nb[m % n] += w", "r = r * w + d * 0.125", "d = k",
    "b[:d] += w", "L[1] = d\nb[k] += L[1] * 0.125",
)  # fmt: skip
LOOPS = (
    "for k in range(n):", "for k in range(1, n):", "for k in range(2, n):", "for k in range(1, n, 2):",
    "for k in range(n - 1, -1, -1):", "for k in range(n - 2, 0, -1):", "k = 0\nwhile k < n - 1:\n    k += 1",
    "for k in range(3, n - 2):",
)  # fmt: skip


def _text(rng: random.Random) -> str:
    lines: list[str] = []
    for _ in range(rng.choice((1, 1, 2))):
        lines += rng.choice(LOOPS).split("\n")
        for _ in range(rng.choice((1, 1, 2, 3))):
            statement = rng.choice(STATEMENTS).replace("{c}", str(rng.randrange(14)))
            lines += [f"    {line}" for line in statement.split("\n")]
    used = [name for name in BEGIN if re.search(rf"\b{name}\b", " ".join(lines))]
    held = [name for name in used if name != "g"]
    end = f"return A, b, H.n, getattr(H, 'b', 0), kept, [{', '.join(held)}]"
    body = "".join(f"        {line}\n" for line in [*map(BEGIN.get, used), *lines, end])
    return f"{HEAD.strip()}\n{body}    return f\n"


@dataclass
class Tally:
    calls: int = 0
    fewer: int = 0
    """Programs of which rounds were recorded for others."""


def outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a call gives, or raises, and what it leaves in its arguments: bits."""
    try:
        found: Any = _bits(function(*arguments))
    except Exception as error:
        found = type(error).__name__
    return found, _bits(arguments)


def _bits(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [*map(_bits, value)]
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype, value.shape, value.tobytes()
    return type(value), repr(value)


def _arguments(seed: int, call: int = 0) -> tuple[Any, ...]:
    """Arrays, their size, and an int and a float that change from call to call."""
    rng, n = np.random.default_rng(seed), 11 + seed % 9
    return rng.uniform(-1, 1, (n, n)), rng.uniform(-1, 1, n), n, 1 + call % 4, 0.5 + call / 16


def check(seed: int, folder: Path, tally: Tally) -> str:
    """What is wrong with one function; "" where nothing is."""
    text = _text(random.Random(seed))
    make = module_of(text, folder / f"unrolled_{seed}.py").make
    found, few = _calls(make(), seed)
    most, loops.MOST_TRIALS = loops.MOST_TRIALS, 0
    try:
        expected, all_of_them = _calls(make(), seed)
    finally:
        loops.MOST_TRIALS = most
    if found != expected:
        number = next(n for n, (a, b) in enumerate(zip(found, expected)) if a != b)
        return f"{seed}: call {number} is not that of all rounds\n{text}"
    tally.calls += len(found)
    tally.fewer += few < all_of_them
    return _unlike_numpy(make(), make(), seed, text)


def _calls(f: Callable[..., Any], seed: int) -> tuple[list[Any], int]:
    """The outcomes of calls, and how many ops Python has recorded."""
    count, bind = [0], recorder.Recorder.bind

    def counting(self: Any, *args: Any) -> Any:
        count[0] += 1
        return bind(self, *args)

    recorder.Recorder.bind = counting  # type: ignore[method-assign]
    try:
        compiled = tj.compile(f)
        with np.errstate(all="ignore"):
            seeds = (seed, seed, seed + 9, seed, seed)
            found = [outcome(compiled, *_arguments(each, n)) for n, each in enumerate(seeds)]
            return found, count[0]
    finally:
        recorder.Recorder.bind = bind  # type: ignore[method-assign]


def _unlike_numpy(f: Callable[..., Any], plain: Callable[..., Any], seed: int, text: str) -> str:
    ours, theirs = _arguments(seed), _arguments(seed)
    with np.errstate(all="ignore"):
        try:
            plain(*theirs)
        except Exception:
            return ""
        tj.compile(f)(*ours)
    for a, b in zip(ours[:2], theirs[:2]):
        if not np.allclose(a, b, rtol=1e-6, atol=1e-9, equal_nan=True):
            return f"{seed}: not what NumPy computes\n{text}"
    return ""


def sample(
    seed: int, count: int, say: Callable[[str], Any] | None = None
) -> tuple[list[str], Tally]:
    return sampled(check, Tally(), seed, count, say)


if __name__ == "__main__":
    look(sample, __doc__)
