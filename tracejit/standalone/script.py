"""A recorded function as the records of an artifact: what it reads and writes, and what it does on all its ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tracejit import dtypes
from tracejit._records import dataclass
from tracejit.ir.dim import Sizes
from tracejit.ir.graph import Graph
from tracejit.standalone.arguments import Given, GivenParameter
from tracejit.standalone.drafting import draft_of
from tracejit.standalone.drafts import Draft, Program
from tracejit.standalone.finishing import Finishing, written_by
from tracejit.standalone.pieces import Piece
from tracejit.standalone.reads import Reads
from tracejit.standalone.records import (
    Argument,
    ArrayArgument,
    Baked,
    Call,
    DictArgument,
    Finish,
    FixedArgument,
    NumberArgument,
    Parameter,
    Raise,
    Require,
    SequenceArgument,
    State,
    TensorUpdate,
)
from tracejit.standalone.ways import steps_of
from tracejit.tensor import Tensor
from tracejit.tracing.replay.opened import as_open
from tracejit.tracing.replay.sources import Source


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """A call, its programs' graphs and its constants.

    call      whose state has no values yet
    places    where the value of each piece of state is found
    written   slots of memory, of arguments and state, that programs write
    decisive  the sources of arguments that are numbers whose value was looked at
    """

    call: Call
    graphs: tuple[Graph, ...]
    constants: dict[str, np.ndarray]
    places: tuple[Source, ...]
    baked: tuple[Baked, ...]
    written: frozenset[int]
    decisive: frozenset[Any]


def script_of(first: Piece, given: Given, sizes: Sizes, function: Any, where: str) -> Script:
    """Raises ExportError for what an artifact cannot carry."""
    guards = [each for piece in first.below() for each in piece.segment.guards]
    reads = Reads(given, function, guards, where)
    return _Writer(reads, draft_of(first, reads), sizes).run()


class _Writer:
    def __init__(self, reads: Reads, draft: Draft, sizes: Sizes) -> None:
        self.reads = reads
        self.draft = draft
        self.sizes = sizes

    def run(self) -> Script:
        done = Finishing(self.draft)
        written = {
            slot
            for draft in self.draft.below()
            for step in draft.steps
            if isinstance(step, Program)
            for slot in written_by(step)
        }
        parameters = tuple(self.parameter(each, written) for each in self.reads.given.data)
        state = self.used_state(done)
        call = Call(self.reads.slots, parameters, tuple(each for each, _ in state), done.body)
        return Script(
            call,
            tuple(done.graphs),
            done.constants,
            tuple(place for _, place in state),
            tuple(self.reads.baked()),
            frozenset(written),
            frozenset(self.decisive(call)),
        )

    def decisive(self, call: Call) -> Iterator[Any]:
        looked_at = {step.slot for step in steps_of(call) if isinstance(step, Require)}
        for source in self.reads.given.numbers():
            if self.reads.slot_of(source) in looked_at:
                yield source.identity

    def parameter(self, parameter: GivenParameter, written: set[int]) -> Parameter:
        argument = self.argument(parameter.source, parameter.value, written)
        return Parameter(parameter.name, parameter.is_keyword, argument)

    def argument(self, source: Source, value: Any, written: set[int]) -> Argument:
        kind = type(value)
        slot = self.reads.slot_of(source)
        if isinstance(value, Tensor | np.ndarray):
            slot = self.reads.slot() if slot is None else slot
            dtype = (
                value.aval.dtype if isinstance(value, Tensor) else dtypes.from_numpy(value.dtype)
            )
            is_array = kind is np.ndarray
            shape = tuple([self.extent(source, axis, n) for axis, n in enumerate(value.shape)])
            return ArrayArgument(slot, dtype.name, shape, is_array, slot in written)
        if kind in (list, tuple):
            parts = tuple(
                self.argument(source.item(place), part, written) for place, part in enumerate(value)
            )
            return SequenceArgument(kind.__name__, parts)
        if kind is dict:
            parts = tuple(
                self.argument(source.item(key), part, written) for key, part in value.items()
            )
            return DictArgument(tuple(value), parts)
        return FixedArgument(value) if slot is None else NumberArgument(slot, kind.__name__)

    def extent(self, source: Source, axis: int, value: int) -> Any:
        """A size of an argument, which may be open."""
        place = self.reads.given.open.get(as_open(source, axis))
        return value if place is None else self.sizes.of({(place,): 1})

    def used_state(self, done: Finishing) -> list[tuple[State, Source]]:
        """The state that the call uses, with the place of each piece, in the order of the names."""
        reads = self.reads
        read = {*done.read}
        replaced = {slot for slot, is_tensor in self.updated() if is_tensor}
        updated = {slot for slot, _ in self.updated()}
        for slot in sorted(read & reads.sources.keys() - reads.arguments):
            if slot not in reads.tensors:
                place = reads.sources[slot]
                reads.refuse(f"{place} is a view of a larger tensor: keep a copy in its place")
        for slot in sorted(replaced):
            if len(reads.places.get(slot, ())) > 1 and self.draft.inside:
                place = reads.sources[slot]
                reads.refuse(f"{place} is found in two places, and becomes another tensor in one")
        found: list[tuple[State, Source]] = [
            (state, place)
            for slot, (place, state) in reads.numbers.items()
            if slot in read | updated
        ]
        found += [
            (reads.state_of(slot, is_read=slot in read), reads.tensors[slot][0])
            for slot in reads.tensors
            if slot in read | updated
        ]
        return sorted(found, key=lambda pair: pair[0].name)

    def updated(self) -> Iterator[tuple[int, bool]]:
        """The slots of the state that updates change, and whether it is a tensor."""
        for draft in self.draft.below():
            for update in draft.end.updates if isinstance(draft.end, Finish | Raise) else ():
                yield update.slot, isinstance(update, TensorUpdate)
