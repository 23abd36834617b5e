"""A plan made ready to run on a GPU: its kernels loaded, and of each launch the words that its parameters are packed from.

A run enqueues its launches and returns: nothing waits for the device but the ops that NumPy computes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tracejit._errors import DeviceMemoryError
from tracejit._records import dataclass
from tracejit.artifact import Argument, HostCall, LaunchShape, LaunchSpec, Plan
from tracejit.runtime.buffer import Buffer
from tracejit.runtime.cache import disk_cache
from tracejit.runtime.cuda.driver import Gpu
from tracejit.runtime.cuda.graphs import GraphError, Graphs
from tracejit.runtime.cuda.kernels import load_kernels
from tracejit.runtime.cuda.memory import DeviceBuffer, forget_mirrors, read, sent
from tracejit.runtime.program import Host, Slots
from tracejit.runtime.scalars import numpy_dtype, struct_format, write_slots
from tracejit.runtime.workspace import aligned, array_bytes

THREADS = 2048
"""Of a processor of the GPU, all that it runs at once."""
MOST_SCRATCH = 1 << 28
"""Bytes of scratch in global memory: fewer blocks run where theirs would be more."""
GRAPH_FROM = 2
"""Launches that are worth a graph."""


@dataclass(frozen=True, slots=True)
class _Launch:
    """One launch: `launch(grid, block, parameters, shared bytes, stream)`; its parameters are a part of the plan's."""

    launch: Callable[..., None]
    parameters: slice
    grid: tuple[int, int]
    block: tuple[int, int, int]
    shared_bytes: int
    what: str


