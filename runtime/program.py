"""A plan made ready to run: its kernels loaded, its launches laid out as one table for native code to walk."""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tracejit._config import config
from tracejit._gate import late
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
from tracejit.runtime import gemv, slabs
from tracejit.runtime.buffer import Buffer, array_at
from tracejit.runtime.cpu.pool import address_of, run_function, runners, thread_pool
from tracejit.runtime.gemm import KERNELS
from tracejit.runtime.scalars import numpy_dtype, struct_format, write_slots
from tracejit.runtime.table import table_of
from tracejit.runtime.workspace import (
    array_bytes,
    peak_bytes,
    word_count,
    workspace_of,
)

if TYPE_CHECKING:
    from tracejit.runtime.cpu.target import Level

Host = Callable[[HostCall, list[np.ndarray], np.ndarray], None]
"""Computes a host call from its input arrays into its output array."""

LONG = 1 << 16
"""A program that moves so many bytes lets other Python threads run meanwhile."""


@dataclass(frozen=True, slots=True)
class _Launches:
    """Consecutive launches: one call of native code."""

    table: np.ndarray
    address: int


class Space:
    """The workspace of a run at a time, for so many threads, which settings may change (`epoch`); `own` are addresses in it."""

    __slots__ = ("base", "buffer", "epoch", "memory", "own", "skew", "threads")

    def __init__(self, buffer: Buffer, threads: int, own: tuple[int, int, int]) -> None:
        self.buffer, self.threads, self.own = buffer, threads, own
        self.base, self.memory, self.skew = buffer.address, buffer.memory, buffer.skew
        self.epoch = config.epoch


class Program:
    """Runs a plan. One program may be run by several threads at once.

    Raises CompileError when a kernel cannot be compiled. Where the kernels are loaded already, `addresses` has what launches call
    them by.
    """

    def __init__(self, plan: Plan, host: Host, addresses: Mapping[str, int] | None = None) -> None:
        self.plan = plan
        self._host = host
        run_function()  # loaded before anything is laid out for it
        self.is_long = sum(step.nbytes for step in plan.steps) >= LONG
        self._pool = thread_pool()
        self.most_threads = plan.threads or sys.maxsize
        kernels = _load(plan) if addresses is None else addresses
        self._constants = Buffer.allocate(len(plan.constants))
        self._constants.array(np.dtype(np.uint8), (len(plan.constants),))[:] = np.frombuffer(
            plan.constants, np.dtype(np.uint8)
        )
        self.output_bytes = [array_bytes(spec) for spec in plan.outputs]
        self._slots = Slots(plan)
        self.layout = workspace_of(plan)
        scalars = struct_format(plan.scalars)
        words = self._slots.words
        self._pack: Callable[..., None] = struct.Struct(f"={words}q{scalars or ''}").pack_into
        self._steps = [
            self._lay_out(step, kernels) if isinstance(step, list) else step
            for step in _runs(plan.steps)
        ]

    # What native code needs to run it.

    @property
    def tables(self) -> list[int]:
        """The addresses of its launches, if all of it is launches."""
        return [step.address for step in self._steps if isinstance(step, _Launches)]

    @property
    def constants_address(self) -> int:
        return self._constants.address

    @property
    def pool_address(self) -> int:
        return self._pool.address

    @property
    def run_address(self) -> int:
        return address_of(run_function())

    def run(
        self, inputs: Sequence[int], scalars: Sequence[bool | int | float] = ()
    ) -> list[Buffer]:
        """The outputs, one row-major Buffer each. `inputs` are addresses, in the layouts that the plan's specs say.

        Raises ValueError for another number of inputs or scalars than the plan has.
        """
        outputs = [Buffer.allocate(nbytes) for nbytes in self.output_bytes]
        places = (*inputs, *[output.address for output in outputs])
        self.fill(self.space(), places, scalars)
        return outputs

    def space(self) -> Space:
        """Memory for runs, one at a time, under the settings of now."""
        threads = self._pool.threads
        if threads > self.most_threads:
            threads = self.most_threads
        layout = self.layout
        buffer = Buffer.allocate(layout.scratch_at + threads * layout.scratch_bytes)
        base = buffer.address
        own = base + layout.scalars_at, base + layout.arena_at, self._constants.address
        return Space(buffer, threads, own)

    def fill(
        self, space: Space, places: Sequence[int], scalars: Sequence[bool | int | float] = ()
    ) -> None:
        """As `run`, with `places` the addresses of the inputs and then of the outputs; nobody else uses the space meanwhile."""
        addresses = (space.threads, *places, *space.own)
        try:
            self._pack(space.memory, space.skew, *addresses, *scalars)
        except (OverflowError, struct.error):
            self._pack_slowly(space.buffer, addresses, scalars)
        run = runners[self.is_long]
        for step in self._steps:
            if isinstance(step, _Launches):
                run(step.address, space.base)
            else:
                self._call_host(step, space.base)

    @property
    def peak_bytes(self) -> int:
        """The bytes that a run takes from the pool of memory, with as many threads as the settings now say."""
        return peak_bytes(self.plan, min(self._pool.threads, self.most_threads))

    def _pack_slowly(
        self, workspace: Buffer, addresses: Sequence[int], scalars: Sequence[bool | int | float]
    ) -> None:
        if (given := len(addresses) - self._slots.words) != 0:
            expected = len(self.plan.inputs)
            raise ValueError(f"the plan has {expected} inputs, not {expected + given}")
        memory = workspace.array(np.dtype(np.uint8), (workspace.nbytes,))
        memory[: self.layout.scalars_at].view(np.int64)[:] = addresses
        write_slots(memory, self.layout.scalars_at, self.plan.scalars, scalars)

    def _lay_out(self, launches: list[LaunchSpec], kernels: Mapping[str, int]) -> _Launches:
        head = self._pool.address, self.layout.pointers_at, self.layout.scratch_at
        table = table_of(launches, kernels, self._slots, head)
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


