"""A plan made ready to run on a GPU.

A run enqueues its launches and returns: nothing waits for the device but the ops that NumPy computes.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tracejit._errors import DeviceMemoryError
from tracejit._gate import late
from tracejit.artifact import Argument, HostCall, Plan
from tracejit.runtime.buffer import Buffer
from tracejit.runtime.cache import disk_cache
from tracejit.runtime.cuda.context import error_text
from tracejit.runtime.cuda.driver import Gpu
from tracejit.runtime.cuda.graphs import GraphError, Graphs
from tracejit.runtime.cuda.kernels import load_kernels
from tracejit.runtime.cuda.launches import Launches
from tracejit.runtime.cuda.memory import DeviceBuffer, forget_mirrors, read, sent
from tracejit.runtime.program import Host, RemoteProgram, Slots
from tracejit.runtime.scalars import numpy_dtype, struct_format, write_slots
from tracejit.runtime.workspace import aligned, array_bytes


class CudaProgram(RemoteProgram):
    """Runs a plan on a GPU. One program may be run by several threads at once.

    Raises CompileError when a kernel cannot be compiled. Where the kernels are loaded already, `functions` has what launches call
    them by.
    """

    def __init__(
        self, plan: Plan, host: Host, gpu: Gpu, functions: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(plan)
        self.gpu = gpu
        self._host = host
        if functions is None:
            functions = load_kernels(plan.kernels, gpu, disk_cache())
        constants = np.frombuffer(plan.constants, np.uint8)
        self._constants = sent(constants, gpu.label) if constants.size else None
        self.output_bytes = [array_bytes(spec) for spec in plan.outputs]
        self._slots = Slots(plan)
        self.arena_at = aligned(8 * len(plan.scalars))
        self.scratch_at = self.arena_at + aligned(plan.arena_bytes)
        self._launches = Launches(plan.steps, functions, self._slots, gpu)
        self.workspace_bytes = self.scratch_at + self._launches.scratch_bytes
        pack = struct_format(plan.scalars)
        self._pack = struct.Struct(f"={pack}").pack if pack is not None else None
        self._graphs = Graphs(gpu, self._launches) if self.is_native else None

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
            base + self.arena_at,
            self.constants_address,
            base + self.scratch_at,
        )
        if self.written_integers:
            forget_mirrors([inputs[n] for n in self.written_integers])
        if scalars:
            self.gpu.write(base, self._packed(scalars))
        self._start(addresses)
        return outputs

    @property
    def peak_bytes(self) -> int:
        """The bytes of the device's memory that a run takes: its outputs, intermediate values and scratch."""
        return self.workspace_bytes + sum(self.output_bytes)

    def _memory(self) -> tuple[list[Buffer], DeviceBuffer | None]:
        """Of a run: its outputs, and for all else one buffer, which is given back when its launches are enqueued."""
        gpu, nbytes = self.gpu, self.workspace_bytes
        try:
            outputs: list[Buffer] = [DeviceBuffer(gpu, nbytes) for nbytes in self.output_bytes]
            return outputs, DeviceBuffer(gpu, nbytes) if nbytes else None
        except DeviceMemoryError as error:
            raise DeviceMemoryError(f"{error}. {self._appetite()}") from None

    def _start(self, addresses: tuple[int, ...]) -> None:
        """Enqueues the launches, as a graph where there is one."""
        try:
            if self._graphs is None or not self._graphs.launch(addresses):
                self._enqueue(addresses)
        except (self.gpu.error, GraphError) as error:
            raise self.gpu.failure(error) from None

    def _enqueue(self, addresses: Sequence[int]) -> None:
        packed, stream = self._launches.packed(addresses), self.gpu.stream
        for place, step in enumerate(self.plan.steps):
            if isinstance(step, HostCall):
                self._call_host(step, addresses)
            else:
                self._launches.enqueue_one(self._launches.by_step[place], packed, stream)

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

    # What native code needs to run it.

    @property
    def address_count(self) -> int:
        """The addresses of a run: zero, inputs, outputs, scalars, arena, constants, scratch."""
        return self._slots.words + 1

    def native(self) -> Any:
        """It, as machine code runs it (`native.NativeRun`); None where that cannot."""
        if self._graphs is None:
            return None
        if self._native is None:
            self._native = late("tracejit.runtime.cuda.native").NativeRun(self, self._graphs)
        return self._native

    _native: Any = None

    @property
    def constants_address(self) -> int:
        return self._constants.address if self._constants else 0

    def run_missed(self, words: int, numbers: int, status: int) -> bool:
        """Runs on the addresses that lie at `words`, for which native code has no graph; True where it has one now, and is to.

        numbers   where the scalars lie, packed
        status    what the driver has said, where it has refused
        """
        if status:
            raise self.gpu.failure(GraphError(f"cuGraphLaunch failed: {error_text(status)}"))
        addresses = tuple((ctypes.c_int64 * self.address_count).from_address(words))
        try:
            assert self._graphs is not None
            if self._graphs.prepare(addresses):
                return True
            self._enqueue(self._with_numbers(addresses, numbers))
        except (self.gpu.error, GraphError) as error:
            raise self.gpu.failure(error) from None
        return False

    def _with_numbers(self, addresses: Sequence[int], numbers: int) -> Sequence[int]:
        """The same, with the scalars in the run's own memory: another thread may replace what all runs of native code read."""
        count = len(self.plan.scalars)
        if not count:
            return addresses
        base = addresses[self.address_count - 3] - self.arena_at
        slots = np.array((ctypes.c_uint8 * (8 * count)).from_address(numbers), np.uint8)
        self.gpu.write(base, slots)
        scalars = self.address_count - 4
        return (*addresses[:scalars], base, *addresses[scalars + 1 :])

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
