"""Calls with loops that run as machine code: put into an artifact, and entered from Python.

An artifact has the code of `machine/rounds.py` as one object more. Whoever loads it writes the code's text anew, from the records
that have been checked: the object is that which is named for this text, so that it is never entered with another frame.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tracejit import portable
from tracejit._config import config
from tracejit._errors import ArtifactError, CompileError
from tracejit._records import dataclass
from tracejit.artifact import Plan
from tracejit.runtime.buffer import Buffer
from tracejit.runtime.cpu.pool import thread_pool
from tracejit.standalone.check import check_call
from tracejit.standalone.given import Slots
from tracejit.standalone.machine.frame import CONSTANTS, RUN, TABLES, THREADS, workspace_bytes
from tracejit.standalone.machine.rounds import (
    BEFORE,
    CHECK,
    LEFT,
    RESTORE,
    SAVE,
    RoundsCode,
    rounds_code,
)
from tracejit.standalone.machine.writer import Kind, Unable
from tracejit.standalone.manifest import object_entry
from tracejit.standalone.records import Call, Target

if TYPE_CHECKING:
    from tracejit.runtime.program import Program

T = TypeVar("T")
Run = Callable[[Slots], T]
KEPT = 1 << 16
"""Bytes up to which a frame is kept from call to call."""
_WORDS_BEFORE = BEFORE // 8
_TYPES: dict[Kind, Any] = {Kind.BOOL: bool, Kind.INT: int, Kind.FLOAT: float}


@dataclass(slots=True)
class Counts:
    """How many calls machine code has made, and how many it has left to Python."""

    made: int = 0
    left: int = 0


counts = Counts()


def code_of(call: Call, plans: Sequence[Plan], tensors: Mapping[str, np.ndarray]) -> RoundsCode:
    """Raises Unable for what needs Python."""
    sizes = {name: each.nbytes for name, each in tensors.items() if name.startswith("#")}
    return rounds_code(call, plans, sizes)


def objects_for(
    call: Call, plans: Sequence[Plan], tensors: Mapping[str, np.ndarray], target: Target
) -> dict[str, bytes]:
    """The object of the call by its name; none where the call needs Python."""
    check_call(call, plans, tensors)  # code is written for what is right
    try:
        code = code_of(call, plans, tensors)
    except Unable:
        return {}
    return portable.objects_of([code.source], target.level)


def why_not(
    call: Call,
    plans: Sequence[Plan],
    tensors: Mapping[str, np.ndarray],
    target: Target,
    entries: Mapping[str, memoryview],
) -> str:
    """Why Python goes round the loops of an artifact; "" where machine code does."""
    try:
        code = code_of(call, plans, tensors)
    except Unable as unable:
        return str(unable)
    return "" if object_entry(target, code.source.name) in entries else "there is no object for it"


def native_rounds(
    call: Call,
    programs: Sequence[Program],
    tensors: Mapping[str, np.ndarray],
    target: Target,
    entries: Mapping[str, memoryview],
) -> Rounds | None:
    """The call's machine code, if there is any. Raises ArtifactError for an object that is none."""
    try:
        code = code_of(call, [program.plan for program in programs], tensors)
    except Unable:
        return None
    name = code.source.name
    entry = object_entry(target, name)
    if entry not in entries:
        return None
    try:
        address = portable.addresses_of({name: bytes(entries[entry])})[name]
    except CompileError as error:
        raise ArtifactError(f"entry {entry}: it cannot be linked: {error}") from None
    return Rounds(code, programs, tensors, address)


