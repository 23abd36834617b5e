"""Recordings of one function, each of which goes one of its ways, and of which nothing is left but what they have found."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from tracejit._errors import ExportError, user_location
from tracejit._records import dataclass
from tracejit.runtime.buffer import Buffer
from tracejit.standalone.arguments import Given
from tracejit.standalone.leaves import Keeping, Leaf, Raised, Unfit, raised_by
from tracejit.standalone.pieces import Piece, Route, Unlike, Ways
from tracejit.standalone.reads import Changed, Reads
from tracejit.standalone.scope import Scope
from tracejit.standalone.sizes import variables
from tracejit.standalone.trial import Stopped, Trial, TrialRecorder
from tracejit.standalone.variables import Variables
from tracejit.tracing.arrays import Arrays
from tracejit.tracing.programs import Programs
from tracejit.tracing.replay import guards as g
from tracejit.tracing.replay.current import recorder_of
from tracejit.tracing.replay.engine import Replays, changed_numbers
from tracejit.tracing.replay.places import line_of_error
from tracejit.tracing.replay.recorder import ReplayRecorder
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.touched import Undo
from tracejit.tracing.replay.tree import Node, Tree


@dataclass(frozen=True, slots=True)
class _Unsettled:
    """A guard of a piece that does not hold after a call, what is there now, and the sources of the numbers that have changed."""

    piece: Piece
    guard: g.Guard
    where: str
    now: str
    changed: set[Any]


class _Tree(Tree):
    """Tells which of its nodes a recording has come to."""

    path: list[Node]

    def add(self, *recorded: Any) -> list[Node] | None:
        found = super().add(*recorded)
        self.path = found or []
        return found


class Attempts(Replays):
    """decides_numbers  whether decisions on numbers that stand before the call are ways, too"""

    tree: _Tree

    def __init__(self, function: Callable[..., Any], programs: Programs, call: Given) -> None:
        where = user_location()
        super().__init__(function, programs, programs, withholds=False, dynamic=None, made_at=where)
        self.tree = _Tree(self.tree.name, programs, programs)
        self.given = call
        self.decides_numbers = True
        self.has_decided = self.has_decided_numbers = False
        """Whether any of the recordings has come to a decision, and to one on a number that stands before the call."""
        self.has_too_many = False
        """Whether there were more ways than an artifact may have, of which unrolling loops makes no fewer."""
        self.raised: Exception | None = None
        """What the last of the ways that end by an exception has raised."""
        self._undoing: list[Undo] = []
        self.begin()

    def begin(self) -> None:
        """Nothing is known."""
        self.tree.forget()
        self.ways = Ways()
        self.sizes = variables(self.given.names, self.given.values)
        """Those that are open, in all recordings: what one of them asks holds for all."""
        self._constants: dict[bytes, Buffer] = {}
        self._trials: list[Trial] = []

    def go(self, route: Route) -> None:
        """Records a call, which is put back.

        Raises ExportError, and `Changed` where other recordings may be ones that the next call would fit as well.
        """
        self._route, self._is_over = route, False
        self._refusal: ExportError | None = None
        inputs = {*self.tree.symbolic}
        try:
            self._go()
            unsettled = self._unsettled()
        except ExportError:
            self.ways.take_back(self._trials[-1])
            self._check_inputs(inputs)
            raise
        finally:
            self.has_decided |= bool(route.outcomes)
            self.has_decided_numbers |= route.has_numbers
            while self._undoing:
                self._undoing.pop()()
        self._check_inputs(inputs)
        if unsettled is None:
            return
        if not unsettled.changed <= self.tree.symbolic:
            raise Changed(unsettled.changed)
        self.ways.take_back(self._trials[-1])
        raise ExportError(self._told(unsettled))

    def _check_inputs(self, before: set[Any]) -> None:
        """Rounds of a loop that have changed numbers of the state make them inputs of all recordings."""
        if self.tree.symbolic != before:
            raise Changed(self.tree.symbolic - before)

    def _go(self) -> None:
        try:
            with Arrays() as arrays:
                arrays.leave(self.record(self.given.args, self.given.kwargs, arrays))
        except ExportError:
            raise
        except Stopped as stopped:
            reason, mend = stopped.args
            where, _, why = reason.partition(": ")
            raise ExportError(f"{where}: export: {why}: {mend}") from None
        except Exception as error:
            if self._refusal is not None:
                raise self._refusal from None
            if not self._is_over:
                raise
            self.raised = error

    # The recording

    def _begun(self, *state: Any) -> tuple[Recording, ReplayRecorder]:
        around = Variables(self.function)
        how = self._route, self.decides_numbers, self.sizes, self.given.open
        trial = Trial(self._undoing, around, *how, *state)
        self._trials.append(trial)
        return trial, TrialRecorder(self.programs, trial, self._constants)

    def _finish(self, recording: Recording, result: Any, known: int) -> None:
        self._end(recording, known, result, None, recording._definition)

    def _note_error(self, recording: Recording, error: BaseException) -> None:
        """An exception is how a way ends, if it is one of several."""
        if not recording.closed and isinstance(error, Exception) and self._route.outcomes:
            where = line_of_error(error, recording._outermost, recording._definition)
            assert isinstance(recording, Trial)
            try:
                raised = raised_by(error, recording.made_of(error))
            except Unfit as unfit:
                name = type(error).__name__
                self._refusal = ExportError(f"{where}: export: the call raises {name}, {unfit}")
            else:
                recorder_of(recording).flush()
                self._end(recording, self.tree.nodes, None, raised, where)
        recording.closed = True  # what is to be done now is the library's

    def _end(
        self,
        recording: Recording,
        known: int,
        result: Any,
        error: Raised | None,
        where: str,
    ) -> None:
        self._ending = error, where
        super()._finish(recording, result, known)
        try:
            self._route.end(recording, self._leaf, self.tree.path)
        except Unlike:
            why = "a call that decides as another one does something else"
            raise ExportError(f"{where}: export: {why}: use tj.where") from None
        self._is_over = True

    def _keep(self, recording: Recording, result: Any) -> None:
        keeping = Keeping(recording, self.given)
        error, where = self._ending
        self._leaf = Leaf(keeping.result(result), error, keeping.effects(), where)

    # Whether the next call would go as these

    def _unsettled(self) -> _Unsettled | None:
        call = self.given.args, self.given.kwargs
        slots = [None] * self.tree.capacity
        known = [(piece, piece.node) for piece in self.ways.pieces() if piece.node is not None]
        for piece, node in known:
            found = self.tree.failing(node, slots, *call)
            if found:
                changed = {key for _, each in known for key in changed_numbers(each.guards, *call)}
                guard, where = node.guards[found - 1], node.wheres[found - 1]
                return _Unsettled(piece, guard, where, guard.now(*call), changed)
        return None

    def _told(self, found: _Unsettled) -> str:
        """Why the next call would not be as this one."""
        guard = found.guard
        claim = f"{guard} in this call, and not in the next"
        mend = "an artifact does the same in each call: make the first call before the export"
        if isinstance(guard, g.ResultIs):
            text = self._expression(found.piece, guard)
            claim = f"{text} is {guard.value!r} in this call, and not in the next"
            mend = "make the calls that are others before the export, or use tj.where"
        elif found.now:
            claim += f", where it is {found.now}"
        return f"{found.where}: export: {claim}: {mend}"

    def _expression(self, piece: Piece, guard: g.ResultIs) -> str:
        above = [*piece.above()][::-1]
        guards = [each for one in above for each in one.segment.guards]
        with contextlib.suppress(ExportError):
            reads = Reads(self.given, self.function, guards, self.definition)
            scope: Scope | None = None
            for each in above:
                scope = Scope(reads, each, scope)
                for _ in scope.steps():
                    pass
            assert scope is not None
            return reads.expressions.get(scope.number(guard.slot), guard.text)
        return guard.text