class CudaProgram:
    """Runs a plan on a GPU. One program may be run by several threads at once.

    Raises CompileError when a kernel cannot be compiled. Where the kernels are loaded already, `functions` has what launches call
    them by.
    """

    def __init__(
        self, plan: Plan, host: Host, gpu: Gpu, functions: Mapping[str, Any] | None = None
    ) -> None:
        self.plan = plan
        self.gpu = gpu
        self._host = host
        if functions is None:
            functions = load_kernels(plan.kernels, gpu, disk_cache())
        constants = np.frombuffer(plan.constants, np.uint8)
        self._constants = sent(constants, gpu.label) if constants.size else None
        self.output_bytes = [array_bytes(spec) for spec in plan.outputs]
        self._slots = Slots(plan)
        self._arena_at = aligned(8 * len(plan.scalars))
        self._scratch_at = self._arena_at + aligned(plan.arena_bytes)
        self._steps: list[_Launch | HostCall] = []
        words: list[tuple[int, int]] = []
        scratch = 0
        for step in plan.steps:
            if isinstance(step, HostCall):
                self._steps.append(step)
                continue
            made = self._laid_out(step, functions[step.kernel], words)
            scratch = max(scratch, _global_scratch(step.shape, made.grid[0]))
            self._steps.append(made)
        self._workspace_bytes = self._scratch_at + scratch
        # All launches' parameters, each an address and what is added to it.
        self._which, self._added = np.array(words, np.int64).reshape(-1, 2).T.copy()
        self._written_integers = [
            n for n in plan.written if numpy_dtype(plan.inputs[n].dtype).kind in "iu"
        ]
        pack = struct_format(plan.scalars)
        self._pack = struct.Struct(f"={pack}").pack if pack is not None else None
        launches = [step for step in self._steps if isinstance(step, _Launch)]
        is_all = len(launches) == len(self._steps) >= GRAPH_FROM
        self._graphs = Graphs(self.gpu) if is_all else None

    def run(
        self, inputs: Sequence[int], scalars: Sequence[bool | int | float] = ()
    ) -> list[Buffer]:
        """The outputs, one row-major buffer each. `inputs` are addresses on the device, in the layouts that the plan's specs say.

        Raises ValueError for another number of inputs or scalars than the plan has, DeviceMemoryError before anything is done.
        """
        if len(inputs) != len(self.plan.inputs) or len(scalars) != len(self.plan.scalars):
            raise ValueError(self._mismatch(inputs, scalars))
        self.gpu.enter()
        outputs, workspace = self._memory()
        base = workspace.address if workspace else 0
        addresses = (
            0,
            *inputs,
            *[output.address for output in outputs],
            base,
            base + self._arena_at,
            self._constants.address if self._constants else 0,
            base + self._scratch_at,
        )
        if self._written_integers:
            forget_mirrors([inputs[n] for n in self._written_integers])
        if scalars:
            self.gpu.write(base, self._packed(scalars))
        try:
            if self._graphs is None:
                self._enqueue(addresses, self.gpu.stream)
            elif not self._graphs.launch(addresses):
                self._enqueue(addresses, self.gpu.stream)
                self._graphs.consider(addresses, self._enqueue)
        except (self.gpu.error, GraphError) as error:
            raise self.gpu.failure(error) from None
        return outputs

    @property
    def peak_bytes(self) -> int:
        """The bytes of the device's memory that a run takes: its outputs, intermediate values and scratch."""
        return self._workspace_bytes + sum(self.output_bytes)

    def _memory(self) -> tuple[list[Buffer], DeviceBuffer | None]:
        """Of a run: its outputs, and for all else one buffer, which is given back when its launches are enqueued."""
        gpu, nbytes = self.gpu, self._workspace_bytes
        try:
            outputs: list[Buffer] = [DeviceBuffer(gpu, nbytes) for nbytes in self.output_bytes]
            return outputs, DeviceBuffer(gpu, nbytes) if nbytes else None
        except DeviceMemoryError as error:
            raise DeviceMemoryError(f"{error}. {self._appetite()}") from None

    def _enqueue(self, addresses: Sequence[int], stream: Any) -> None:
        packed = (np.array(addresses, np.int64)[self._which] + self._added).tobytes()
        for step in self._steps:
            if isinstance(step, HostCall):
                self._call_host(step, addresses)
                continue
            parameters = packed[step.parameters]
            try:
                step.launch(step.grid, step.block, parameters, step.shared_bytes, stream)
            except self.gpu.error as error:
                raise self.gpu.failure(error, step.what) from None

    def _call_host(self, call: HostCall, addresses: Sequence[int]) -> None:
        """Waits for what the op reads, computes it by NumPy, and sends the result."""
        arrays = [
            read(
                self.gpu,
                self._address(argument, addresses),
                numpy_dtype(spec.dtype),
                spec.shape,
                spec.strides,
            )
            for argument, spec in zip(call.arguments, call.inputs, strict=False)
        ]
        out = np.empty(call.output.shape, numpy_dtype(call.output.dtype))
        self._host(call, arrays, out)
        self.gpu.write(self._address(call.arguments[-1], addresses), out)

    def _address(self, argument: Argument, addresses: Sequence[int]) -> int:
        which, offset = self._slots.locate(argument)
        return addresses[which] + offset

    def _packed(self, scalars: Sequence[bool | int | float]) -> np.ndarray:
        if self._pack is not None:
            try:
                return np.frombuffer(self._pack(*scalars), np.uint8)
            except (OverflowError, struct.error):
                pass  # a float that its dtype makes infinite
        slots = np.zeros(8 * len(scalars), np.uint8)
        write_slots(slots, 0, self.plan.scalars, scalars)
        return slots

    def _laid_out(self, launch: LaunchSpec, function: Any, words: list[tuple[int, int]]) -> _Launch:
        """The launch, whose parameters are added to those of the launches before it."""
        begin, shape = len(words), launch.shape
        assert shape is not None, "a launch on a GPU says how its kernel runs"
        if shape.shared_bytes:
            self.gpu.allow_shared(function, shape.shared_bytes)
        for segment in launch.segments:
            words += map(self._slots.locate, segment.arguments)
            words += [(0, number) for number in (*segment.dims, segment.tasks)]
        if launch.scratch_bytes:
            is_global = shape.scratch_bytes > 0
            words += [(self._slots.words if is_global else 0, 0), (0, shape.scratch_bytes)]
        return _Launch(
            function._launch_kernel,
            slice(8 * begin, 8 * len(words)),
            (_blocks(launch, shape, self.gpu), 1),
            (shape.team, shape.teams, 1),
            shape.shared_bytes,
            f"kernel {launch.kernel}: {launch.note}",
        )

    def _mismatch(self, inputs: Sequence[int], scalars: Sequence[Any]) -> str:
        arrays, numbers = len(self.plan.inputs), len(self.plan.scalars)
        return f"the plan has {arrays} inputs and {numbers} scalars, not {len(inputs)} and {len(scalars)}"

    def _appetite(self) -> str:
        """What a run allocates, and which steps move most."""
        outputs = sum(self.output_bytes)
        largest = sorted(self.plan.steps, key=lambda step: -step.nbytes)[:3]
        named = "; ".join(f"{step.nbytes:,} {step.note}" for step in largest)
        return (
            f"This program takes {self.peak_bytes:,} bytes: {outputs:,} for its results, the rest for "
            f"values on the way. The most bytes are read and written by: {named}"
        )


def _blocks(launch: LaunchSpec, shape: LaunchShape, gpu: Gpu) -> int:
    """As many as there is work for, and no more than the device runs at once."""
    tasks = sum(segment.tasks for segment in launch.segments)
    most = gpu.processors * max(1, THREADS // shape.threads)
    if shape.scratch_bytes:
        most = min(most, MOST_SCRATCH // (shape.scratch_bytes * shape.teams))
    return max(1, min(-(-tasks // shape.tasks_per_block), most))


def _global_scratch(shape: LaunchShape | None, blocks: int) -> int:
    return 0 if shape is None else aligned(shape.scratch_bytes * shape.teams * blocks)
