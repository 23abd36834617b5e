"""Whole graphs under the emulation: a CPU plan's launches, each by the CUDA C of its kernel, on one arena."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.emulation.emulate import load
from tests.emulation.launch import scratch_bytes
from tracejit.artifact import Argument, BufferSpec, HostCall, KernelSource, LaunchSpec, Place, Plan
from tracejit.codegen.cuda.emit import emit
from tracejit.codegen.cuda.product import SEGMENTS, product_segment, product_shape, product_source
from tracejit.codegen.cuda.schedule import shape_of
from tracejit.codegen.kernel.cost import is_costly
from tracejit.codegen.kernel.ir import Kernel
from tracejit.codegen.kernel.printer import print_kernel
from tracejit.compiler.assembly import Assembly
from tracejit.executable import call_host
from tracejit.ir.graph import Graph
from tracejit.passes.duplicate import duplicate_free
from tracejit.passes.fuse import fuse
from tracejit.passes.layouts import Layouts
from tracejit.passes.pipeline import optimize
from tracejit.passes.turn import turn_products
from tracejit.runtime.gemm import DIMS, KERNELS
from tracejit.runtime.scalars import numpy_dtype

Array = np.ndarray[Any, Any]

DTYPE_OF = {kernel: dtype for dtype, kernel in KERNELS.items()}


def kernels_of(graph: Graph) -> tuple[Plan, dict[str, Kernel]]:
    """The graph's plan, and its kernels by name."""
    kernels: dict[str, Kernel] = {}

    def record(kernel: Kernel) -> KernelSource:
        name = "k" + hashlib.sha256(print_kernel(kernel).encode()).hexdigest()[:20]
        kernels[name] = kernel
        return KernelSource(name, "")

    graph = duplicate_free(turn_products(optimize(graph)), is_costly)
    layouts = Layouts(graph)
    return Assembly(graph, layouts, record).plan(fuse(graph, layouts, is_costly)), kernels


class Emulated:
    """One run of a graph; its inputs are written where the graph writes to them."""

    def __init__(self, graph: Graph, inputs: Sequence[Array], order: int = 0) -> None:
        self.plan, self.kernels = kernels_of(graph)
        self.order = order
        self.outputs = [np.empty(spec.shape, numpy_dtype(spec.dtype)) for spec in self.plan.outputs]
        self.arena = np.full(self.plan.arena_bytes + 64, 0xFF, np.uint8)
        self.constants = np.frombuffer(self.plan.constants or b"\0", np.uint8)
        self.memory = {
            Place.INPUT: list(inputs),
            Place.OUTPUT: self.outputs,
            Place.ARENA: [self.arena],
            Place.CONSTANT: [self.constants],
        }
        for step in self.plan.steps:
            self.step(step)

    def address(self, argument: Argument) -> int:
        base = int(self.memory[argument.place][argument.index].ctypes.data)
        skip = -base % 64 if argument.place is Place.ARENA else 0
        return base + skip + argument.offset

    def step(self, step: LaunchSpec | HostCall) -> None:
        match step:
            case HostCall():
                *arrays, out = map(self.seen, step.arguments, (*step.inputs, step.output))
                call_host(step, arrays, out)
            case LaunchSpec(kernel=name) if name in DTYPE_OF:
                self.product(step, DTYPE_OF[name])
            case LaunchSpec():
                self.launch(step)

    def seen(self, argument: Argument, spec: BufferSpec) -> Array:
        """An array of the call where it lies."""
        dtype = numpy_dtype(spec.dtype)
        memory = self.memory[argument.place][argument.index]
        start = self.address(argument) - memory.ctypes.data
        flat = memory.reshape(-1).view(np.uint8)[start:]
        flat = flat[: flat.size // dtype.itemsize * dtype.itemsize].view(dtype)
        if spec.strides is None:
            return flat[: int(np.prod(spec.shape))].reshape(spec.shape)
        strides = [stride * dtype.itemsize for stride in spec.strides]
        return np.lib.stride_tricks.as_strided(flat, spec.shape, strides)

    def launch(self, step: LaunchSpec) -> None:
        kernel = self.kernels[step.kernel]
        sizes = [(segment.dims, segment.tasks) for segment in step.segments]
        needed = max(scratch_bytes(kernel, dims) for dims, _ in sizes)
        assert needed == step.scratch_bytes
        shape = shape_of(kernel, sizes, needed)
        assert not shape.scratch_bytes, "the graphs of these tests are small"
        words = self.words(step, [(*segment.dims, segment.tasks) for segment in step.segments])
        words += [0, 0] if kernel.scratch else []
        text = emit(kernel, step.kernel, len(sizes))
        run = load(text, step.kernel)
        run(3, (shape.team, shape.teams), shape.shared_bytes, packed(words), self.order)

    def words(self, step: LaunchSpec, sizes: Sequence[tuple[int, ...]]) -> list[int]:
        pairs = zip(step.segments, sizes, strict=True)
        return [
            word
            for segment, numbers in pairs
            for word in (*map(self.address, segment.arguments), *numbers)
        ]

    def product(self, step: LaunchSpec, dtype: str) -> None:
        """By the smallest tile: each element's sum is the same in all."""
        tile, shape = 32, product_shape()
        source = product_source(dtype, tile)
        for segment in step.segments:
            d = dict(zip(DIMS, segment.dims, strict=True))
            blocks = -(-d["M"] // d["block_m"]) * -(-d["N"] // d["block_n"])
            dims, tasks = product_segment(
                tile,
                segment.tasks // blocks,
                d["M"],
                d["N"],
                d["K"],
                a=(d["a_batch"], d["a_row"], d["a_column"]),
                b=(d["b_batch"], d["b_row"], d["b_column"]),
                c=(d["c_batch"], d["c_row"]),
            )
            words = [*map(self.address, segment.arguments), *dims, tasks]
            words += [0] * (len(words) * (SEGMENTS - 1))
            load(source.text, source.name)(2, (shape.team, 1), 0, packed(words), self.order)


def packed(words: Sequence[int]) -> bytes:
    return np.array(words, np.int64).tobytes()
