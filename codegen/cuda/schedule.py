"""What is chosen for speed alone: how many threads share a task. No bit of a result depends on it."""

from __future__ import annotations

from collections.abc import Sequence

from tracejit.artifact import LaunchShape
from tracejit.codegen.kernel.ir import Kernel


def shape_of(
    kernel: Kernel, segments: Sequence[tuple[Sequence[int], int]], scratch_bytes: int = 0
) -> LaunchShape:
    """The shape of a launch of `segments`, each its (dims, tasks); `scratch_bytes` is what one task needs."""
    raise NotImplementedError
