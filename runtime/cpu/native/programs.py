"""Runs of programs in a way: addresses and numbers are packed on the stack, and the launches walked at once."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from tracejit._native import abi
from tracejit.artifact import HostCall
from tracejit.runtime.cpu.native.reading import Reader
from tracejit.runtime.cpu.native.values import Kind, Unsupported, Value
from tracejit.runtime.cpu.pool_ir import THREADS
from tracejit.runtime.program import Program
from tracejit.runtime.scalars import write_slots

ON_STACK = 1 << 14
"""Bytes of a workspace that may lie on the stack."""
_INTEGERS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
_FLOATS = {"float32": "float", "float64": "double"}
TAKEN = {*_INTEGERS, *_FLOATS, "bool"}
"""Dtypes of numbers that native code converts."""


ArrayKind = tuple[np.dtype[Any], tuple[int, ...]]
"""Dtype and shape."""


class Programs(Reader):
    """Writes runs of programs."""

    def can_run(self, program: Program) -> bool:
        """Whether a way can run the program by itself: all of it is launches, and its numbers are of common dtypes."""
        is_native = not any(isinstance(step, HostCall) for step in program.plan.steps)
        return is_native and TAKEN.issuperset(program.plan.scalars)

    def run_program(
        self,
        program: Program,
        inputs: list[str],
        scalars: list[Value],
        arrays: Sequence[ArrayKind | None],
    ) -> list[Value]:
        """The outputs of a run, from addresses and numbers; some outputs are to be `arrays`, the others are buffers."""
        if (len(inputs), len(scalars)) != (len(program.plan.inputs), len(program.plan.scalars)):
            raise Unsupported("a program with other inputs")
        numbers = [self.number(dtype, value) for dtype, value in zip(program.plan.scalars, scalars)]
        outputs, addresses = self._outputs(program, arrays)
        threads = self._threads(program)
        base = self._workspace(program, threads)
        self.address_of(program)  # whose tables the launches lie in
        words = [
            threads,
            *inputs,
            *addresses,
            self._integer(self.at(base, program.layout.scalars_at)),
            self._integer(self.at(base, program.layout.arena_at)),
            self.raw(program.constants_address),
        ]
        for place, text in enumerate(words):
            self.do(f"store i64 {text}, ptr {self.at(base, 8 * place)}")
        for place, (kind, text) in enumerate(numbers):
            self.do(
                f"store {kind} {text}, ptr {self.at(base, program.layout.scalars_at + 8 * place)}"
            )
        self._launch(program, base)
        return outputs

    def _launch(self, program: Program, base: str) -> None:
        state = self.call("PyEval_SaveThread") if program.is_long else ""
        for table in program.tables:
            run = self.pointer(self.raw(program.run_address))
            launches = self.pointer(self.raw(table))
            self.do(f"call void {run}(ptr {launches}, ptr {base})")
        if program.is_long:
            self.call("PyEval_RestoreThread", state)

    def _integer(self, pointer: str) -> str:
        return self.let(f"ptrtoint ptr {pointer} to i64")

    def pointer(self, integer: str) -> str:
        return self.let(f"inttoptr i64 {integer} to ptr")

    def _threads(self, program: Program) -> str:
        pool = self.pointer(self.raw(program.pool_address))
        threads = self.let(f"zext i32 {self.load(pool, THREADS, 'i32')} to i64")
        most = program.most_threads
        fewer = self.let(f"icmp ult i64 {threads}, {most}")
        return self.let(f"select i1 {fewer}, i64 {threads}, i64 {most}")

    def _workspace(self, program: Program, threads: str) -> str:
        """Memory for one run: on the stack, or a buffer that the frame holds."""
        if not program.layout.scratch_bytes and program.layout.scratch_at <= ON_STACK:
            return self.room(max(program.layout.scratch_at, 8))
        scratch = self.let(f"mul i64 {threads}, {program.layout.scratch_bytes}")
        nbytes = self.let(f"add i64 {scratch}, {program.layout.scratch_at}")
        return self.pointer(self._address_in(self._new_buffer(nbytes)))

    def _new_buffer(self, nbytes: str) -> str:
        made = self.hold(self.checked(self.help("tracejit_new_buffer", "ptr", f"i64 {nbytes}")))
        self.classes[made] = self.buffer_type
        return made

    def _address_in(self, buffer: str) -> str:
        return self.attribute(Value(Kind.OBJECT, buffer), "address").text

    def _outputs(
        self, program: Program, arrays: Sequence[ArrayKind | None]
    ) -> tuple[list[Value], list[str]]:
        values, addresses = [], []
        for nbytes, wanted in zip(program.output_bytes, arrays, strict=True):
            if wanted is None or _nbytes(*wanted) != nbytes:  # an array of a part of the memory
                made = self._new_buffer(str(nbytes))
                addresses.append(self._address_in(made))
            else:
                made = self._new_array(*wanted)
                addresses.append(self.load(made, abi.ARRAY_DATA_AT, "i64"))
            values.append(Value(Kind.OBJECT, made))
        return values, addresses

    def _new_array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> str:
        sizes = np.array([*shape, 0], np.int64)
        self.address_of(sizes)  # held
        shape_at = self.pointer(self.raw(sizes.ctypes.data))
        made = self.help(
            "tracejit_new_array", "ptr",
            f"ptr {self.address_of(dtype)}", f"i32 {len(shape)}", f"ptr {shape_at}",
            f"i64 {_nbytes(dtype, shape)}",
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
        if dtype in _INTEGERS:
            return self._integer_of(dtype, self.as_integer(value))
        kind = _FLOATS[dtype]
        held = self.as_double(value)
        return kind, held if kind == "double" else self.let(f"fptrunc double {held} to {kind}")

    def _integer_of(self, dtype: str, held: str) -> tuple[str, str]:
        bits = _INTEGERS[dtype]
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
        if value.kind is Kind.INTEGER:
            return self.let(f"sitofp i64 {value.text} to double")
        found = self.call("PyFloat_AsDouble", self.as_object(value))
        self.unless_raised(self.let(f"fcmp oeq double {found}, -1.0"))
        return found


def _nbytes(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    return prod(shape) * dtype.itemsize


def _slot_bits(dtype: str, number: Any) -> int:
    memory = np.zeros(8, np.uint8)
    write_slots(memory, 0, [dtype], [number])
    return int(memory.view(np.int64)[0])
