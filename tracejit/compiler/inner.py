"""What one kernel does to a slab, before it is known where values lie."""

from __future__ import annotations

from tracejit._records import dataclass
from tracejit.compiler.walks import Walk
from tracejit.ir.cluster import Owner

Moves = tuple[int, ...]
"""How far an argument moves on, in elements: for each of the outer axes from row to row, then from slab to slab."""


@dataclass(frozen=True, slots=True, eq=False)
class Inner:
    """What one kernel does to a slab of a walk; `written` tells of each argument whether it is.

    `aligned` pairs (read, written) that may be one memory, as far as this kernel is concerned.
    """

    walk: Walk
    kernel: str
    arguments: tuple[tuple[Owner, int, Moves], ...]
    written: tuple[bool, ...]
    dims: tuple[int, ...]
    tasks: int
    grain: int
    scratch_bytes: int
    aligned: frozenset[tuple[Owner, Owner]] = frozenset()

    @property
    def reads(self) -> dict[Owner, None]:
        return self._touched(False)

    @property
    def writes(self) -> dict[Owner, None]:
        return self._touched(True)

    def _touched(self, written: bool) -> dict[Owner, None]:
        pairs = zip(self.arguments, self.written, strict=True)
        return {owner: None for (owner, _, _), each in pairs if each is written}


def moves_of(strides: tuple[int, ...], step: int) -> Moves:
    """Of an argument whose rows lie so far apart, where a slab is so many of them."""
    return (*strides[:-1], strides[-1] * step)
