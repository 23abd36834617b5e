"""A plan made ready to run: its kernels loaded, its launches laid out as one table for native code to walk."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod

import numpy as np

from tracejit._config import config
from tracejit._records import dataclass
from tracejit.artifact import (
    Argument,
    BufferSpec,
    HostCall,
    KernelSource,
    LaunchSpec,
    Place,
    Plan,
)
from tracejit.runtime.buffer import Buffer, array_at
from tracejit.runtime.cache import DiskCache, disk_cache
from tracejit.runtime.cpu.compile import load_kernels
from tracejit.runtime.cpu.gemm import gemm_source
from tracejit.runtime.cpu.pool import run_function, thread_pool
from tracejit.runtime.cpu.target import target_level
from tracejit.runtime.gemm import KERNELS
from tracejit.runtime.pool import MEMORY, Block
from tracejit.runtime.scalars import numpy_dtype, struct_format, write_slots

Host = Callable[[HostCall, list[np.ndarray], np.ndarray], None]
"""Computes a host call from its input arrays into its output array."""

_ALIGNMENT = 64
_SEGMENT_WORDS = 4
_HEADER_WORDS = 7


@dataclass(frozen=True, slots=True)
class _Launches:
    """Consecutive launches: one call of native code."""

    table: np.ndarray
    address: int


class Program:
    """Runs a plan. One program may be run by several threads at once.

    Raises CompileError when a kernel cannot be compiled. Where the kernels are loaded already, `addresses` has what launches call
    them by.
    """

    def __init__(self, plan: Plan, host: Host, addresses: Mapping[str, int] | None = None) -> None:
        disk = disk_cache()
        self.plan = plan
        self._host = host
        self._run = run_function(disk)
        self._pool = thread_pool()
        kernels = _load(plan, disk) if addresses is None else addresses
        self._constants = Buffer.allocate(len(plan.constants))
        self._constants.array(np.dtype(np.uint8), (len(plan.constants),))[:] = np.frombuffer(
            plan.constants, np.dtype(np.uint8)
        )
        self._output_bytes = [array_bytes(spec) for spec in plan.outputs]
        self._slots = _Slots(plan)
        self._lay_out_workspace()
        self._steps = [
            self._lay_out(step, kernels) if isinstance(step, list) else step
            for step in _runs(plan.steps)
        ]

    def run(
        self, inputs: Sequence[int], scalars: Sequence[bool | int | float] = ()
    ) -> list[Buffer]:
        """The outputs, one row-major Buffer each. `inputs` are addresses, in the layouts that the plan's specs say.

        Raises ValueError for another number of inputs or scalars than the plan has.
        """
        outputs = [Buffer.allocate(nbytes) for nbytes in self._output_bytes]
        threads = self._pool.threads
        workspace = MEMORY.take(self._scratch_at + threads * self._scratch_bytes)
        try:
            base = workspace.address
            addresses = (
                threads,
                *inputs,
                *[output.address for output in outputs],
                base + self._scalars_at,
                base + self._arena_at,
                self._constants.address,
            )
            try:
                self._pack(workspace.memory, workspace.skew, *addresses, *scalars)
            except (OverflowError, struct.error):
                self._pack_slowly(workspace, addresses, scalars)
            for step in self._steps:
                if isinstance(step, _Launches):
                    self._run(step.address, base)
                else:
                    self._call_host(step, base)
        finally:
            MEMORY.give(workspace)
        return outputs

    def _pack_slowly(
        self, workspace: Block, addresses: Sequence[int], scalars: Sequence[bool | int | float]
    ) -> None:
        if (given := len(addresses) - self._slots.words) != 0:
            expected = len(self.plan.inputs)
            raise ValueError(f"the plan has {expected} inputs, not {expected + given}")
        memory, skew = workspace.memory, workspace.skew
        memory[skew : skew + self._scalars_at].view(np.int64)[:] = addresses
        write_slots(memory, skew + self._scalars_at, self.plan.scalars, scalars)

    def _lay_out_workspace(self) -> None:
        """addresses | scalars | pointers of the launch being run | arena | scratch of each thread"""
        launches = [step for step in self.plan.steps if isinstance(step, LaunchSpec)]
        words = self._slots.words
        pointers = max((_argument_count(launch) for launch in launches), default=0)
        self._scalars_at = 8 * words
        self._pointers_at = self._scalars_at + 8 * len(self.plan.scalars)
        self._arena_at = _aligned(self._pointers_at + 8 * pointers)
        self._scratch_at = self._arena_at + _aligned(self.plan.arena_bytes)
        self._scratch_bytes = max(
            (_aligned(launch.scratch_bytes) for launch in launches), default=0
        )
        scalars = struct_format(self.plan.scalars)
        self._pack: Callable[..., None] = struct.Struct(f"={words}q{scalars or ''}").pack_into

    def _lay_out(self, launches: list[LaunchSpec], kernels: Mapping[str, int]) -> _Launches:
        words = [self._pool.address, len(launches), self._pointers_at, self._scratch_at]
        for launch in launches:
            words += _launch_words(launch, kernels[launch.kernel], self._slots)
        table = np.array(words, np.int64)
        return _Launches(table, table.ctypes.data)

    def _call_host(self, call: HostCall, base: int) -> None:
        specs = (*call.inputs, call.output)
        arrays = [
            _array(self._address(argument, base), spec)
            for argument, spec in zip(call.arguments, specs, strict=True)
        ]
        self._host(call, arrays[:-1], arrays[-1])

    def _address(self, argument: Argument, base: int) -> int:
        word, offset = self._slots.locate(argument)
        return ctypes.c_int64.from_address(base + 8 * word).value + offset


class _Slots:
    """Which word of the workspace holds each place's base address; the first word is the number of threads."""

    def __init__(self, plan: Plan) -> None:
        output = 1 + len(plan.inputs)
        scalar = output + len(plan.outputs)
        self._first = {
            Place.INPUT: 1,
            Place.OUTPUT: output,
            Place.SCALAR: scalar,
            Place.ARENA: scalar + 1,
            Place.CONSTANT: scalar + 2,
        }
        self.words = scalar + 3

    def locate(self, argument: Argument) -> tuple[int, int]:
        """The word that holds an address, and the bytes to add to it."""
        first = self._first[argument.place]
        if argument.place is Place.SCALAR:
            return first, 8 * argument.index + argument.offset
        return first + argument.index, argument.offset


