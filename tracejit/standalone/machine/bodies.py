"""A call as one function in LLVM's text: its bodies, what they end with, and what is left when it is over."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import assert_never

from tracejit._errors import ExportError
from tracejit._records import dataclass
from tracejit.artifact import KernelSource, Plan
from tracejit.standalone.machine.frame import (
    Frame,
    Returned,
    leaves_of,
    results_of,
    taken_over,
    type_of,
)
from tracejit.standalone.machine.numbers import truth
from tracejit.standalone.machine.steps import KINDS, Placed, Steps
from tracejit.standalone.machine.writer import (
    CallWriter,
    Failure,
    Kind,
    Shown,
    Unable,
    Why,
)
from tracejit.standalone.raising import CONVERSIONS, class_of, same_always, shown_name
from tracejit.standalone.records import (
    Again,
    Atom,
    Body,
    Call,
    Decide,
    Finish,
    Known,
    Loop,
    Memory,
    NumberArgument,
    NumberState,
    NumberUpdate,
    Operand,
    Raise,
    Run,
    Slot,
    Step,
    TensorUpdate,
    Text,
    Written,
)
from tracejit.standalone.ways import Way


@dataclass(frozen=True, slots=True, eq=False)
class CallCode:
    """A call's text; what its status means; and of which type the number in each slot is.

    The status is 0, or that of one of the failures: one more than its number.
    """

    source: KernelSource
    failures: tuple[Failure, ...]
    kinds: Mapping[int, Kind]


def call_code(
    name: str, call: Call, plans: Sequence[Plan], frame: Frame, placed: Placed, where: str
) -> CallCode:
    """The function `name` that makes a call; `where` is the line at which it is defined.

    Raises ExportError for what needs Python, with the line.
    """
    w = CallWriter()
    bodies = Bodies(w, call, plans, frame, placed, where)
    with w.call_function(name):
        try:
            bodies.begin()
            bodies.body(call.body, (), ())
        except Unable as unable:
            raise ExportError(f"{w.where or where}: export: for C: {unable}") from None
    return CallCode(KernelSource(name, w.text), tuple(w.failures), bodies.kinds)


@dataclass(slots=True, eq=False)
class _Head:
    """Where rounds of a loop begin; `made` are the slots that a round has filled with programs' results so far."""

    loop: Loop
    label: str
    made: frozenset[int] = frozenset()


