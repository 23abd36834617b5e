"""Bodies from their drafts: what of the programs is needed, which of them are one, and where memory is to be copied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

import numpy as np

from tracejit.ir.graph import Graph, Input, ScalarInput, topological
from tracejit.ir.printer import print_graph
from tracejit.standalone import records as r
from tracejit.standalone.drafts import RISKY, Choice, Draft, Fresh, Program, Round, Rounds, Step
from tracejit.standalone.raising import slots_told
from tracejit.standalone.results import slots_of


class Finishing:
    """Makes bodies of drafts.

    graphs     the programs, each once
    constants  by name
    read       the slots that something depends on
    """

    def __init__(self, draft: Draft) -> None:
        self.graphs: list[Graph] = []
        self.constants: dict[str, np.ndarray] = {}
        self._numbers: dict[str, int] = {}
        """Of the programs, by their text."""
        self.read = _wanted(draft)
        self._private = _private(draft)
        self._rounds = {each: each.rounds for each in draft.below()}
        self._risky = {
            each
            for each in draft.below()
            if isinstance(each.end, Round) or any(isinstance(step, RISKY) for step in each.steps)
        }
        """Where something may fail, or a signal may end the call, which asks for some between rounds."""
        self.body = self._body(draft, frozenset(), ())

    def _body(self, draft: Draft, copied: frozenset[int], loops: tuple[Rounds, ...]) -> r.Body:
        """`copied` are slots of memory from outside that hold copies by then, `loops` those around it."""
        steps: list[r.Step] = []
        kept = [each for step in draft.steps if (each := _pruned(step, self.read)) is not None]
        for place, step in enumerate(kept):
            if isinstance(step, Program) and self._is_risky(draft, kept[place + 1 :]):
                new = sorted(step.outside - copied)
                steps += map(r.Copy, new)
                copied |= {*new}
            steps.append(self._step(step))
        if isinstance(draft.end, Rounds):
            new = sorted(self._written_in(draft.end) - copied)
            steps += map(r.Copy, new)
            copied |= {*new}
        return r.Body(tuple(steps), self._end(draft, copied, loops))

    def _is_risky(self, draft: Draft, rest: list[Step]) -> bool:
        """Whether anything may fail after this step."""
        after = [each for inner in draft.inside for each in inner.below()]
        for rounds in self._rounds[draft]:
            assert rounds.body is not None
            after += rounds.body.below()
        return any(isinstance(each, RISKY) for each in rest) or not self._risky.isdisjoint(after)

    def _written_in(self, rounds: Rounds) -> set[int]:
        """Slots of memory from outside that rounds of a loop write before something that may fail."""
        assert rounds.body is not None
        if self._risky.isdisjoint(rounds.body.below()):
            return set()
        inside = [each for each in rounds.body.below() if rounds in self._rounds[each]]
        return {
            slot
            for each in inside
            for step in each.steps
            if isinstance(step, Program)
            for slot in step.outside
        }

    def _end(self, draft: Draft, copied: frozenset[int], loops: tuple[Rounds, ...]) -> r.End:
        end = draft.end
        match end:
            case r.Finish() | r.Raise():
                return end
            case Choice(slot=slot, where=where):
                true, false = (self._body(each, copied, loops) for each in draft.inside)
                return r.Decide(slot, true, false, where)
            case Rounds(body=body):
                assert body is not None
                return r.Loop(tuple(self._carried(end)), self._body(body, copied, (*loops, end)))
            case Round(rounds=rounds):
                new = [
                    source
                    for (target, _), source in zip(rounds.carried, end.carried)
                    if target in self.read
                ]
                return r.Again(loops[::-1].index(rounds), tuple(new))
            case _:
                assert_never(end)

    def _carried(self, rounds: Rounds) -> Iterator[tuple[int, int]]:
        return (pair for pair in rounds.carried if pair[0] in self.read)

    def _step(self, step: Step) -> r.Step:
        if isinstance(step, Program):
            return r.Run(self._number(step.graph), step.inputs, step.scalars, step.outputs)
        if isinstance(step, Fresh):
            name = f"#{len(self.constants)}"  # which is no name of state
            self.constants[name] = step.content
            return r.Constant(step.slot, name, step.slot in self._private)
        return step

    def _number(self, graph: Graph) -> int:
        number = self._numbers.setdefault(print_graph(graph), len(self.graphs))
        if number == len(self.graphs):
            self.graphs.append(graph)
        return number


def _wanted(draft: Draft) -> set[int]:
    """Slots that the results, the state, a decision or a check depend on."""
    bodies = [*draft.below()]
    wanted = {slot for each in bodies for slot in _read_at_end(each)}
    before = -1
    while len(wanted) > before:
        before = len(wanted)
        for each in reversed(bodies):
            if isinstance(each.end, Rounds | Round):
                wanted |= _moved(each.end, wanted)
            for step in reversed(each.steps):
                kept = _pruned(step, wanted)
                wanted |= set() if kept is None else {*_read_by(kept)}
    return wanted


def _moved(end: Rounds | Round, wanted: set[int]) -> set[int]:
    """What slots that are wanted in the next round are filled from."""
    rounds = end if isinstance(end, Rounds) else end.rounds
    sources = [source for _, source in end.carried] if isinstance(end, Rounds) else end.carried
    return {source for (target, _), source in zip(rounds.carried, sources) if target in wanted}


def _read_at_end(draft: Draft) -> Iterator[int]:
    """The slots that decide, or that the results and the state are made of."""
    end = draft.end
    if isinstance(end, Choice):
        yield end.slot
    if isinstance(end, r.Finish):
        yield from slots_of(end.result)
    if isinstance(end, r.Raise):
        yield from slots_told(end)
    for update in end.updates if isinstance(end, r.Finish | r.Raise) else ():
        if isinstance(update, r.TensorUpdate):
            yield update.memory.slot
        elif isinstance(update.value, r.Slot):
            yield update.value.slot


def _read_by(step: Step) -> Iterator[int]:
    """The slots that a step reads."""
    match step:
        case r.Compute(operands=operands):
            yield from (each.slot for each in operands if isinstance(each, r.Slot))
        case r.Require(slot=slot):
            yield slot
        case r.Element(memory=memory) | r.Check(memory=memory):
            yield memory.slot
        case Program(inputs=inputs, scalars=scalars):
            yield from (slot for slot, _ in inputs)
            yield from (each.slot for each in scalars if isinstance(each, r.Slot))
        case Fresh():
            pass
        case _:
            assert_never(step)


def written_by(program: Program) -> Iterator[int]:
    """The slots of memory that a program writes, the call's own as well."""
    arrays = [node for node in program.graph.inputs if isinstance(node, Input)]
    targets = {effect.target for effect in program.graph.effects}
    for node, (slot, _) in zip(arrays, program.inputs):
        if node in targets:
            yield slot


