"""The plain records that code generation hands to the run time.

A plan is data: which kernels there are, and a table of launches. Nothing in it is an address or a Python object with behaviour,
so a plan can be cached on disk, sent to another process, and exported.

On a CPU every kernel is one native function of the same type (for a GPU see `codegen/cuda/emit.py`):

    void kernel(ptr context, ptr buffers, ptr dims, i64 begin, i64 end, ptr scratch)

`buffers` points at the launch's pointers (one per kernel argument, the byte offset already added), `dims` at its int64 extents
and strides, `[begin, end)` is the range of tasks to do, of the launch's `tasks`, and `scratch` is `scratch_bytes` of memory that
no other task uses meanwhile. Tasks are independent: they may run in any order, on any thread, in ranges of any size.
"""

from __future__ import annotations

from enum import Enum

from tracejit._records import dataclass


class Place(Enum):
    """Where a launch argument lies."""

    INPUT = "input"  # index: which input array of the call
    OUTPUT = "output"  # index: which output array of the call
    SCALAR = "scalar"  # index: which 8-byte slot of the call's scalars
    ARENA = "arena"  # index: 0; offset: bytes into the call's scratch arena
    CONSTANT = "constant"  # index: 0; offset: bytes into the plan's own constant bytes


@dataclass(frozen=True, slots=True)
class Argument:
    """One pointer argument of a launch; `offset` in bytes."""

    place: Place
    index: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """One run of a kernel over its own arguments and sizes."""

    arguments: tuple[Argument, ...]
    dims: tuple[int, ...]
    tasks: int


@dataclass(frozen=True, slots=True)
class LaunchShape:
    """How a launch is laid out on a GPU: blockDim is (team, teams, 1). A team of threads shares a task.

    Any number of blocks gives the same bits; `teams` tasks run in a block at a time.
    """

    team: int
    teams: int
    shared_bytes: int = 0
    """Of dynamic shared memory of a block: the scratch of its teams, if that is where it lies."""
    scratch_bytes: int = 0
    """Of global memory that each team of the grid needs as scratch; 0 where scratch is in shared memory."""

    @property
    def tasks_per_block(self) -> int:
        return self.teams

    @property
    def threads(self) -> int:
        """Of a block."""
        return self.team * self.teams


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """One launch: the segments' tasks together are one parallel loop; they do not depend on each other."""

    kernel: str
    segments: tuple[Segment, ...]
    grain: int = 1
    """Tasks that are worth handing to a thread: about 5 us of work."""
    scratch_bytes: int = 0
    note: str = ""
    """What it computes and the user's lines, for `explain` and the profiler."""
    nbytes: int = 0
    """Bytes of memory that it reads and writes, each operand counted once."""
    shape: LaunchShape | None = None
    """On a GPU alone."""
    kernels: tuple[str, ...] = ()
    """Of each segment, where they are not all `kernel`."""
    calls: tuple[str, ...] = ()
    """Kernels that it calls (`tracejit.runtime.slabs`): their number and their addresses come before the dims."""
    nanoseconds: int = 0
    """Of one core of a CPU, roughly: by such costs it was chosen what is computed anew, and what goes along with what."""


@dataclass(frozen=True, slots=True)
class HostCall:
    """An op computed by its NumPy `eval`, for ops with no kernel; `op` is its name."""

    op: str
    params: tuple[tuple[str, object], ...]
    arguments: tuple[Argument, ...]
    inputs: tuple[BufferSpec, ...]
    """How each argument but the last is to be seen; the last is the output, row-major."""
    output: BufferSpec
    note: str = ""
    nbytes: int = 0
    nanoseconds: int = 0


@dataclass(frozen=True, slots=True)
class BufferSpec:
    """An array of the call; `dtype` by name, strides in elements, None for row-major."""

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class KernelSource:
    """A kernel's code. `name` is unique to `text` (it holds its hash), so equal kernels are compiled once."""

    name: str
    text: str
    """A complete module in the back end's language that defines a function `name`."""
    is_long: bool = False
    """Whether it is long and seldom loops: its code had better be made quickly than well."""


@dataclass(frozen=True, slots=True)
class Computed:
    """An op that a step computes: its name, the type of its result, and the user's line."""

    op: str
    aval: str
    where: str


@dataclass(frozen=True, slots=True)
class Value:
    """What lies in memory while a plan is run, in a place that other values may have before and after it."""

    what: str
    where: str
    at: Argument
    nbytes: int


@dataclass(frozen=True, slots=True)
class Work:
    """What a step computes, and which of the account's values it reads and writes."""

    ops: tuple[Computed, ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """What the steps of a plan do, for people: one record for each, and the values that these count."""

    steps: tuple[Work, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled graph: `steps` in order."""

    kernels: tuple[KernelSource, ...]
    steps: tuple[LaunchSpec | HostCall, ...]
    inputs: tuple[BufferSpec, ...]
    outputs: tuple[BufferSpec, ...]
    scalars: tuple[str, ...]
    """The dtype, by name, of each scalar slot."""
    arena_bytes: int = 0
    constants: bytes = b""
    written: tuple[int, ...] = ()
    """The inputs that it writes to."""
    threads: int | None = None
    """The most threads that may run it, each of which needs scratch of its own; None for as many as there are."""
    account: Account | None = None
    """If it was asked for."""
