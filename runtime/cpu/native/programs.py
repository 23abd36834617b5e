"""Runs of programs in a way: addresses and numbers are packed on the stack, and the launches walked at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracejit._native import abi
from tracejit.runtime.cpu.native.lines import ArrayKind
from tracejit.runtime.cpu.native.runs import (
    FLOATS,
    INTEGERS,
    ON_STACK,
    Facts,
    FixedRun,
    Output,
    SizedRun,
)
from tracejit.runtime.cpu.native.sized import Sized
from tracejit.runtime.cpu.native.values import Kind, Unsupported, Value
from tracejit.runtime.cpu.pool_ir import THREADS
from tracejit.runtime.program import Program
from tracejit.runtime.scalars import write_slots


class Programs(Sized):
    """Writes runs of programs."""

    def run_program(
        self,
        run: FixedRun | SizedRun,
        inputs: list[str],
        scalars: list[Value],
        arrays: Sequence[ArrayKind | None],
    ) -> list[Value]:
        """The outputs of a run, from addresses and numbers; some outputs are to be `arrays`, the others are buffers."""
        dtypes = run.program.plan.scalars
        if (len(inputs), len(scalars)) != (len(run.program.plan.inputs), len(dtypes)):
            raise Unsupported("a program with other inputs")
        numbers = [self.number(dtype, value) for dtype, value in zip(dtypes, scalars)]
        facts = run.facts(self, arrays)
        outputs, addresses = self._outputs(facts)
        threads = self._threads(run.program, facts.most_threads)
        base = self._workspace(facts, threads)
        scalars_at = run.program.layout.scalars_at  # the same for all sizes
        words = [
            threads,
            *inputs,
            *addresses,
            self._integer(self.at(base, scalars_at)),
            self._integer(self.let(f"getelementptr i8, ptr {base}, i64 {facts.arena_at}")),
            facts.constants,
        ]
        for place, text in enumerate(words):
            self.do(f"store i64 {text}, ptr {self.at(base, 8 * place)}")
        for place, (kind, text) in enumerate(numbers):
            self.do(f"store {kind} {text}, ptr {self.at(base, scalars_at + 8 * place)}")
        if facts.table:
            self._launch(run.program, facts, base)
        return outputs

    def _launch(self, program: Program, facts: Facts, base: str) -> None:
        run = self.pointer(self.raw(program.run_address))
        table = self.pointer(facts.table)
        if isinstance(facts.is_long, bool):
            state = self.call("PyEval_SaveThread") if facts.is_long else ""
            self.do(f"call void {run}(ptr {table}, ptr {base})")
            if state:
                self.call("PyEval_RestoreThread", state)
            return
        short, long, end = (self.fresh("b") for _ in range(3))
        self.branch(facts.is_long, long, short)
        self.enter(short)
        self.do(f"call void {run}(ptr {table}, ptr {base})")
        self.jump(end)
        self.enter(long)
        state = self.call("PyEval_SaveThread")
        self.do(f"call void {run}(ptr {table}, ptr {base})")
        self.call("PyEval_RestoreThread", state)
        self.jump(end)
        self.enter(end)

    def _integer(self, pointer: str) -> str:
        return self.let(f"ptrtoint ptr {pointer} to i64")

    def pointer(self, integer: str) -> str:
        return self.let(f"inttoptr i64 {integer} to ptr")

    def _threads(self, program: Program, most: str) -> str:
        pool = self.pointer(self.raw(program.pool_address))
        threads = self.let(f"zext i32 {self.load(pool, THREADS, 'i32')} to i64")
        fewer = self.let(f"icmp ult i64 {threads}, {most}")
        return self.let(f"select i1 {fewer}, i64 {threads}, i64 {most}")

    def _workspace(self, facts: Facts, threads: str) -> str:
        """Memory for one run: on the stack, or a buffer that the frame holds."""
        if facts.on_stack is True:
            return self.room(max(int(facts.scratch_at), 8))
        if facts.on_stack is False:
            return self._leased(facts, threads)
        small, large, end = (self.fresh("b") for _ in range(3))
        self.branch(facts.on_stack, small, large)
        self.enter(small)
        on_stack = self.room(ON_STACK)
        self.jump(end)
        self.enter(large)
        leased = self._leased(facts, threads)
        after = self.block
        self.jump(end)
        self.enter(end)
        return self.let(f"phi ptr [ {on_stack}, %{small} ], [ {leased}, %{after} ]")

    def _leased(self, facts: Facts, threads: str) -> str:
        scratch = self.let(f"mul i64 {threads}, {facts.scratch_bytes}")
        nbytes = self.let(f"add i64 {scratch}, {facts.scratch_at}")
        return self.pointer(self.address_in(self.new_buffer(nbytes)))

    def new_buffer(self, nbytes: str) -> str:
        made = self.hold(self.checked(self.help("tracejit_new_buffer", "ptr", f"i64 {nbytes}")))
        self.classes[made] = self.buffer_type
        return made

    def address_in(self, buffer: str) -> str:
        return self.attribute(Value(Kind.OBJECT, buffer), "address").text

    def _outputs(self, facts: Facts) -> tuple[list[Value], list[str]]:
        values, addresses = [], []
        for output in facts.outputs:
            if output.array is None:
                made = self.new_buffer(output.nbytes)
                addresses.append(self.address_in(made))
            else:
                made = self._new_array(output, output.array)
                addresses.append(self.load(made, abi.ARRAY_DATA_AT, "i64"))
            values.append(Value(Kind.OBJECT, made))
        return values, addresses

    def _new_array(self, output: Output, kind: ArrayKind) -> str:
        made = self.help(
            "tracejit_new_array", "ptr",
            f"ptr {self.address_of(kind.dtype)}", f"i32 {kind.rank}", f"ptr {self.pointer(output.shape)}",
            f"i64 {output.nbytes}",
        )  # fmt: skip
        self.hold(self.checked(made))
        self.classes[made] = np.ndarray
        return made

    # Numbers

    def number(self, dtype: str, value: Value) -> tuple[str, str]:
        """A number as its slot holds it: type and operand."""
        if value.is_constant:
            return "i64", str(_slot_bits(dtype, value.constant))
        if dtype == "bool":
            return "i8", self.let(f"zext i1 {self.truth_of(value)} to i8")
        if dtype in INTEGERS:
            return self._integer_of(dtype, self.as_integer(value))
        kind = FLOATS[dtype]
        held = self.as_double(value)
        return kind, held if kind == "double" else self.let(f"fptrunc double {held} to {kind}")

    def _integer_of(self, dtype: str, held: str) -> tuple[str, str]:
        bits = INTEGERS[dtype]
        if bits == 64:
            return "i64", held
        short = self.let(f"trunc i64 {held} to i{bits}")
        back = self.let(f"sext i{bits} {short} to i64")
        self.require(self.let(f"icmp eq i64 {back}, {held}"))
        return f"i{bits}", short

    def as_double(self, value: Value) -> str:
        """A number's double; one that is too large is a failure."""
        if self.class_of(value) is float:
            return self.load(value.text, abi.FLOAT_AT, "double")
        if value.kind in (Kind.INTEGER, Kind.SIZE):
            return self.let(f"sitofp i64 {value.text} to double")
        found = self.call("PyFloat_AsDouble", self.as_object(value))
        self.unless_raised(self.let(f"fcmp oeq double {found}, -1.0"))
        return found


def _slot_bits(dtype: str, number: Any) -> int:
    memory = np.zeros(8, np.uint8)
    write_slots(memory, 0, [dtype], [number])
    return int(memory.view(np.int64)[0])
