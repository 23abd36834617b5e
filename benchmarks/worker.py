"""One workload on one system, in a process of its own.

Lines of JSON on standard output answer lines on standard input: once started, `{"first": seconds, ...}`; to "round", the
seconds that calls took; to "end" or the end of input, the memory used.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import warnings
from pathlib import Path
from time import perf_counter
from typing import Any

READING_SECONDS = 2e-4
"""A reading of the clock covers calls worth this much, so that the clock's own cost does not count."""
ROUND_SECONDS = 0.05
READINGS = 50
"""The most readings in a round."""
WARM_SECONDS = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker")
    parser.add_argument("workload")
    parser.add_argument("system")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--results", help="where the arrays of the first call are written (.npz)")
    arguments = parser.parse_args()

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a library that prints must not come between the answers
    pin(arguments.threads)
    warnings.simplefilter("ignore")

    start = perf_counter()
    import numpy as np

    from benchmarks.systems import SYSTEMS
    from benchmarks.workloads import WORKLOADS

    system = SYSTEMS[arguments.system]
    implementation = system.implementations()[arguments.workload]
    imported = perf_counter() - start

    inputs = WORKLOADS[arguments.workload].inputs(small=arguments.small)
    program = implementation(inputs, system.decorator())
    first = seconds(program.step)
    if arguments.results:
        np.savez(arguments.results, *(np.asarray(result) for result in program.results()))
    answer(answers, first=first, imports=imported)

    serve(program.step, answers)
    answer(answers, peak_bytes=peak_bytes())


def serve(step: Any, answers: Any) -> None:
    """Times a round for each line "round"."""
    calls = readings = 0
    for line in sys.stdin:
        if line.strip() != "round":
            return
        if not calls:
            calls, readings = pace(step)
        step()
        answer(answers, times=[seconds(step, calls) for _ in range(readings)])


def pace(step: Any) -> tuple[int, int]:
    """Calls per reading and readings per round, from a few warm calls."""
    step()
    fastest, end = seconds(step), perf_counter() + WARM_SECONDS
    while perf_counter() < end:
        fastest = min(fastest, seconds(step))
    calls = max(1, int(READING_SECONDS / fastest))
    return calls, max(1, min(READINGS, int(ROUND_SECONDS / (fastest * calls))))


def seconds(step: Any, calls: int = 1) -> float:
    """Of one call, on average."""
    start = perf_counter()
    for _ in range(calls):
        step()
    return (perf_counter() - start) / calls


def pin(threads: int) -> None:
    """Keeps the process to as many cores as it may have threads, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def peak_bytes() -> int:
    """The most memory that the process has held."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Not ru_maxrss, which on Linux begins with that of the process that started this one.
    peaks = [line.split()[1] for line in status.read_text().splitlines() if "VmHWM" in line]
    return int(peaks[0]) * 1024


def answer(answers: Any, **values: Any) -> None:
    print(json.dumps(values), file=answers, flush=True)


if __name__ == "__main__":
    main()