def array_bytes(spec: BufferSpec) -> int:
    """The bytes of a row-major array of this shape and dtype."""
    return prod(spec.shape) * numpy_dtype(spec.dtype).itemsize


def _array(address: int, spec: BufferSpec) -> np.ndarray:
    return array_at(address, numpy_dtype(spec.dtype), spec.shape, spec.strides)


def kernels_of(plan: Plan) -> dict[str, KernelSource]:
    """The plan's kernels, and the run time's own that it uses, by what its launches call them."""
    launched = {step.kernel for step in plan.steps if isinstance(step, LaunchSpec)}
    kernels = {source.name: source for source in plan.kernels}
    for dtype, kernel in KERNELS.items():
        if kernel in launched:
            kernels[kernel] = gemm_source(dtype, target_level(config.target or None))
    return kernels


def _load(plan: Plan, disk: DiskCache | None) -> dict[str, int]:
    sources = kernels_of(plan)
    addresses = load_kernels(sources.values(), disk)
    return {use: addresses[source.name] for use, source in sources.items()}


def _runs(steps: Sequence[LaunchSpec | HostCall]) -> Iterator[list[LaunchSpec] | HostCall]:
    """Consecutive launches together, host calls alone."""
    launches: list[LaunchSpec] = []
    for step in steps:
        if isinstance(step, LaunchSpec):
            launches.append(step)
            continue
        if launches:
            yield launches
            launches = []
        yield step
    if launches:
        yield launches


def _launch_words(launch: LaunchSpec, kernel: int, slots: _Slots) -> list[int]:
    """One launch's part of the table that `tracejit.runtime.cpu.runner` describes."""
    segments: list[int] = []
    arguments: list[int] = []
    dims: list[int] = []
    count = _argument_count(launch)
    dims_at = _HEADER_WORDS + _SEGMENT_WORDS * len(launch.segments) + 2 * count
    tasks = 0
    for segment in launch.segments:
        segments += (tasks, segment.tasks, len(arguments) // 2, dims_at + len(dims))
        for argument in segment.arguments:
            arguments += slots.locate(argument)
        dims += segment.dims
        tasks += segment.tasks
    size = dims_at + len(dims)
    grain, scratch = max(launch.grain, 1), _aligned(launch.scratch_bytes)
    header = [kernel, len(launch.segments), tasks, grain, scratch, count, size]
    return header + segments + arguments + dims


def _argument_count(launch: LaunchSpec) -> int:
    return sum(len(segment.arguments) for segment in launch.segments)


def _aligned(nbytes: int) -> int:
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT
