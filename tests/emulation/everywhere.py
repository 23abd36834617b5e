"""All that the CPU would compute, by a GPU's kernels under the emulation, on the CPU's memory: so any test is one of them.

`pytest --emulated=1 tests/ops ...` has the programs of all tests made like that; `--emulated=50` has every fiftieth test run,
always the same ones. With `TRACEJIT_TEST_NVRTC=1` each kernel is compiled for real GPUs as well. The long run, of all suites:

    TRACEJIT_TEST_NVRTC=1 python -m tests.emulation.everywhere 1
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import tracejit.backends
import tracejit.compiler
import tracejit.executable
from tests.emulation.emulate import load
from tracejit.artifact import Argument, BufferSpec, HostCall, KernelSource, Plan
from tracejit.compiler.cuda import Cuda
from tracejit.runtime.buffer import Buffer, array_at
from tracejit.runtime.cuda import nvrtc
from tracejit.runtime.cuda.launches import Launches
from tracejit.runtime.program import Host, Slots
from tracejit.runtime.scalars import numpy_dtype, write_slots
from tracejit.runtime.workspace import aligned, array_bytes

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURES = ("sm_80", "sm_90")
PROCESSORS = 2
"""So that blocks do several tasks one after another."""
SUITES = (
    "tests/ops", "tests/autograd", "tests/nn", "tests/optim", "tests/test_random.py",
    "tests/test_tensor.py", "tests/test_training_step.py", "tests/test_masks.py",
    "tests/compiler/test_random_graphs.py", "tests/tracing/test_random_programs.py",
    "tests/tracing/test_random_ops.py",
)  # fmt: skip
"""Those whose tests say nothing of how the CPU computes."""


class _Failure(Exception):
    """What a kernel's mistake is raised as."""


_GPU: Any = SimpleNamespace(
    processors=PROCESSORS,
    allow_shared=lambda function, nbytes: None,
    error=_Failure,
    failure=lambda error, what: error,
)


class EmulatedProgram:
    """Runs a plan for a GPU on memory of this process."""

    def __init__(self, plan: Plan, host: Host) -> None:
        self.plan = plan
        self._host = host
        sources = {source.name: source for source in plan.kernels}
        functions = {name: _Function(source) for name, source in sources.items()}
        self._slots = Slots(plan)
        self._launches = Launches(plan.steps, functions, self._slots, _GPU)
        self._arena_at = aligned(8 * len(plan.scalars))
        self._scratch_at = self._arena_at + aligned(plan.arena_bytes)
        self._constants = np.frombuffer(plan.constants or b"\0", np.uint8)

    @property
    def peak_bytes(self) -> int:
        outputs = sum(map(array_bytes, self.plan.outputs))
        return self._scratch_at + self._launches.scratch_bytes + outputs

    def run(
        self, inputs: Sequence[int], scalars: Sequence[bool | int | float] = ()
    ) -> list[Buffer]:
        outputs = [Buffer.allocate(array_bytes(spec)) for spec in self.plan.outputs]
        workspace = Buffer.allocate(self._scratch_at + self._launches.scratch_bytes + 8)
        memory = workspace.array(np.dtype(np.uint8), (workspace.nbytes,))
        memory[...] = 0xFF  # NaN: nobody may count on zeros
        write_slots(memory, 0, self.plan.scalars, scalars)
        base = workspace.address
        made = [output.address for output in outputs]
        places = (base, base + self._arena_at, self._constants.ctypes.data, base + self._scratch_at)
        addresses = (0, *inputs, *made, *places)
        packed = self._launches.packed(addresses)
        for place, step in enumerate(self.plan.steps):
            if isinstance(step, HostCall):
                self._call_host(step, addresses)
            else:
                self._launches.enqueue_one(self._launches.by_step[place], packed, None)
        return outputs

    def _call_host(self, call: HostCall, addresses: Sequence[int]) -> None:
        specs = (*call.inputs, call.output)
        arrays = [self._array(*pair, addresses) for pair in zip(call.arguments, specs)]
        self._host(call, arrays[:-1], arrays[-1])

    def _array(self, argument: Argument, spec: BufferSpec, addresses: Sequence[int]) -> np.ndarray:
        which, offset = self._slots.locate(argument)
        return array_at(
            addresses[which] + offset, numpy_dtype(spec.dtype), spec.shape, spec.strides
        )


class _Function:
    """A kernel, which is compiled when it is first launched."""

    def __init__(self, source: KernelSource) -> None:
        self._source = source

    def _launch_kernel(
        self,
        grid: tuple[int, int],
        block: tuple[int, int, int],
        parameters: bytes,
        shared_bytes: int,
        stream: Any,
    ) -> None:
        run = load(self._source.text, self._source.name)
        if os.environ.get("TRACEJIT_TEST_NVRTC"):
            for architecture in ARCHITECTURES:
                _compiled(self._source, architecture)
        run(grid[0], block[:2], shared_bytes, parameters, 1)


def _compiled(source: KernelSource, architecture: str) -> None:
    key = source.name, architecture
    if key not in compiled:
        compiled.add(key)
        nvrtc.compiled(source, architecture)


compiled: set[tuple[str, str]] = set()
"""Kernels that NVRTC has taken."""


class _Backend:
    """In the place of the CPU's."""

    fingerprint = "emulation"

    def program(
        self, plan: Plan, host: Host, kernels: Mapping[str, Any] | None = None
    ) -> EmulatedProgram:
        return EmulatedProgram(plan, host)


@contextmanager
def computed_by_emulated_kernels() -> Iterator[None]:
    """Programs that are made meanwhile are of a GPU's kernels."""
    compiler, executable = tracejit.compiler, tracejit.executable
    before: tuple[Callable[..., Any], ...] = (
        compiler.backend_of,
        executable.disk_cache,
        compiler._target,
    )
    compiler.backend_of = lambda device: _Backend()  # type: ignore[assignment]
    executable.disk_cache = lambda: None
    compiler._target = lambda device, dump, level: Cuda(dump)
    try:
        yield
    finally:
        compiler.backend_of, executable.disk_cache, compiler._target = before


def command(every: int) -> list[str]:
    """What Python is to be given to run each so many-th test of the suites."""
    # NVRTC takes a second for some kernels, and some tests have hundreds.
    return ["-m", "pytest", "-q", "-o", "timeout=3600", f"--emulated={every}", *SUITES]


if __name__ == "__main__":
    sys.exit(subprocess.run([sys.executable, *command(int(sys.argv[1]))], cwd=ROOT).returncode)
