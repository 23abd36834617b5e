"""Rounds of an unrolled loop that differ in numbers alone: one is recorded with open sizes for them, and entered for the others.

It is recorded apart from the tree of traces, as a pattern: ops on what the round has made, on what stood in a storage when it
began, or on what is always the same. The trace then has the rounds with their numbers, as if each had been recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tracejit._collection import uncollected
from tracejit._records import dataclass
from tracejit.ir.aval import Aval
from tracejit.ir.dim import Dim, at, plain
from tracejit.ir.graph import Apply, Input, ScalarInput, params_key
from tracejit.ir.resize import aval_at, sizes_inside
from tracejit.ops.op import Layout
from tracejit.runtime.buffer import Buffer
from tracejit.storage import Storage, is_surely_row_major
from tracejit.symbols import SYMBOLS
from tracejit.tracing.recorder import Recorder
from tracejit.tracing.trace import Step
from tracejit.tracing.tracer import distinct

Read = tuple[Storage | int, Any]
"""Where an input lies, the storage or the slot of a window, and how many bytes from its beginning."""


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """Where a round begins: the last step, how much there was by then, and what stood in each storage, of which version.

    Symbols from `slots` on are of numbers that follow from those of the round.
    """

    last: Step
    apart: Step
    steps: int
    inputs: int
    keys: int
    scalars: int
    slots: int
    views: dict[tuple[Any, ...], int]
    places: Mapping[Storage, int]
    versions: Mapping[Storage, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Input:
    """What it is known by, and where it lies in the round that was recorded."""

    key: Any
    node: Input
    read: Read
    buffer: Buffer
    address: int


@dataclass(frozen=True, slots=True, eq=False)
class _Number:
    aval: Aval
    value: Any


@dataclass(frozen=True, slots=True, eq=False)
class _Op:
    """An op on the values of these numbers.

    told      the parameters as steps are known by them, if none is of open sizes
    is_seen   whether it is a view that is recorded once of each value
    """

    node: Apply
    values: tuple[int, ...]
    params: dict[str, Any]
    told: tuple[Any, ...] | None
    is_seen: bool


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """A round. Its values have numbers: first those from `before` it, by their places, and then its own, in order.

    after     for each of those from before it, which value is in the same role in the next round
    left      which value each storage has that the round has written or made
    is_alike  whether the next round does the same to what this one leaves
    """

    entries: tuple[_Input | _Number | _Op, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    left: Mapping[Storage, int]
    is_alike: bool


class RoundRecorder(Recorder):
    """A recorder that enters rounds without Python."""

    def _begin(self) -> None:
        super()._begin()
        self._reads: list[Read] = []

    def begin_round(self, slots: int) -> Mark:
        """What is recorded from here on is a pattern, until `end_round`."""
        with self._lock:
            places = self._places()
            mark = Mark(
                self._last,
                self._last.apart(),
                len(self._steps),
                len(self._addresses),
                len(self._inputs),
                len(self._scalars),
                slots,
                self._views,
                places,
                {storage: storage.version for storage in places},
            )
            self._last = mark.apart
            self._views = {}  # what is seen of a value at the beginning belongs to the round
            return mark

    def _places(self) -> dict[Storage, int]:
        """Where the content stands of all that was made or written."""
        alive = [*self.waiting(), *self._written]
        return {storage: storage.pending[1] for storage in alive if storage.pending is not None}

    def end_round(
        self,
        mark: Mark,
        renewed: Mapping[Storage, Storage],
        sizes_of: Mapping[int, Dim],
        rounds: Iterable[Sequence[int]],
    ) -> int:
        """Enters the round with its numbers, and those that follow; gives how many it has entered.

        `renewed` are storages whose role others have in the next round, `sizes_of` the open sizes by their slots, and `rounds`
        the values of their atoms in each round.
        """
        with self._lock, uncollected():
            pattern = self._pattern(mark, renewed, sizes_of)
            self._take_back(mark)
            before: Sequence[int] = pattern.before
            count = 0
            for atoms in rounds:
                values = self._enter_round(pattern, atoms, before)
                before = [values[each] for each in pattern.after]
                count += 1
                if not pattern.is_alike or self._last.place >= self._budget:
                    break
            for storage, value in pattern.left.items():
                storage.pending = (self, values[value])
                writes = storage.version - mark.versions.get(storage, storage.version)
                storage.version += writes * (count - 1)
            return count

    def has_numbers_of(self, mark: Mark) -> bool:
        """Whether numbers of the round are inputs of ops, so that recorded instructions compute them."""
        numbers: list[Any] = self._scalars[mark.scalars :]
        return any(type(number) in SYMBOLS and number.slot >= mark.slots for number in numbers)

    # The pattern of what was recorded

    def _pattern(
        self, mark: Mark, renewed: Mapping[Storage, Storage], sizes_of: Mapping[int, Dim]
    ) -> Pattern:
        own = self._steps[mark.steps :]
        outside = dict.fromkeys(
            place for step in own for place in self._places_read(step) if place < mark.steps
        )
        number = {place: n for n, place in enumerate(outside)}
        number |= {mark.steps + n: len(outside) + n for n in range(len(own))}
        now = self._places()
        after = self._roles(mark, renewed, now)
        entries = [*self._entries(mark, own, number, sizes_of)]
        is_alike = all(
            after.get(place, place) in number for place in outside
        ) and now.keys() - mark.places.keys() <= set(renewed.values())
        return Pattern(
            tuple(entries),
            tuple(outside),
            tuple(number[after.get(place, place)] for place in outside) if is_alike else (),
            {storage: number[place] for storage, place in now.items() if place >= mark.steps},
            is_alike,
        )

    def _places_read(self, step: Step) -> tuple[int, ...]:
        """The places of an op's values: its step is known by them."""
        if not isinstance(step.node, Apply):
            return ()
        return self._key_of(step)[1 : 1 + len(step.node.inputs)]

    def _key_of(self, step: Step) -> tuple[Any, ...]:
        assert step.parent is not None
        keys: Any = (key for key, found in step.parent.after.items() if found is step)
        told: tuple[Any, ...] = next(keys)
        return told

    def _roles(
        self, mark: Mark, renewed: Mapping[Storage, Storage], now: Mapping[Storage, int]
    ) -> dict[int, int]:
        """For places at the beginning of the round what stands for them at its end; -1 where that is not known."""
        after: dict[int, int] = {}
        for storage, place in mark.places.items():
            new = now.get(renewed.get(storage, storage), -1)
            after[place] = new if after.get(place, new) == new else -1
        return after

    def _entries(
        self,
        mark: Mark,
        own: Sequence[Step],
        number: Mapping[int, int],
        sizes_of: Mapping[int, Dim],
    ) -> Iterable[_Input | _Number | _Op]:
        seen = set(self._views.values())
        scalars = iter(self._scalars[mark.scalars :])
        inputs = zip(
            list(self._inputs)[mark.keys :],
            self._reads[mark.inputs :],
            self._kept[mark.inputs :],
            self._addresses[mark.inputs :],
            strict=True,
        )
        for step in own:
            node = step.node
            if isinstance(node, Apply):
                values = tuple(number[place] for place in self._places_read(step))
                names = [name for name, *_ in self._key_of(step)[1 + len(values) :]]
                params = {name: node.kwargs[name] for name in names}
                is_open = node.aval.open is not None or any(map(sizes_inside, params.values()))
                told = None if is_open else tuple(map(distinct, params.items()))
                yield _Op(node, values, params, told, step.place in seen)
            elif isinstance(node, Input):
                key, (where, offset), buffer, address = next(inputs)
                if type(offset) in SYMBOLS:
                    offset = sizes_of.get(offset.slot, offset)
                yield _Input(key, node, (where, offset), buffer, address)
            else:
                yield _Number(node.aval, next(scalars))

    def _take_back(self, mark: Mark) -> None:
        self._last, self._views = mark.last, mark.views
        del self._steps[mark.steps :]
        del self._scalars[mark.scalars :]
        for key in list(self._inputs)[mark.keys :]:
            del self._inputs[key]
        of_each_input: tuple[list[Any], ...] = self._reads, self._kept, self._addresses
        for of_inputs in of_each_input:
            del of_inputs[mark.inputs :]

    # Rounds by the pattern

    def _enter_round(
        self, pattern: Pattern, atoms: Sequence[int], before: Sequence[int]
    ) -> list[int]:
        """The places of the values."""
        values = list(before)
        for entry in pattern.entries:
            match entry:
                case _Op():
                    place = self._enter_op(entry, atoms, values)
                case _Input():
                    place = self._enter_input(entry, atoms)
                case _Number(aval=aval, value=value):
                    place = self._enter(aval, ScalarInput, aval)
                    self._scalars.append(value)
            values.append(place)
        return values

    def _enter_op(self, entry: _Op, atoms: Sequence[int], values: Sequence[int]) -> int:
        node, told = entry.node, entry.told
        params, aval = node.params, node.aval
        if told is None:
            given = {name: at(value, atoms) for name, value in entry.params.items()}
            told = tuple(map(distinct, given.items()))
            params, aval = params_key(given), aval_at(aval, atoms)
        places = [values[each] for each in entry.values]
        seen = (places[0], node.op, *told) if entry.is_seen else None
        known = self._views.get(seen) if seen else None
        if known is not None:
            return known
        key = (node.op, *places, *told)
        step = self._last.after.get(key)
        if step is None:
            inputs = tuple([self._steps[place].node for place in places])
            step = self._new(key, Apply(node.op, inputs, params, aval, node.loc))
        place = self._to(step).place
        if seen:
            self._views[seen] = place
        return place

    def _enter_input(self, entry: _Input, atoms: Sequence[int]) -> int:
        key, node, (where, offset), address = entry.key, entry.node, entry.read, entry.address
        strides = node.strides
        if type(key) is tuple:
            layout = Layout(
                *[at(part, atoms) for part in (key[1].shape, key[1].strides, key[1].offset)]
            )
            address += (layout.offset - plain(key[1].offset)) * node.aval.dtype.itemsize
            strides = None if is_surely_row_major(layout) else layout.strides
            key = key[0], layout
        place = self._inputs.get(key)
        if place is None:
            told = aval_at(node.aval, atoms), strides, node.memory
            place = self._enter(told, Input, *told[:2], node.loc, node.memory)
            self._inputs[key] = place
            self._reads.append((where, at(offset, atoms)))
            self._kept.append(entry.buffer)
            self._addresses.append(address)
        return place
