"""`python -m tests.tracing.fuzz MODE --count N --seed S`: looks for calls that give another answer compiled.

A child process does the work, so that not even a crash of the interpreter ends the search: it is noted, the next case follows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import tracejit as tj
from tests.tracing.fuzz.harness import Verdict, found
from tests.tracing.fuzz.runner import MODES, Failure, Outcome, cases, run_sample, write_script

BETWEEN_REPORTS = 10.0


def main() -> int:
    options = _options()
    if options.out is None:
        options.out = Path(tempfile.mkdtemp(prefix="tracejit-fuzz-wrong-"))
    return _search(options) if options.is_child else _supervise(options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.tracing.fuzz")
    parser.add_argument("mode", choices=MODES, nargs="?", default="programs")
    parser.add_argument("--count", type=int, default=200, help="how many cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after so many")
    parser.add_argument("--out", type=Path, help="the folder for scripts of failures")
    parser.add_argument("--engine", choices=("compiled", "numpy"), default="compiled")
    parser.add_argument("--compile", default="tracejit.tracing.compile:compile")
    parser.add_argument("--skip", type=int, default=0, help="leave out so many cases at the start")
    parser.add_argument("--is-child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


# The parent


def _supervise(options: argparse.Namespace) -> int:
    """Starts a child, and another behind each case that crashes one."""
    options.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * options.minutes
    has_crashed = False
    while (minutes := (end - time.monotonic()) / 60) > 0:
        code = subprocess.run(_command(options, minutes)).returncode
        if code in (0, 1):
            return int(has_crashed or code)
        has_crashed = True
        if not _place(options).exists():
            return code  # not a case, but the fuzzer
        options.skip = int(_place(options).read_text())
        _note_crash(options, code)
    return int(has_crashed)


def _command(options: argparse.Namespace, minutes: float) -> list[str]:
    named = {
        "count": options.count, "seed": options.seed, "minutes": minutes, "out": options.out, "engine": options.engine,
        "compile": options.compile, "skip": options.skip,
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.tracing.fuzz", options.mode, "--is-child"]
    return command + [f"--{name}={value}" for name, value in named.items()]


def _place(options: argparse.Namespace) -> Path:
    """The file that holds the number of the case that is running."""
    return options.out / "place"


def _note_crash(options: argparse.Namespace, code: int) -> None:
    made = cases(options.mode, options.seed, options.count, options.engine)
    label, case, _ = next(islice(made, options.skip - 1, None))
    verdict = Verdict(0, 0, 0, "crash", f"the interpreter ends with {code}")
    _report(Failure(label, case, verdict), options)


# The child


def _search(options: argparse.Namespace) -> int:
    start = last = time.monotonic()

    def before_each(outcome: Outcome) -> None:
        nonlocal last
        _place(options).write_text(str(outcome.started))
        if time.monotonic() - last > BETWEEN_REPORTS:
            last = time.monotonic()
            print(f"{last - start:.0f} s: {outcome}", flush=True)

    outcome = run_sample(
        options.mode,
        compile=found(options.compile),
        seed=options.seed,
        count=options.count,
        engine=options.engine,
        seconds=60 * options.minutes,
        skip=options.skip,
        is_shrunk=True,
        before_each=before_each,
        when_wrong=lambda failure: _report(failure, options),
    )
    print(f"{time.monotonic() - start:.0f} s: {outcome}")
    print(", ".join(f"{kind} {count}" for kind, count in outcome.kinds.most_common()))
    return int(bool(outcome.wrong))


def _report(failure: Failure, options: argparse.Namespace) -> None:
    path = write_script(failure, found(options.compile), options.out)
    print(f"WRONG: {failure}\n    {path}", flush=True)


if __name__ == "__main__":
    print(f"tracejit {tj.__version__}, Python {sys.version.split()[0]}")
    sys.exit(main())
