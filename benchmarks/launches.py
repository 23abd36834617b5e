"""`python -m benchmarks.launches block`: where the time of a workload's programs goes, launch by launch, as a Markdown table.

A program is run once, on inputs that are all ones; then each of its launches is run again and again in the memory as it lies
there, so that it finds in the caches what it itself needs. Their sum is what a step takes with no time in between.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np

import tracejit as tj
from benchmarks.systems import SYSTEMS
from benchmarks.worker import seconds
from benchmarks.workloads import WORKLOADS
from tracejit.artifact import LaunchSpec, Plan
from tracejit.runtime import program as programs
from tracejit.runtime.buffer import Buffer

ROUNDS = 7
ROUND_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Timed:
    """One launch of a program."""

    launch: LaunchSpec
    seconds: float


Made = tuple[programs.Program, Mapping[str, int]]
"""A program, and the addresses of its kernels."""


def programs_of(name: str) -> list[Made]:
    """The programs that a workload's compiled step becomes."""
    made: list[Made] = []
    begin = programs.Program.__init__

    def noting(self: programs.Program, plan: Plan, host: Any, addresses: Any = None) -> None:
        begin(self, plan, host, addresses)
        made.append((self, programs._load(plan) if addresses is None else addresses))

    system = SYSTEMS["compiled"]
    with mock.patch.object(programs.Program, "__init__", noting):
        step = system.implementations()[name](WORKLOADS[name].inputs(), system.decorator()).step
        for _ in range(4):
            step()
        tj.synchronize()
    return made


def timed(program: programs.Program, kernels: Mapping[str, int]) -> Iterator[Timed]:
    """The launches in order."""
    inputs = [_ones(programs.array_bytes(spec), spec.dtype) for spec in program.plan.inputs]
    outputs = [Buffer.allocate(nbytes) for nbytes in program.output_bytes]
    layout, threads = program.layout, tj.get_num_threads()
    workspace = Buffer.allocate(layout.scratch_at + threads * layout.scratch_bytes)
    base = workspace.address
    addresses = (
        threads, *(each.address for each in (*inputs, *outputs)),
        base + layout.scalars_at, base + layout.arena_at, program.constants_address,
    )  # fmt: skip
    program._pack_slowly(workspace, addresses, [1] * len(program.plan.scalars))
    run = programs.runners[program.is_long]
    for table in program.tables:
        run(table, base)
    for launch in program.plan.steps:
        if isinstance(launch, LaunchSpec):
            table = program._lay_out([launch], kernels)
            yield Timed(launch, _seconds(lambda at=table.address: run(at, base)))


def _ones(nbytes: int, dtype: str) -> Buffer:
    buffer = Buffer.allocate(nbytes)
    kind = programs.numpy_dtype(dtype)
    buffer.array(kind, (nbytes // kind.itemsize,))[...] = 1
    return buffer


def _seconds(call: Any) -> float:
    """Median over rounds."""
    call()
    calls = max(1, int(ROUND_SECONDS / (seconds(call) + 1e-9)))
    return statistics.median(seconds(call, calls) for _ in range(ROUNDS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="+", choices=list(WORKLOADS))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    tj.set_num_threads(arguments.threads)
    np.seterr(all="ignore")
    for name in arguments.workloads:
        found = [each for made in programs_of(name) for each in timed(*made)]
        total = sum(each.seconds for each in found)
        print(f"\n{name}: {1e3 * total:.2f} ms in {len(found)} launches\n")
        print("| ms | GB/s | MB | launch |\n|---:|---:|---:|---|")
        for each in sorted(found, key=lambda each: -each.seconds):
            size, note = each.launch.nbytes, each.launch.note.replace("|", "\\|")
            print(
                f"| {1e3 * each.seconds:.3f} | {size / each.seconds / 1e9:.1f} "
                f"| {size / 1e6:.1f} | {note} |"
            )


if __name__ == "__main__":
    main()
