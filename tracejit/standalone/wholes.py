"""Which memory is, all of it, one thing that a call gives."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from tracejit import dtypes
from tracejit.runtime.cpu.native.lines import ArrayKind
from tracejit.runtime.workspace import array_bytes
from tracejit.standalone.records import Call, Finish, Memory, NumberUpdate, Run
from tracejit.standalone.results import dense, tensors_in
from tracejit.standalone.updates import used_once
from tracejit.standalone.ways import steps_of, ways_of

if TYPE_CHECKING:
    from tracejit.backends import AnyProgram


def is_whole(memory: Memory, offset: int | None = None) -> bool:
    """Whether the elements lie side by side in row-major order, and begin at an offset, if one is given."""
    own = dense(memory.dtype, memory.shape)
    return memory.strides == own.strides and offset in (None, memory.offset)


def arrays_of(call: Call, programs: Sequence[AnyProgram]) -> dict[int, ArrayKind]:
    """Slots of programs' results that become one array, all of it, on each way on which they become anything."""
    sizes: dict[int, set[int]] = {}
    for step in steps_of(call):
        if isinstance(step, Run):
            for slot, spec in zip(step.outputs, programs[step.program].plan.outputs):
                sizes.setdefault(slot, set()).add(array_bytes(spec))
    kinds: dict[int, set[tuple[str, tuple[int, ...]]]] = {}
    others: set[int] = set()
    for way in ways_of(call):
        sole = used_once(way)
        for update in way.updates:
            others |= set() if isinstance(update, NumberUpdate) else {update.memory.slot}
        for each in tensors_in(way.end.result) if isinstance(way.end, Finish) else ():
            memory = each.memory
            if each.type == "tensor" or memory.slot not in sole or not is_whole(memory, 0):
                others.add(memory.slot)
            kinds.setdefault(memory.slot, set()).add((memory.dtype, memory.shape))
    found = {}
    for slot in kinds.keys() - others:
        (dtype, shape), *more = kinds[slot]
        nbytes = prod(shape) * dtypes.as_dtype(dtype).itemsize
        if not more and sizes.get(slot) == {nbytes}:
            found[slot] = _array_kind(dtype, shape)
    return found


def _array_kind(dtype: str, shape: tuple[int, ...]) -> ArrayKind:
    return ArrayKind(dtypes.as_dtype(dtype).numpy, len(shape), lambda values: shape)