def _private(draft: Draft) -> set[int]:
    """Slots of memory that a call writes, returns or carries round a loop, and so shares with no other call."""
    found: set[int] = set()
    for each in draft.below():
        for step in each.steps:
            found |= {*written_by(step)} if isinstance(step, Program) else set()
        if isinstance(each.end, r.Finish):
            found |= {*slots_of(each.end.result)}
        elif isinstance(each.end, Rounds):
            found |= {source for _, source in each.end.carried}
        elif isinstance(each.end, Round):
            found |= {*each.end.carried}
    return found


def _pruned(step: Step, wanted: set[int]) -> Step | None:
    """A program without the outputs that nobody wants, and without what only these needed; None if nothing is left."""
    if isinstance(step, Fresh):
        return step if step.slot in wanted else None
    if not isinstance(step, Program):
        return step
    graph = step.graph
    kept = [place for place, slot in enumerate(step.outputs) if slot in wanted]
    if not graph.effects and not kept:
        return None
    if len(kept) == len(step.outputs):
        return step
    outputs = tuple(graph.outputs[place] for place in kept)
    roots = (*outputs, *(effect.value for effect in graph.effects))
    needed = {*topological(roots), *(effect.target for effect in graph.effects)}
    inputs = tuple(node for node in graph.inputs if node in needed)
    arrays = [node for node in graph.inputs if isinstance(node, Input)]
    scalars = [node for node in graph.inputs if isinstance(node, ScalarInput)]
    return Program(
        Graph(inputs, outputs, graph.effects),
        tuple(place for node, place in zip(arrays, step.inputs, strict=True) if node in needed),
        tuple(value for node, value in zip(scalars, step.scalars, strict=True) if node in needed),
        tuple(step.outputs[place] for place in kept),
        step.outside,
    )
