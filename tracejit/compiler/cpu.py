"""Plans for this machine's processor: kernels as LLVM text."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

from tracejit._config import config
from tracejit._digest import digest
from tracejit._dump import Dump
from tracejit._gate import late
from tracejit._records import dataclass
from tracejit.artifact import KernelSource, LaunchSpec, Segment
from tracejit.codegen.kernel.grain import CORES, Grain
from tracejit.codegen.kernel.ir import Kernel
from tracejit.codegen.kernel.printer import print_kernel
from tracejit.codegen.kernel.verify import verify
from tracejit.codegen.llvm.emit import emit
from tracejit.codegen.llvm.target import TARGETS
from tracejit.codegen.llvm.target import Target as Level
from tracejit.compiler import machine
from tracejit.compiler.launches import Launch
from tracejit.compiler.machine import Machine
from tracejit.compiler.target import ProductKernel
from tracejit.passes import group
from tracejit.passes.group import Sharing
from tracejit.runtime import gemv
from tracejit.runtime.cpu.pool import thread_pool
from tracejit.runtime.cpu.target import target_level
from tracejit.runtime.gemm import KERNELS, SCRATCH_BYTES, gemm_segment


@dataclass(frozen=True, slots=True)
class Cpu:
    """Kernels are named by their text, so that equal kernels are one."""

    dump: Dump | None = None
    level: str | None = None
    """The instruction set level, where it is not what the settings say."""

    @property
    def streams(self) -> bool:
        return True

    @property
    def machine(self) -> Machine:
        return machine.CORES

    @property
    def joins_products(self) -> bool:
        return True

    @property
    def finish(self) -> None:
        """What follows a product reads it from a core's own cache."""
        return None

    @property
    def adds_products(self) -> bool:
        return True

    @property
    def grain(self) -> Grain:
        return CORES

    @property
    def sharing(self) -> Sharing:
        return group.CORES

    @property
    def threads(self) -> int:
        return thread_pool().threads

    def kernel(self, kernel: Kernel) -> str:
        text = print_kernel(kernel)
        if config.verify_ir:
            verify(kernel)
        level = self._level
        name = "k" + digest(f"{level.name}\n{text}")[:20]
        source = _emitted.get(name)
        if source is None:
            source = _emitted[name] = KernelSource(name, emit(kernel, name, level))
        if self.dump:
            self.dump.write(f"kernel-{name}", text)
            self.dump.write(f"kernel-{name}", source.text, "ll")
            if config.dump_asm:
                assembly = late("tracejit.runtime.cpu.llvm").assembly
                self.dump.write(f"kernel-{name}", assembly(source.text), "s")
        return name

    @property
    def _level(self) -> Level:
        return host_target(self.level or config.target or None)

    def product(
        self, dtype: str, shape: tuple[int, ...], part: tuple[int, ...], terms: int, **params: Any
    ) -> ProductKernel:
        if gemv.is_vector(shape):
            return ProductKernel(gemv.KERNELS[dtype], gemv.SCRATCH_BYTES, gemv.gemv_segment)
        segment = partial(gemm_segment, level=self._level.name, **params)
        return ProductKernel(KERNELS[dtype], SCRATCH_BYTES, segment)

    def launches(
        self, work: Launch, segments: tuple[Segment, ...], nbytes: int
    ) -> Iterator[LaunchSpec]:
        yield LaunchSpec(
            work.kernel,
            segments,
            work.grain,
            work.scratch_bytes,
            work.note,
            nbytes,
            kernels=work.kernels,
            calls=work.calls,
        )

    def source(self, name: str) -> KernelSource | None:
        return _emitted.get(name)


_emitted: dict[str, KernelSource] = {}


@cache
def host_target(level: str | None) -> Level:
    """The instruction set level to emit for: the host's best, or the one asked for."""
    return TARGETS[target_level(level).name]