class Bodies(Steps):
    """Writes bodies, each with those within. Methods raise Unable as those of `Steps` do."""

    # The call

    def begin(self) -> None:
        """Slots are filled with what is given, and with the state."""
        for leaf in leaves_of(self.call):
            if isinstance(leaf, NumberArgument):
                self.kinds[leaf.slot] = KINDS[leaf.type]
            self.fill(leaf.slot)
        for state in self.frame.held:
            if isinstance(state, NumberState):
                self.kinds[state.slot] = KINDS[type_of(self.call, state)]
            self.fill(state.slot)

    # Ways

    def body(self, body: Body, before: tuple[Step, ...], heads: tuple[_Head, ...]) -> None:
        """All of it, and the bodies within; `before` are the steps of those around it, `heads` the loops."""
        for step in body.steps:
            self.at(getattr(step, "where", ""))
            self.step(step)
        steps = (*before, *body.steps)
        made = {slot for each in body.steps if isinstance(each, Run) for slot in each.outputs}
        heads = tuple(_Head(each.loop, each.label, each.made | made) for each in heads)
        end = body.end
        match end:
            case Finish() | Raise():
                self.at(end.where if isinstance(end, Raise) else "")
                self.over(Way(steps, end))
            case Decide():
                self.at(end.where)
                self.decide(end, steps, heads)
            case Loop():
                self.loop(end, steps, heads)
            case Again():
                self.again(end, heads[-1 - end.loop])
            case _:
                assert_never(end)

    def at(self, where: str) -> None:
        self.w.where = where or self.where

    def over(self, way: Way) -> None:
        """The end of a way."""
        self.finish(way)
        if isinstance(way.end, Raise):
            self.w.fail(Why.RAISED, *self.told(way.end))
        else:
            self.w.do("ret i64 0")

    def decide(self, end: Decide, steps: tuple[Step, ...], heads: tuple[_Head, ...]) -> None:
        true, false = self.w.fresh("true"), self.w.fresh("false")
        holds = truth(self.w, self.value(Slot(end.slot)))
        self.w.do(f"br i1 {holds.text}, label %{true}, label %{false}")
        for label, inner in ((true, end.true), (false, end.false)):
            self.w.enter(label)
            self.body(inner, steps, heads)

    def loop(self, loop: Loop, steps: tuple[Step, ...], heads: tuple[_Head, ...]) -> None:
        """What is carried has memory of its own from the beginning: rounds never write to what is read elsewhere."""
        w = self.w
        for slot, source in loop.carried:
            if slot in self.frame.turns:
                own = w.word(self.frame.cells[slot], "ptr")
                w.copy(own, self.address(source), self.frame.sizes[slot])
                w.set_word(self.slot(slot), own, "ptr")
            else:
                self.put(slot, self.value(Slot(source)))
        head = _Head(loop, w.fresh("round"))
        w.do(f"br label %{head.label}")
        w.enter(head.label)
        self.begin_round()
        self.body(loop.body, steps, (*heads, head))

    def begin_round(self) -> None:
        """What else is done before each round."""

    def again(self, end: Again, head: _Head) -> None:
        """All is moved at once. Memory that this round has made trades places with that of the round before, other is copied."""
        w, pairs = self.w, [*zip([slot for slot, _ in head.loop.carried], end.carried)]
        memory = [pair for pair in pairs if pair[0] in self.frame.turns]
        numbers = [pair for pair in pairs if pair[0] not in self.frame.turns]
        values = [self.value(Slot(source)) for _, source in numbers]
        sources = [source for _, source in memory]
        traded = [source in head.made and sources.count(source) == 1 for source in sources]
        for (slot, source), is_traded in zip(memory, traded):
            if not is_traded and slot != source:
                w.copy(
                    w.word(self.frame.turns[slot], "ptr"),
                    self.address(source),
                    self.frame.sizes[slot],
                )
        for (slot, source), is_traded in zip(memory, traded):
            if slot != source:
                self.swap(
                    self.frame.cells[slot],
                    (self.frame.cells[source] if is_traded else self.frame.turns[slot]),
                )
                self.fill(slot)
        for (slot, _), value in zip(numbers, values):
            if value.kind is not self.kinds[slot]:
                raise Unable("a number becomes one of another type in a round of a loop")
            w.set_number(self.slot(slot), value)
        w.do(f"br label %{head.label}")

    def finish(self, way: Way) -> None:
        """What is returned is found in its words, and what changes is changed: from here on nothing fails."""
        for result, place in zip(results_of(self.call, way), self.frame.returned):
            self.result(result, place)
        for slot in way.copied:
            if slot in self.frame.changed:
                self.swap(self.frame.cells[slot], self.frame.copies[slot])
            else:
                given = self.w.word(self.frame.cells[slot], "ptr")
                self.w.copy(given, self.address(slot), self.frame.sizes[slot])
        tensors = [each for each in way.updates if isinstance(each, TensorUpdate)]
        taken = taken_over(way, self.frame.sizes)
        for update in tensors:
            if update.slot not in taken:
                self.gather(self.w.word(self.frame.spares[update.slot], "ptr"), update.memory)
        for update in tensors:
            spare = self.frame.spares if update.slot not in taken else None
            self.swap(
                self.frame.cells[update.slot],
                self.frame.cells[update.memory.slot] if spare is None else spare[update.slot],
            )
            if update.slot in self.frame.there:
                self.w.set_word(self.frame.there[update.slot], "1")
        for number in way.updates:
            if isinstance(number, NumberUpdate) and number.slot in self.kinds:
                self.update(number)

    def result(self, result: Memory | Operand, place: Returned) -> None:
        if not isinstance(result, Memory):
            self.w.set_number(place.found, self.value(result))
            return
        pointer = self.pointer(result)
        if place.area is not None:
            pointer = self.w.word(place.area, "ptr")
            self.gather(pointer, result)
        self.w.set_word(place.found, pointer, "ptr")

    def update(self, update: NumberUpdate) -> None:
        value = self.value(update.value)
        if value.kind is not self.kinds[update.slot]:
            raise Unable("a number of the state becomes one of another type")
        self.w.set_number(self.frame.cells[update.slot], value)

    # Exceptions

    def told(self, end: Raise) -> list[str | Shown]:
        """As Python shows an exception."""
        args = same_always(end)
        if args is not None:
            text = str(class_of(end)(*args))
            return [f"{shown_name(end)}: {text}" if text else shown_name(end)]
        if class_of(end).__str__ is not BaseException.__str__:
            raise Unable(f"the text of a {shown_name(end)} is made of numbers")
        if len(end.args) == 1:
            return [f"{shown_name(end)}: ", *self.shown(end.args[0])]
        parts: list[str | Shown] = []
        for each in end.args:
            if isinstance(each, Text):
                raise Unable("an exception has several arguments, of which one is text of numbers")
            parts += [", ", *(self.shown(each) if isinstance(each, Slot) else [repr(each)])]
        return [f"{shown_name(end)}: (", *parts[1:], ")"]

    def shown(self, arg: Atom | Slot | Text) -> list[str | Shown]:
        """As `str()` gives it."""
        if isinstance(arg, Slot):
            return [self.written(Written(arg, "", ""))]
        if not isinstance(arg, Text):
            return [str(arg)]
        return [each if isinstance(each, str) else self.written(each) for each in arg.parts]

    def written(self, part: Written) -> str | Shown:
        if isinstance(part.value, Known):
            return format(CONVERSIONS[part.conversion](part.value.value), part.spec)
        kind = self.value(part.value).kind
        how = printf_of(kind, "" if part.conversion else part.spec)
        if how is None or (part.conversion and part.spec):
            shown = f"{'!' * bool(part.conversion)}{part.conversion}:{part.spec}"
            raise Unable(f"a {kind.name.lower()} becomes text by {shown!r}")
        return Shown(self.slot(part.value.slot), kind, how)


_FORM = re.compile(r"([<>]?)([+ ]?)((?:[1-9][0-9]*)?)((?:\.[0-9]+)?)([deEfFgG]?)")


def printf_of(kind: Kind, spec: str) -> str | None:
    """What does in C what a specification of Python's format does for numbers of this kind; None where nothing does."""
    found = _FORM.fullmatch(spec)
    if found is None:
        return None
    side, sign, width, precision, form = found.groups()
    side = "-" if side == "<" else ""
    if not form:
        is_plain = not sign and not precision and not (kind is Kind.BOOL and width)
        as_text = f"{side}{width}s"
        return {Kind.INT: f"{side}{width}lld"}.get(kind, as_text) if is_plain else None
    if form == "d":
        return f"{side}{sign}{width}lld" if kind is Kind.INT and not precision else None
    return f"{side}{sign}{width}{precision}{form}" if kind is Kind.FLOAT else None
