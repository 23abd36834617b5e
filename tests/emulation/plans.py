"""Whole graphs under the emulation: the launches of a GPU's plan, on memory of this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.emulation.emulate import load
from tracejit.artifact import Argument, BufferSpec, HostCall, LaunchSpec, Place, Plan
from tracejit.codegen.kernel.cost import is_costly
from tracejit.compiler.assembly import Assembly
from tracejit.compiler.cuda import Cuda
from tracejit.executable import call_host
from tracejit.ir.graph import Graph
from tracejit.passes.duplicate import duplicate_free
from tracejit.passes.fuse import fuse
from tracejit.passes.layouts import Layouts
from tracejit.passes.pipeline import optimize
from tracejit.passes.turn import turn_products
from tracejit.runtime.scalars import numpy_dtype

Array = np.ndarray[Any, Any]

GRID = 3
"""Blocks: fewer than there are tasks, so that each does several."""


def plan_of(graph: Graph) -> Plan:
    """For a GPU."""
    graph = duplicate_free(turn_products(optimize(graph)), is_costly)
    layouts = Layouts(graph)
    target = Cuda()
    steps = fuse(graph, layouts, is_costly, sharing=target.sharing)
    return Assembly(graph, layouts, target).plan(steps)


class Emulated:
    """One run of a graph; its inputs are written where the graph writes to them."""

    def __init__(self, graph: Graph, inputs: Sequence[Array], order: int = 0) -> None:
        plan = plan_of(graph)
        self.texts = {source.name: source.text for source in plan.kernels}
        self.order = order
        self.outputs = [np.empty(spec.shape, numpy_dtype(spec.dtype)) for spec in plan.outputs]
        self.memory = {
            Place.INPUT: list(inputs),
            Place.OUTPUT: self.outputs,
            Place.ARENA: [np.full(plan.arena_bytes + 64, 0xFF, np.uint8)],
            Place.CONSTANT: [np.frombuffer(plan.constants or b"\0", np.uint8)],
        }
        for step in plan.steps:
            self.step(step)

    def step(self, step: LaunchSpec | HostCall) -> None:
        match step:
            case HostCall():
                *arrays, out = map(self.seen, step.arguments, (*step.inputs, step.output))
                call_host(step, arrays, out)
            case LaunchSpec():
                self.launch(step)

    def launch(self, step: LaunchSpec) -> None:
        shape = step.shape
        assert shape is not None
        assert not shape.scratch_bytes, "the graphs of these tests are small"
        words = [
            word
            for segment in step.segments
            for word in (*map(self.address, segment.arguments), *segment.dims, segment.tasks)
        ]
        words += [0, 0] if step.scratch_bytes else []
        run = load(self.texts[step.kernel], step.kernel)
        parameters = np.array(words, np.int64).tobytes()
        run(GRID, (shape.team, shape.teams), shape.shared_bytes, parameters, self.order)

    def address(self, argument: Argument) -> int:
        base = int(self.memory[argument.place][argument.index].ctypes.data)
        skip = -base % 64 if argument.place is Place.ARENA else 0
        return base + skip + argument.offset

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
