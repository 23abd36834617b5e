"""`python -m benchmarks.floors`: workloads against what this machine allows, and against the fastest peer, as a Markdown table.

The floor of a workload is the largest of three times, all measured in the same run: its products at the rate of the cores'
multiply-adds, its bytes at the bandwidth of a triad over as much memory, and, of pointwise programs, a tile that stays in the
cache of a core, over the number of cores. Then all systems are timed as by `python -m benchmarks`, in turn.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

import tracejit as tj
from benchmarks import measure, report, work
from benchmarks.__main__ import names_of
from benchmarks.ceilings import triad
from benchmarks.systems import SYSTEMS
from benchmarks.workloads import WORKLOADS
from tracejit.artifact import KernelSource
from tracejit.runtime.cpu.compile import load_kernels
from tracejit.runtime.cpu.target import target_level

CHAINS = 12
"""Sums that hide the latency of a multiply-add."""
OURS = ("compiled", "eager")
LARGEST = 40_000_000
"""Elements of a triad."""


@dataclass(frozen=True, slots=True)
class Floor:
    """Seconds, and what they are spent with."""

    seconds: float
    bound: str


def floor_of(name: str, threads: int) -> Floor | None:
    """Of a workload on so many threads; None for one that is all overhead."""
    needed = work.of(name)
    if needed is None:
        return None
    size = WORKLOADS[name].inputs
    itemsize = max(getattr(each, "itemsize", 0) for each in vars(size()).values())
    times = {
        "products": needed.flops / (threads * multiply_adds(itemsize)) if needed.flops else 0.0,
        "memory": needed.nbytes / bandwidth(min(needed.nbytes, footprint(name))),
        "arithmetic": tile_seconds(name, needed) * needed.times / threads if needed.tile else 0.0,
    }
    bound = max(times, key=times.__getitem__)
    return Floor(times[bound], bound)


def footprint(name: str) -> float:
    """Bytes of the inputs, each taken twice, for what is written."""
    arrays = [
        each
        for value in vars(WORKLOADS[name].inputs()).values()
        for each in (value if isinstance(value, list) else [value])
    ]
    return 2.0 * sum(each.nbytes for each in arrays if isinstance(each, np.ndarray))


def fastest(call: Callable[[], object], seconds: float = 0.2) -> float:
    """The least time of a call, tried for so long."""
    call()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def bandwidth(nbytes: float) -> float:
    """Bytes a second that a triad reads and writes, over so much memory in all."""
    n = int(min(max(nbytes // 12, 4096), LARGEST))
    x, a = tj.ones(n), tj.ones(n)
    compiled = tj.compile(triad, dynamic=False)
    for _ in range(20):
        compiled(x, a)
    tj.synchronize()
    return 12 * n / fastest(lambda: compiled(x, a))


def multiply_adds(itemsize: int) -> float:
    """Floating-point operations a second of one core, in registers."""
    level = target_level(None)
    element = "float" if itemsize <= 4 else "double"
    lanes = level.vector_bytes // (4 if itemsize <= 4 else 8)
    vector, suffix = f"<{lanes} x {element}>", f"v{lanes}f{32 if itemsize <= 4 else 64}"
    name = f"multiply_adds_{suffix}"
    count = 200_000
    function = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(
        load_kernels([KernelSource(name, _text(name, vector, suffix))])[name]
    )
    target = np.ones(CHAINS * lanes + 16)
    seconds = fastest(lambda: function(count, target.ctypes.data))
    return 2 * lanes * CHAINS * count / seconds


def _text(name: str, vector: str, suffix: str) -> str:
    sums = range(CHAINS)
    phis = [f"  %s{n} = phi {vector} [ %x, %entry ], [ %t{n}, %loop ]" for n in sums]
    steps = [
        f"  %t{n} = call {vector} @llvm.fma.{suffix}({vector} %s{n}, {vector} %x, {vector} %x)"
        for n in sums
    ]
    stores = [
        f"  %p{n} = getelementptr {vector}, ptr %out, i64 {n}\n  store {vector} %t{n}, ptr %p{n}, align 8"
        for n in sums
    ]
    lines = "\n".join
    return f"""\
declare {vector} @llvm.fma.{suffix}({vector}, {vector}, {vector})
define void @{name}(i64 %count, ptr %out) {{
entry:
  %x = load {vector}, ptr %out, align 8
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{lines(phis)}
{lines(steps)}
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %count
  br i1 %more, label %loop, label %done
done:
{lines(stores)}
  ret void
}}
"""


def tile_seconds(name: str, needed: work.Work) -> float:
    """What tracejit takes for a tile, on one thread."""
    before = tj.get_num_threads()
    tj.set_num_threads(1)
    try:
        inputs = WORKLOADS[name].make(np.random.default_rng(1234), **needed.tile)
        program = SYSTEMS["compiled"].implementations()[name](
            inputs, SYSTEMS["compiled"].decorator()
        )
        for _ in range(20):
            program.step()
        tj.synchronize()
        return fastest(program.step)
    finally:
        tj.set_num_threads(before)


def row(name: str, floor: Floor | None, measured: Sequence[measure.Measurement]) -> list[str]:
    """A workload's cells: floor, what bounds it, ours, over that; the fastest peer, ours over it by medians and by minima."""
    ours = next(m for m in measured if m.system == "compiled")
    peers = [m for m in measured if m.system not in OURS and m.is_correct and m.rounds]
    best = min(peers, key=lambda m: m.median or 0.0)
    median = ours.median or statistics.nan
    least = min(m.minimum or float("inf") for m in peers)
    return [
        name,
        report.duration(floor.seconds) if floor else "-",
        floor.bound if floor else "calls",
        report.duration(median),
        report.ratio(median, floor.seconds if floor else None),
        f"{report.duration(best.median)} ({best.system})",
        report.ratio(median, best.median),
        report.ratio(ours.minimum, least),
    ]


HEADER = (
    "workload", "floor", "bound by", "tracejit", "over floor", "best peer", "over peer", "least over least",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floors", description=__doc__)
    parser.add_argument("workloads", nargs="*", type=names_of(WORKLOADS), metavar="workload")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=tj.get_num_threads())
    arguments = parser.parse_args()
    names = [name for listed in arguments.workloads for name in listed] or list(WORKLOADS)
    settings = measure.Settings(threads=arguments.threads, rounds=arguments.rounds, cold=False)
    measure.write_bytecode()
    print("| " + " | ".join(HEADER) + " |\n" + "|---" * len(HEADER) + "|", flush=True)
    for name in names:
        systems = [s for s in SYSTEMS if SYSTEMS[s].is_installed and name not in SYSTEMS[s].without]
        measured = measure.measure(name, systems, settings)
        print(
            "| " + " | ".join(row(name, floor_of(name, arguments.threads), measured)) + " |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
