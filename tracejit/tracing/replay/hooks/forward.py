"""The rounds of a closed loop in the call that is recorded: run as a replay would run them, all but the last.

Once a loop has closed, nothing more is to be learned from rounds that go the same way. They are run from what was recorded of the
last one, until a decision is another one; that round is Python's again. So all that a round does before its last decision has to
be without a trace, and nothing in it may raise: it is begun, and then left.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any

from tracejit._records import dataclass
from tracejit.symbols import SYMBOLS, SymbolicInt, concrete, rounded
from tracejit.tracing.replay.code import Pool, function_of
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.segments import (
    Compute,
    Element,
    Fresh,
    Instruction,
    Move,
    Run,
    Segment,
)
from tracejit.tracing.replay.tree import key_of

COMPARISONS = frozenset({operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne})  # fmt: skip
SUMS = frozenset({operator.add, operator.sub, operator.mul})


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """What a round does: segments, each up to a decision, the last one back to the head, whose values are in `targets`."""

    segments: tuple[Segment, ...]
    targets: tuple[int, ...]
    slots: int
    """How many there are at the head."""


def run_ahead(recording: Recording, round: Round, values: Sequence[Any]) -> list[Any] | None:
    """The values at the head before the round that is Python's; tensors, whose memory is changed, stay the same.

    None where the round cannot be run like this, or is Python's at once.
    """
    if not _is_simple(round):
        return None
    slots = _found(recording, round, values)
    if slots is None:
        return None
    pool = Pool()
    go_on, label = pool.name(_is_as_before), "<rounds>"
    lines = [*_lines(round, pool, go_on)]
    count = function_of("rounds", "E", ["n = 0", "while True:", *lines], pool, label)[0](slots)
    if not count:
        return None
    return [_moved(value, slots[slot]) for value, slot in zip(values, round.targets)]


def _is_simple(round: Round) -> bool:
    deciding = round.segments[:-1]
    ends = [segment.end.kind for segment in round.segments if segment.end is not None]
    return (
        ends == ["branch"] * len(deciding) + ["goto"]
        and not any(segment.guards for segment in round.segments)
        and all(map(_is_safe, (each for s in round.segments for each in s.instructions)))
        and not any(map(_leaves_a_trace, (each for s in deciding for each in s.instructions)))
    )


def _is_safe(instruction: Instruction) -> bool:
    """Whether it cannot raise."""
    if isinstance(instruction, Compute):
        symbols = {type(each) for each in instruction.operands if type(each) in SYMBOLS}
        floats = any(type(each) is float for each in instruction.operands)
        is_mixed = len(symbols) > 1 or (SymbolicInt in symbols and floats)
        return instruction.function in COMPARISONS or (
            instruction.function in SUMS and not is_mixed
        )
    return isinstance(instruction, Run | Element | Move | Fresh)


def _leaves_a_trace(instruction: Instruction) -> bool:
    return isinstance(instruction, Move) or (
        isinstance(instruction, Run) and bool(instruction.changes)
    )


def _reads(instruction: Instruction) -> Iterator[tuple[int, Any]]:
    """Slots that it reads; with a number's the symbol, with others None."""
    match instruction:
        case Run(inputs=inputs, scalars=scalars, sizes=sizes):
            yield from ((slot, None) for slot, _ in inputs)
            yield from ((slot, None) for slot in sizes)
            numbers = (*scalars, *(offset for _, offset in inputs))
        case Compute(operands=operands):
            numbers = operands
        case Element(memory=memory, offset=offset):
            yield memory, None
            numbers = (offset,)
        case Move(sources=sources):
            yield from ((slot, None) for slot in sources)
            return
        case _:
            return
    yield from ((each.slot, each) for each in numbers if type(each) in SYMBOLS)


def _writes(instruction: Instruction) -> tuple[int, ...]:
    match instruction:
        case Run(outputs=outputs):
            return outputs
        case Compute(slot=slot) | Element(slot=slot) | Fresh(slot=slot):
            return (slot,)
        case Move(targets=targets):
            return targets
    return ()


def _found(recording: Recording, round: Round, values: Sequence[Any]) -> dict[int, Any] | None:
    """What is in the slots that a round reads; None where it is not known of one of them."""
    slots = dict(zip(round.targets, map(_content, values)))
    memory = {slot: storage for storage, slot in recording.memory.items() if slot < round.slots}
    made: set[int] = set()
    for segment in round.segments:
        for instruction in segment.instructions:
            for slot, number in _reads(instruction):
                if slot in made or slot in slots:
                    continue
                if number is not None:
                    slots[slot] = concrete(number)
                elif slot in memory and memory[slot].buffer is not None:
                    slots[slot] = memory[slot].buffer
                else:
                    return None
            made.update(_writes(instruction))
        assert segment.end is not None
        if segment.end.kind == "branch" and segment.end.slot not in made | slots.keys():
            return None
    return slots


def _content(value: Any) -> Any:
    return concrete(value) if type(value) in SYMBOLS else value.storage.buffer


def _lines(round: Round, pool: Pool, go_on: str) -> Iterator[str]:
    for segment in round.segments:
        yield from (f" {each.line(pool)}" for each in segment.instructions)
        end = segment.end
        if end is not None and end.kind == "branch":
            outcome = pool.name(key_of(end.outcome))
            yield f" if not {go_on}(E[{end.slot}], {outcome}): return n"
    yield " n += 1"


def _is_as_before(value: Any, outcome: tuple[Any, ...]) -> bool:
    return key_of(value) == outcome


def _moved(value: Any, content: Any) -> Any:
    if type(value) in SYMBOLS:
        return rounded(value, content)
    value.storage.buffer = content
    return value
