"""Loops that are unrolled, whose rounds differ in numbers alone: one round is recorded for many.

Numbers that have moved from head to head, a loop's count among them, are open sizes for one round (a `Trial`): the library
computes with them, and what it asks of them on the way is noted. At the next head the state is compared with that at the one
before. If it is alike but for values that rounds make anew and numbers that have moved on as before, then each following round
for which all that was asked has the same answer does the same on other numbers: it is entered in the trace without Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tracejit._records import dataclass
from tracejit.autograd.node import next_sequence
from tracejit.autograd.tape import is_grad_enabled
from tracejit.ir.dim import Sizes
from tracejit.storage import Storage
from tracejit.symbols import SYMBOLS, SymbolicInt, concrete
from tracejit.tensor import Tensor
from tracejit.tracing.replay.current import recorder_of
from tracejit.tracing.replay.hooks.heads import reached, written_outside
from tracejit.tracing.replay.kinds import ATOMS, same_atom
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.rounds import Mark
from tracejit.tracing.replay.segments import Compute
from tracejit.tracing.stand_in import StandIn

MOST_TRIALS = 4
"""Rounds that are tried each time a loop is run through: the first ones are special, as parts of 0 and of 1 element are."""
MOST_FAILURES = 3
"""A loop that has been run through so often with no success is left alone."""

Named = tuple[tuple[str, Any], ...]


@dataclass(slots=True, eq=False)
class Luck:
    """What has come of trials of a loop: at which visit of its head the last good one began, and how often there was none."""

    visit: int = 2
    failures: int = 0


class Trial:
    """A round on open sizes, from one head of a loop to the next, or to whatever comes before that.

    names, values   the variables at the head, and `others` those that are not certainly bound
    moves           by how much a number moves with each round, by name
    """

    def __init__(
        self,
        recording: Recording,
        names: Sequence[str],
        values: Sequence[Any],
        others: Named,
        moves: dict[str, int],
    ) -> None:
        self._recording = recording
        self._moves = moves
        self._others = others
        self._before = (
            recording.sizes,
            recording.size_slots,
            recording.sizes_of,
            recording._slots_of_sizes,
        )
        self._told = _told(recording)
        self._segment = recording.segment
        self._instructions = len(self._segment.instructions)
        self._had_symbols = recording.symbols
        self._nodes = next_sequence()
        self._was_alike = False
        self._open()
        self.values = tuple(map(self._opened, names, values))
        self._variables = dict(zip(names, self.values))
        self._mark: Mark = recorder_of(recording).begin_round(self._slot)

    def _open(self) -> None:
        recording = self._recording
        recording.trial = self
        self._sizes = recording.sizes = Sizes()
        self._round: Any = self._sizes.variable(0)
        self._slot = slot = recording.slot()
        recording.segment.instructions.append(Compute(slot, concrete, (0,)))
        recording.size_slots, recording.sizes_of, recording._slots_of_sizes = [slot], {}, {}
        self._sizes.number = recording.number_of_size

    def _opened(self, name: str, value: Any) -> Any:
        move = self._moves.get(name)
        return value if move is None else self._recording.surface(value + move * self._round)

    def end(
        self, names: Sequence[str] = (), values: Sequence[Any] = (), others: Named | None = None
    ) -> int:
        """The rounds that have been done: this one, and those like it if the variables at the next head are given."""
        recording, recorder = self._recording, recorder_of(self._recording)
        is_alike = others is not None and self._is_alike(names, values, others)
        renewed = self._renewed([*zip(names, values), *(others or ())]) if is_alike else {}
        sizes_of = recording.sizes_of
        recording.close_sizes()
        sizes, slots, of_slots, slots_of = self._before
        recording.sizes, recording.size_slots = sizes, slots
        recording.sizes_of, recording._slots_of_sizes = of_slots, slots_of
        recording.trial = None
        if renewed is None:
            is_alike, renewed = False, {}
        self._was_alike = is_alike
        rounds = _rounds(self._sizes) if is_alike else [self._sizes.values]
        done = recorder.end_round(self._mark, renewed, sizes_of, rounds)
        if is_alike:  # nobody has a symbol any more
            del recording.segment.instructions[self._instructions :]
            recording.symbols = self._had_symbols
        else:
            self._fix(sizes_of)
        return done

    def _fix(self, slots: Iterable[int]) -> None:
        """What was computed from the round's numbers alone is what it is in this round."""
        fixed = self._recording.fixed
        fixed.update((self._slot, *slots))
        for each in self._segment.instructions[self._instructions :]:
            if isinstance(each, Compute):
                of_numbers = [number for number in each.operands if type(number) in SYMBOLS]
                if of_numbers and all(number.slot in fixed for number in of_numbers):
                    fixed.add(each.slot)

    def number(self, name: str, value: Any, done: int) -> Any:
        """A variable at the head after so many rounds. Numbers that do not follow from those of the round stay what they are."""
        move = self._moves.get(name)
        if not self._was_alike or move is None:
            return self._recording.unless_fixed(value)
        return concrete(value) + (done - 1) * move

    # Whether the next head is like this one

    def _is_alike(self, names: Sequence[str], values: Sequence[Any], others: Named) -> bool:
        recording = self._recording
        added = recording.segment.instructions[self._instructions :]
        return (
            recording.live
            and recording.sizes.is_open
            and _told(recording) == self._told
            and next_sequence() == self._nodes + 1  # the tape has no node of the round
            and all(type(each) is Compute for each in added)
            and not recorder_of(recording).has_numbers_of(self._mark)
            and [*names] == [*self._variables]
            and [name for name, _ in others] == [name for name, _ in self._others]
            and all(map(self._is_as_before, names, self.values, values))
            and all(map(self._is_the_same, (v for _, v in self._others), (v for _, v in others)))
        )

    def _is_as_before(self, name: str, before: Any, value: Any) -> bool:
        move = self._moves.get(name)
        if move is None:
            return self._is_the_same(before, value)
        size = self._size(before) + move
        return type(value) is SymbolicInt and self._size(value) is size

    def _size(self, number: Any) -> Any:
        return self._recording.sizes_of.get(number.slot)

    def _is_the_same(self, before: Any, value: Any) -> bool:
        """What is no tensor is the very same; of tensors another may stand there that the round has made."""
        if _is_tensor(value):
            return value is before or (_is_tensor(before) and _may_follow(before, value))
        if type(value) in SYMBOLS:  # one of the call's own, which stays an input
            return value is before and value.slot < self._slot
        if type(value) in ATOMS:
            return type(value) is not slice and same_atom(before, value)
        return value is before

    def _renewed(self, variables: Iterable[tuple[str, Any]]) -> dict[Storage, Storage] | None:
        """The storages of tensors for which the round has put others into variables, and those of the others; None if unclear."""
        before = self._variables | dict(self._others)
        found: dict[Storage, Storage] = {}
        for name, value in variables:
            if _is_tensor(value) and value is not before[name]:
                old, new = before[name].storage, value.storage
                if found.setdefault(old, new) is not new:
                    return None
        olds, news = found.keys(), [*found.values()]
        kept = {value.storage for value in before.values() if _is_tensor(value)} - olds
        is_new = self._mark.places.keys().isdisjoint(news) and kept.isdisjoint(news)
        return found if is_new and len(set(news)) == len(news) else None


