"""What runs take from the pool of memory, by counting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

from tracejit.runtime.pool import MEMORY, Block


@dataclass
class Taken:
    """The most bytes that were in use at once, beyond those in use before."""

    peak: int = 0


@contextmanager
def memory_taken() -> Iterator[Taken]:
    """Counts what is taken inside the block."""
    taken, before, take = Taken(), MEMORY.stats().bytes_in_use, MEMORY.take

    def counting(nbytes: int) -> Block:
        block = take(nbytes)
        taken.peak = max(taken.peak, MEMORY.stats().bytes_in_use - before)
        return block

    with mock.patch.object(MEMORY, "take", counting):
        yield taken
