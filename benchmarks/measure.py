"""Runs the workers, a round of each in turn, and gathers what they say."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.systems import SYSTEMS
from benchmarks.systems.numpy_suite import suite as reference
from benchmarks.workloads import WORKLOADS, Workload, to_float64

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ["tracejit", "codegen", "runtime", "benchmarks"]
THREAD_VARIABLES = [
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TRACEJIT_NUM_THREADS",
]
CACHE_VARIABLES = ["NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "TRACEJIT_CACHE_DIR"]


class WorkerFailed(Exception):
    """A worker ended, or said nothing for too long; the end of what it wrote to standard error."""


@dataclass(slots=True)
class Measurement:
    """One workload on one system; times in seconds, None where it was not measured."""

    workload: str
    system: str
    threads: int
    first_call: float | None = None
    """In a fresh process with an empty cache directory, imports not counted."""
    first_call_from_disk: float | None = None
    """In a second process with the same cache directory."""
    error: float | None = None
    """The worst of the results: the norm of the difference from float64 NumPy over the norm of the result."""
    is_correct: bool = False
    rounds: list[float] = field(default_factory=list)
    """The median call of each round."""
    minimum: float | None = None
    peak_bytes: int | None = None
    failure: str | None = None

    @property
    def median(self) -> float | None:
        return statistics.median(self.rounds) if self.rounds else None

    def record(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"median": self.median}


SETTLE = 0.05
"""Seconds between rounds: idle threads of some libraries spin for tens of milliseconds, and would run in the next one's time."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is measured."""

    threads: int = 1
    rounds: int = 15
    small: bool = False
    cold: bool = True
    """Whether the first call from a full cache on disk is measured too."""
    patience: float = 300.0
    """Seconds that a worker may take for an answer."""


class Worker:
    """A process that times one workload on one system."""

    def __init__(self, workload: str, system: str, settings: Settings, folder: Path) -> None:
        self.results = folder / "results.npz"
        self._log = (folder / "log").open("w+")
        self._patience = settings.patience
        command = [sys.executable, "-m", "benchmarks.worker", workload, system]
        command += ["--threads", str(settings.threads), "--results", str(self.results)]
        self._process = subprocess.Popen(
            command + ["--small"] * settings.small,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env=environment(settings.threads, folder),
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def hear(self) -> dict[str, Any]:
        alarm = threading.Timer(self._patience, self._process.kill)
        alarm.start()
        line = self._process.stdout.readline() if self._process.stdout else ""
        alarm.cancel()
        if line:
            return json.loads(line)
        self._log.seek(0)
        raise WorkerFailed(self._log.read()[-2000:] or f"silent for {self._patience:.0f} s")

    def ask(self, request: str) -> dict[str, Any]:
        if not self._process.stdin:
            raise WorkerFailed("no standard input")
        self._process.stdin.write(f"{request}\n")
        self._process.stdin.flush()
        return self.hear()


def environment(threads: int, folder: Path) -> dict[str, str]:
    """So many threads for every library, and caches of the worker's own."""
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads))
    return {**with_bytecode(), **variables, **dict.fromkeys(CACHE_VARIABLES, str(folder))}


def with_bytecode() -> dict[str, str]:
    """The environment, in which modules are kept as bytecode, as those of an installed package are."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def write_bytecode() -> None:
    """So that no process has to compile tracejit's own modules."""
    command = [sys.executable, "-m", "compileall", "-q", *SOURCES]
    subprocess.run(command, cwd=ROOT, env=with_bytecode(), check=True)


def measure(name: str, systems: Sequence[str], settings: Settings) -> list[Measurement]:
    """The workload on each of the systems, their rounds in turn: A B C A B C."""
    workload = WORKLOADS[name]
    expected = reference_results(workload, small=settings.small)
    measurements = [Measurement(name, system, settings.threads) for system in systems]
    with ExitStack() as stack:
        running: list[tuple[Measurement, Worker]] = []
        for measurement in measurements:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
            try:
                worker = start(measurement, workload, expected, settings, folder, stack)
            except WorkerFailed as failed:
                measurement.failure = str(failed)
                continue
            if measurement.is_correct:
                running.append((measurement, worker))
        take_rounds(running, settings.rounds)
    return measurements


def start(
    measurement: Measurement,
    workload: Workload,
    expected: list[np.ndarray],
    settings: Settings,
    folder: Path,
    stack: ExitStack,
) -> Worker:
    """A worker that has made its first call, which is timed and checked."""
    worker = stack.enter_context(Worker(workload.name, measurement.system, settings, folder))
    measurement.first_call = worker.hear()["first"]
    measurement.error = error_of(worker.results, expected)
    measurement.is_correct = measurement.error <= workload.tolerance
    if settings.cold and SYSTEMS[measurement.system].caches_on_disk:
        with Worker(workload.name, measurement.system, settings, folder) as second:
            measurement.first_call_from_disk = second.hear()["first"]
    return worker


def take_rounds(running: list[tuple[Measurement, Worker]], rounds: int) -> None:
    for turn in range(rounds + 1):
        for measurement, worker in running:
            if measurement.failure:
                continue
            try:
                time.sleep(SETTLE)
                heard = worker.ask("round" if turn < rounds else "end")
            except (WorkerFailed, BrokenPipeError) as failed:
                measurement.failure = str(failed)
                continue
            if turn == rounds:
                measurement.peak_bytes = heard["peak_bytes"]
                continue
            times = heard["times"]
            measurement.rounds.append(statistics.median(times))
            measurement.minimum = min([*times, measurement.minimum or times[0]])


def reference_results(workload: Workload, *, small: bool) -> list[np.ndarray]:
    """What NumPy computes in float64."""
    inputs = to_float64(workload.inputs(small=small))
    program = reference.implementations[workload.name](inputs, lambda function: function)
    program.step()
    return [np.asarray(result, np.float64) for result in program.results()]


def error_of(results: Path, expected: list[np.ndarray]) -> float:
    """The worst error of the results; infinite where their number, a shape or a NaN is wrong."""
    with np.load(results) as file:
        actual = [file[name].astype(np.float64) for name in file.files]
    if [a.shape for a in actual] != [e.shape for e in expected]:
        return float("inf")
    return max(map(error_between, actual, expected))


def error_between(actual: np.ndarray, expected: np.ndarray) -> float:
    scale = float(np.linalg.norm(expected.ravel())) or 1.0
    error = float(np.linalg.norm((actual - expected).ravel())) / scale
    return error if error == error else float("inf")


def import_seconds(repeats: int = 9) -> Iterator[tuple[str, float]]:
    """How long fresh processes take to import NumPy, and NumPy and tracejit: medians, the two in turn."""
    programs = {
        "numpy": "import numpy",
        "numpy and tracejit": "import numpy, tracejit; tracejit.Tensor",  # all of it
    }
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, program in programs.items():
            times[name].append(seconds_to_run(program))
    for name, taken in times.items():
        yield name, statistics.median(taken)


def seconds_to_run(program: str) -> float:
    """The time that `program` takes in a fresh interpreter, the interpreter's own start not counted."""
    timed = f"from time import perf_counter as c; s = c(); exec({program!r}); print(c() - s)"
    command = [sys.executable, "-c", timed]
    done = subprocess.run(
        command, cwd=ROOT, env=with_bytecode(), capture_output=True, text=True, check=True
    )
    return float(done.stdout)