def begun(
    recording: Recording,
    names: Sequence[str],
    values: Sequence[Any],
    before: Sequence[Any],
    others: Sequence[tuple[str, Any]],
) -> tuple[Any, ...] | None:
    """The variables with which a round is tried; None if it makes no sense. `before` are those at the head before."""
    if len(before) != len(values) or recording.size_slots or recording.taken or recording.closed:
        return None
    moves = {
        name: value - old
        for name, value, old in zip(names, values, before)
        if type(value) is int and type(old) is int and value != old
    }
    everything = [*zip(names, values), *others, *((n, v) for n, _, v in written_outside(recording))]
    held, hides = reached(recording, everything)[1:]
    if not moves or hides or any(type(each) is not tuple for each in held):
        return None
    return Trial(recording, names, values, tuple(others), moves).values


@dataclass(frozen=True, slots=True, eq=False)
class _Same:
    """Equal where the value is the very same."""

    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def _told(recording: Recording) -> tuple[Any, ...]:
    """What the call has read, done and decided so far, as far as another round may change it."""
    known = (len(getattr(recording, name)) for name in _READ)
    done = len(recording.effects), len(recording.written), len(recording.changed_memory)
    steps = sum(map(len, recording.steps.values()))
    placed = tuple((place, _Same(effect.value)) for place, effect in recording.placed.items())
    segment = recording.segment
    return (
        *known, *done, steps, placed, len(recording.taken), len(recording.missing), is_grad_enabled(),
        len(recording.segments), len(segment.guards),
    )  # fmt: skip


_READ = (
    "_seen", "outside", "numbers", "_classes", "_functions", "compared", "tensor_sources", "outside_storages", "versions",
    "array_storages", "handles", "viewed", "windows", "computed", "cells", "scopes", "made",
)  # fmt: skip


def _is_tensor(value: Any) -> bool:
    return type(value) is StandIn or isinstance(value, Tensor)


def _may_follow(before: Any, value: Any) -> bool:
    """Whether a tensor that a round has made may take the place of the one before it."""
    return (
        type(before) is type(value)
        and before.aval is value.aval
        and before.layout == value.layout
        and before.origin is None is value.origin
        and before.autograd is None is value.autograd
        and before.storage.pending is not None is not value.storage.pending
    )


def _rounds(sizes: Sizes) -> Iterator[Sequence[int]]:
    """The values of the atoms in each round, the first one on, for which all that was asked has the same answer."""
    number = 0
    while (atoms := sizes.atoms_where_facts_hold((number,))) is not None:
        yield atoms
        number += 1
