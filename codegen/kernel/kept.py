"""What of a row is kept in scratch between the loops along it, and which values may lie in one place one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracejit._records import dataclass
from tracejit.codegen.kernel.stages import Read
from tracejit.dtypes import DType
from tracejit.ir.graph import Apply

Key = Apply | Read
Uses = Mapping[Key, Sequence[int]]
"""The loops that need a value, in ascending order; the first one computes or reads it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Scratch for a row of values of one dtype, each of which is needed no longer when the next one comes."""

    dtype: DType
    keys: tuple[Key, ...]


def places(keys: Sequence[Key], uses: Uses) -> list[Place]:
    """As few as the loops allow. A loop reads what it needs before it stores: the last use of one may be the first of another."""
    found: list[Place] = []
    for key in sorted(keys, key=lambda key: uses[key][0]):
        for number, place in enumerate(found):
            if place.dtype is dtype_of(key) and uses[place.keys[-1]][-1] <= uses[key][0]:
                found[number] = Place(place.dtype, (*place.keys, key))
                break
        else:
            found.append(Place(dtype_of(key), (key,)))
    return found


def near_places(spilled: Sequence[Apply], uses: Uses, extent: int, room: int) -> list[Place]:
    """Of costly values and of what several loops read, as far as all fits into `room` bytes: else of costly values, else none."""
    reads: list[Key] = [key for key, loops in uses.items() if isinstance(key, tuple) and loops[1:]]
    for others in (reads, []):
        chosen = places([*others, *spilled], uses)
        if extent * sum(place.dtype.itemsize for place in chosen) <= room:
            return chosen
    return []


def dtype_of(key: Key) -> DType:
    return (key[0] if isinstance(key, tuple) else key).aval.dtype
