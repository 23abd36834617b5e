"""`python -m benchmarks.libraries`: what calls of exported libraries cost from C, and what they cost from Python.

It takes a C compiler.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tracejit as tj
from benchmarks.calls import Call, line, measured, training_step
from benchmarks.replay import network, train_step
from tracejit import optim
from tracejit.standalone.library.build import compiler

ROUNDS = 15


def contests() -> Iterator[tuple[str, int, Call]]:
    yield "x*2+1, 4 elements", 200_000, (tj.compile(line), (tj.ones(4),))
    yield "x*2+1, 1,000,000 elements", 50, (tj.compile(line), (tj.ones(1_000_000),))
    yield "MLP training step, batch 1, width 4", 5000, training_step()
    model = network(256, 3, 10)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    args = model, optimizer, tj.ones((64, 256)), tj.zeros(64, dtype=tj.int64)
    yield "MLP training step, batch 64, width 256", 100, (tj.compile(train_step), args)


def seconds_from_c(call: Call, folder: Path, rounds: int, calls: int) -> float:
    """Of a call: the median of rounds."""
    function, args = call
    tj.export(function, args, c=folder, name="timed")
    program, source = folder / "timed", Path(__file__).with_name("library.c")
    names = ['-DLIBRARY="timed.h"', "-DNAME(name)=timed_##name"]
    library = [f"-I{folder / 'include'}", str(folder / "lib" / "libtimed.a"), "-lm", "-lpthread"]
    command = [*compiler(), "-O2", *names, str(source), *library, "-o", str(program)]
    subprocess.run(command, check=True)
    run = subprocess.run(
        [program, str(rounds), str(calls)], check=True, capture_output=True, text=True
    )
    return statistics.median(map(float, run.stdout.split()))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.libraries", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few calls: to see that it runs")
    quick = parser.parse_args(argv).quick
    for what, calls, call in contests():
        with tempfile.TemporaryDirectory() as folder:
            rounds, calls = (1, 10) if quick else (ROUNDS, calls)
            figures: dict[str, Any] = {"C": seconds_from_c(call, Path(folder), rounds, calls)}
        if not quick:
            figures |= measured(calls, {"Python": call})
        shown = ", ".join(f"{system} {1e6 * each:,.3f} us" for system, each in figures.items())
        print(f"{what}: {shown}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
