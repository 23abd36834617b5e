"""What the run of a program needs to know of it: constants where its sizes are fixed, else words of the combination's record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any, Protocol

import numpy as np

from tracejit._records import dataclass
from tracejit.artifact import HostCall
from tracejit.runtime.cpu.native.combinations import NotYet, Part, Unfit
from tracejit.runtime.cpu.native.lines import ArrayKind, Values
from tracejit.runtime.program import Program

ON_STACK = 1 << 14
"""Bytes of a workspace that may lie on the stack."""
INTEGERS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
FLOATS = {"float32": "float", "float64": "double"}
TAKEN = {*INTEGERS, *FLOATS, "bool"}
"""Dtypes of numbers that native code converts."""
_FACTS = 8
"""Words of a program's facts before those of its outputs."""


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """An output: its bytes, and, where it is made as an array, where its shape lies."""

    nbytes: str
    shape: str
    array: ArrayKind | None


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """A program as operands: 64 bits, or what is known while the way is written.

    table   the address of its launches; "" for one that has none
    """

    table: str
    arena_at: str
    scratch_at: str
    scratch_bytes: str
    most_threads: str
    constants: str
    on_stack: bool | str
    is_long: bool | str
    outputs: list[Output]


def can_run(program: Program) -> bool:
    """Whether a way can run the program by itself: all of it is launches, and its numbers are of common dtypes."""
    is_native = not any(isinstance(step, HostCall) for step in program.plan.steps)
    return is_native and TAKEN.issuperset(program.plan.scalars)


def program_behind(run: Any) -> Program | None:
    """The program that a method runs."""
    if type(run) is not MethodType or run.__func__ is not Program.run:
        return None
    program: Any = run.__self__
    return program if isinstance(program, Program) else None


@dataclass(frozen=True, slots=True, eq=False)
class FixedRun:
    """Runs one program."""

    program: Program

    def facts(self, code: Any, arrays: Sequence[ArrayKind | None]) -> Facts:
        program = self.program
        code.address_of(program)  # whose tables the launches lie in
        outputs = []
        for nbytes, wanted in zip(program.output_bytes, arrays, strict=True):
            shape = None if wanted is None else wanted.shape((), nbytes)
            if shape is None:
                outputs.append(Output(str(nbytes), "", None))
                continue
            words = _words(shape)
            code.address_of(words)  # held
            outputs.append(Output(str(nbytes), code.raw(words.ctypes.data), wanted))
        layout = program.layout
        return Facts(
            table=code.raw(program.tables[0]) if program.tables else "",
            arena_at=str(layout.arena_at),
            scratch_at=str(layout.scratch_at),
            scratch_bytes=str(layout.scratch_bytes),
            most_threads=str(program.most_threads),
            constants=code.raw(program.constants_address),
            on_stack=_is_small(program),
            is_long=program.is_long,
            outputs=outputs,
        )


class Owner(Protocol):
    """Has a program for each combination of sizes, of which `values` were those of the recorded call."""

    values: Values

    def at(self, values: Values) -> Callable[..., Any]:
        """What runs the program for these sizes."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SizedRun:
    """Runs the program for the call's sizes, or for the first of them.

    program   that of the recorded call
    count     how many sizes it is made for
    """

    program: Program
    owner: Owner
    count: int

    def facts(self, code: Any, arrays: Sequence[ArrayKind | None]) -> Facts:
        now = self.owner.values
        wanted = [
            each if each is not None and each.shape(now, nbytes) is not None else None
            for each, nbytes in zip(arrays, self.program.output_bytes, strict=True)
        ]
        read = code.words_of(_FACTS + 2 * len(wanted), self._part(wanted))
        outputs = [
            Output(read(_FACTS + 2 * n), read(_FACTS + 2 * n + 1) if each else "", each)
            for n, each in enumerate(wanted)
        ]
        *numbers, on_stack, is_long = map(read, range(_FACTS))
        flags = [code.let(f"icmp ne i64 {each}, 0") for each in (on_stack, is_long)]
        return Facts(*numbers, *flags, outputs)  # type: ignore[call-arg]  # as many as `_FACTS` says

    def _part(self, arrays: Sequence[ArrayKind | None]) -> Part:
        def part(values: Values) -> tuple[Sequence[int], Any]:
            program = self._program(values[: self.count])
            outputs, held = [], []
            for nbytes, wanted in zip(program.output_bytes, arrays, strict=True):
                shape = () if wanted is None else wanted.shape(values, nbytes)
                if shape is None:
                    raise Unfit
                held.append(_words(shape))
                outputs += [nbytes, held[-1].ctypes.data]
            return [*_numbers(program), *outputs], (program, held)

        return part

    def _program(self, values: Values) -> Program:
        run = self.owner.at(values)
        if type(run) is not MethodType:  # it runs op by op until it has been compiled
            raise NotYet
        program = program_behind(run)
        if program is None or not self._is_like_the_first(program):
            raise Unfit
        return program

    def _is_like_the_first(self, program: Program) -> bool:
        first, plan = self.program.plan, program.plan
        same = (len(first.inputs), len(first.outputs), first.scalars) == (
            len(plan.inputs),
            len(plan.outputs),
            plan.scalars,
        )
        return same and can_run(program) and len(program.tables) == 1


def _numbers(program: Program) -> list[int]:
    """In the order of `Facts`."""
    layout = program.layout
    return [
        program.tables[0],
        layout.arena_at,
        layout.scratch_at,
        layout.scratch_bytes,
        program.most_threads,
        program.constants_address,
        int(_is_small(program)),
        int(program.is_long),
    ]


def _is_small(program: Program) -> bool:
    return not program.layout.scratch_bytes and program.layout.scratch_at <= ON_STACK


def _words(shape: tuple[int, ...]) -> np.ndarray:
    return np.array([*shape, 0], np.int64)
