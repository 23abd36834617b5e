"""The compiler: a graph becomes passes' graphs, steps, kernels, a plan, and a program. Read `compile_graph` as its contents."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from functools import cache

from tracejit._config import config
from tracejit._dump import Dump, open_dump
from tracejit._records import dataclass
from tracejit.artifact import HostCall, KernelSource, Plan
from tracejit.codegen.kernel.cost import is_costly
from tracejit.codegen.kernel.ir import Kernel
from tracejit.codegen.kernel.printer import print_kernel
from tracejit.codegen.kernel.verify import verify
from tracejit.codegen.llvm.emit import emit
from tracejit.codegen.llvm.target import TARGETS, Target
from tracejit.compiler.assembly import Assembly
from tracejit.executable import Executable, call_host
from tracejit.ir.cluster import Step
from tracejit.ir.graph import Graph
from tracejit.ir.printer import print_graph
from tracejit.ir.step_printer import print_steps
from tracejit.passes.duplicate import duplicate_free
from tracejit.passes.fuse import fuse
from tracejit.passes.layouts import Layouts
from tracejit.passes.pipeline import optimize
from tracejit.passes.products import join_products
from tracejit.passes.turn import turn_products
from tracejit.runtime.cache import disk_cache
from tracejit.runtime.cpu.compile import load_kernels
from tracejit.runtime.cpu.target import target_level
from tracejit.runtime.gate import late
from tracejit.runtime.program import Program


@dataclass(frozen=True, slots=True, eq=False)
class Compiled(Executable):
    """A graph that this process has compiled, with what it was on the way."""

    graph: Graph
    """As it was optimised."""
    steps: tuple[Step, ...]


def compile_graph(
    graph: Graph, *, fastmath: bool = False, memory_limit: int | None = None
) -> Compiled:
    """The program that computes the graph's outputs and makes its writes.

    Raises MemoryLimitError where it would allocate more than `memory_limit` bytes, whatever is computed anew.
    """
    start = time.perf_counter()
    graph, steps, plan = plan_graph(graph, fastmath=fastmath, memory_limit=memory_limit)
    program = Program(plan, call_host)
    return Compiled(plan, program, time.perf_counter() - start, graph, tuple(steps))


def compile_together(graphs: Sequence[Graph]) -> list[Program]:
    """The programs of small graphs, whose kernels are compiled at once, on all cores."""
    plans = [plan_graph(graph)[2] for graph in graphs]
    load_kernels([kernel for plan in plans for kernel in plan.kernels], disk_cache())
    return [Program(plan, call_host) for plan in plans]


def plan_graph(
    graph: Graph, *, fastmath: bool = False, memory_limit: int | None = None
) -> tuple[Graph, list[Step], Plan]:
    """The graph as it was optimised, its steps, and the plan that runs them."""
    dump = open_dump(config.dump_dir)
    graph = optimize(graph, fastmath=fastmath, dump=_graph_dump(dump))
    graph = duplicate_free(join_products(turn_products(graph)), is_costly)
    layouts = Layouts(graph)
    steps = fuse(graph, layouts, is_costly, join=config.fuse)
    plan = Assembly(graph, layouts, Emitter(dump), config.fuse).plan(steps, memory_limit)
    if dump:
        dump.write("steps", print_steps(steps, graph))
        dump.write("plan", print_plan(plan))
    return graph, steps, plan


def _graph_dump(dump: Dump | None) -> Callable[[str, Graph], None] | None:
    return None if dump is None else lambda stage, graph: dump.write(stage, print_graph(graph))


def print_plan(plan: Plan) -> str:
    """One line a launch: its kernel, its tasks, the bytes it moves, what it computes and where."""
    lines = [f"arena {plan.arena_bytes} bytes"]
    for step in plan.steps:
        if isinstance(step, HostCall):
            lines.append(f"host {step.op}  {step.nbytes} bytes  {step.note}")
            continue
        tasks = "+".join(str(segment.tasks) for segment in step.segments)
        lines.append(
            f"{step.kernel} tasks {tasks} grain {step.grain}  {step.nbytes} bytes  {step.note}"
        )
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Emitter:
    """Kernels as code for this machine, named by their text, so that equal kernels are one."""

    dump: Dump | None = None

    def __call__(self, kernel: Kernel) -> KernelSource:
        text = print_kernel(kernel)
        if config.verify_ir:
            verify(kernel)
        target = host_target(config.target or None)
        name = "k" + hashlib.sha256(f"{target.name}\n{text}".encode()).hexdigest()[:20]
        source = _emitted.get(name)
        if source is None:
            source = _emitted[name] = KernelSource(name, emit(kernel, name, target))
        if self.dump:
            self.dump.write(f"kernel-{name}", text)
            self.dump.write(f"kernel-{name}", source.text, "ll")
            if config.dump_asm:
                assembly = late("tracejit.runtime.cpu.llvm").assembly
                self.dump.write(f"kernel-{name}", assembly(source.text), "s")
        return source


_emitted: dict[str, KernelSource] = {}


@cache
def host_target(level: str | None) -> Target:
    """The instruction set level to emit for: the host's best, or the one asked for."""
    return TARGETS[target_level(level).name]
