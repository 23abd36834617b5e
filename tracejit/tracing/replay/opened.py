"""Tensors whose sizes have changed from call to call: in a recording these are open, so that it holds for others as well.

The library computes with sizes that are no numbers (`tracejit.ir.dim`); what it asks of them on the way is guarded. Where
something can only do with numbers, all sizes are fixed: the recording then holds for those of this call alone.
"""

from __future__ import annotations

from dataclasses import replace
from types import CodeType
from typing import Any

from tracejit.autograd.node import Node
from tracejit.ir.aval import aval
from tracejit.ir.dim import Dim, Sizes, plain
from tracejit.storage import row_major
from tracejit.tensor import Tensor
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.objects import Objects
from tracejit.tracing.replay.open_tensor import claim, close, open_as
from tracejit.tracing.replay.resizing import Resizing, closed, open_sizes_of
from tracejit.tracing.replay.sources import Source
from tracejit.tracing.stand_in import StandIn

Opening = tuple[int, int, bool]
"""An axis, the slot of its size, and whether that is where the slot gets its value."""


class Opened(Objects):
    """Which tensors have open sizes, and where a replay finds these."""

    def __init__(self, outermost: CodeType, definition: str) -> None:
        super().__init__(outermost, definition)
        self.symbolic: set[tuple[Any, ...]] = set()
        """What is known of sources from earlier calls."""
        self.dynamic: bool | None = None
        """Whether sizes are open: None, those that have changed; True, those of all arguments; False, none."""
        self.sizes = Sizes()
        self.size_slots: list[int] = []
        """Of the variables, in their order."""
        self._variables: dict[int, tuple[Dim, int, tuple[Any, ...]]] = {}
        """By value: sizes that are equal count as one. The last is what the tree knows the axis as."""
        self._opened: list[Tensor] = []

    def open(self, source: Source, tensor: Tensor) -> tuple[Opening, ...]:
        """Opens sizes of a tensor that is read for the first time."""
        shape = tensor.aval.shape
        keys = [as_open(source, axis) for axis in range(len(shape))]
        axes = [axis for axis, key in enumerate(keys) if self._is_open(source, key, shape[axis])]
        if not axes or not self._can_open(tensor):
            return ()
        extents: list[Any] = list(shape)
        openings = []
        for axis in axes:
            label = source.attribute("shape").item(axis)
            size, slot, is_first = self._variable(extents[axis], label, keys[axis])
            extents[axis] = size
            openings.append((axis, slot, is_first))
        kind = aval(tensor.aval.dtype, tuple(extents), tensor.aval.device)
        layout = replace(row_major(kind.shape), offset=tensor.layout.offset)
        if type(tensor) is StandIn:  # which is the recording's own
            tensor.aval, tensor.layout = kind, layout
            self.sizes.note(tensor)
        else:
            open_as(tensor, kind, layout)
        return tuple(openings)

    def _is_open(self, source: Source, key: tuple[Any, ...], extent: Any) -> bool:
        """Of 0 elements, and of 1, which broadcasts, much is different."""
        if plain(extent) < 2:
            return False
        is_argument = source.step in ("argument", "keyword")
        is_wanted = self.dynamic is True and is_argument and ("fixed", *key) not in self.symbolic
        return is_wanted or key in self.symbolic

    def _can_open(self, tensor: Tensor) -> bool:
        """Whether the tensor lies in order, and nothing but its elements counts; and whether it is not too late."""
        is_in_order = tensor.layout.strides == row_major(tensor.aval.shape).strides
        is_early = len(self.segments) == 1 and self.sizes.is_open
        is_plain = type(tensor) in (Tensor, StandIn) and tensor.autograd is None
        if self.dynamic is False or not (is_early and is_in_order and is_plain):
            return False
        if type(tensor) is Tensor:
            if not claim(tensor):
                return False
            self._opened.append(tensor)
        return True

    def _variable(self, value: int, label: Source, key: tuple[Any, ...]) -> tuple[Dim, int, bool]:
        known = self._variables.get(value)
        if known is not None:
            return known[0], known[1], False
        size, slot = self.sizes.variable(value, label), self.slot()
        self._variables[value] = size, slot, key
        self.size_slots.append(slot)
        return size, slot, True

    @property
    def now(self) -> tuple[int, ...]:
        """The sizes of this call."""
        return tuple(self.sizes.values[variable] for variable in self.sizes.variables)

    def guard_sizes(self) -> None:
        """What was asked of open sizes is guarded where all of them have been read."""
        for (size, relation), outcome in self.sizes.facts.items():
            guard = g.SizeIs(size, relation, outcome, self.size_slots)
            self.segments[0].guards.append((guard, self.sizes.lines[size, relation]))

    def resizing(self) -> Resizing | None:
        """How replays find out what has open sizes; None while there are none."""
        return Resizing(self.sizes, tuple(self.size_slots)) if self.size_slots else None

    def fix_sizes(self) -> None:
        """From here on the recording holds for the sizes of this call alone, and nothing has open ones any more."""
        if self.sizes.is_open and self.size_slots:
            self.sizes.fix_all()
        self.close_sizes()

    def close_sizes(self) -> None:
        """What is asked of sizes from here on decides nothing; what has open ones gets numbers."""
        self.sizes.is_open = False
        while self._opened:
            close(self._opened.pop())
        for thing in self.sizes.noted():
            if isinstance(thing, Node):
                thing.aval, thing.rule = closed(thing.aval), closed(thing.rule)
            else:
                _close_result(thing)

    def give_up_sizes(self) -> None:
        """Tells the tree which sizes were not to be left open after all, as the recording holds for one value of each.

        Once may be by chance: the size was equal to another that it was compared with.
        """
        for size, _, key in self._variables.values():
            if not self.sizes.facts.get((size - size.value, "eq")):
                continue
            if ("once", *key) in self.symbolic:
                self.symbolic.discard(key)
                self.symbolic.add(("fixed", *key))
            self.symbolic.add(("once", *key))


def _close_result(tensor: Tensor) -> None:
    tensor.aval, tensor.layout = closed(tensor.aval), closed(tensor.layout)
    tensor.storage.size = plain(tensor.storage.size)
    if tensor.origin is not None:
        parent, op, params = tensor.origin
        if open_sizes_of(tuple(params.values())) is not None:
            tensor.origin = parent, op, {name: plain(value) for name, value in params.items()}


def as_open(source: Source, axis: int) -> tuple[Any, ...]:
    """What a tree notes of a size that changes."""
    return "size", source.identity, axis
