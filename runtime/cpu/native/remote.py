"""Runs of programs of other devices in a way: memory is taken, addresses and numbers are packed, and the launches enqueued."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracejit.artifact import HostCall
from tracejit.runtime.cpu.native.programs import Programs
from tracejit.runtime.cpu.native.runs import TAKEN
from tracejit.runtime.cpu.native.values import Kind, Unsupported, Value
from tracejit.runtime.program import RemoteProgram


class RemotePrograms(Programs):
    """Writes runs of `RemoteProgram`s, by what their `native()` says.

    What depends on the device that runs them is among the constants: the text is the same for all.
    """

    way_back = "broken"
    """The block for what goes wrong where there is no way back any more, but nothing has been done either."""
    create: Callable[[type, dict[str, Value]], Value]

    def can_enqueue(self, program: RemoteProgram) -> bool:
        """Whether a way can run the program by itself."""
        is_native = not any(isinstance(step, HostCall) for step in program.plan.steps)
        return is_native and TAKEN.issuperset(program.plan.scalars) and program.native() is not None

    def enqueue_program(
        self, program: RemoteProgram, inputs: list[str], scalars: list[Value]
    ) -> list[Value]:
        """The outputs of a run, from addresses and numbers."""
        plan, native = program.plan, program.native()
        if (len(inputs), len(scalars)) != (len(plan.inputs), len(plan.scalars)):
            raise Unsupported("a program with other inputs")
        numbers = [self.number(dtype, value) for dtype, value in zip(plan.scalars, scalars)]
        before = self.failed
        if before == "broken":
            self.failed = self.way_back  # a program takes its memory before it does anything
        made = [self._remote_buffer(native, nbytes) for nbytes in native.output_bytes]
        workspace_at = self.held
        workspace = self._remote_memory(native, self.raw(native.workspace_bytes))
        self.failed = before
        base = self._integer_at(workspace, native.address_at)
        words = [
            "0",
            *inputs,
            *(address for _, address in made),
            self.raw(native.numbers_address) if numbers else base,
            self.let(f"add i64 {base}, {self.raw(native.arena_at)}"),
            self.raw(native.constants_address),
            self.let(f"add i64 {base}, {self.raw(native.scratch_at)}"),
        ]
        self._enqueue(native, words, numbers)
        self.let_go_early(workspace, workspace_at)
        return [value for value, _ in made]

    def _enqueue(self, native: Any, words: list[str], numbers: list[tuple[str, str]]) -> None:
        count = len(words)
        base = self.room(8 * (count + len(numbers)))
        for place, text in enumerate(words):
            self.do(f"store i64 {text}, ptr {self.at(base, 8 * place)}")
        for place, (kind, text) in enumerate(numbers, count):
            slot = self.at(base, 8 * place)
            self.do(f"store i64 0, ptr {slot}")  # all of it is compared
            self.do(f"store {kind} {text}, ptr {slot}")
        run = self.pointer(self.raw(native.memory.run_address))
        table = self.pointer(self.raw(native.address))
        packed = self.at(base, 8 * count)
        self.address_of(native)  # held
        self.require(self.let(f"call i1 {run}(ptr {table}, ptr {base}, ptr {packed})"))

    def _remote_buffer(self, native: Any, nbytes: int) -> tuple[Value, str]:
        """A new buffer, and its address."""
        memory = self._remote_memory(native, str(nbytes))
        address = self._integer_at(memory, native.address_at)
        parts = {
            "_allocation": Value(Kind.OBJECT, memory),
            "address": Value(Kind.INTEGER, address),
            "gpu": self.constant(native.gpu),
            "nbytes": self.constant(nbytes),
            "mirror": self.constant(None),
        }
        return self.create(native.buffer_type, parts), address

    def remote_twin(self, native: Any, source: str, nbytes: int) -> Value:
        """A new buffer with the bytes at an address."""
        made, address = self._remote_buffer(native, nbytes)
        copy = self.pointer(self.raw(native.memory.copy_address))
        device = self.pointer(self.raw(native.memory.address))
        words = f"ptr {device}, i64 {address}, i64 {source}, i64 {nbytes}"
        self.require(self.let(f"call i1 {copy}({words})"))
        return made

    def _remote_memory(self, native: Any, nbytes: str) -> str:
        take = self.pointer(self.raw(native.memory.take_address))
        device = self.pointer(self.raw(native.memory.address))
        return self.hold(self.checked(self.let(f"call ptr {take}(ptr {device}, i64 {nbytes})")))

    def _integer_at(self, object: str, offset: int) -> str:
        return self.load(object, offset, "i64")
