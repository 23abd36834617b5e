"""The memory that one run of a plan leases, and all that the run allocates."""

from __future__ import annotations

from math import prod

from tracejit._records import dataclass
from tracejit.artifact import BufferSpec, LaunchSpec, Plan
from tracejit.runtime.pool import ALIGNMENT, size_class
from tracejit.runtime.scalars import numpy_dtype


@dataclass(frozen=True, slots=True)
class Workspace:
    """addresses | scalars | pointers of the launch being run | arena | scratch of each thread: where each begins, in bytes."""

    scalars_at: int
    pointers_at: int
    arena_at: int
    scratch_at: int
    scratch_bytes: int
    """Of one thread."""

    def nbytes(self, threads: int) -> int:
        return self.scratch_at + threads * self.scratch_bytes


def workspace_of(plan: Plan) -> Workspace:
    """The layout for the runs of a plan."""
    launches = [step for step in plan.steps if isinstance(step, LaunchSpec)]
    pointers = max(map(argument_count, launches), default=0)
    scratch = max((aligned(launch.scratch_bytes) for launch in launches), default=0)
    scalars_at = 8 * word_count(plan)
    pointers_at = scalars_at + 8 * len(plan.scalars)
    arena_at = aligned(pointers_at + 8 * pointers)
    return Workspace(
        scalars_at, pointers_at, arena_at, arena_at + aligned(plan.arena_bytes), scratch
    )


def word_count(plan: Plan) -> int:
    """The words before the scalars: the number of threads, and the addresses of inputs, outputs, scalars, arena and constants."""
    return 1 + len(plan.inputs) + len(plan.outputs) + 3


def peak_bytes(plan: Plan, threads: int) -> int:
    """What a run on so many threads takes from the pool of memory: workspace and outputs, each rounded up as the pool does."""
    outputs = sum(size_class(array_bytes(spec)) for spec in plan.outputs)
    return size_class(workspace_of(plan).nbytes(threads)) + outputs


def argument_count(launch: LaunchSpec) -> int:
    return sum(len(segment.arguments) for segment in launch.segments)


def array_bytes(spec: BufferSpec) -> int:
    """The bytes of a row-major array of this shape and dtype."""
    return prod(spec.shape) * numpy_dtype(spec.dtype).itemsize


def aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
