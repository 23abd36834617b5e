"""What runs take from the pool of memory, by counting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tracejit.runtime.pool import memory_stats, reset_peak_memory_stats


@dataclass
class Taken:
    """The most bytes that were in use at once, beyond those in use before."""

    peak: int = 0


@contextmanager
def memory_taken() -> Iterator[Taken]:
    """Counts what is taken inside the block."""
    taken = Taken()
    reset_peak_memory_stats()
    before = memory_stats().bytes_in_use
    yield taken
    taken.peak = memory_stats().bytes_peak - before