class RemoteProgram:
    """Runs a plan on another device. Native code enqueues it, as far as it can.

    plan               what it runs
    written_integers   the places of inputs of integers that it writes
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.written_integers = [
            n for n in plan.written if numpy_dtype(plan.inputs[n].dtype).kind in "iu"
        ]
        self.is_native = bool(plan.steps) and all(
            isinstance(step, LaunchSpec) for step in plan.steps
        )
        """Whether all of it is launches."""

    def native(self) -> Any:
        """What machine code needs to know to run it; None where that cannot."""
        raise NotImplementedError


class Slots:
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
        self.words = word_count(plan)

    def locate(self, argument: Argument) -> tuple[int, int]:
        """The word that holds an address, and the bytes to add to it."""
        first = self._first[argument.place]
        if argument.place is Place.SCALAR:
            return first, 8 * argument.index + argument.offset
        return first + argument.index, argument.offset


def _array(address: int, spec: BufferSpec) -> np.ndarray:
    return array_at(address, numpy_dtype(spec.dtype), spec.shape, spec.strides)


def kernels_of(plan: Plan, level: Level | None = None) -> dict[str, KernelSource]:
    """The plan's kernels, and the run time's own that it uses, by what its launches call them; for this or the settings' one.

    What writes the latter is loaded when it is needed.
    """
    target_level = late("tracejit.runtime.cpu.target").target_level
    launches = [step for step in plan.steps if isinstance(step, LaunchSpec)]
    launched = {name for each in launches for name in (each.kernel, *each.kernels, *each.calls)}
    kernels = {source.name: source for source in plan.kernels}
    for dtype, kernel in KERNELS.items():
        if kernel in launched:
            source = late("tracejit.runtime.cpu.gemm").gemm_source
            kernels[kernel] = source(dtype, level or target_level(config.target or None))
    for dtype, kernel in gemv.KERNELS.items():
        if kernel in launched:
            source = late("tracejit.runtime.cpu.gemv").gemv_source
            kernels[kernel] = source(dtype, level or target_level(config.target or None))
    if slabs.KERNEL in launched:
        kernels[slabs.KERNEL] = late("tracejit.runtime.cpu.slabs").slabs_source()
    return kernels


def _load(plan: Plan) -> dict[str, int]:
    sources, disk = kernels_of(plan), late("tracejit.runtime.cache").disk_cache()
    addresses = late("tracejit.runtime.cpu.compile").load_kernels(sources.values(), disk)
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
