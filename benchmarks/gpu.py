"""`python -m benchmarks.gpu`: the workloads on a GPU, at sizes for one, against PyTorch, JAX and CuPy, where they are there.

Times are those of calls that are enqueued one after another and then waited for, by a synchronised clock: medians of rounds in
which the systems take turns. Small sizes of all are compared with float64 NumPy before; at full size the others' results are
compared with tracejit's. The ceilings are the measured bandwidth of a copy and the measured rate of a product by the fastest
library there is. The table comes last.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

import tracejit as tj
from benchmarks.measure import error_between, reference_results
from benchmarks.program import Inputs, Program
from benchmarks.workloads import ON_GPUS, WORKLOADS, Workload
from tracejit.runtime.cuda.driver import Gpu, gpu

EVERY = WORKLOADS | ON_GPUS
ROUNDS = 9
ROUND_SECONDS = 0.04
"""What the calls of one round are to take together."""
BUDGET = 420
"""Seconds after which no other system is begun."""
WARM_CALLS = 16
"""Before a program is timed: machine code is made of what is replayed often."""

SIZES: dict[str, dict[str, int]] = {
    "softmax_f": {"m": 16384, "n": 4096},
    "softmax_fb": {"m": 16384, "n": 4096},
    "lngelu_f": {"m": 16384, "n": 4096},
    "lngelu_fb": {"m": 16384, "n": 4096},
    "adam": {"count": 20, "n": 2048},
    "cnn": {"batch": 512, "pixels": 28, "channels": 32, "hidden": 128},
    "block": {"batch": 32, "length": 512, "width": 1024},
    "lstm": {"words": 10_000, "width": 512, "hidden": 512, "length": 32, "batch": 64},
    "black_scholes": {"n": 40_000_000},
    "jacobi": {"n": 4096, "steps": 100},
    "mandel": {"n": 4000, "steps": 50},
    "kmeans": {"n": 1_000_000, "dimensions": 32, "clusters": 64},
    "pairwise": {"n": 20_000},
    "cg": {"n": 2048, "condition": 1500},
}
"""The others have the sizes that they have on a CPU."""
FEWEST_BYTES: dict[str, Callable[[Inputs], int]] = {
    "chain_1e7": lambda d: 5 * d.x.nbytes,
    "softmax_f": lambda d: 2 * d.x.nbytes,
    "lngelu_f": lambda d: 2 * d.x.nbytes,
    # Of each parameter: itself, its gradient and two moments read, all but the gradient written.
    "adam": lambda d: 7 * sum(each.nbytes for each in d.parameters),
    "black_scholes": lambda d: 5 * d.spot.nbytes,
}
"""Of what only moves memory: the bytes that must be read and written."""


@dataclass(frozen=True)
class System:
    """A library in one way of using it; `module` is a suite's, whose `device` says where its programs compute, if it has one."""

    name: str
    package: str
    module: str
    jit: Callable[[Any], Callable[..., Any]]
    """The decorator, from the suite's module."""
    synchronize: Callable[[], None]
    peak: Callable[[], int] | None = None
    """The most bytes of the device's memory in use since it was asked last."""
    without: frozenset[str] = frozenset()

    @property
    def suite(self) -> Any:
        return importlib.import_module(self.module)

    def program(self, workload: str, inputs: Inputs, jit: Callable[..., Any]) -> Program | None:
        if workload in self.without or workload not in self.suite.suite.implementations:
            return None
        if hasattr(self.suite, "device"):
            self.suite.device = "cuda"
        made: Program = self.suite.suite.implementations[workload](inputs, jit)
        return made


def _unchanged(function: Any) -> Any:
    return function


def _torch_synchronize() -> None:
    importlib.import_module("torch").cuda.synchronize()


def _torch_peak() -> int:
    cuda = importlib.import_module("torch").cuda
    peak: int = cuda.max_memory_allocated()
    cuda.reset_peak_memory_stats()
    return peak


def _peak() -> int:
    peak = tj.cuda.memory_stats().bytes_peak
    tj.cuda.reset_peak_memory_stats()
    return peak


def _nothing() -> None:
    """JAX's programs wait by themselves."""


def _cupy_synchronize() -> None:
    importlib.import_module("cupy").cuda.Device().synchronize()


TRACEJIT = System(
    "tracejit", "tracejit", "benchmarks.systems.tracejit_suite",
    lambda suite: suite.compiled, tj.cuda.synchronize, _peak,
)  # fmt: skip
TORCH = System(
    "torch", "torch", "benchmarks.systems.torch_suite", lambda suite: _unchanged, _torch_synchronize, _torch_peak
)  # fmt: skip
# It unrolls the cells of an LSTM, which takes it minutes.
COMPILED = replace(
    TORCH,
    name="torch.compile",
    jit=lambda suite: suite.compiled,
    without=frozenset({"lstm"}),
)
SYSTEMS = (
    TRACEJIT,
    TORCH,
    COMPILED,
    replace(
        COMPILED,
        name="reduce-overhead",
        jit=lambda suite: partial(suite.compiled, mode="reduce-overhead"),
    ),
    System("jax", "jax", "benchmarks.systems.jax_suite", lambda suite: suite.compiled, _nothing),
    System("cupy", "cupy", "benchmarks.systems.cupy_suite", lambda suite: suite.compiled, _cupy_synchronize),
)  # fmt: skip


def systems() -> list[System]:
    """Those that are installed and find a GPU."""
    return [system for system in SYSTEMS if find_spec(system.package) and _has_gpu(system)]


def _has_gpu(system: System) -> bool:
    match system.package:
        case "torch":
            found: bool = importlib.import_module("torch").cuda.is_available()
            return found
        case "jax":
            return bool(importlib.import_module("jax").default_backend() == "gpu")
        case _:
            return True


@dataclass
class Entry:
    """One system at one workload.

    calls     in a round
    kernels   launches of tracejit's programs; -1 where they are not known
    """

    system: System
    program: Program
    calls: int
    error: float
    first: float
    """Seconds of the first call."""
    kernels: int
    peak: int
    times: list[float] = field(default_factory=list)
    """Milliseconds of a call."""
    host: list[float] = field(default_factory=list)
    """Microseconds in which a call returned."""

    def round(self) -> None:
        self.system.synchronize()
        start = time.perf_counter()
        for _ in range(self.calls):
            self.program.step()
        returned = time.perf_counter()
        self.system.synchronize()
        self.times.append((time.perf_counter() - start) / self.calls * 1e3)
        self.host.append((returned - start) / self.calls * 1e6)

    @property
    def milliseconds(self) -> float:
        return statistics.median(self.times)


def check(system: System, workload: Workload) -> None:
    """Raises AssertionError where results at a small size are not those of float64 NumPy."""
    program = system.program(workload.name, workload.inputs(small=True), system.jit(system.suite))
    if program is not None:
        program.step()
        expected = reference_results(workload, small=True)
        pairs = zip(program.results(), expected, strict=True)
        error = max(error_between(found, reference) for found, reference in pairs)
        assert error <= workload.tolerance, f"{workload.name} is off by {error:.1e}"


def entry(
    system: System, workload: Workload, inputs: Inputs, expected: list[np.ndarray]
) -> Entry | None:
    """The system ready to be timed; None where it does not do this. The first one's results become `expected`."""
    functions: list[Any] = []

    def jit(function: Any) -> Any:
        functions.append(system.jit(system.suite)(function))
        return functions[-1]

    if system.peak is not None:
        system.peak()
    program = system.program(workload.name, inputs, jit)
    if program is None:
        return None
    start = time.perf_counter()
    program.step()
    system.synchronize()
    first = time.perf_counter() - start
    found = [np.asarray(each) for each in program.results()]
    expected = expected or found
    error = max(map(error_between, found, expected), default=0.0)
    for _ in range(WARM_CALLS):
        program.step()
    if system is TRACEJIT:
        tj.synchronize()
    kernels = sum(len(tj.explain(f).kernels) for f in functions) if system is TRACEJIT else -1
    peak = system.peak() if system.peak is not None else -1
    warm = Entry(system, program, 1, error, first, kernels, peak)
    warm.round()
    calls = min(max(int(ROUND_SECONDS * 1e3 / max(warm.milliseconds, 1e-3)), 1), 200)
    return Entry(system, program, calls, error, first, kernels, peak)


def compared(
    workload: Workload, everyone: Sequence[System], inputs: Inputs, begun: float
) -> list[Entry]:
    """The systems that do this, timed in turn. Raises what tracejit raises, AssertionError where its result is wrong."""
    entries: list[Entry] = []
    for system in everyone:
        if system is not TRACEJIT and time.perf_counter() - begun > BUDGET:
            print(f"{workload.name}: {system.name} is left out, for lack of time")
            continue
        try:
            check(system, workload)
            expected = [*entries[0].program.results()] if entries else []
            found = entry(system, workload, inputs, expected)
        except Exception as error:  # another's failure is no reason to end
            if system is TRACEJIT:
                raise
            print(f"{workload.name}: {system.name} fails: {type(error).__name__}: {error}"[:300])
            continue
        if found is not None:
            entries.append(found)
    for _ in range(ROUNDS):
        for each in entries:
            each.round()
    return entries


HEADING = (
    "workload      system               ms   copy    host us  kernels  first s  peak MiB    error"
)


def lines(name: str, entries: list[Entry], floor: float) -> Iterator[str]:
    """`floor` is the time that moving the bytes takes, in milliseconds; 0 where that is not the limit."""
    for each in entries:
        share = f"{floor / each.milliseconds:7.0%}" if floor else "      -"
        kernels = f"{each.kernels:9}" if each.kernels >= 0 else "        -"
        peak = f"{each.peak / (1 << 20):10.1f}" if each.peak >= 0 else "         -"
        yield (
            f"{name:<14}{each.system.name:<15}{each.milliseconds:9.4f}{share}"
            f"{statistics.median(each.host):11.1f}{kernels}{each.first:9.2f}{peak}{each.error:9.0e}"
        )


def bandwidth(device: Gpu, nbytes: int) -> float:
    """Bytes a second that a copy on the device reads and writes."""
    source, target = (device.allocate(nbytes) for _ in range(2))
    seconds = timed(lambda: device.copy(target.address, source.address, nbytes), device.synchronize)
    return 2 * nbytes / seconds


def product_rate(everyone: Sequence[System], size: int) -> tuple[float, str]:
    """Operations a second of a product of float32 matrices, by PyTorch where it is there, and whose it is."""
    names = {system.name for system in everyone}
    if "torch" in names:
        torch = importlib.import_module("torch")
        a = torch.ones((size, size), device="cuda")
        return 2 * size**3 / timed(lambda: a @ a, _torch_synchronize), "torch"
    b = tj.ones((size, size), device="cuda")
    return 2 * size**3 / timed(lambda: b @ b, tj.cuda.synchronize), "tracejit"


def timed(call: Callable[[], Any], synchronize: Callable[[], None], calls: int = 5) -> float:
    """Seconds of a call: the median of rounds of some."""
    rounds = []
    for _ in range(ROUNDS):
        synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            call()
        synchronize()
        rounds.append((time.perf_counter() - start) / calls)
    return statistics.median(rounds)


def sized(workload: Workload) -> Workload:
    """With the sizes for a GPU."""
    return replace(workload, full=SIZES.get(workload.name, workload.full))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="workloads on a GPU, against others")
    parser.add_argument("names", nargs="*", metavar="workload", choices=[*EVERY, []])
    parser.add_argument("--small", action="store_true", help="sizes that only show that it runs")
    arguments = parser.parse_args(argv)
    if (why := tj.cuda.why_not()) is not None:
        print(why)
        return 2
    begun = time.perf_counter()
    device, everyone, small = gpu(), systems(), arguments.small
    rate = bandwidth(device, 1 << (16 if small else 30))
    flops, whose = product_rate(everyone, 64 if small else 8192)
    print(f"{device.name} ({device.architecture}), {', '.join(each.name for each in everyone)}")
    table = []
    for name in arguments.names or EVERY:
        workload = sized(EVERY[name])
        inputs = workload.inputs(small=small)
        floor = FEWEST_BYTES[name](inputs) / rate * 1e3 if name in FEWEST_BYTES else 0.0
        found = [*lines(name, compared(workload, everyone, inputs, begun), floor)]
        print(*found, sep="\n", flush=True)
        table += found
        tj.cuda.empty_cache()
    print(
        f"\n{device.name}; a copy reads and writes {rate / 1e9:,.0f} GB/s; a product of float32 "
        f"({whose}) makes {flops / 1e12:.1f} TFLOP/s; {time.perf_counter() - begun:.0f} s in all"
    )
    print(HEADING)
    print(*table, sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