class _Space:
    """A frame for one call at a time, under the settings of now (`epoch`)."""

    __slots__ = ("address", "buffer", "epoch", "floats", "words")

    def __init__(self, buffer: Buffer) -> None:
        self.buffer, self.epoch = buffer, config.epoch
        self.address = buffer.address + BEFORE
        words = buffer.array(np.dtype(np.int64), (buffer.nbytes // 8,))
        self.words, self.floats = words.data, words.view(np.float64).data


class Rounds:
    """Makes calls by machine code. Several threads may make some at once."""

    def __init__(
        self,
        code: RoundsCode,
        programs: Sequence[Program],
        tensors: Mapping[str, np.ndarray],
        address: int,
    ) -> None:
        self._code, self._programs = code, programs
        self._enter = _type()(address)
        self._constants = _constants(code, programs, tensors)
        frame = code.frame
        self._fixed, self._scratch = workspace_bytes([program.plan for program in programs])
        self._cells = [
            (slot, frame.cells[slot] + _WORDS_BEFORE, kind) for slot, kind in code.entered.items()
        ]
        first = frame.slots + _WORDS_BEFORE
        self._ends = [
            [(slot, first + slot, what) for slot, what in end.items()] for end in code.ends
        ]
        self._spaces: list[_Space] = []

    def runner(self, ends: Sequence[T], by_python: Run[T]) -> Run[T]:
        """What runs a call, as `runner_of` has it; `by_python` is what makes those calls that machine code leaves."""

        def run(slots: Slots) -> T:
            space = self._space()
            if not self._fill(space, slots) or (status := self._entered(space)) > 0:
                counts.left += 1
                return by_python(slots)
            counts.made += 1
            self._read(space, slots, self._ends[-status])
            if space.buffer.nbytes <= KEPT:
                self._spaces.append(space)
            return ends[-status]

        return run

    def _entered(self, space: _Space) -> int:
        try:
            status: int = self._enter(space.address)
        except ctypes.ArgumentError:  # of an integer: there was no room on the stack to convert it
            raise RecursionError("maximum recursion depth exceeded") from None
        return status

    def _fill(self, space: _Space, slots: Slots) -> bool:
        """The cells; whether all numbers are of the types and sizes that the code knows."""
        words, floats = space.words, space.floats
        for slot, word, kind in self._cells:
            value: Any = slots[slot]
            if kind is None:
                words[word] = 0 if value is None else value.address  # what no call has set yet
            elif type(value) is not _TYPES[kind]:
                return False
            elif kind is Kind.FLOAT:
                floats[word] = value
            elif -(1 << 63) <= value < 1 << 63:
                words[word] = int(value)
            else:
                return False
        return True

    def _read(self, space: _Space, slots: Slots, end: list[tuple[int, int, Kind | int]]) -> None:
        """Copies what the call ends with out of the frame, in which the next one is made."""
        for slot, word, what in end:
            if what is Kind.FLOAT:
                slots[slot] = space.floats[word]
            elif isinstance(what, Kind):
                slots[slot] = _TYPES[what](space.words[word])
            else:
                buffer = slots[slot] = Buffer.allocate(what)
                ctypes.memmove(buffer.address, space.words[word], what)

    def _space(self) -> _Space:
        try:
            space = self._spaces.pop()
        except IndexError:
            return self._new_space()
        return space if space.epoch == config.epoch else self._new_space()

    def _new_space(self) -> _Space:
        frame, threads = self._code.frame, thread_pool().threads
        space = _Space(
            Buffer.allocate(BEFORE + frame.workspace + self._fixed + threads * self._scratch)
        )
        words = space.words
        words[_WORDS_BEFORE + LEFT] = 0
        for word, function in _python().items():
            words[_WORDS_BEFORE + word] = function
        words[_WORDS_BEFORE + THREADS] = threads
        words[_WORDS_BEFORE + CONSTANTS] = self._constants.address
        for number, program in enumerate(self._programs):
            words[_WORDS_BEFORE + RUN] = program.run_address
            words[_WORDS_BEFORE + TABLES + number] = next(iter(program.tables), 0)
        for area in frame.areas:
            words[_WORDS_BEFORE + area.word] = space.address + area.offset
        return space


def _constants(
    code: RoundsCode, programs: Sequence[Program], tensors: Mapping[str, np.ndarray]
) -> Buffer:
    """All of them, where the code looks for them."""
    buffer = Buffer.allocate(code.constants)
    memory = buffer.array(np.dtype(np.uint8), (code.constants,))
    pieces = [
        (place, np.ravel(tensors[name]).view(np.uint8)) for name, place in code.placed.named.items()
    ]
    for place, program in zip(code.placed.programs, programs, strict=True):
        pieces.append((place, np.frombuffer(program.plan.constants, np.uint8)))
    for place, piece in pieces:
        memory[place : place + piece.size] = piece
    return buffer


@cache
def _type() -> Any:
    """Of a function that is entered with the GIL, and raises what it finds raised when it comes back."""
    return ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)


@cache
def _python() -> dict[int, int]:
    """Python's functions by the words that hold their addresses."""
    api = ctypes.pythonapi
    functions = {
        SAVE: api.PyEval_SaveThread,
        RESTORE: api.PyEval_RestoreThread,
        CHECK: api.PyErr_CheckSignals,
    }
    return {
        word: ctypes.cast(function, ctypes.c_void_p).value or 0
        for word, function in functions.items()
    }
