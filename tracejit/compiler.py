"""The compiler: a graph becomes passes' graphs, steps, kernels, a plan, and a program. Read `compile_graph` as its contents."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from tracejit._config import config
from tracejit.artifact import HostCall, KernelSource, LaunchSpec, Plan
from tracejit.assembly import Assembly
from tracejit.codegen.kernel.ir import Kernel
from tracejit.codegen.kernel.printer import print_kernel
from tracejit.codegen.llvm.emit import emit
from tracejit.codegen.llvm.target import TARGETS, Target
from tracejit.ir.graph import Graph
from tracejit.ops.registry import REGISTRY
from tracejit.passes.duplicate import duplicate_free
from tracejit.passes.fuse import fuse
from tracejit.passes.layouts import Layouts
from tracejit.passes.pipeline import optimize
from tracejit.runtime.buffer import Buffer
from tracejit.runtime.cpu.target import target_level
from tracejit.runtime.program import Program


@dataclass(frozen=True, slots=True, eq=False)
class Executable:
    """A graph compiled for this machine."""

    graph: Graph
    plan: Plan
    program: Program
    seconds: float
    """What compiling it took."""

    def run(
        self, inputs: Sequence[int], scalars: Sequence[bool | int | float] = ()
    ) -> list[Buffer]:
        """Row-major outputs, from the addresses of the graph's arrays and its Python numbers, both in order."""
        return self.program.run(inputs, scalars)

    @property
    def launches(self) -> tuple[LaunchSpec | HostCall, ...]:
        return self.plan.steps


def compile_graph(graph: Graph, *, fastmath: bool = False) -> Executable:
    """The program that computes the graph's outputs and makes its writes."""
    start = time.perf_counter()
    graph = duplicate_free(optimize(graph, fastmath=fastmath))
    layouts = Layouts(graph)
    steps = fuse(graph, layouts, join=config.fuse)
    plan = Assembly(graph, layouts, kernel_source).plan(steps)
    program = Program(plan, call_host)
    return Executable(graph, plan, program, time.perf_counter() - start)


def kernel_source(kernel: Kernel) -> KernelSource:
    """The kernel's code for this machine, named by its text, so that equal kernels are one."""
    text = print_kernel(kernel)
    return _emitted(text, _Once(kernel), config.target or None)


class _Once:
    """A kernel as an argument that a cache does not look at: its text is the key."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Once)


@lru_cache(maxsize=4096)
def _emitted(text: str, once: _Once, level: str | None) -> KernelSource:
    target = host_target(level)
    name = "k" + hashlib.sha256(f"{target.name}\n{text}".encode()).hexdigest()[:20]
    return KernelSource(name, emit(once.kernel, name, target))


@cache
def host_target(level: str | None) -> Target:
    """The instruction set level to emit for: the host's best, or the one asked for."""
    return TARGETS[target_level(level).name]


def call_host(call: HostCall, arrays: list[np.ndarray], out: np.ndarray) -> None:
    """An op with no kernel, by its NumPy `eval`."""
    out[...] = REGISTRY[call.op].eval(*arrays, **dict(call.params))
