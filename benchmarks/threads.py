"""`python -m benchmarks.threads`: several Python threads at once, and another process that takes a core.

Eight threads call one compiled function for a minute (or as many seconds as are asked for): each result is compared with the
serial one to the bit, and memory must not grow. Then a chain is timed on all threads and on one, while nothing else runs, and
while another process keeps a core busy.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import tracejit as tj
from benchmarks.ceilings import chain, seconds

THREADS = 8
SIZES = 1000, 100_000
ROUNDS = 51
GROWTH = 32 << 20
"""Bytes by which a process may grow after its first seconds: what threads of the system's allocator keep for themselves."""


def resident() -> int:
    """Bytes of memory that the process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def hammer(limit: float) -> dict[str, Any]:
    """Calls from many threads: how many there were, how many gave other bits, and by how many bytes the process grew."""
    step = tj.compile(chain)
    rng = np.random.default_rng(0)
    data = [[rng.standard_normal(n, np.float32) for _ in range(4)] for n in SIZES]
    inputs = [[tj.tensor(array) for array in arrays] for arrays in data]
    serial = [step(*tensors).numpy().tobytes() for tensors in inputs]
    calls, wrong = [0] * THREADS, [0] * THREADS
    end = time.monotonic() + limit

    def work(me: int) -> None:
        while time.monotonic() < end:
            for tensors, expected in zip(inputs, serial, strict=True):
                calls[me] += 1
                wrong[me] += step(*tensors).numpy().tobytes() != expected

    threads = [threading.Thread(target=work, args=(me,)) for me in range(THREADS)]
    for thread in threads:
        thread.start()
    time.sleep(limit / 6)
    before = resident()
    for thread in threads:
        thread.join()
    return {"calls": sum(calls), "wrong": sum(wrong), "growth": resident() - before}


@contextmanager
def a_busy_core() -> Iterator[None]:
    """Another process that computes all the time."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.5)
        yield
    finally:
        process.kill()
        process.wait()


def of_a_chain(threads: int) -> float:
    """Seconds of a call on so many threads."""
    arrays = [tj.tensor(np.linspace(0, 1, 100_000, dtype=np.float32)) for _ in range(4)]
    call: Callable[..., Any] = tj.compile(chain)
    tj.set_num_threads(threads)
    for _ in range(50):
        call(*arrays)
    return statistics.median(seconds(lambda: call(*arrays), 20) for _ in range(ROUNDS))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    found = hammer(options.seconds)
    print(f"{THREADS} threads: {found['calls']} calls, {found['wrong']} of other bits, ", end="")
    print(f"{found['growth'] / 2**20:+.1f} MiB", flush=True)
    cores = tj.get_num_threads()
    for what in ("alone", "beside a busy process"):
        if what == "alone":
            figures = [of_a_chain(threads) for threads in (1, cores)]
        else:
            with a_busy_core():
                figures = [of_a_chain(threads) for threads in (1, cores)]
        one, several = (f"{1e6 * each:.1f} us" for each in figures)
        print(f"chain of 100,000, {what}: 1 thread {one}, {cores} threads {several}", flush=True)
    return int(found["wrong"] > 0 or found["growth"] > GROWTH)


if __name__ == "__main__":
    raise SystemExit(main())
