"""The launches of a plan: of each the words that its parameters are packed from, and how it is enqueued."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tracejit._records import dataclass
from tracejit.artifact import LaunchShape, LaunchSpec
from tracejit.runtime.cuda.driver import Gpu
from tracejit.runtime.program import Slots
from tracejit.runtime.workspace import aligned

THREADS = 2048
"""Of a processor of the GPU, all that it runs at once."""
MOST_SCRATCH = 1 << 28
"""Bytes of scratch in global memory: fewer blocks run where theirs would be more."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch: `run(grid, block, parameters, shared bytes, stream)`; its parameters are a part of the plan's."""

    run: Callable[..., None]
    parameters: slice
    grid: tuple[int, int]
    block: tuple[int, int, int]
    shared_bytes: int
    what: str


class Launches:
    """The launches of one plan.

    scratch_bytes   of global memory, which all of them use one after the other
    """

    def __init__(self, steps: Sequence[Any], functions: Any, slots: Slots, gpu: Gpu) -> None:
        self.scratch_bytes = 0
        self._gpu = gpu
        self._slots = slots
        words: list[tuple[int, int]] = []
        self.by_step = {
            place: self._laid_out(step, functions[step.kernel], words)
            for place, step in enumerate(steps)
            if isinstance(step, LaunchSpec)
        }
        """By the place of the step in the plan."""
        # All launches' parameters, each an address and what is added to it.
        self._which, self._added = np.array(words, np.int64).reshape(-1, 2).T.copy()

    @property
    def parts(self) -> list[slice]:
        """Of the packed parameters: each launch's."""
        return [launch.parameters for launch in self.by_step.values()]

    def packed(self, addresses: Sequence[int]) -> bytes:
        """The parameters of all launches."""
        words: np.ndarray = np.array(addresses, np.int64)[self._which] + self._added
        return words.tobytes()

    def enqueue(self, packed: bytes, stream: Any, after: Callable[[], None] | None = None) -> None:
        """Enqueues all launches; `after` is called after each. Raises DeviceError, naming the one that the driver refused."""
        for launch in self.by_step.values():
            self.enqueue_one(launch, packed, stream)
            if after is not None:
                after()

    def enqueue_one(self, launch: Launch, packed: bytes, stream: Any) -> None:
        parameters = packed[launch.parameters]
        try:
            launch.run(launch.grid, launch.block, parameters, launch.shared_bytes, stream)
        except self._gpu.error as error:
            raise self._gpu.failure(error, launch.what) from None

    def _laid_out(self, launch: LaunchSpec, function: Any, words: list[tuple[int, int]]) -> Launch:
        """The launch, whose parameters are added to those of the launches before it."""
        begin, shape = len(words), launch.shape
        assert shape is not None, "a launch on a GPU says how its kernel runs"
        if shape.shared_bytes:
            self._gpu.allow_shared(function, shape.shared_bytes)
        for segment in launch.segments:
            words += map(self._slots.locate, segment.arguments)
            words += [(0, number) for number in (*segment.dims, segment.tasks)]
        if launch.scratch_bytes:
            is_global = shape.scratch_bytes > 0
            words += [(self._slots.words if is_global else 0, 0), (0, shape.scratch_bytes)]
        blocks = _blocks(launch, shape, self._gpu)
        scratch = aligned(shape.scratch_bytes * shape.teams * blocks)
        self.scratch_bytes = max(self.scratch_bytes, scratch)
        return Launch(
            function._launch_kernel,
            slice(8 * begin, 8 * len(words)),
            (blocks, 1),
            (shape.team, shape.teams, 1),
            shape.shared_bytes,
            f"kernel {launch.kernel}: {launch.note}",
        )


def _blocks(launch: LaunchSpec, shape: LaunchShape, gpu: Gpu) -> int:
    """As many as there is work for, and no more than the device runs at once."""
    tasks = sum(segment.tasks for segment in launch.segments)
    most = gpu.processors * max(1, THREADS // shape.threads)
    if shape.scratch_bytes:
        most = min(most, MOST_SCRATCH // (shape.scratch_bytes * shape.teams))
    return max(1, min(-(-tasks // shape.tasks_per_block), most))
