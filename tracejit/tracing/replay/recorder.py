"""The recorder of a call that may be replayed: it notes where each program finds its inputs and where its outputs go."""

from __future__ import annotations

from typing import Any

from tracejit.autograd.tape import base_of, edge_of, is_grad_enabled
from tracejit.eager import check_indices
from tracejit.ir.dim import plain
from tracejit.ops.op import Op, Params
from tracejit.runtime.buffer import Buffer, copy_of
from tracejit.storage import Storage
from tracejit.symbols import concrete, frozen
from tracejit.tensor import Tensor
from tracejit.tracing.programs import Program, Programs, SizedProgram
from tracejit.tracing.replay.recording import Recording
from tracejit.tracing.replay.rounds import RoundRecorder
from tracejit.tracing.replay.segments import Check, Fresh, Run, Transfer


class ReplayRecorder(RoundRecorder):
    """Records ops as every recorder does, and its programs as instructions of a `Recording`.

    While the recording is alive no code runs that it does not see, so that memory which others could write counts as its own.
    """

    def __init__(self, programs: Programs, recording: Recording) -> None:
        self.recording = recording
        self._is_running = False
        self._runners: dict[Program, Any] = {}
        """By which each program is run, in all rounds of a loop the same, though it may be compiled meanwhile."""
        super().__init__(programs)

    def _is_exposed(self, storage: Storage) -> bool:
        return not self.recording.live and super()._is_exposed(storage)

    def _key(self, tensor: Tensor) -> Any:
        window = self.recording.window_of(tensor)
        return super()._key(tensor) if window is None else window

    def _read(self, tensor: Tensor) -> int:
        place = super()._read(tensor)
        window = self.recording.window_of(tensor)
        where, layout = (tensor.storage, tensor.layout) if window is None else window
        offset = self.recording.surface(layout.offset * tensor.aval.dtype.itemsize)
        self._reads.append((where, frozen(offset)))
        return place

    def _check_indices(self, op: Op, indices: Tensor, axis: int, extent: int) -> None:
        self.check(check_indices, (op,), indices, (axis, extent))

    def check(
        self, function: Any, before: tuple[Any, ...], tensor: Tensor, after: tuple[Any, ...]
    ) -> None:
        """`function(*before, tensor, *after)`, which raises for elements that it does not take; replays call it, too."""
        with self.recording.allowed():
            function(*before, tensor, *map(plain, after))
        if not self.recording.live:
            return
        memory = self.recording.memory_of(tensor)
        if memory is not None:
            recording = self.recording
            before = tuple(map(frozen, before))
            after = tuple(frozen(recording.surface(each)) for each in after)
            slot, layout = memory
            recording.segment.instructions.append(
                Check(function, before, slot, tensor.aval, layout, after, recording.resizing())
            )

    def _transfer(self, op: Op, tensor: Tensor, params: Params) -> Tensor:
        moved = super()._transfer(op, tensor, params)
        recording = self.recording
        memory = recording.memory_of(tensor) if recording.live else None
        if memory is not None:
            slot, layout = memory
            target = recording.memory[moved.storage] = recording.slot()
            recording.segment.instructions.append(
                Transfer(target, slot, tensor.aval, layout, moved.aval.device, recording.resizing())
            )
        return moved

    def made(self, tensor: Tensor) -> None:
        """A tensor of values that are guarded, or of the library's own: each replay begins with it as it is now."""
        recording, storage = self.recording, tensor.storage
        if not recording.live or storage in recording.memory:
            return
        assert storage.buffer is not None
        if storage.buffer.foreign:
            return  # an array's own memory, which has a source or is not to be used
        template = self._template(storage.buffer)
        slot = recording.memory[storage] = recording.slot()
        recording.segment.instructions.append(Fresh(slot, template))

    def _template(self, buffer: Buffer) -> Buffer:
        """The content of memory as it is now."""
        return copy_of(buffer)

    def assign(self, target: Tensor, value: Tensor) -> None:
        storage = target.storage
        if self.recording.live and storage in self.recording.outside_storages:
            self.recording.note_write(storage)
            self.recording.refuse_overlap(storage, self.recording.outside_storages)
            if self._is_noted(target, value):
                self.recording.deny(
                    "a tensor that the call did not make is written where gradients flow"
                )
        super().assign(target, value)

    def _is_noted(self, target: Tensor, value: Tensor) -> bool:
        """Whether the tape gives the tensor another place, which is state that no effect can say."""
        if not is_grad_enabled() or not target.aval.dtype.is_float:
            return False
        return edge_of(base_of(target)) is not None or edge_of(value) is not None

    def expose(self, storage: Storage) -> None:
        self.recording.deny("memory is handed out to code that is not recorded")
        super().expose(storage)

    def flush(self) -> None:
        if not self._is_running:  # a program's end may end the recording, which asks for a flush
            if self.recording.trial is not None:
                self.recording.trial.end()
            super().flush()

    def _run(self, fresh: list[Storage], written: dict[Storage, int]) -> None:
        self._is_running = True
        try:
            self._run_and_note(fresh, written)
        finally:
            self._is_running = False

    def _run_and_note(self, fresh: list[Storage], written: dict[Storage, int]) -> None:
        reads, scalars = self._reads, tuple(map(frozen, self._scalars))
        super()._run(fresh, written)
        recording = self.recording
        if not recording.live:
            return
        inputs = []
        for where, offset in reads:
            slot = recording.memory.get(where) if isinstance(where, Storage) else where
            if slot is None:
                recording.deny(
                    "a tensor is used that was not reached by way of anything that is guarded"
                )
                return
            inputs.append((slot, offset))
        outputs = tuple(recording.slot() for _ in fresh)
        for storage, slot in zip(fresh, outputs):
            recording.memory[storage] = slot
        outside = tuple(
            recording.outside_storages[storage]
            for storage in written
            if storage in recording.outside_storages
        )
        program = self.last_program
        if isinstance(program, SizedProgram):
            run, whole, sizes = program.run_at, program.whole, tuple(recording.size_slots)
        else:
            run, sizes = self._runners.setdefault(program, program.runner), ()
            whole = program.graph
        recording.segment.instructions.append(
            Run(run, tuple(inputs), scalars, outputs, outside, program.graph, sizes, whole)
        )

    def _execute(self, program: Program) -> list[Buffer]:
        numbers = [*map(concrete, self._scalars)]  # who computes with NumPy would look at symbols
        if isinstance(program, SizedProgram):
            return program.run_at(self.recording.now, self._addresses, numbers)
        return program.run(self._addresses, numbers)
