"""The pieces of all ways as drafts of bodies: results, updates, decisions and loops."""

from __future__ import annotations

from typing import Any, NoReturn

from tracejit.ir.dim import is_open
from tracejit.standalone.drafts import Choice, Draft, End, Round, Rounds, Step
from tracejit.standalone.leaves import Effect, Kept, Leaf
from tracejit.standalone.pieces import Piece
from tracejit.standalone.reads import ATOMS, Reads
from tracejit.standalone.records import (
    DictResult,
    Finish,
    GivenResult,
    NumberResult,
    NumberUpdate,
    Raise,
    Require,
    Result,
    SequenceResult,
    TensorResult,
    TensorUpdate,
    Update,
)
from tracejit.standalone.scope import Scope
from tracejit.symbols import SYMBOLS
from tracejit.tracing.replay import segments as s
from tracejit.tracing.replay.sources import Source


def draft_of(first: Piece, reads: Reads) -> Draft:
    """Raises ExportError for what an artifact cannot carry."""
    return _Drafting(first, reads).draft(first, None, {})


class _Drafting:
    def __init__(self, first: Piece, reads: Reads) -> None:
        self.reads = reads
        self.heads = {piece.back for piece in first.below() if piece.back is not None}
        """Pieces with which rounds of loops begin."""

    def draft(self, piece: Piece, above: Scope | None, loops: dict[Piece, Rounds]) -> Draft:
        """What comes from a piece on; `loops` are those around it, by the pieces with which their rounds begin."""
        steps: list[Step] = []
        while True:
            scope = Scope(self.reads, piece, above)
            steps += scope.steps()
            if piece.kind == "branch" and piece.is_fixed:
                steps.append(self.fixed(piece, scope))
                above, piece = scope, piece.next[piece.first]
            elif piece.kind == "head" and piece.next[None] not in self.heads:
                move = _move(piece)
                for target, source in zip(move.targets, move.sources):
                    scope.rename(target, source)
                above, piece = scope, piece.next[None]
            else:
                return Draft(steps, self.end(piece, scope, loops))

    def fixed(self, piece: Piece, scope: Scope) -> Require:
        assert piece.segment.end is not None
        return scope.require(piece.segment.end.slot, piece.first, "a decision", piece.where)

    def end(self, piece: Piece, scope: Scope, loops: dict[Piece, Rounds]) -> End:
        if piece.leaf is not None:
            return self.over(piece.leaf, scope)
        if piece.back is not None:
            carried = [scope.number(slot) for slot in _move(piece).sources]
            return Round(loops[piece.back], tuple(carried))
        if piece.kind == "head":
            return self.loop(piece, scope, loops)
        assert piece.segment.end is not None
        slot = scope.number(piece.segment.end.slot)
        true, false = (self.draft(piece.next[each], scope, loops) for each in (True, False))
        return Choice(slot, true, false, piece.where)

    def loop(self, piece: Piece, scope: Scope, loops: dict[Piece, Rounds]) -> Rounds:
        move, head = _move(piece), piece.next[None]
        sources = [scope.number(slot) for slot in move.sources]
        targets = [scope.fill(slot) for slot in move.targets]
        rounds = Rounds(tuple(zip(targets, sources)))
        rounds.body = self.draft(head, scope, {**loops, head: rounds})
        return rounds

    def over(self, leaf: Leaf, scope: Scope) -> Finish | Raise:
        updates = tuple(self.update(effect, scope) for effect in leaf.effects)
        if leaf.error is not None:
            raised = leaf.error
            args = tuple(scope.told(each, leaf.where) for each in raised.args)
            return Raise(updates, raised.bases, raised.name, args, leaf.where)
        return Finish(updates, self.result(leaf.result, scope))

    def update(self, effect: Effect, scope: Scope) -> Update:
        value, place = effect.value, effect.place
        if not isinstance(value, Kept):
            operand = scope.operand(value, effect.where)
            number = self.reads.written_number(place, operand)
            if number not in self.reads.numbers:
                self.refuse_other(place, effect.where)
            return NumberUpdate(number, operand)
        memory = scope.memory(value.slot, value.dtype, value.layout)
        if any(map(is_open, memory.shape)):
            why = f"{place} keeps a tensor with a size that is open: return it instead"
            self.reads.refuse(why, effect.where)
        if memory.slot in self.reads.arguments:
            why = f"{place} keeps an argument, which the caller may change: keep a copy"
            self.reads.refuse(why, effect.where)
        is_array = value.type != "tensor"
        slot = self.reads.written_tensor(place, memory, is_array=is_array)
        _, *kind = self.reads.tensors.get(slot, (place,))
        if kind != [memory.dtype, memory.shape, is_array]:
            self.refuse_other(place, effect.where)
        return TensorUpdate(slot, memory)

    def refuse_other(self, place: Source, where: str) -> NoReturn:
        why = f"{place} becomes a value of another kind, dtype or shape than it is on other ways"
        self.reads.refuse(f"{why}: keep one in its place", where)

    def result(self, value: Any, scope: Scope) -> Result:
        kind = type(value)
        if kind in SYMBOLS or kind in ATOMS:
            return NumberResult(scope.operand(value))
        if kind is Kept:
            return self.tensor(value, scope)
        if kind not in (list, tuple, dict):
            self.reads.refuse(
                f"the call returns a {kind.__name__}: return tensors, numbers, lists, tuples and dicts"
            )
        parts = [*value.values()] if kind is dict else value
        built = tuple(self.result(part, scope) for part in parts)
        if kind is not dict:
            return SequenceResult(kind.__name__, built)
        if not all(type(key) in (str, int) for key in value):
            self.reads.refuse("the call returns a dict whose keys are neither text nor ints")
        return DictResult(tuple(value), built)

    def tensor(self, kept: Kept, scope: Scope) -> Result:
        if kept.source is not None and self.reads.given.is_data(kept.source):
            slot = self.reads.slot_of(kept.source)
            assert slot is not None
            return GivenResult(slot)
        memory = scope.memory(kept.slot, kept.dtype, kept.layout)
        return TensorResult(kept.number, memory, kept.type)


def _move(piece: Piece) -> s.Move:
    move = piece.segment.instructions[-1]
    assert isinstance(move, s.Move)
    return move
