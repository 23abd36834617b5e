"""`python -m benchmarks`: times workloads on tracejit and its peers, and prints a table."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import measure, report
from benchmarks.systems import SYSTEMS
from benchmarks.workloads import WORKLOADS

RESULTS = Path(__file__).resolve().parent / "results"


def main(argv: Sequence[str] | None = None) -> int:
    """0 if every system that ran gave the results of float64 NumPy."""
    arguments = parser().parse_args(argv)
    names = [name for listed in arguments.workloads for name in listed] or list(WORKLOADS)
    chosen = [name for name in arguments.systems if SYSTEMS[name].is_installed]
    measure.write_bytecode()
    measurements: list[measure.Measurement] = []
    for threads in arguments.threads:
        settings = measure.Settings(
            threads=threads,
            rounds=3 if arguments.quick else arguments.rounds,
            small=arguments.quick,
            cold=not arguments.quick,
        )
        for name in names:
            systems = [system for system in chosen if name not in SYSTEMS[system].without]
            measured = measure.measure(name, systems, settings)
            print(report.table(measured), end="\n\n", flush=True)
            measurements += measured
    if len(names) * len(arguments.threads) > 1:
        print(report.table(measurements))
    imports = {} if arguments.quick else dict(measure.import_seconds())
    for name, seconds in imports.items():
        print(f"import {name}: {report.duration(seconds)}")
    file = arguments.json or (None if arguments.quick else RESULTS / "latest.json")
    if file:
        record = {
            "machine": report.machine(),
            "imports": imports,
            "measurements": [measurement.record() for measurement in measurements],
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(record, indent=1) + "\n")
        print(f"all figures: {file}")
    return 0 if all(m.is_correct for m in measurements) else 1


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "workloads",
        nargs="*",
        metavar="workload",
        type=names_of(WORKLOADS),
        help=f"of {', '.join(WORKLOADS)} (all)",
    )
    parser.add_argument(
        "--systems",
        type=names_of(SYSTEMS),
        default=list(SYSTEMS),
        help=f"separated by commas, of {', '.join(SYSTEMS)} (all that are installed)",
    )
    parser.add_argument(
        "--threads",
        type=lambda text: [int(number) for number in text.split(",")],
        default=[2],
        help="numbers of threads, separated by commas (2)",
    )
    parser.add_argument("--rounds", type=int, default=15, help="how often each is timed (15)")
    parser.add_argument("--quick", action="store_true", help="only see that all of it runs")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="where to write all figures (benchmarks/results/latest.json)",
    )
    return parser


def names_of(known: Mapping[str, object]) -> Callable[[str], list[str]]:
    """Reads names separated by commas."""

    def read(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}")
        return names

    return read


if __name__ == "__main__":
    sys.exit(main())
