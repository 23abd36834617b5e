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
from tracejit.codegen.cuda.epilogue import Epilogue
from tracejit.codegen.cuda.product import (
    SEGMENTS,
    product_dims,
    product_segment,
    product_shape,
    product_source,
    product_text,
)
from tracejit.codegen.cuda.product_tile import Tile, tile_of
from tracejit.codegen.cuda.schedule import Variant, shape_of, variant_of
from tracejit.codegen.cuda.vector_product import vector_segment, vector_shape, vector_source
from tracejit.codegen.kernel.grain import WARPS, Grain
from tracejit.codegen.kernel.ir import Kernel
from tracejit.codegen.kernel.nest import Lowered
from tracejit.codegen.kernel.printer import print_kernel
from tracejit.codegen.kernel.verify import verify
from tracejit.compiler import machine
from tracejit.compiler.launches import Launch
from tracejit.compiler.machine import Machine
from tracejit.compiler.products import deep_parts
from tracejit.compiler.target import Finish, ProductKernel, ProductSegment
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
    def finish(self) -> Finish | None:
        return self.finished

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
        self, dtype: str, shape: tuple[int, ...], part: tuple[int, ...], terms: int, **params: Any
    ) -> ProductKernel:
        segment: ProductSegment = vector_segment
        source, launched = vector_source(dtype), vector_shape()
        is_matrix = 1 not in shape[-2:]
        if is_matrix:
            tile = _tile(dtype, part, terms)
            source, launched = product_source(dtype, tile), product_shape(dtype, tile)
            segment = partial(_segment, tile)
        _emitted.setdefault(source.name, source)
        _products[source.name] = launched
        return ProductKernel(source.name, 0, segment, has_outer=is_matrix)

    def finished(
        self, dtype: str, shape: tuple[int, ...], depth: int, rows: Lowered, sums: int
    ) -> ProductKernel:
        """The kernel of a product and a map over its rows, as `Finish` says."""
        tile = _tile(dtype, shape, depth)
        name = f"{self.kernel(rows.kernel)}p{sums}x{dtype}x{tile.name}"
        _finished[name] = dtype, tile, Epilogue(rows.kernel, rows.kernel.buffers[sums])
        return ProductKernel(name, 0, partial(_finishing, tile, rows.dims), has_outer=True)

    def launches(
        self, work: Launch, segments: tuple[Segment, ...], nbytes: int
    ) -> Iterator[LaunchSpec]:
        """As many segments at a time as a launch's parameters may hold."""
        most = SEGMENTS if work.kernel in _products else _most_segments(segments[0])
        for start in range(0, len(segments), most):
            part = segments[start : start + most]
            moved = nbytes * _tasks(part) // max(_tasks(segments), 1)
            launch = LaunchSpec(work.kernel, part, work.grain, work.scratch_bytes, work.note, moved)
            yield _shaped(launch)

    def source(self, name: str) -> KernelSource | None:
        source = _emitted.get(name)
        if source is None:
            source = _emitted[name] = KernelSource(name, _text(name))
        if self.dump:
            self.dump.write(f"kernel-{name}", source.text, "cu")
        return source


def _tile(dtype: str, shape: tuple[int, ...], depth: int) -> Tile:
    *batch, m, n = shape
    return tile_of(dtype, prod(batch), m, n, deep_parts(depth, shape))


def _segment(tile: Tile, *sizes: int, **strides: Any) -> tuple[tuple[int, ...], int, int]:
    return (*product_segment(tile, *sizes, **strides), 1)


def _finishing(
    tile: Tile, own: tuple[int, ...], *sizes: int, c: tuple[int, int], **strides: Any
) -> tuple[tuple[int, ...], int, int]:
    """`c` is nothing to a product that its epilogue stores, if anybody."""
    dims, tasks = product_dims(tile, *sizes, **strides)
    return (*dims, *own), tasks, 1


def _text(name: str) -> str:
    base, segments, *variant = name.split("_")
    if base in _finished:
        return product_text(name, *_finished[base], int(segments))
    return emit(_kernels[base], name, int(segments), Variant(*variant))


def _shaped(launch: LaunchSpec) -> LaunchSpec:
    """With the text and the shape for its sizes."""
    segments = launch.segments
    if launch.kernel in _products:  # of no tasks in the places that the kernel has for more
        none = (replace(segments[0], tasks=0),) * (SEGMENTS - len(segments))
        return replace(launch, segments=segments + none, shape=_products[launch.kernel])
    if launch.kernel in _finished:
        dtype, tile, _ = _finished[launch.kernel]
        name = f"{launch.kernel}_{len(segments)}"
        return replace(launch, kernel=name, shape=product_shape(dtype, tile))
    sizes = tuple((each.dims, each.tasks) for each in segments)
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
_products: dict[str, LaunchShape] = {}
_finished: dict[str, tuple[str, Tile, Epilogue]] = {}
_emitted: dict[str, KernelSource] = {}
