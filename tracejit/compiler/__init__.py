"""The compiler: a graph becomes passes' graphs, steps, kernels, a plan, and a program. Read `compile_graph` as its contents."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tracejit._config import config
from tracejit._dump import Dump, open_dump
from tracejit._gate import late
from tracejit._records import dataclass
from tracejit.artifact import HostCall, Plan
from tracejit.backends import backend_of
from tracejit.codegen.kernel.cost import is_costly
from tracejit.compiler.assembly import Assembly
from tracejit.compiler.cpu import Cpu
from tracejit.compiler.pieces import piecewise
from tracejit.compiler.recompute import computed_anew
from tracejit.compiler.rolled import rolled
from tracejit.compiler.target import Target
from tracejit.executable import Executable, call_host
from tracejit.ir.cluster import Step
from tracejit.ir.device import device_of, without_device
from tracejit.ir.graph import Graph
from tracejit.ir.printer import print_graph
from tracejit.ir.step_printer import print_steps
from tracejit.passes.copies import share_copies
from tracejit.passes.cse import share_equal
from tracejit.passes.duplicate import duplicate_free
from tracejit.passes.fuse import fuse
from tracejit.passes.layouts import Layouts
from tracejit.passes.pipeline import optimize
from tracejit.passes.products import join_products
from tracejit.passes.repeats import may_have_rounds
from tracejit.passes.turn import turn_products
from tracejit.passes.writes import may_have_pieces
from tracejit.runtime.cache import disk_cache
from tracejit.runtime.cpu.compile import load_kernels
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
    device = device_of(graph)
    graph, steps, plan = plan_graph(graph, fastmath=fastmath, memory_limit=memory_limit)
    program = backend_of(device).program(plan, call_host)
    return Compiled(plan, program, time.perf_counter() - start, graph, tuple(steps))


def compile_together(graphs: Sequence[Graph]) -> list[Program]:
    """The programs of small graphs, whose kernels are compiled at once, on all cores."""
    plans = [plan_graph(graph)[2] for graph in graphs]
    load_kernels([kernel for plan in plans for kernel in plan.kernels], disk_cache())
    return [Program(plan, call_host) for plan in plans]


def plan_graph(
    graph: Graph,
    *,
    fastmath: bool = False,
    memory_limit: int | None = None,
    level: str | None = None,
    device: str | None = None,
    tells: bool = False,
) -> tuple[Graph, list[Step], Plan]:
    """The graph as it was optimised, its steps, and the plan that runs them on its device, which need not be here.

    `level` is the CPU's instruction set, where it is not what the settings say, and `device` what runs the plan, where it is not
    the graph's own. If it `tells`, the plan has an account.
    """
    dump = open_dump(config.dump_dir)
    target = _target(device or device_of(graph), dump, level)
    graph = without_device(graph)
    if memory_limit is None:
        plan = in_parts(graph, lambda part: plan_part(part, target, dump, fastmath, tells=tells)[2])
        if plan is not None:
            return graph, [], plan
    return plan_part(graph, target, dump, fastmath, memory_limit, tells=tells)


def in_parts(graph: Graph, compile: Callable[[Graph], Plan]) -> Plan | None:
    """The plan of a long graph, made of parts that are alike and are planned once; None where it is short, or has none."""
    has_rounds, has_pieces = may_have_rounds(graph), may_have_pieces(graph)
    if not (has_rounds or has_pieces):
        return None
    graph = share_equal(graph)
    layouts = Layouts(graph)
    plan = rolled(graph, layouts, compile) if has_rounds else None
    return piecewise(graph, layouts, compile) if plan is None and has_pieces else plan


def plan_part(
    graph: Graph,
    target: Target,
    dump: Dump | None,
    fastmath: bool,
    memory_limit: int | None = None,
    *,
    tells: bool = False,
) -> tuple[Graph, list[Step], Plan]:
    graph = optimize(graph, fastmath=fastmath, dump=_graph_dump(dump))
    graph = turn_products(graph)
    if target.joins_products:
        graph = join_products(graph)
    graph = duplicate_free(share_copies(graph), is_costly)
    layouts = Layouts(graph)
    steps = fuse(graph, layouts, is_costly, join=config.fuse, sharing=target.sharing)
    if config.fuse:
        steps = computed_anew(steps, graph, layouts)
    plan = Assembly(graph, layouts, target, config.fuse, tells).plan(steps, memory_limit)
    if dump:
        dump.write("steps", print_steps(steps, graph))
        dump.write("plan", print_plan(plan))
    return graph, steps, plan


def _target(device: str, dump: Dump | None, level: str | None) -> Target:
    if device == "cpu":
        return Cpu(dump, level)
    cuda: Target = late("tracejit.compiler.cuda").Cuda(dump)
    return cuda


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
