"""What a plan is assembled for: how its kernels are written, and what becomes of a launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from tracejit._records import dataclass
from tracejit.artifact import KernelSource, LaunchSpec, Segment
from tracejit.codegen.kernel.grain import Grain
from tracejit.codegen.kernel.ir import Kernel
from tracejit.codegen.kernel.nest import Lowered
from tracejit.compiler.launches import Launch
from tracejit.compiler.machine import Machine
from tracejit.passes.group import Sharing

ProductSegment = Callable[..., tuple[tuple[int, ...], int, int]]
"""The dims, tasks and grain of a batched product, from what `runtime.gemm.gemm_segment` takes."""


@dataclass(frozen=True, slots=True)
class ProductKernel:
    """What computes a matrix product: a kernel, the scratch that it needs, and how a product is cut into its tasks."""

    name: str
    scratch_bytes: int
    segment: ProductSegment
    has_outer: bool = False
    """Whether a batch of batches is one: `segment` takes `outer`, how many there are and how far A and B move from one to the
    next."""


Finish = Callable[[str, tuple[int, ...], int, Lowered, int], ProductKernel]
"""For a product of this dtype, shape and depth and a map over its rows, whose buffer of this number is the product.

Its segments have A, B and the arguments of the map, without the product, and the dims of both.
"""


class Target(Protocol):
    """A kind of device."""

    @property
    def streams(self) -> bool:
        """Whether large results are better written past the caches, by kernels that say so."""
        ...

    @property
    def machine(self) -> Machine:
        """What steps cost there."""
        ...

    @property
    def joins_products(self) -> bool:
        """Whether products can be summed in parts of any depth."""
        ...

    @property
    def finish(self) -> Finish | None:
        """How a product's kernel computes what is computed from each of its elements; None where it cannot."""
        ...

    @property
    def adds_products(self) -> bool:
        """Whether products can be added to what is there."""
        ...

    @property
    def grain(self) -> Grain:
        """How work is cut into tasks."""
        ...

    @property
    def sharing(self) -> Sharing:
        """Which folds are shared among tasks."""
        ...

    @property
    def threads(self) -> int:
        """That may take part in a run, each with scratch of its own."""
        ...

    def kernel(self, kernel: Kernel) -> str:
        """The name of a kernel that launches are to use."""
        ...

    def product(
        self, dtype: str, shape: tuple[int, ...], part: tuple[int, ...], terms: int, **params: Any
    ) -> ProductKernel:
        """For a result of this dtype and shape, of which `part` is computed at a time, sums of so many `terms`, with the op's
        parameters."""
        ...

    def launches(
        self, work: Launch, segments: tuple[Segment, ...], nbytes: int
    ) -> Iterator[LaunchSpec]:
        """The launches that one becomes, whose memory is known; it moves so many bytes."""
        ...

    def source(self, name: str) -> KernelSource | None:
        """The code of a kernel that a launch uses; None where the run time has it."""
        ...
