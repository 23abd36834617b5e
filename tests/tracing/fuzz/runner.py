"""Runs samples of the fuzzers, and writes a script for each failure."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Literal

import tracejit as tj
from tests.tracing.fuzz import expressions, programs
from tests.tracing.fuzz.harness import Case, Rejected, Verdict, check, is_repeatable, named, script
from tests.tracing.fuzz.shrink import shrink

Mode = Literal["expressions", "programs", "loops"]
MODES: tuple[Mode, ...] = ("expressions", "programs", "loops")


@dataclass
class Failure:
    """A case that differs, shrunk where that was asked for; `label` says where it came from."""

    label: str
    case: Case
    verdict: Verdict

    def __str__(self) -> str:
        return f"{self.label}: {self.verdict.difference}"


@dataclass
class Outcome:
    """What a sample came to."""

    wrong: list[Failure] = field(default_factory=list)
    started: int = 0
    programs: int = 0
    rejected: int = 0
    calls: int = 0
    replayed: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    """Topics of expressions, or kinds of statements."""

    def __str__(self) -> str:
        share = self.replayed / self.calls if self.calls else 0.0
        return (
            f"{self.programs} programs ({self.rejected} rejected), {self.calls} calls, "
            f"{share:.0%} replayed, {len(self.wrong)} wrong, {len(self.kinds)} kinds"
        )


def run_sample(
    mode: Mode = "programs",
    *,
    compile: Callable[..., Any] = tj.compile,
    seed: int = 0,
    count: int = 50,
    engine: str = "compiled",
    stop_at: int | None = None,
    is_shrunk: bool = False,
    seconds: float = float("inf"),
    skip: int = 0,
    before_each: Callable[[Outcome], None] = lambda outcome: None,
    when_wrong: Callable[[Failure], None] = lambda failure: None,
) -> Outcome:
    """`count` cases, or fewer where `seconds` are over or `stop_at` are wrong; `compile` may be what is to be found wrong."""
    outcome = Outcome(started=skip)
    end = time.monotonic() + seconds
    for label, case, kinds in islice(cases(mode, seed, count, engine), skip, None):
        if time.monotonic() > end or len(outcome.wrong) == stop_at:
            break
        outcome.started += 1
        before_each(outcome)
        try:
            verdict = check(case, compile)
            is_case = bool(verdict) or is_repeatable(case)
        except Rejected:
            is_case = False
        if not is_case:
            outcome.rejected += 1
            continue
        outcome.programs += 1
        outcome.calls += verdict.calls
        outcome.replayed += verdict.replayed
        outcome.kinds += kinds
        if not verdict:
            if is_shrunk:
                case, verdict = shrink(case, compile, verdict)
            outcome.wrong.append(Failure(label, case, verdict))
            when_wrong(outcome.wrong[-1])
    return outcome


def cases(
    mode: Mode, seed: int, count: int, engine: str
) -> Iterator[tuple[str, Case, Counter[str]]]:
    """(label, case, its kinds): programs of the seeds from `seed` on, or expressions in an order that it chooses."""
    if mode == "expressions":
        for topic, entry, number in _expressions(seed, count):
            case = expressions.case(topic, entry, number, engine=engine)
            yield f"expression {entry!r}, seed {number}", case, Counter([topic])
        return
    loops = mode == "loops"
    for number in range(seed, seed + count):
        case = programs.case(number, loops=loops, engine=engine)
        yield f"{mode}, seed {number}", case, programs.kinds(number, loops=loops)


def _expressions(seed: int, count: int) -> Iterator[tuple[str, str, int]]:
    """Each expression once, in random order, then each again with the next seed, and so on."""
    round_ = 0
    while count > 0:
        entries = expressions.entries()
        Random(seed + round_).shuffle(entries)
        for topic, entry in entries[:count]:
            yield topic, entry, seed + round_
        count -= len(entries)
        round_ += 1


def write_script(failure: Failure, compile: Callable[..., Any], folder: Path) -> Path:
    """A program of its own that shows the failure, and exits with 1."""
    folder.mkdir(parents=True, exist_ok=True)
    number = sum(1 for _ in folder.glob("wrong_*.py"))
    path = folder / f"wrong_{number}.py"
    path.write_text(script(failure.case, named(compile), str(failure)))
    return path
