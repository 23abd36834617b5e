"""Graphs compiled for a level of instructions, not for one processor: plans and objects that other processes can run.

Within a level results are the same bits whatever else a processor can do, so that what is made for the least of them has those of
a program that was compiled in place.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tracejit._config import config
from tracejit._digest import digest
from tracejit._errors import CompileError
from tracejit._gate import late
from tracejit._records import dataclass
from tracejit.artifact import HostCall, KernelSource, LaunchSpec, Plan
from tracejit.runtime.cpu.abi import ABI, system
from tracejit.runtime.cpu.link import LLVM, link
from tracejit.runtime.cpu.pool import runner_source, runners, use_runner
from tracejit.runtime.cpu.target import LEVELS, baseline, host, runs_baseline, target_level
from tracejit.runtime.program import Program, kernels_of

if TYPE_CHECKING:
    from tracejit.backends import AnyProgram
    from tracejit.ir.graph import Graph

__all__ = [
    "ABI", "LEVELS", "Plans", "addresses_of", "call_host", "compiled", "fits", "have_runner", "least_level", "level_of",
    "linked", "llvm", "objects_of", "planned", "runner_source", "system",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plans:
    """The plans of all programs; by what their launches call a kernel the object that it is in; on a CPU what runs launches."""

    plans: tuple[Plan, ...]
    kernels: dict[str, str]
    runner: str | None

    @property
    def objects(self) -> list[str]:
        """The names of all objects that they need."""
        runner = () if self.runner is None else (self.runner,)
        return [*dict.fromkeys((*self.kernels.values(), *runner))]


def planned(
    graphs: Sequence[Graph], level: str, *, fastmath: bool, memory_limit: int | None
) -> tuple[tuple[Plan, ...], dict[str, KernelSource]]:
    """The graphs' plans, and all kernels by what their launches call them."""
    plan_graph = late("tracejit.compiler").plan_graph
    options = {"fastmath": fastmath, "memory_limit": memory_limit, "level": level, "tells": True}
    plans: tuple[Plan, ...] = tuple(plan_graph(graph, **options)[2] for graph in graphs)
    sources: dict[str, KernelSource] = {}
    for plan in plans:
        sources |= kernels_of(plan, LEVELS[level])
    return plans, sources


def objects_of(sources: Iterable[KernelSource], level: str) -> dict[str, bytes]:
    """The object of each source by name, for the least processor of the level."""
    wanted, disk = (
        {source.name: source for source in sources},
        late("tracejit.runtime.cache").disk_cache(),
    )
    made: dict[str, bytes] = late("tracejit.runtime.cpu.compile").objects_for(
        baseline(LEVELS[level]), wanted.values(), disk
    )
    return made


def compiled(
    graphs: Sequence[Graph], level: str, *, fastmath: bool, memory_limit: int | None
) -> tuple[Plans, dict[str, bytes]]:
    """The graphs' plans, and the objects of all that they launch, by name."""
    plans, sources = planned(graphs, level, fastmath=fastmath, memory_limit=memory_limit)
    runner = runner_source()
    objects = objects_of((*sources.values(), runner), level)
    kernels = {use: source.name for use, source in sorted(sources.items())}
    return Plans(plans, kernels, runner.name), objects


def linked(made: Plans, objects: Mapping[str, bytes]) -> list[AnyProgram]:
    """The plans ready to run; LLVM is not loaded where `runtime.cpu.elf` can link. Raises CompileError for what is no object."""
    addresses = addresses_of({name: objects[name] for name in made.objects})
    assert made.runner is not None, "a CPU's plans have one"
    use_runner(addresses[made.runner])
    launches = [step for plan in made.plans for step in plan.steps if isinstance(step, LaunchSpec)]
    used = {name for each in launches for name in (each.kernel, *each.kernels, *each.calls)}
    kernels = {name: addresses[made.kernels[name]] for name in used}
    return [Program(plan, call_host, kernels) for plan in made.plans]


def addresses_of(objects: Mapping[str, bytes]) -> dict[str, int]:
    """The functions that the objects are named for, in memory. Raises CompileError for what is no object."""
    keys = {name: (name, digest(data)) for name, data in objects.items()}
    missing = {name: objects[name] for name, key in keys.items() if key not in _linked}
    try:
        found = link(missing) if missing else {}
    except (struct.error, LookupError, ValueError) as error:
        raise CompileError(f"not linked: {error}") from None
    _linked.update({keys[name]: address for name, address in found.items()})
    return {name: _linked[key] for name, key in keys.items()}


def have_runner(objects: Mapping[str, bytes]) -> bool:
    """Whether there is what runs launches on the CPU, or now is, from its object, by its name, or may be made, as LLVM is loaded.

    Raises CompileError for what is no object.
    """
    name = late("tracejit.runtime.cpu.runner").RUN
    if not runners and name in objects:
        use_runner(addresses_of({name: objects[name]})[name])
    return bool(runners) or LLVM in sys.modules


def call_host(call: HostCall, arrays: list[np.ndarray], out: np.ndarray) -> None:
    """By the ops, which are loaded when one is called."""
    late("tracejit.executable").call_host(call, arrays, out)


_linked: dict[tuple[str, str], int] = {}
"""Objects that are in memory, where they stay, by name and hash."""


def fits(level: str) -> bool:
    """Whether this process can run what was made for a level, and would have what it compiles itself be of that level."""
    if config.target and config.target != level:
        return False
    known = runs_baseline(level)
    return LEVELS[level] is target_level() if known is None else known


def level_of(name: str | None) -> str:
    """The name of a level that this processor has; None: the one that programs here are compiled for. Raises ValueError."""
    return target_level(name or config.target or None).name


def least_level() -> str:
    """The one that all processors of this one's kind have."""
    return "neon" if host().is_arm64 else "sse"


def llvm() -> str:
    """The version that compiles."""
    return host().llvm
