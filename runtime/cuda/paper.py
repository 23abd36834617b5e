"""Programs for a GPU that need not be here: what machine code for calls is written from, when a file is made."""

from __future__ import annotations

from typing import Any

from tracejit._records import dataclass
from tracejit.artifact import Plan
from tracejit.runtime.cuda import native_ir as ir
from tracejit.runtime.cuda.memory import DeviceBuffer, forget_mirror
from tracejit.runtime.program import RemoteProgram
from tracejit.runtime.workspace import array_bytes

_GPU = object()


@dataclass(frozen=True, slots=True)
class _PaperMemory:
    address: int = 0
    take_address: int = 0
    run_address: int = 0
    copy_address: int = 0


class _PaperRun:
    """As `native.NativeRun`: what is in the text of a call, and zeros for what is not."""

    buffer_type = DeviceBuffer
    address_at = ir.MEMORY_ADDRESS
    forget = staticmethod(forget_mirror)
    gpu = _GPU
    memory = _PaperMemory()
    workspace_bytes = arena_at = scratch_at = constants_address = numbers_address = address = 0

    def __init__(self, plan: Plan) -> None:
        self.output_bytes = [array_bytes(spec) for spec in plan.outputs]


class PaperProgram(RemoteProgram):
    """A plan that nobody runs."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._native = _PaperRun(plan) if self.is_native else None

    def native(self) -> Any:
        return self._native

    def run(self, addresses: Any, scalars: Any) -> Any:
        raise NotImplementedError
