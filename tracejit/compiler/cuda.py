"""Plans for a GPU: kernels as CUDA C, each for the number of segments that its launches have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from math import prod
from typing import Any

from tracejit._config import config
from tracejit._digest import digest
from tracejit._dump import Dump
from tracejit._records import dataclass
from tracejit.artifact import KernelSource, LaunchShape, LaunchSpec, Segment
from tracejit.codegen.cuda.emit import emit
from tracejit.codegen.cuda.product import (
    SEGMENTS,
    product_segment,
    product_shape,
    product_source,
    tile_of,
)
from tracejit.codegen.cuda.schedule import Variant, shape_of, variant_of
from tracejit.codegen.cuda.vector_product import vector_segment, vector_source
from tracejit.codegen.kernel.grain import WARPS, Grain
from tracejit.codegen.kernel.ir import Kernel
from tracejit.codegen.kernel.printer import print_kernel
from tracejit.codegen.kernel.verify import verify
from tracejit.compiler import machine
from tracejit.compiler.launches import Launch
from tracejit.compiler.machine import Machine
from tracejit.compiler.target import ProductKernel, ProductSegment
from tracejit.passes import group
from tracejit.passes.group import Sharing

MOST_PARAMETERS = 4000
"""Bytes of a launch's struct, of 4,096 that the driver takes; what is left holds the scratch."""


@dataclass(frozen=True, slots=True)
class Cuda:
    """Kernels are named by their text, so that equal kernels are one."""

    dump: Dump | None = None

    @property
    def streams(self) -> bool:
        return False

    @property
    def machine(self) -> Machine:
        return machine.WARPS

    @property
    def joins_products(self) -> bool:
        return False

    @property
    def adds_products(self) -> bool:
        return False

    @property
    def grain(self) -> Grain:
        return WARPS

    @property
    def sharing(self) -> Sharing:
        return group.WARPS

    @property
    def threads(self) -> int:
        return 1  # its scratch is counted where the launch is laid out

    def kernel(self, kernel: Kernel) -> str:
        text = print_kernel(kernel)
        if config.verify_ir:
            verify(kernel)
        name = "c" + digest(text)[:20]
        _kernels.setdefault(name, kernel)
        if self.dump:
            self.dump.write(f"kernel-{name}", text)
        return name

    def product(
        self, dtype: str, shape: tuple[int, ...], part: tuple[int, ...], **params: Any
    ) -> ProductKernel:
        *batch, m, n = part
        segment: ProductSegment = vector_segment
        source = vector_source(dtype)
        if 1 not in shape[-2:]:
            tile = tile_of(dtype, prod(batch), m, n)
            source, segment = product_source(dtype, tile), partial(_segment, tile)
        _emitted.setdefault(source.name, source)
        _products.add(source.name)
        return ProductKernel(source.name, 0, segment)

    def launches(
        self, work: Launch, segments: tuple[Segment, ...], nbytes: int
    ) -> Iterator[LaunchSpec]:
        """As many segments at a time as a launch's parameters may hold."""
        is_product = work.kernel in _products
        most = SEGMENTS if is_product else _most_segments(segments[0])
        for start in range(0, len(segments), most):
            part = segments[start : start + most]
            moved = nbytes * _tasks(part) // max(_tasks(segments), 1)
            launch = LaunchSpec(work.kernel, part, work.grain, work.scratch_bytes, work.note, moved)
            yield _product(launch) if is_product else _shaped(launch)

    def source(self, name: str) -> KernelSource | None:
        source = _emitted.get(name)
        if source is None:
            base, segments, variant = name.split("_")
            source = KernelSource(name, emit(_kernels[base], name, int(segments), Variant(variant)))
            _emitted[name] = source
        if self.dump:
            self.dump.write(f"kernel-{name}", source.text, "cu")
        return source


def _segment(tile: int, *sizes: int, **strides: Any) -> tuple[tuple[int, ...], int, int]:
    return (*product_segment(tile, *sizes, **strides), 1)


def _product(launch: LaunchSpec) -> LaunchSpec:
    """With segments of no tasks in the places that the kernel has for more."""
    first = launch.segments[0]
    none = (replace(first, tasks=0),) * (SEGMENTS - len(launch.segments))
    return replace(launch, segments=launch.segments + none, shape=product_shape())


def _shaped(launch: LaunchSpec) -> LaunchSpec:
    sizes = tuple((each.dims, each.tasks) for each in launch.segments)
    variant, shape = _scheduled(launch.kernel, sizes, launch.scratch_bytes)
    return replace(launch, kernel=f"{launch.kernel}_{len(sizes)}_{variant.value}", shape=shape)


@lru_cache(maxsize=1024)
def _scheduled(
    name: str, sizes: tuple[tuple[tuple[int, ...], int], ...], scratch_bytes: int
) -> tuple[Variant, LaunchShape]:
    """For all slabs of one size at once."""
    kernel = _kernels[name]
    shape = shape_of(kernel, sizes, scratch_bytes)
    return variant_of(kernel, sizes, shape), shape


def _most_segments(segment: Segment) -> int:
    words = len(segment.arguments) + len(segment.dims) + 1
    return max(MOST_PARAMETERS // (8 * words), 1)


def _tasks(segments: Sequence[Segment]) -> int:
    return sum(segment.tasks for segment in segments)


_kernels: dict[str, Kernel] = {}
_products: set[str] = set()
_emitted: dict[str, KernelSource] = {}
