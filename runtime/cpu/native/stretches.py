"""How stretches of replay code follow each other: decisions, ways of which the guards choose one, and rounds of loops."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tracejit._native import abi
from tracejit._records import dataclass
from tracejit.runtime.cpu.native.lines import Lines
from tracejit.runtime.cpu.native.pinned import Pinned
from tracejit.runtime.cpu.native.values import Kind, Unsupported, Value


@dataclass(frozen=True, slots=True, eq=False)
class _Loop:
    """A loop of which a round is being written.

    block    where a round begins
    places   of the slots that rounds change: the places of the frame that hold them from one round to the next
    held     the places of the frame from here on are a round's own
    """

    block: str
    places: dict[int, int]
    held: int


class Stretches(Pinned):
    """Translates stretches that lead to one another."""

    def begin(self) -> None:
        super().begin()
        self._loops: dict[int, _Loop] = {}

    def all_of(self, lines: Lines) -> None:
        """A call from its first guard on."""
        self.guards(lines.enter)
        self.find_combination()
        self._go_on(lines)

    def first_of(self, ways: Sequence[Lines]) -> None:
        """The first whose guards hold: none has done anything by then."""
        if not ways:
            self.jump(self.failed)
            return
        first, *others = ways
        before, otherwise = self.failed, self.fresh("b")
        with self._apart():
            if others:
                self.failed = otherwise
            self.section(first.enter)
            self.failed = before
            self._go_on(first)
        if others:
            self.enter(otherwise)
            self._clear()
            self.first_of(others)

    def _go_on(self, lines: Lines) -> None:
        """All of a stretch after its guards. What is written next is run instead: both may use the same places of the frame."""
        held = self.held
        if lines.loop is not None:
            self._begin_rounds(lines.loop, lines)
        self.section(lines.run)
        if lines.commit:
            self.failed = "broken"
            self._end(lines.commit)
        elif lines.again is not None:
            self._go_round(self._loops[lines.again])
        else:
            self._decide(lines)
        self.held = held

    def _end(self, lines: Sequence[str]) -> None:
        """Code of others runs between rounds: what guards have found before may be gone."""
        if self._loops:
            self.section(lines)
        else:
            self.commit(lines)

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """What is learned inside is not known afterwards."""
        known = self.slots.copy(), self.classes.copy(), self._arguments.copy(), self.failed
        loops = self._loops.copy()
        yield
        self.slots, self.classes, self._arguments, self.failed = known
        self._loops = loops

    def _clear(self) -> None:
        """An ordinary exception of a guard is none; another one goes to the caller."""
        done = self.help("tracejit_give_up", "ptr")
        self._return_unless(self.let(f"icmp ne ptr {done}, null"))

    def _return_unless(self, condition: str) -> None:
        """Where the condition does not hold, the caller gets the exception that there is."""
        before, leave = self.fresh("b"), self.fresh("b")
        self.branch(condition, before, leave)
        self.enter(leave)
        self.results.append(("null", leave))
        self.jump("leave")
        self.enter(before)

    # Decisions

    def _decide(self, lines: Lines) -> None:
        for outcome, ways in lines.following:
            if outcome is None:
                self.first_of(ways)
                return
            same, other = self.fresh("b"), self.fresh("b")
            self.branch(self._is_outcome(self.slots[lines.decision], *outcome), same, other)
            self.enter(same)
            with self._apart():
                self.first_of(ways)
            self.enter(other)
        self.jump(self.failed)

    def _is_outcome(self, found: Value, kind: type, value: Any) -> str:
        if kind is bool and found.kind is Kind.TRUTH:
            return found.text if value else self.let(f"xor i1 {found.text}, true")
        wanted = float(value) if kind is float else value
        if kind not in (bool, int, float) or wanted != wanted:
            raise Unsupported("a decision by something else than a number")
        if kind is bool:
            return self.let(f"icmp eq ptr {self.as_object(found)}, {self.address_of(value)}")
        text = self.as_object(found)
        is_kind = self.let(f"icmp eq ptr {self.load(text, abi.TYPE_AT)}, {self.address_of(kind)}")

        def is_value() -> str:
            if kind is int:
                return self._equal_objects(Value(Kind.OBJECT, text), self.constant(wanted))
            bits = np.float64(wanted).view(np.int64)
            return self.let(f"icmp eq i64 {self.load(text, abi.FLOAT_AT, 'i64')}, {bits}")

        return self.both(is_kind, is_value)

    # Loops

    def _begin_rounds(self, number: int, lines: Lines) -> None:
        """What rounds change lies in places of the frame, where the next round finds it."""
        places = {}
        for slot in sorted(_changed_from(lines) & self.slots.keys()):
            text = self.as_object(self.slots[slot])
            places[slot] = self.held
            self.borrowed(text)
        loop = self._loops[number] = _Loop(self.fresh("round"), places, self.held)
        self.jump(loop.block)
        self.enter(loop.block)
        for slot, place in places.items():
            self.slots[slot] = Value(Kind.OBJECT, self.kept(place))

    def _go_round(self, loop: _Loop) -> None:
        """What this round has come to hold, and was not to be kept, is let go of."""
        self._return_unless(self._pause())
        texts = {place: self.as_object(self.slots[slot]) for slot, place in loop.places.items()}
        for place, text in texts.items():
            self.keep_instead(place, text)
        self.let_go_since(loop.held)
        self.jump(loop.block)

    def _pause(self) -> str:
        """Whether Python has done, without an exception, what it does between two rounds of a loop of its own."""
        done = self.call("PyObject_CallNoArgs", self.address_of(pause))
        self.hold(done)
        return self.let(f"icmp ne ptr {done}, null")


def pause() -> None:
    """Nothing. Where a function of Python's begins, signals are handled, and other threads have their turn."""


def _changed_from(lines: Lines) -> set[int]:
    """The slots that may be set between the guards of a stretch and the end of the call."""
    changed = set(_set_in(lines.run))
    for _, ways in lines.following:
        for each in ways:
            changed |= {*_set_in(each.enter), *_changed_from(each)}
    return changed


def _set_in(lines: Iterable[str]) -> Iterator[int]:
    """What stands to the left of an equals sign, and perhaps more: a slot may count as set that is not."""
    for line in lines:
        left, equals, _ = line.partition("= ")
        if equals:
            yield from map(int, re.findall(r"E\[(\d+)\]", left))
