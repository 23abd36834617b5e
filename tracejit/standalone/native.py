"""Programs of an artifact: compiled for a kind of processor, and loaded from what was compiled."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from tracejit._config import config
from tracejit._errors import ArtifactError, CompileError
from tracejit._records import dataclass
from tracejit.artifact import BufferSpec, KernelSource
from tracejit.backends import AnyProgram
from tracejit.executable import call_host, executable_of
from tracejit.ir.graph import Graph, Input, ScalarInput
from tracejit.runtime.cache import disk_cache
from tracejit.runtime.cpu.abi import ABI, system
from tracejit.runtime.cpu.compile import link_objects, objects_for
from tracejit.runtime.cpu.pool import runner_source, use_runner
from tracejit.runtime.cpu.target import LEVELS, Level, baseline, runs_baseline, target_level
from tracejit.runtime.gate import late
from tracejit.runtime.program import Program, kernels_of
from tracejit.standalone.plans import Plans, used
from tracejit.standalone.records import Options, Target


@dataclass(frozen=True, slots=True)
class Interface:
    """What a program is given, and what it gives."""

    inputs: tuple[BufferSpec, ...]
    outputs: tuple[BufferSpec, ...]
    scalars: tuple[str, ...]
    written: tuple[int, ...]


def target_of(name: str) -> Target:
    """`cpu`, at the level that programs here are compiled for, or at another one that this processor has: `cpu:avx2`.

    Raises ValueError for any other name.
    """
    device, _, level = name.partition(":")
    if device != "cpu":
        raise ValueError(
            f"target {name!r}: it is 'cpu', or 'cpu:' and a level: {', '.join(LEVELS)}"
        )
    found = target_level(level or config.target or None)
    return Target("cpu", found.name, system(), ABI, f"cpu-{found.name}")


def compiled(
    graphs: Sequence[Graph], target: Target, options: Options
) -> tuple[Plans, dict[str, bytes]]:
    """The plans of the graphs, and the objects of all that they launch, by name."""
    level = LEVELS[target.level]
    plan_graph = late("tracejit.compiler").plan_graph
    plans = tuple(
        plan_graph(
            graph,
            fastmath=options.fastmath,
            memory_limit=options.memory_limit,
            level=level.name,
        )[2]
        for graph in graphs
    )
    sources = _sources(plans, level)
    runner = runner_source()
    wanted = {source.name: source for source in (*sources.values(), runner)}
    objects = objects_for(baseline(level), wanted.values(), disk_cache())
    kernels = {use: source.name for use, source in sorted(sources.items())}
    return Plans(plans, kernels, runner.name), objects


def _sources(plans: Sequence[object], level: Level) -> dict[str, KernelSource]:
    found: dict[str, KernelSource] = {}
    for plan in plans:
        found |= kernels_of(plan, level)  # type: ignore[arg-type]  # a plan
    return found


def best_of(targets: Sequence[Target]) -> Target | None:
    """The first of the targets, the best first, that this process can run; None where there is none."""
    for level in LEVELS.values():
        for target in targets:
            if target.level == level.name and _fits(target, level):
                return target
    return None


def _fits(target: Target, level: Level) -> bool:
    if (target.name, target.system, target.abi) != ("cpu", system(), ABI):
        return False
    if config.target and config.target != level.name:
        return False
    fits = runs_baseline(level.name)
    return level is target_level() if fits is None else fits


def loaded(plans: Plans, objects: Mapping[str, bytes], where: str) -> list[AnyProgram]:
    """The plans ready to run. Raises ArtifactError for objects that are none."""
    for name in (*plans.kernels.values(), plans.runner):
        if name not in objects:
            raise ArtifactError(f"{where}: there is no object of {name!r}")
    try:
        addresses = link_objects(objects)
    except (CompileError, struct.error, LookupError, ValueError) as error:
        raise ArtifactError(f"{where}: its objects cannot be linked: {error}") from None
    use_runner(addresses[plans.runner])
    kernels = {use: addresses[plans.kernels[use]] for use in used(plans)}
    return [Program(plan, call_host, kernels) for plan in plans.plans]


def lowered(graphs: Sequence[Graph], options: Options) -> list[AnyProgram]:
    """The graphs compiled here."""
    made = [
        executable_of(graph, fastmath=options.fastmath, memory_limit=options.memory_limit)
        for graph in graphs
    ]
    return [each.program for each in made]


def interface_of(graph: Graph) -> Interface:
    arrays = [node for node in graph.inputs if isinstance(node, Input)]
    scalars = [node for node in graph.inputs if isinstance(node, ScalarInput)]
    targets = {effect.target for effect in graph.effects}
    return Interface(
        tuple(BufferSpec(node.aval.dtype.name, node.aval.sizes, node.strides) for node in arrays),
        tuple(BufferSpec(node.aval.dtype.name, node.aval.sizes) for node in graph.outputs),
        tuple(node.aval.dtype.name for node in scalars),
        tuple(n for n, node in enumerate(arrays) if node in targets),
    )


def interfaces_of(plans: Plans) -> list[Interface]:
    return [
        Interface(plan.inputs, plan.outputs, plan.scalars, plan.written) for plan in plans.plans
    ]
