"""All ways through a function as recordings have found them: pieces between two decisions, each of which was recorded first once.

A decision can be told to go another way than it does. So each recording begins as an earlier one has, and then goes where none
has been; where it comes to what is known, as after a round of a loop, it takes what is not known yet, or what leads to an end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from tracejit._records import dataclass, field
from tracejit.standalone.leaves import Leaf
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.segments import Segment
from tracejit.tracing.replay.tree import Node


@dataclass(slots=True, eq=False)
class Piece:
    """What a call does up to a decision, a loop's head, or its end.

    recording  which has been here first, by this `history` of decisions
    next       the pieces that come then, by the outcome of the decision; by None after a loop's head
    back       the piece with which the next round of a loop begins
    first      the outcome that was met first, and `is_late` whether the decision depends on data
    is_fixed   the other outcome cannot be exported: the number that decides has to be what it was
    node       what the tree of recordings has for it
    """

    recording: Recording
    segment: Segment
    parent: Piece | None
    history: tuple[bool, ...]
    next: dict[Any, Piece] = field(default_factory=dict)
    back: Piece | None = None
    leaf: Leaf | None = None
    first: bool = False
    is_late: bool = True
    is_fixed: bool = False
    node: Node | None = None

    @property
    def kind(self) -> str:
        """ "branch", "head", "goto" or "leaf"."""
        end = self.segment.end
        return "leaf" if end is None else end.kind

    @property
    def where(self) -> str:
        """The line that decides."""
        return self.segment.end.where if self.segment.end is not None else ""

    def above(self) -> Iterator[Piece]:
        """It, and the pieces that lead to it, back to the first."""
        piece: Piece | None = self
        while piece is not None:
            yield piece
            piece = piece.parent

    def below(self) -> Iterator[Piece]:
        """It, and all that come after it, in the order in which a call comes to them."""
        yield self
        for piece in self.next.values():
            yield from piece.below()

    def unknown(self) -> list[bool]:
        """Outcomes of its decision that no recording has met."""
        if self.kind != "branch" or self.is_fixed:
            return []
        return [each for each in (self.first, not self.first) if each not in self.next]

    def distance(self) -> float:
        """How many pieces come before the nearest end of a call."""
        found, todo = {self: 0}, deque([self])
        while todo:
            piece = todo.popleft()
            if piece.leaf is not None:
                return found[piece]
            ways = [*piece.next.values(), *([piece.back] if piece.back else [])]
            for each in ways:
                if each not in found:
                    found[each] = found[piece] + 1
                    todo.append(each)
        return float("inf")


class Unlike(Exception):
    """A recording came by the same decisions to something else."""


class Ways:
    """The pieces that are known."""

    def __init__(self) -> None:
        self.first: Piece | None = None

    def pieces(self) -> list[Piece]:
        return [] if self.first is None else [*self.first.below()]

    def leaves(self) -> list[Piece]:
        return [piece for piece in self.pieces() if piece.leaf is not None]

    def unknown(self) -> tuple[Piece, bool] | None:
        """A decision, and an outcome that is not known."""
        for piece in self.pieces():
            for outcome in piece.unknown():
                return piece, outcome
        return None

    def take_back(self, recording: Recording) -> None:
        """Forgets the pieces that only this recording knows."""
        for piece in self.pieces():
            for key in [key for key, each in piece.next.items() if each.recording is recording]:
                del piece.next[key]
        if self.first is not None and self.first.recording is recording:
            self.first = None

    def has(self, outcomes: list[bool]) -> bool:
        """Whether calls that decide so go a way that is known."""
        piece = self.first
        for outcome in outcomes:
            while piece is not None and piece.kind != "branch":
                piece = piece.back or piece.next.get(None)
            piece = piece and piece.next.get(outcome)
        return piece is not None

    def give_up(self, piece: Piece) -> bool:
        """What comes after an outcome of this decision cannot be exported. Whether it is an outcome that a number which stands
        before the call has to have anyway; then that is what is asked of it."""
        below: Piece | None = None
        for each in piece.above():
            is_other = below is None or each.next.get(not each.first) is below
            if not each.is_late and not each.is_fixed and each.kind == "branch" and is_other:
                each.next.pop(not each.first, None)
                each.is_fixed = True
                return True
            below = each
        return False


class Route:
    """The way of one recording among the pieces: first that of the decisions that it is told."""

    def __init__(self, ways: Ways, told: tuple[bool, ...] = ()) -> None:
        self.outcomes: list[bool] = []
        self.is_supposed = False
        """Whether a number which stands before the call was told to be another one."""
        self.has_numbers = False
        """Whether it has come to a decision on a number that stands before the call."""
        self.pieces: list[Piece] = []
        self._ways = ways
        self._told = told

    def decide(self, recording: Recording, own: bool, *, is_late: bool) -> bool:
        """The outcome of a decision whose own would be `own`."""
        piece, place = self._at(recording), len(self.outcomes)
        is_new = piece.segment is recording.segment
        if place < len(self._told):
            outcome = self._told[place]
        else:
            outcome = own if is_new else self._chosen(piece, own)
        if is_new:
            piece.first, piece.is_late = outcome, is_late
        self.has_numbers |= not is_late
        self.is_supposed |= not is_late and outcome is not own
        self.outcomes.append(outcome)
        return outcome

    def _chosen(self, piece: Piece, own: bool) -> bool:
        """At a decision that was met before."""
        unknown = piece.unknown() if piece.is_late else []
        if unknown:
            return unknown[0]
        ways = sorted(piece.next, key=lambda outcome: outcome is not own)
        return min(ways, key=lambda outcome: piece.next[outcome].distance())

    def end(self, recording: Recording, leaf: Leaf, nodes: list[Node]) -> None:
        """The call is over. Raises Unlike where it is not as others were that came by the same pieces."""
        last = self._at(recording)
        if last.kind != "leaf":
            raise Unlike
        last.leaf = last.leaf or leaf
        for piece, node in zip(self.pieces, nodes, strict=True):
            if piece.node is None:
                piece.node = node
            elif piece.node.text[:3] != node.text[:3]:  # but for what is done at the end
                raise Unlike

    def _at(self, recording: Recording) -> Piece:
        """The piece that is recorded now."""
        while len(self.pieces) < len(recording.segments):
            self.pieces.append(self._following(recording, len(self.pieces)))
        return self.pieces[-1]

    def _following(self, recording: Recording, place: int) -> Piece:
        segment = recording.segments[place]
        if place == 0:
            if self._ways.first is None:
                self._ways.first = Piece(recording, segment, None, ())
            return self._ways.first
        before, end = self.pieces[-1], recording.segments[place - 1].end
        assert end is not None
        if before.kind != end.kind:
            raise Unlike
        jump = recording.jumps.get(place)
        if jump is not None:
            return self._round(before, self.pieces[jump])
        key = end.outcome if end.kind == "branch" else None
        if key not in before.next:
            before.next[key] = Piece(recording, segment, before, tuple(self.outcomes))
        return before.next[key]

    def _round(self, before: Piece, head: Piece) -> Piece:
        if before.back not in (None, head) or head not in before.above():
            raise Unlike
        before.back = head
        return head
