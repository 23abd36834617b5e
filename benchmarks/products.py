"""`python -m benchmarks.products`: matrix products of float32 against NumPy's OpenBLAS, in turn, as a Markdown table.

Each library is in a process of its own, which is stopped while the other's is timed: idle threads spin for a while.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measure import ROOT, SETTLE, environment
from benchmarks.worker import pin, seconds

SHAPES = (
    (512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (128, 784, 512), (128, 512, 512), (128, 512, 10),
    (8, 784, 512), (8, 512, 512), (784, 128, 512), (1024, 256, 768), (1024, 256, 1024), (16, 256, 1024),
    (512, 256, 2000), (1000, 1000, 1),
)  # fmt: skip
"""m, k, n"""
GRADIENTS = (
    (784, 128, 512), (256, 1024, 1024), (1024, 1024, 256), (512, 1024, 512), (1000, 500, 1000),
)  # fmt: skip
"""Of products that gradients are: the left operand is transposed, then the right one."""
CASES = (
    *((shape, "") for shape in SHAPES),
    *((shape, "A") for shape in GRADIENTS),
    *((shape, "B") for shape in GRADIENTS),
)
"""Shapes, and which operand is transposed."""
SYSTEMS = ("tracejit", "numpy")
ROUNDS = 9
ROUND_SECONDS = 0.02

Case = tuple[tuple[int, int, int], str]


def call_of(system: str, case: Case) -> Callable[[], object]:
    """One product of two matrices that are there already."""
    (m, k, n), transposed = case
    rng = np.random.default_rng(0)

    def matrix(name: str, rows: int, columns: int) -> np.ndarray:
        if name == transposed:
            return matrix("", columns, rows).T
        return rng.standard_normal((rows, columns)).astype(np.float32)

    a, b = matrix("A", m, k), matrix("B", k, n)
    if system == "numpy":
        out = np.empty((m, n), np.float32)
        return lambda: np.matmul(a, b, out=out)
    import tracejit as tj

    x, y = (
        tj.tensor(each.T).T if each.T.flags.c_contiguous else tj.tensor(each) for each in (a, b)
    )
    product = tj.compile(lambda x, y: x @ y, dynamic=False)
    for _ in range(20):
        found = product(x, y)
    tj.synchronize()
    assert np.allclose(found, a @ b, rtol=1e-3, atol=1e-3)
    return lambda: product(x, y)


def serve(system: str, threads: int) -> None:
    """Times a round for each line, which is the number of a shape."""
    pin(threads)
    calls: dict[int, tuple[Callable[[], object], int]] = {}
    for line in sys.stdin:
        number = int(line)
        if number not in calls:
            call = call_of(system, CASES[number])
            call()
            calls[number] = call, max(1, int(ROUND_SECONDS / seconds(call, 3)))
        call, count = calls[number]
        seconds(call, count)  # threads wake, and caches fill
        print(seconds(call, count), flush=True)


def measure(threads: int) -> list[dict[str, float]]:
    """GFLOP/s of each shape by system: medians of rounds in turn."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.products", "--threads", str(threads)]
        workers = {
            system: subprocess.Popen(
                [*command, "--serve", system],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env=environment(threads, Path(folder)),
            )
            for system in SYSTEMS
        }
        try:
            return [_rates(number, workers) for number in range(len(CASES))]
        finally:
            for worker in workers.values():
                worker.kill()
                worker.communicate()


def _rates(number: int, workers: dict[str, subprocess.Popen[str]]) -> dict[str, float]:
    rounds: dict[str, list[float]] = {system: [] for system in workers}
    for _ in range(ROUNDS + 1):
        for system, worker in workers.items():
            assert worker.stdin is not None
            assert worker.stdout is not None
            worker.send_signal(signal.SIGCONT)
            time.sleep(SETTLE)
            worker.stdin.write(f"{number}\n")
            worker.stdin.flush()
            rounds[system].append(float(worker.stdout.readline()))
            worker.send_signal(signal.SIGSTOP)
    (m, k, n), _ = CASES[number]
    return {s: 2e-9 * m * k * n / statistics.median(times[1:]) for s, times in rounds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.threads)
        return
    print("| m x k x n | tracejit | OpenBLAS | ratio |\n|---|---:|---:|---:|")
    for (shape, transposed), rates in zip(CASES, measure(arguments.threads), strict=True):
        ours, theirs = (rates[system] for system in SYSTEMS)
        name = " x ".join(map(str, shape)) + (f", {transposed} transposed" if transposed else "")
        print(f"| {name} | {ours:.1f} | {theirs:.1f} | {ours / theirs:.2f} |")


if __name__ == "__main__":
    main()
