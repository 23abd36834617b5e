"""Random loops whose rounds hold, share and rebind Python values: compiled, exported and plain, they do the same.

`python -m tests.tracing.replay.random_rounds --count 500` looks for what is wrong.
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
from tests.standalone.test_roundtrip import bits

HEAD = """
import tracejit as tj

class Box:
    def __init__(self, x, n=0):
        self.x, self.n = x, n

class Slots:
    __slots__ = ("x",)
    def __init__(self, x):
        self.x = x

def make():
    world = Box(tj.zeros(3), 0)
    w = tj.tensor([0.5, -0.25, 1.0], requires_grad=True)
    kept, count = tj.ones(3), 0
"""
BEGIN = (
    "y, n, rounds = x * 0.5 + 1, 0, 0", "L = [x, y]", "M = L", "D = {'a': x, 'b': L}", "O = Box(y)", "P = O", "S = Slots(x)",
    "T = (x, n, L)", "F = lambda: x + n", "G = lambda v=y: v * 1", "v = y[:2]", "h = w * x", "loss = h.sum()",
    "u = x.detach()",
)  # fmt: skip
TENSORS = (
    "x * 0.75", "y * 0.5 + x * 0.25", "x - y * 0.125", "L[0] * 0.5", "D['a'] * 0.5 + y * 0.25", "O.x - x", "S.x * 0.5",
    "T[0] + y", "F() * 0.25", "G() - x", "kept * 0.5", "world.x * 0.5 + y", "v.sum() * 0.125 + x", "w.detach() * x",
    "x.reshape(3, 1).T[0]", "u * 0.5", "sum(p * q for p, q in zip(L, M))", "tj.stack([*L]).sum(axis=0) * 0.25",
    "x + n * 0.0625", "P.x * 1", "y",
)  # fmt: skip
STATEMENTS = (
    "{t} = {e}", "{t} = {e}", "{t} = {e}", "x, y = y, x", "L[0] = {t}", "L = [{t}, L[0]]", "L = [*L]", "M = L", "L = M",
    "L[1] = M[0]", "D['a'] = {t}", "D = dict(D)", "D['b'] = M", "O.x = {t}", "O = Box({t}, n)", "O.n = n", "P = O", "O = P",
    "S.x = {t}", "S = Slots({t})", "T = ({t}, n, M)", "F = lambda: {t} * 0.5", "G = lambda v={t}: v * 0.5", "n += 1",
    "n = n * 2 - 3", "kept = {t}", "count += n", "count = count + 1", "world.x = {t}", "world.n = n", "world.n += 1",
    "v = {t}[:2]", "v.add_(0.125)", "u = {t}", "x = x.detach()", "M.append(L.pop(0))", "L = L[::-1]",
    "T = (T[2][0], *T[1:])",
)  # fmt: skip
STEPS = (
    "w.grad = None\n(w * {t}.detach()).sum().backward()\nwith tj.no_grad():\n    w.sub_(w.grad * 0.125)",
    "loss = ((w - {t}.detach()) ** 2).sum()\nloss.backward()",
    "with tj.no_grad():\n    w.mul_(0.875)",
    "w.grad = w.grad * 0.5 if w.grad is not None else None",
    "h = w * {t}.detach()",
    "loss = h.sum()",
)  # fmt: skip
CONDITIONS = (
    "x.abs().max() > {b}", "(x > y).any()", "y.sum() > {b}", "n % 3 == 1", "L[0].sum() < {b}", "rounds % 4 == 2", "world.n > 2",
    "count % 5 < 2", "M is L", "O is P", "v[0] > {b}",
)  # fmt: skip
END = (
    "seen = [x, y, n, [*L], [*M], M is L, D['a'], D['b'] is L, D['b'] is M, O.x, O.n, O is P, P.x, S.x]",
    "seen += [T[0], T[1], T[2] is L, F(), G(), v, u]",
    "L[0] = seen[0] + 1", "v.add_(1)", "P.x = x * 2",
    "return seen, [*L], [*M], T[2][0], O.x, x, y, v, kept, count, world.n, loss.detach(), rounds",
)  # fmt: skip


class _Writer:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def text(self) -> str:
        if self.rng.random() < 0.6:
            lines = [*BEGIN, *self.loop(), *END]
            return self.made(_function("f(x)", lines))
        alone = ["M = [y, x]", "D = {'a': y, 'b': M}"]  # so that a round can let go of `L`
        begin = [*BEGIN[2:4]] if self.rng.random() < 0.5 else alone
        others = [line.replace("(x, n, L)", "(x, n, M)") for line in BEGIN[4:]]
        inner = ["rounds = 0", *begin, *others, *self.loop(), "L[0] = x + 1"]
        inner += ["return L, x, n, rounds"]
        lines = [*BEGIN, "L, x, n, rounds = inner(L, x, y, n)", *END]
        return self.made(_function("inner(L, x, y, n)", inner) + _function("f(x)", lines))

    def made(self, functions: str) -> str:
        return f"{HEAD}{functions}    return f, world, w, lambda: (kept, count)\n"

    def loop(self) -> list[str]:
        rng = self.rng
        lines = [f"while {self.condition()} or rounds < {rng.randrange(3)}:"]
        lines += _indented(self.statements(rng.randrange(1, 7)))
        lines += ["    rounds += 1", f"    if rounds > {rng.randrange(4, 40)}: break"]
        return lines

    def condition(self) -> str:
        return self.rng.choice(CONDITIONS).format(b=self.rng.choice(["0.25", "0.01", "1"]))

    def statements(self, number: int) -> list[str]:
        return [line for _ in range(number) for line in self.statement()]

    def statement(self) -> Iterator[str]:
        rng = self.rng
        choice = rng.random()
        if choice < 0.12:
            yield f"if {self.condition()}:"
            yield from _indented(self.statements(rng.randrange(1, 3)))
            return
        texts = STEPS if choice < 0.22 else STATEMENTS
        text = rng.choice(texts).format(t=rng.choice("xy"), e=rng.choice(TENSORS))
        yield from text.split("\n")


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _function(signature: str, lines: list[str]) -> str:
    body = _indented(["nonlocal kept, count", *lines])
    return "".join(f"{line}\n" for line in _indented([f"def {signature}:", *body]))


@dataclass
class Tally:
    calls: int = 0
    replayed: int = 0
    exported: int = 0


def _outcome(f: Callable[..., Any], x: Any) -> Any:
    try:
        return bits(f(x.copy()))
    except Exception as error:
        return type(error), str(error)


def _world(world: Any, w: Any, variables: Any) -> Any:
    return bits([world.x, world.n, w, w.grad, *variables()])


def check(seed: int, folder: Path, tally: Tally) -> str:
    """What is wrong with one function; "" where nothing is."""
    text = _Writer(random.Random(seed)).text()
    make = module_of(text, folder / f"rounds_{seed}.py").make
    (f, *ours), (plain, *theirs), (exported, *_) = make(), make(), make()
    compiled, rng = tj.compile(f), np.random.default_rng(seed)
    inputs = [tj.tensor(rng.normal(scale=2, size=3).astype(np.float32)) for _ in range(8)]
    artifact = _artifact(exported, inputs[0], folder / "f.tj")
    tally.exported += artifact is not None
    for number, x in enumerate(inputs):
        expected = _outcome(plain, x)
        found = _outcome(compiled, x)
        if found != expected or _world(*ours) != _world(*theirs):
            return f"{seed}: call {number}: {found} and not {expected}\n{text}"
        if artifact is not None and not isinstance(expected[0], type):
            found = _outcome(artifact, x)
            if "when the function was exported" in str(found):
                artifact = None
            elif found != expected:
                return f"{seed}: artifact, call {number}: {found} and not {expected}\n{text}"
        else:
            artifact = None
    tally.calls += len(inputs)
    tally.replayed += compiled.calls["replay"]
    return ""


def _artifact(f: Any, x: Any, path: Path) -> Any:
    try:
        tj.export(f, (x.copy(),), path)
    except Exception:  # refused, or what the function raises for these arguments
        return None
    return tj.load(path)


def sample(
    seed: int, count: int, say: Callable[[str], Any] | None = None
) -> tuple[list[str], Tally]:
    return sampled(check, Tally(), seed, count, say)


if __name__ == "__main__":
    look(sample, __doc__)
